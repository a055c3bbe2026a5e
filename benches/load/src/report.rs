//! A result in the forms that people and programs read.

mod csv;
mod hlog;
mod html;
mod text;

use std::fmt;

use crate::tally::Faults;

pub use csv::csv;
pub use hlog::{hlog, is_tag};
pub use html::html;
pub use text::text;

impl fmt::Display for Faults {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.total() == 0 {
            return out.write_str("none");
        }
        write!(out, "{}:", self.total())?;
        let mut separator = "";
        for (kind, count) in self.kinds().into_iter().filter(|(_, count)| *count > 0) {
            write!(out, "{separator} {count} {kind}")?;
            separator = ",";
        }
        Ok(())
    }
}
