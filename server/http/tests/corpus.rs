//! Replays the corpus of the fuzz target: what was found once stays found.

mod checks;

use std::fs;
use std::path::Path;

#[test]
fn serve() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/serve");
    let mut count = 0;
    for entry in fs::read_dir(&folder).expect("the corpus is part of the repository") {
        let path = entry.expect("a readable folder").path();
        let input = fs::read(&path).expect("a readable file");
        let replayed = std::panic::catch_unwind(|| {
            checks::serve(&input);
            // By other limits, on another network, by another client.
            for choice in [0, 1, 2, 4, 8, 16, 31] {
                checks::serve(&[&[choice], input.get(1..).unwrap_or_default()].concat());
            }
        });
        assert!(replayed.is_ok(), "{}", path.display());
        count += 1;
    }
    assert!(count >= 4, "{} holds {count} files", folder.display());
}
