//! Negotiation, compared with a slow reference: on lists made of good and bad pieces, and on what
//! fuzzing has found.

#[path = "checks/negotiate.rs"]
mod checks;

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::sample::select;

const PIECES: &[&str] = &[
    "gzip",
    "x-gzip",
    "GZIP",
    "br",
    "zstd",
    "identity",
    "*",
    "deflate",
    "text/*",
    "de-CH",
    ",",
    ",",
    ",",
    ";",
    ";q=",
    ";q=0",
    ";q=1",
    ";q=0.5",
    "; Q=0.001",
    ";q=1.000",
    ";q=0.0000",
    ";q=1.5",
    "1",
    "0.25",
    "0.",
    "=",
    "a=b",
    ";level=\"1,;q=0\"",
    " ",
    "\t",
    "\"",
    "\\",
    "é",
    "\0",
];

proptest! {
    #[test]
    fn as_the_reference(choice in any::<u8>(), pieces in prop::collection::vec(select(PIECES), 0..40)) {
        checks::negotiate(&[&[choice], pieces.concat().as_bytes()].concat());
    }

    #[test]
    fn as_the_reference_for_long_lists(pieces in prop::collection::vec(select(PIECES), 200)) {
        checks::negotiate(&[&[15], pieces.join(",").as_bytes()].concat());
    }
}

#[test]
fn corpus() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/negotiate");
    let mut count = 0;
    for entry in fs::read_dir(&folder).expect("the corpus is part of the repository") {
        let path = entry.expect("a readable folder").path();
        checks::negotiate(&fs::read(&path).expect("a readable file"));
        count += 1;
    }
    assert!(count >= 4, "{} holds {count} files", folder.display());
}
