//! Properties: what comes out loads again as itself, and nothing that stands in a file can end the
//! program.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::shape::{Kind, Shape};
use super::{Config, Effective, Sources};

fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/config");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|e| e == "json" || e == "toml")).collect()
}

fn load(text: &Value) -> Result<Effective, super::Findings> {
    Sources::new().text("site.json", text.to_string()).load()
}

#[test]
fn examples_load_without_a_warning() {
    let files = examples();
    assert_eq!(files.len(), 4, "{files:?}");
    for file in files {
        let loaded = Sources::new().file(&file).load().unwrap_or_else(|wrong| panic!("{wrong}"));
        assert_eq!(loaded.warnings, [], "{}", file.display());
        fits(&super::json_schema(), &loaded.tree).unwrap();
        let again = load(&loaded.tree).unwrap_or_else(|wrong| panic!("{wrong}"));
        assert_eq!(again.tree, loaded.tree, "{}", file.display());
        assert!(loaded.diff(&again).is_empty());
        // TOML has no null, and no password: all else comes back.
        for origins in [true, false] {
            let text = loaded.to_toml(origins).replace(super::REDACTED, super::tests::HASH);
            let from_toml = Sources::new().text("site.toml", text).load().unwrap();
            assert_eq!(from_toml.redacted()["routes"], loaded.redacted()["routes"]);
            assert_eq!(from_toml.redacted()["limits"], loaded.redacted()["limits"]);
        }
        if file.extension().is_some_and(|ending| ending == "json") {
            let text: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
            fits(&super::json_schema(), &text).unwrap();
        }
    }
}

/// A validator for those words of JSON Schema that ours uses; it fails on any other.
fn fits(root: &Value, value: &Value) -> Result<(), String> {
    fits_part(root, root, value, "")
}

fn fits_part(root: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let wrong = |why: &str| Err(format!("{at}: {value} does not fit {schema}: {why}"));
    for (word, rule) in schema.as_object().unwrap() {
        let number = value.as_f64();
        let good = match word.as_str() {
            "$schema" | "$defs" | "title" | "description" | "default" => true,
            "$ref" => {
                let name = rule.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
                fits_part(root, &root["$defs"][name], value, at)?;
                true
            }
            "anyOf" => {
                let mut any = rule.as_array().unwrap().iter();
                any.any(|schema| fits_part(root, schema, value, at).is_ok())
            }
            "type" => match rule.as_str().unwrap() {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "boolean" => value.is_boolean(),
                "integer" => value.is_u64() || value.is_i64(),
                "null" => value.is_null(),
                other => panic!("unknown type {other}"),
            },
            "const" => rule == value,
            "enum" => rule.as_array().unwrap().contains(value),
            "minimum" => number.is_none_or(|number| number >= rule.as_f64().unwrap()),
            "maximum" => number.is_none_or(|number| number <= rule.as_f64().unwrap()),
            "minLength" => value.as_str().is_none_or(|text| !text.is_empty()),
            // Of patterns only that there is one; regular expressions are not read here.
            "pattern" => rule.is_string(),
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    fits_part(root, rule, item, &format!("{at}[{index}]"))?;
                }
                true
            }
            "required" => {
                let names = rule.as_array().unwrap();
                names.iter().all(|name| value.get(name.as_str().unwrap()).is_some())
            }
            "properties" => {
                for (name, schema) in rule.as_object().unwrap() {
                    if let Some(value) = value.get(name) {
                        fits_part(root, schema, value, &format!("{at}.{name}"))?;
                    }
                }
                true
            }
            "additionalProperties" => {
                let known = &schema["properties"];
                let mut rest = value.as_object().into_iter().flatten();
                rest.all(|(name, value)| {
                    known.get(name).is_some()
                        || (rule.is_object() && fits_part(root, rule, value, at).is_ok())
                })
            }
            other => panic!("unknown word {other}"),
        };
        if !good {
            return wrong(word);
        }
    }
    Ok(())
}

#[test]
fn the_schema_refuses_what_the_program_refuses() {
    for text in [
        json!({ "prot": 80 }),
        json!({ "port": 65_536 }),
        json!({ "port": "80" }),
        json!({ "routes": [{ "fixed": {} }] }),
        json!({ "limits": { "max_head": 1 } }),
        json!({ "middleware": { "cors": true } }),
        json!({ "environment": "prod" }),
        json!({ "hosts": [{ "names": "a", "routes": [] }] }),
        json!([]),
    ] {
        assert!(fits(&super::json_schema(), &text).is_err(), "the schema takes {text}");
        assert!(load(&text).is_err(), "the program takes {text}");
    }
}

/// Values that are right, or nearly, for a shape.
fn value(shape: &Shape) -> BoxedStrategy<Value> {
    match shape {
        Shape::Leaf(leaf) => leaf_value(leaf.name).boxed(),
        Shape::Section(section) => {
            let keys: Vec<_> = section
                .keys
                .iter()
                // What decides about other keys, or about this machine, has tests of its own.
                .filter(|key| !["listeners", "admin", "static_dir", "static"].contains(&key.name))
                .map(|key| {
                    let needed = key.preset.is_none();
                    let some = value(&key.shape).prop_map(Some);
                    let strategy = if needed {
                        some.boxed()
                    } else {
                        prop_oneof![3 => Just(None), 1 => some].boxed()
                    };
                    strategy.prop_map(move |value| (key.name, value))
                })
                .collect();
            let object = |keys: Vec<(&str, Option<Value>)>| {
                let given = keys.into_iter().filter_map(|(key, value)| Some((key, value?)));
                given.map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>().into()
            };
            keys.prop_map(object).boxed()
        }
        Shape::List(inner) => {
            prop::collection::vec(value(inner), 0..3).prop_map(Value::from).boxed()
        }
        Shape::Map(inner) => prop::collection::btree_map("[A-Za-z-]{1,6}", value(inner), 0..3)
            .prop_map(|map| map.into_iter().collect::<Map<_, _>>().into())
            .boxed(),
        Shape::Optional(inner) => prop_oneof![1 => Just(Value::Null), 3 => value(inner)].boxed(),
        Shape::Toggle(inner) => {
            prop_oneof![Just(Value::Null), Just(json!(false)), value(inner)].boxed()
        }
    }
}

fn leaf_value(name: &'static str) -> impl Strategy<Value = Value> {
    let words: &[Value] = &match name {
        "size" => vec![json!("4K"), json!(5000), json!("64k"), json!("1m")],
        "time" | "time, not zero" => {
            vec![json!("1s"), json!("1500ms"), json!("60m"), json!("0.5h")]
        }
        "boolean" => vec![json!(true), json!(false)],
        "path with parameters" => {
            vec![json!("/"), json!("/a"), json!("/b/{id}"), json!("/{*rest}")]
        }
        "path or URL" => vec![json!("/to"), json!("https://example.org/")],
        "host name" => vec![json!("a.org"), json!("*.B.org"), json!("c.org")],
        "origin" => vec![json!("https://a.org"), json!("*")],
        "rate" => vec![json!("1/s"), json!("600/m")],
        "password hash" => vec![json!(super::tests::HASH)],
        "level or levels by target" => vec![json!("info"), json!("warn,corelane=debug")],
        "`key:value`" => vec![json!("a:b")],
        "`HOST:PORT`" => vec![json!("127.0.0.1:1")],
        "`ip` or `header:NAME`" => vec![json!("ip"), json!("header:X-Key")],
        "301, 302, 303, 307 or 308" => vec![json!(301)],
        "text" => vec![json!("text"), json!("combined"), json!("127.0.0.1")],
        "number" => vec![json!(1), json!(200), json!(404)],
        words if words.starts_with("one of") => {
            let words = words.split('`').skip(1).step_by(2);
            words.map(|word| json!(word)).collect()
        }
        _ => vec![json!("file"), json!(7), json!("auto")],
    };
    prop::sample::select(words.to_vec())
}

fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        "[0-9]{1,20}[KMGsmh]?".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("\\PC{0,8}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Puts `other` in place of the part that `which` chooses.
fn mutate(value: &mut Value, which: usize, other: Value) {
    let parts = |value: &Value| match value {
        Value::Object(object) => object.len(),
        Value::Array(list) => list.len(),
        _ => 0,
    };
    let count = parts(value);
    if count == 0 || which.is_multiple_of(5) {
        *value = other;
        return;
    }
    let (index, deeper) = (which % count, which / count);
    let part = match value {
        Value::Object(object) => object.values_mut().nth(index),
        Value::Array(list) => list.get_mut(index),
        _ => None,
    };
    mutate(part.unwrap(), deeper, other);
}

fn sample() -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/config/site.json");
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_comes_out_goes_in_again(text in value(&Config::shape())) {
        // Much of it makes no sense together; what does must survive.
        if let Ok(loaded) = load(&text) {
            let again = load(&loaded.tree).map_err(|wrong| TestCaseError::fail(wrong.to_string()))?;
            prop_assert_eq!(&again.tree, &loaded.tree);
            prop_assert_eq!(&again.config, &loaded.config);
            prop_assert!(loaded.diff(&again).is_empty());
            fits(&super::json_schema(), &loaded.tree).map_err(TestCaseError::fail)?;
        }
    }

    #[test]
    fn mutations_end_nothing(which in any::<usize>(), other in anything()) {
        let mut text = sample();
        mutate(&mut text, which, other);
        let _ = load(&text).map(|loaded| (loaded.to_json(true), loaded.to_toml(true)));
        let toml = toml::to_string(&text).unwrap_or_default();
        let _ = Sources::new().text("a.toml", toml).load();
    }

    #[test]
    fn bytes_end_nothing(at in any::<prop::sample::Index>(), new in any::<[u8; 3]>(), cut in 0..4_usize) {
        for file in ["site.json", "site.toml"] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/config").join(file);
            let mut bytes = std::fs::read(path).unwrap();
            let at = at.index(bytes.len());
            bytes.splice(at..(at + cut).min(bytes.len()), new);
            if let Err(findings) = Sources::new().text(file, bytes).load() {
                prop_assert!(!findings.0.is_empty());
                prop_assert!(findings.to_string().starts_with(file), "{}", findings);
            }
        }
    }

    #[test]
    fn any_text_ends_nothing(text in "\\PC{0,60}", name in "[A-Z_]{0,8}") {
        let _ = Sources::new().text("a.json", text.clone()).load();
        let _ = Sources::new().text("a.toml", text.clone()).load();
        let _ = Sources::new().variables([(format!("CORELANE_{name}"), text)]).load();
    }
}

#[test]
fn nearly_right_configurations_are_often_right() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let strategy = value(&Config::shape());
    let loaded = (0..200)
        .filter(|_| load(&strategy.new_tree(&mut runner).unwrap().current()).is_ok())
        .count();
    assert!(loaded >= 10, "only {loaded} of 200 load: the property says too little");
}
