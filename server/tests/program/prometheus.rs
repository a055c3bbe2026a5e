//! The files for Prometheus in `docs/prometheus`.

use std::path::{Path, PathBuf};
use std::process::Command;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/prometheus")
}

#[test]
fn promtool_has_nothing_to_say() {
    for args in [
        ["check", "config", "prometheus.yml"],
        ["check", "rules", "rules.yml"],
        ["test", "rules", "rules_test.yml"],
    ] {
        let mut promtool = Command::new("promtool");
        let output = match promtool.args(args).current_dir(folder()).output() {
            Ok(output) => output,
            Err(error) => {
                assert!(std::env::var_os("CI").is_none(), "promtool: {error}");
                eprintln!("skipped: promtool is not installed");
                return;
            }
        };
        let text = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&text));
    }
}
