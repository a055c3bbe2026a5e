//! What the server noted, as its admin page tells it.

use serde_json::Value;

/// One note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    /// Nanoseconds since the first one.
    pub(super) at: u64,
    pub(super) stage: String,
    pub(super) event: String,
    pub(super) detail: String,
}

/// A trace of one connection.
#[derive(Clone, Debug)]
pub(super) struct Trace {
    pub(super) peer: String,
    pub(super) state: String,
    pub(super) notes: Vec<Note>,
    pub(super) left_out: u64,
    /// As it came.
    pub(super) whole: Value,
}

impl Trace {
    /// Reads the page's JSON.
    pub(super) fn read(text: &[u8]) -> Result<Trace, String> {
        let whole: Value = serde_json::from_slice(text)
            .map_err(|error| format!("the trace is not JSON: {error}"))?;
        let text = |value: &Value| printable(value.as_str().unwrap_or_default());
        let note = |note: &Value| Note {
            at: note["at_ns"].as_u64().unwrap_or_default(),
            stage: text(&note["stage"]),
            event: text(&note["event"]),
            detail: text(&note["detail"]),
        };
        let Some(notes) = whole["notes"].as_array() else {
            return Err("the trace has no notes: the server is of another version".to_owned());
        };
        Ok(Trace {
            peer: text(&whole["peer"]),
            state: text(&whole["state"]),
            notes: notes.iter().map(note).collect(),
            left_out: whole["left_out"].as_u64().unwrap_or_default(),
            whole,
        })
    }

    /// Nothing more will be noted.
    pub(super) fn is_over(&self) -> bool {
        !matches!(&*self.state, "armed" | "running")
    }

    /// Its connection did not come.
    pub(super) fn is_awaited(&self) -> bool {
        self.state == "armed"
    }
}

/// A terminal obeys control characters, and the server may be anyone's.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
