//! TOML with places, as the same tree that JSON gives.

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::document::{Fault, Offsets, Reading};
use super::finding::{index_path, key_path};

/// How deep a file may nest; `serde_json` has the same bound.
const DEPTH_MAX: usize = 128;

pub(super) fn read(text: &str) -> Reading {
    let table = DeTable::parse(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        Fault::new(offset, "", format!("not TOML: {}", error.message().replace('\n', ", ")))
    })?;
    let mut walk = Walk { offsets: Offsets::new(), faults: Vec::new() };
    walk.offsets.insert(String::new(), 0);
    let tree = walk.table(table.get_ref(), "", 0);
    Ok((tree, walk.offsets, walk.faults))
}

struct Walk {
    offsets: Offsets,
    faults: Vec<Fault>,
}

impl Walk {
    fn table(&mut self, table: &DeTable<'_>, path: &str, depth: usize) -> Value {
        let mut object = Map::new();
        for (key, value) in table.iter() {
            let path = key_path(path, key.get_ref());
            self.offsets.insert(path.clone(), key.span().start);
            object.insert(key.get_ref().to_string(), self.value(value, &path, depth + 1));
        }
        Value::Object(object)
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, path: &str, depth: usize) -> Value {
        let offset = value.span().start;
        if depth > DEPTH_MAX {
            self.faults.push(Fault::new(offset, path, "nested too deeply"));
            return Value::Null;
        }
        match value.get_ref() {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Boolean(value) => Value::Bool(*value),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or_else(
                    |_| {
                        self.faults.push(Fault::new(offset, path, "the number is out of range"));
                        Value::Null
                    },
                    Value::from,
                ),
            DeValue::Float(number) => {
                number.as_str().parse::<f64>().map_or(Value::Null, Value::from)
            }
            DeValue::Datetime(_) => {
                let message = "expected no date or time here; a text needs quotes";
                self.faults.push(Fault::new(offset, path, message));
                Value::Null
            }
            DeValue::Array(array) => {
                let mut list = Vec::new();
                for (index, element) in array.iter().enumerate() {
                    let path = index_path(path, index);
                    self.offsets.insert(path.clone(), element.span().start);
                    list.push(self.value(element, &path, depth + 1));
                }
                Value::Array(list)
            }
            DeValue::Table(table) => self.table(table, path, depth),
        }
    }
}
