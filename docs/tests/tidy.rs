//! Keeps the house in order: each test is one rule, checked on every file of the repository.
//!
//! The rules are functions of `corelane-docs`, each tested there on small bad examples. A
//! failure says where, what and what to do. Nothing here uses the network or builds anything.

use corelane_docs::documents::{self, DECISIONS};
use corelane_docs::finding::{Finding, assert_clean};
use corelane_docs::markdown::Markdown;
use corelane_docs::tree::Tree;
use corelane_docs::{absences, arrows, layout, leftovers, links, manifest, sizes, words};

fn tree() -> Tree {
    Tree::of_this_repository().expect("the repository can be read")
}

/// Applies `check` to the text of every file whose name ends so.
fn each(ending: &str, check: impl Fn(&str, &str) -> Vec<Finding>) -> Vec<Finding> {
    let tree = tree();
    let texts = tree.files_ending(ending).filter_map(|path| Some((path, tree.text_if_any(path)?)));
    texts.flat_map(|(path, text)| check(path, &text)).collect()
}

/// One document that must exist.
fn document(tree: &Tree, path: &str) -> Markdown {
    Markdown::parse(&tree.text(path).expect("this document must exist"))
}

/// Applies `check` to every member's manifest.
fn each_member(check: impl Fn(&Tree, &str, &toml::Table) -> Vec<Finding>) -> Vec<Finding> {
    let tree = tree();
    let root = manifest::read(&tree, "Cargo.toml").expect("the root manifest can be read");
    let members = manifest::members(&root);
    assert!(!members.is_empty(), "the root manifest names its members");
    let paths = members.iter().map(|folder| manifest::path_of(folder));
    paths
        .flat_map(|path| match manifest::read(&tree, &path) {
            Ok(member) => check(&tree, &path, &member),
            Err(finding) => vec![finding],
        })
        .collect()
}

#[test]
fn top_level_is_eight_directories() {
    assert_clean(&layout::check(&tree()));
}

#[test]
fn arrows_between_crates_are_the_known_ones() {
    assert_clean(&each_member(|_, path, member| arrows::check(path, member)));
}

#[test]
fn manifests_are_complete() {
    assert_clean(&each_member(|tree, path, member| {
        let folder = path.trim_end_matches("Cargo.toml");
        manifest::check(path, member, |file| tree.contains(&format!("{folder}{file}")))
    }));
}

#[test]
fn readmes_are_crate_docs() {
    assert_clean(&each_member(|tree, path, _| {
        let root = path.replace("Cargo.toml", "src/lib.rs");
        let text = tree.text_if_any(&root);
        text.map(|text| documents::check_crate_doc(&root, &text)).unwrap_or_default()
    }));
}

#[test]
fn packages_outside_the_workspace_are_named() {
    let tree = tree();
    let root = manifest::read(&tree, "Cargo.toml").expect("the root manifest can be read");
    assert_clean(&manifest::check_members(&tree, &root));
}

#[test]
fn protocols_touch_no_socket_disk_or_clock() {
    assert_clean(&each(".rs", absences::check_paths));
}

#[test]
fn unsafe_code_is_where_it_is_allowed() {
    assert_clean(&each(".rs", absences::check_unsafe));
}

#[test]
fn files_are_short() {
    assert_clean(&each(".rs", sizes::check));
}

#[test]
fn nothing_is_left_over() {
    let rust = each(".rs", leftovers::check_rust);
    let notes = [".md", ".toml", ".yml", "/run", ".sh"].map(|e| each(e, leftovers::check_notes));
    assert_clean(&[rust, notes.concat()].concat());
}

#[test]
fn no_file_names_a_machine_or_a_registry() {
    assert_clean(&each("", words::check));
}

#[test]
fn links_lead_somewhere() {
    let tree = tree();
    assert_clean(&each(".md", |path, text| {
        links::check_links(&tree, path, &Markdown::parse(text))
    }));
}

#[test]
fn files_named_in_documents_exist() {
    let tree = tree();
    assert_clean(&each(".md", |path, text| {
        links::check_mentions(&tree, path, &Markdown::parse(text))
    }));
}

#[test]
fn snippets_are_compiled() {
    let tree = tree();
    let library = tree.text("docs/src/lib.rs").expect("this crate has a root");
    assert_clean(&each(".md", |path, text| {
        documents::check_snippets(&tree, &library, path, &Markdown::parse(text))
    }));
}

#[test]
fn readme_and_ci_use_the_same_commands() {
    let tree = tree();
    let readme = document(&tree, "README.md");
    let script = tree.text(".ci/run").expect("there is a script for continuous integration");
    let findings = documents::check_readme("README.md", &readme);
    assert_clean(&[findings, documents::check_ci(".ci/run", &script, &readme)].concat());
}

#[test]
fn changelog_has_an_unreleased_section() {
    let changelog = document(&tree(), "CHANGELOG.md");
    assert_clean(&documents::check_changelog("CHANGELOG.md", &changelog));
}

#[test]
fn decisions_are_whole_and_listed() {
    let tree = tree();
    let index = document(&tree, &format!("{DECISIONS}README.md"));
    let decisions = tree
        .files_ending(".md")
        .filter(|path| path.starts_with(DECISIONS) && !path.ends_with("README.md"));
    let findings: Vec<Finding> = decisions
        .flat_map(|path| documents::check_decision(path, &document(&tree, path), &index))
        .collect();
    assert_clean(&findings);
}
