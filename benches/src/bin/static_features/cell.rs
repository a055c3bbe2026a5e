//! What a table says about one server and one feature.

use std::fmt;

/// How a server did, with what was seen where `yes` alone would say too much.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Cell {
    Yes(String),
    Part(String),
    No(String),
    /// The check itself failed: nothing is known.
    Unknown(String),
}

impl Cell {
    pub(crate) fn yes() -> Self {
        Self::Yes(String::new())
    }

    pub(crate) fn no(seen: impl fmt::Display) -> Self {
        Self::No(seen.to_string())
    }

    pub(crate) fn part(seen: impl fmt::Display) -> Self {
        Self::Part(seen.to_string())
    }

    /// `yes` if `right`, otherwise what was seen.
    pub(crate) fn check(right: bool, seen: impl fmt::Display) -> Self {
        if right { Self::yes() } else { Self::no(seen) }
    }

    /// Of several tries: the first, unless they differ.
    pub(crate) fn together(cells: &[Self]) -> Self {
        let Some(first) = cells.first() else { return Self::Unknown("not tried".to_owned()) };
        if cells.iter().all(|cell| cell.mark() == first.mark()) {
            return first.clone();
        }
        let said = |cell: &Self| match cell.note() {
            "" => cell.mark().to_owned(),
            note => format!("{} ({note})", cell.mark()),
        };
        let said: Vec<_> = cells.iter().map(said).collect();
        Self::Part(format!("in {} tries {}", said.len(), said.join(", ")))
    }

    fn mark(&self) -> &'static str {
        match self {
            Self::Yes(_) => "yes",
            Self::Part(_) => "partly",
            Self::No(_) => "no",
            Self::Unknown(_) => "?",
        }
    }

    fn note(&self) -> &str {
        let (Self::Yes(note) | Self::Part(note) | Self::No(note) | Self::Unknown(note)) = self;
        note
    }

    /// Of several demands: `yes` if none is missed, `no` if all are; otherwise which are missed.
    pub(crate) fn tally<T: fmt::Display>(missed: &[T], demands: usize) -> Self {
        let list: Vec<_> = missed.iter().map(ToString::to_string).collect();
        match list.len() {
            0 => Self::yes(),
            count if count == demands => Self::No(list.join(", ")),
            _ => Self::Part(format!("without {}", list.join(", "))),
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::No(_) => write!(out, "**{}**", self.mark())?,
            _ => out.write_str(self.mark())?,
        }
        if !self.note().is_empty() {
            write!(out, ": {}", escape(self.note()))?;
        }
        Ok(())
    }
}

/// Text for a table's cell: on one line, without what markdown or HTML would take for its own.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '|' => out.push_str("\\|"),
            '<' => out.push_str("&lt;"),
            '\n' | '\r' => out.push(' '),
            '*' | '_' | '`' => {
                out.push('\\');
                out.push(character);
            }
            _ => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_say_what_is_missed() {
        assert_eq!(Cell::tally::<&str>(&[], 2).to_string(), "yes");
        assert_eq!(Cell::tally(&["br"], 2).to_string(), "partly: without br");
        assert_eq!(Cell::tally(&["br", "a|b"], 2).to_string(), "**no**: br, a\\|b");
        let tries = [Cell::yes(), Cell::no("cut"), Cell::yes()];
        assert_eq!(Cell::together(&tries).to_string(), "partly: in 3 tries yes, no (cut), yes");
        assert_eq!(Cell::together(&tries[..1]), Cell::yes());
        assert_eq!(Cell::check(false, "<b>").to_string(), "**no**: &lt;b>");
    }
}
