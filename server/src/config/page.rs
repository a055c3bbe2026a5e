//! The tables of docs/CONFIGURATION.md, and the JSON Schema beside it: they say what the sections say.

use std::fmt::Write;
use std::path::Path;

use serde_json::Value;

use super::shape::{Effect, Key, Kind, Section, Shape};
use super::{Config, json_schema, json_schema_text, settings};

/// Whether the files are to be written rather than compared.
fn blessed() -> bool {
    std::env::var_os("CORELANE_BLESS").is_some_and(|value| value == "1")
}

const BLESS: &str = "If that is right: CORELANE_BLESS=1 cargo test -p corelane --lib config";

fn docs(file: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(file)
}

#[test]
fn the_page_has_every_key() {
    let path = docs("CONFIGURATION.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = ("<!-- keys: written by server/src/config -->\n", "<!-- keys: end -->\n");
    let from = page.find(begin).expect("the mark of the tables' begin") + begin.len();
    let to = page.find(end).expect("the mark of the tables' end");
    let tables = tables();
    if blessed() {
        std::fs::write(&path, [&page[..from], &tables, &page[to..]].concat()).unwrap();
        return;
    }
    let differing = page[from..to].lines().zip(tables.lines()).find(|(old, new)| old != new);
    assert_eq!(differing, None, "docs/CONFIGURATION.md, and what it should be. {BLESS}");
    assert_eq!(page[from..to].len(), tables.len(), "docs/CONFIGURATION.md. {BLESS}");
}

#[test]
fn the_schema_is_published() {
    let path = docs("config.schema.json");
    if blessed() {
        std::fs::write(&path, json_schema_text()).unwrap();
        return;
    }
    let published: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert!(published == json_schema(), "docs/config.schema.json is out of date. {BLESS}");
}

/// A section, and where in a file it stands.
struct Place {
    section: &'static Section,
    paths: Vec<String>,
}

fn tables() -> String {
    let mut places = Vec::new();
    if let Shape::Section(root) = Config::shape() {
        collect(root, "", &mut places);
    }
    let variables: Vec<String> = settings().into_iter().map(|setting| setting.path).collect();
    let mut text = String::new();
    for Place { section, paths } in &places {
        let title = match paths[0].as_str() {
            "" => "The top".to_owned(),
            _ => paths.iter().map(|path| format!("`{path}`")).collect::<Vec<_>>().join(", "),
        };
        writeln!(text, "\n### {title}\n\n{}\n", section.about).unwrap();
        text.push_str(
            "| key | value | default | on reload | what it is |\n|---|---|---|---|---|\n",
        );
        for key in &section.keys {
            row(key, &mut text);
        }
        // Said once for all keys of a section: either all can be set by a variable, or none.
        let settable =
            |key: &Key| variables.contains(&super::finding::key_path(&paths[0], key.name));
        let example = section.keys.iter().find(|key| settable(key));
        if let Some(key) = example.filter(|_| !paths[0].is_empty()) {
            let path = format!("{}.{}", paths[0], key.name).replace('.', "_").to_uppercase();
            writeln!(text, "\nBy variable: `CORELANE_{path}` and so on.").unwrap();
        }
    }
    text.push('\n');
    text
}

/// All sections, each once, in the order of the files.
fn collect(section: &'static Section, path: &str, places: &mut Vec<Place>) {
    if let Some(place) = places.iter_mut().find(|place| place.section.name == section.name) {
        place.paths.push(path.to_owned());
        return;
    }
    places.push(Place { section, paths: vec![path.to_owned()] });
    for key in &section.keys {
        let path = super::finding::key_path(path, key.name);
        match key.shape.inner() {
            Shape::Section(section) => collect(section, &path, places),
            Shape::List(inner) => {
                if let Some(section) = inner.section() {
                    collect(section, &format!("{path}[]"), places);
                }
            }
            _ => {}
        }
    }
}

fn row(key: &Key, text: &mut String) {
    let default = match &key.preset {
        None => "must be given".to_owned(),
        Some(_) if matches!(key.shape, Shape::Section(_)) => String::new(),
        Some(preset) if preset.production == preset.development => code(&preset.production),
        Some(preset) => {
            format!("{}; development {}", code(&preset.production), code(&preset.development))
        }
    };
    let effect = match key.effect {
        Effect::Hot => "hot",
        Effect::Restart => "restart",
        Effect::Within => "",
    };
    let value = value(&key.shape);
    let cells = [value, default, effect.to_owned(), key.about.clone()];
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    writeln!(text, "| `{}` | {} |", key.name, cells.join(" | ")).unwrap();
}

fn code(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::Array(list) if list.is_empty() => "none".to_owned(),
        Value::Object(map) if map.is_empty() => "none".to_owned(),
        value => format!("`{value}`"),
    }
}

/// What a value may be, in words.
fn value(shape: &Shape) -> String {
    match shape {
        Shape::Leaf(leaf) => format!("{}{}", leaf.name, range(&leaf.schema)),
        Shape::Section(_) => "object".to_owned(),
        Shape::List(inner) => format!("list: {}", value(inner)),
        Shape::Map(inner) => format!("object: name to {}", value(inner)),
        Shape::Optional(inner) => format!("{} or null", value(inner)),
        Shape::Toggle(inner) => format!("{} or on/off", value(inner)),
    }
}

/// The range of a number or size that its JSON Schema knows.
fn range(schema: &Value) -> String {
    let schema = schema.get("anyOf").and_then(|any| any.get(0)).unwrap_or(schema);
    let bound = |name: &str| schema.get(name).and_then(Value::as_u64);
    match (bound("minimum"), bound("maximum")) {
        (Some(min), Some(super::MAX_SIZE)) if min > 0 => {
            format!(", from {}", super::size::text(min))
        }
        (Some(min), Some(max)) if max < super::MAX_SIZE => {
            format!(", {} to {}", plain(min), plain(max))
        }
        _ => String::new(),
    }
}

/// Powers of two as sizes, all else as it is.
fn plain(number: u64) -> String {
    if number.is_power_of_two() && number > 1024 {
        super::size::text(number)
    } else {
        number.to_string()
    }
}
