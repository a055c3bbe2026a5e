//! Replays the corpus of the fuzz targets: what was found once stays found.

mod checks;

use std::fs;
use std::path::Path;

fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut count = 0;
    for entry in fs::read_dir(&folder).expect("the corpus is part of the repository") {
        let path = entry.expect("a readable folder").path();
        let input = fs::read(&path).expect("a readable file");
        let replayed = std::panic::catch_unwind(|| {
            // As found, and cut otherwise.
            check(&input);
            for first in 0..32 {
                check(&[&[first], input.get(1..).unwrap_or_default()].concat());
            }
        });
        assert!(replayed.is_ok(), "{}", path.display());
        count += 1;
    }
    assert!(count >= 4, "{} holds {count} files", folder.display());
}

#[test]
fn heads() {
    replay("head", checks::head);
}

#[test]
fn bodies() {
    replay("body", checks::body);
}

#[test]
fn chunked_bodies() {
    replay("chunked", checks::chunked);
}

#[test]
fn trailers() {
    replay("trailers", checks::trailers);
}

#[test]
fn connections() {
    replay("connection", checks::connection);
}
