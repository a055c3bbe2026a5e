//! Requests put together by chance, and those that the fuzz target has found.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

#[path = "../checks/files.rs"]
mod checks;

#[test]
fn the_corpus() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/files");
    let mut count = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        checks::files(&fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count >= 10, "{} holds {count} files", folder.display());
}

const TARGETS: &str = r"(/(a|a\.gz|empty|new|d|d/e\.txt|\.hidden|d/\.git/config|nothing)?(\?q)?|(/|\.|%2e|%2f|%5c|a|d|e\.txt|\.hidden){1,8})";

/// Lines of the kinds that matter, more often right than wrong.
const LINES: [&str; 5] = [
    r"rbytes=([0-9]{0,2}-[0-9]{0,2},? ?){1,5}",
    r#"[imn](\*|(W/)?"[a-z0-9-]{0,9}"(, "x")?)"#,
    r"[isu]Sat, 06 Nov 1993 08:49:3[5-9] GMT",
    r"e(gzip|br|zstd|identity|\*)(;q=(0|0\.5|1))?(, gzip)?",
    r"a(text/html|\*/\*|image/png)(;q=(0|1))?",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn any_request_is_answered_by_the_rules(
        target in TARGETS,
        lines in prop::collection::vec(prop::strategy::Union::new(LINES), 0..4),
    ) {
        checks::files(format!("{target}\n{}", lines.join("\n")).as_bytes());
    }
}
