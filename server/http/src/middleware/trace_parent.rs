//! Where a request stands in a trace over several servers.

/// The field `traceparent` of [Trace Context](https://www.w3.org/TR/trace-context/#traceparent-header)
/// §3.2: of version 00, and what that defines of later ones.
///
/// ```
/// use corelane_http::middleware::TraceParent;
///
/// let field = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let parent = TraceParent::parse(field.as_bytes()).unwrap();
/// assert_eq!(parent.trace_id, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
/// assert!(parent.is_sampled());
/// assert_eq!(parent.to_string(), field);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace; not zero.
    pub trace_id: u128,
    /// The caller's span; not zero.
    pub parent_id: u64,
    /// The flags.
    pub flags: u8,
}

impl TraceParent {
    /// Reads the value of a field; `None` if it is not valid, as the standard tells receivers to treat
    /// it as absent.
    pub fn parse(value: &[u8]) -> Option<TraceParent> {
        let (first, rest) = value.split_at_checked(55)?;
        let version = hex(&first[..2])?;
        let whole = match version {
            0xff => false,
            0 => rest.is_empty(),
            _ => rest.is_empty() || rest.starts_with(b"-"),
        };
        if !whole || [2, 35, 52].iter().any(|&at| first[at] != b'-') {
            return None;
        }
        let trace_id = hex(&first[3..35])?;
        let parent_id = hex(&first[36..52])? as u64;
        let flags = hex(&first[53..])? as u8;
        (trace_id != 0 && parent_id != 0).then_some(TraceParent { trace_id, parent_id, flags })
    }

    /// Whether the caller may have recorded its part.
    pub fn is_sampled(&self) -> bool {
        self.flags & 1 != 0
    }
}

/// The field's value, in version 00.
impl std::fmt::Display for TraceParent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.parent_id, self.flags)
    }
}

/// Up to 32 digits, in small letters.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |value, &digit| match digit {
        b'0'..=b'9' => Some(value << 4 | u128::from(digit - b'0')),
        b'a'..=b'f' => Some(value << 4 | u128::from(digit - b'a' + 10)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn later_versions_are_read_and_broken_fields_are_not() {
        let ids = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";
        for good in [format!("cc-{ids}-00"), format!("cc-{ids}-01-more")] {
            assert!(TraceParent::parse(good.as_bytes()).is_some(), "{good}");
        }
        for bad in [
            String::new(),
            format!("00-{ids}"),
            format!("00-{ids}-0"),
            format!("00-{ids}-01-more"),
            format!("cc-{ids}-01more"),
            format!("ff-{ids}-01"),
            format!("00-{}-01", ids.to_uppercase()),
            format!("00_{ids}-01"),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01".to_owned(),
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01".to_owned(),
        ] {
            assert_eq!(TraceParent::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_can_be_written(value in "(00-)?[0-9a-f-]{40,60}", other in ".{0,80}") {
            prop_assert_eq!(TraceParent::parse(other.as_bytes()), None);
            if let Some(parent) = TraceParent::parse(value.as_bytes()) {
                prop_assert_eq!(TraceParent::parse(parent.to_string().as_bytes()), Some(parent));
            }
        }

        #[test]
        fn what_is_written_can_be_read(trace_id in 1_u128.., parent_id in 1_u64.., flags: u8) {
            let parent = TraceParent { trace_id, parent_id, flags };
            prop_assert_eq!(TraceParent::parse(parent.to_string().as_bytes()), Some(parent));
        }
    }
}
