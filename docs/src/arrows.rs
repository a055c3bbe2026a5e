//! The arrows between our crates: which may depend on which.

use crate::finding::Finding;
use toml::Table;

/// Every package and the packages of ours it may depend on. Development dependencies are free.
///
/// This is the list in docs/ARCHITECTURE.md. A new arrow is a design decision: record it in
/// docs/decisions before adding it here.
const ARROWS: [(&str, &[&str]); 11] = [
    ("corelane-mempool", &[]),
    ("corelane-parser", &[]),
    ("corelane-metrics", &[]),
    ("corelane-acceptor", &[]),
    ("corelane-eventloop", &["corelane-mempool"]),
    (
        "corelane-http",
        &["corelane-eventloop", "corelane-mempool", "corelane-metrics", "corelane-parser"],
    ),
    (
        "corelane-load",
        &["corelane-eventloop", "corelane-mempool", "corelane-metrics", "corelane-parser"],
    ),
    ("corelane-viewer", &["corelane-metrics", "corelane-parser"]),
    (
        "corelane",
        &[
            "corelane-acceptor",
            "corelane-eventloop",
            "corelane-http",
            "corelane-load",
            "corelane-mempool",
            "corelane-metrics",
            "corelane-parser",
            "corelane-viewer",
        ],
    ),
    ("corelane-benches", EVERYTHING),
    ("corelane-docs", EVERYTHING),
];

/// Packages that are never published and exist to measure or to check the others.
const EVERYTHING: &[&str] = &[
    "corelane",
    "corelane-acceptor",
    "corelane-eventloop",
    "corelane-http",
    "corelane-load",
    "corelane-mempool",
    "corelane-metrics",
    "corelane-parser",
    "corelane-viewer",
];

/// Checks the arrows out of one package, given the path and the contents of its manifest.
pub fn check(path: &str, manifest: &Table) -> Vec<Finding> {
    let name = manifest.get("package").and_then(|package| package.get("name"));
    let Some(name) = name.and_then(|name| name.as_str()) else {
        return vec![Finding::whole(path, "has no package name")];
    };
    let Some((_, allowed)) = ARROWS.iter().find(|(package, _)| *package == name) else {
        let advice = "is a new package: add it, with the packages it may depend on, to ARROWS in \
                      docs/src/arrows.rs and to docs/ARCHITECTURE.md";
        return vec![Finding::whole(path, format!("{name} {advice}"))];
    };
    dependencies(manifest)
        .into_iter()
        .filter(|dependency| is_ours(dependency) && !allowed.contains(&dependency.as_str()))
        .map(|dependency| {
            let advice = "is not an arrow of docs/ARCHITECTURE.md: move the code to where the \
                          arrows allow it, or record a decision and add it to docs/src/arrows.rs";
            Finding::whole(path, format!("{name} -> {dependency} {advice}"))
        })
        .collect()
}

fn is_ours(package: &str) -> bool {
    package == "corelane" || package.starts_with("corelane-")
}

/// The packages that the shipped code depends on: on every platform, and for its build script.
fn dependencies(manifest: &Table) -> Vec<String> {
    let platforms = manifest.get("target").and_then(|target| target.as_table());
    let tables = platforms
        .into_iter()
        .flat_map(|platforms| platforms.values().filter_map(|platform| platform.as_table()))
        .chain([manifest]);
    tables
        .flat_map(|table| ["dependencies", "build-dependencies"].map(|key| table.get(key)))
        .flatten()
        .filter_map(|dependencies| dependencies.as_table())
        .flatten()
        .map(|(key, value)| {
            let renamed = value.get("package").and_then(|package| package.as_str());
            renamed.unwrap_or(key).to_owned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(text: &str) -> Vec<String> {
        let manifest: Table = text.parse().unwrap();
        check("a/Cargo.toml", &manifest).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn allowed_arrow_passes() {
        let text = "package.name = 'corelane-eventloop'\n[dependencies]\nmio = '1'\n\
                    corelane-mempool.workspace = true\n[dev-dependencies]\n\
                    corelane-parser.workspace = true";
        assert!(messages(text).is_empty());
    }

    #[test]
    fn arrow_the_wrong_way_is_found() {
        let text = "package.name = 'corelane-mempool'\n[dependencies]\n\
                    corelane-eventloop.workspace = true";
        let found = messages(text);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("corelane-mempool -> corelane-eventloop "));
    }

    #[test]
    fn arrow_under_another_name_or_platform_is_found() {
        let renamed = "package.name = 'corelane-parser'\n[dependencies]\n\
                       memory = { package = 'corelane-mempool', path = '../mempool' }";
        assert_eq!(messages(renamed).len(), 1);
        let platform = "package.name = 'corelane-parser'\n\
                        [target.'cfg(unix)'.dependencies]\ncorelane.workspace = true";
        assert_eq!(messages(platform).len(), 1);
        let build = "package.name = 'corelane-parser'\n[build-dependencies]\n\
                     corelane-metrics.workspace = true";
        assert_eq!(messages(build).len(), 1);
    }

    #[test]
    fn unknown_package_is_told_where_to_enter() {
        let found = messages("package.name = 'corelane-vault'");
        assert!(found[0].contains("docs/src/arrows.rs"));
        assert_eq!(messages("").len(), 1);
    }
}
