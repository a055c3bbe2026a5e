//! The JSON Schema of configuration files (draft 2020-12), for editors and other tools.

use serde_json::{Map, Value, json};

use super::Config;
use super::shape::{Key, Kind, Section, Shape};

/// The JSON Schema of configuration files. It knows form, not sense: a file that fits it may still name
/// a folder that does not exist.
pub fn json_schema() -> Value {
    let mut definitions = Map::new();
    let root = match Config::shape() {
        Shape::Section(section) => self::section(section, &mut definitions),
        shape => self::shape(&shape, &mut definitions),
    };
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of corelane",
        "$defs": definitions,
    });
    if let (Value::Object(schema), Value::Object(root)) = (&mut schema, root) {
        schema.extend(root);
    }
    schema
}

/// The same as text, as `docs/config.schema.json` holds it.
pub fn json_schema_text() -> String {
    format!("{:#}\n", json_schema())
}

fn section(section: &Section, definitions: &mut Map<String, Value>) -> Value {
    let keys = section.keys.iter();
    let properties: Map<String, Value> =
        keys.map(|key| (key.name.to_owned(), property(key, definitions))).collect();
    let required: Vec<&str> =
        section.keys.iter().filter(|key| key.preset.is_none()).map(|key| key.name).collect();
    let mut schema = json!({
        "type": "object",
        "description": section.about,
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn property(key: &Key, definitions: &mut Map<String, Value>) -> Value {
    let mut schema = shape(&key.shape, definitions);
    let mut about = key.about.clone();
    if let Some(preset) = &key.preset {
        if preset.production != preset.development {
            about.push_str(&format!(" In development the default is {}.", preset.development));
        }
        if !matches!(key.shape, Shape::Section(_)) {
            schema["default"] = preset.production.clone();
        }
    }
    schema["description"] = json!(about);
    schema
}

fn shape(shape: &Shape, definitions: &mut Map<String, Value>) -> Value {
    match shape {
        Shape::Leaf(leaf) => leaf.schema.clone(),
        Shape::Section(section) => {
            if !definitions.contains_key(section.name) {
                // Taken first, so that a section within itself would end.
                definitions.insert(section.name.to_owned(), Value::Null);
                let schema = self::section(section, definitions);
                definitions.insert(section.name.to_owned(), schema);
            }
            json!({ "$ref": format!("#/$defs/{}", section.name) })
        }
        Shape::List(inner) => json!({ "type": "array", "items": self::shape(inner, definitions) }),
        Shape::Map(inner) => {
            json!({ "type": "object", "additionalProperties": self::shape(inner, definitions) })
        }
        Shape::Optional(inner) => {
            json!({ "anyOf": [self::shape(inner, definitions), { "type": "null" }] })
        }
        Shape::Toggle(inner) => {
            let by_itself = inner
                .section()
                .is_some_and(|section| section.keys.iter().all(|key| key.preset.is_some()));
            let switch =
                if by_itself { json!({ "type": "boolean" }) } else { json!({ "const": false }) };
            json!({ "anyOf": [self::shape(inner, definitions), switch, { "type": "null" }] })
        }
    }
}
