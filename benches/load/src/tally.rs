//! What went wrong, by kind.

/// One thing that went wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    Connect,
    ConnectTimeout,
    Timeout,
    Reset,
    ClosedEarly,
    Malformed,
    WrongStatus,
    WrongField,
    WrongBody,
    KeptOpen,
    Unsent,
}

/// How many kinds of faults there are.
pub(crate) const KINDS: usize = 11;

/// Everything that went wrong between client and server, by kind.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Faults {
    /// Connections that could not be opened: refused, or no way there. Each is tried again 10 ms
    /// later.
    pub connects: u64,
    /// Connections that were not established in time.
    pub connect_timeouts: u64,
    /// Connections given up because a response took longer than the timeout.
    pub timeouts: u64,
    /// Connections that broke: a reset, or another error of a send or receive.
    pub resets: u64,
    /// Connections closed by the server while it owed a response, without having announced it.
    pub closed_early: u64,
    /// Connections on which something came that is no HTTP response, or came unasked.
    pub malformed: u64,
    /// Responses with another status than expected.
    pub wrong_status: u64,
    /// Responses with the expected status that lack an expected field or its value.
    pub wrong_field: u64,
    /// Responses that are otherwise right, with another body than expected.
    pub wrong_body: u64,
    /// Connections that the server kept open for too long although the request or its own response
    /// said `Connection: close`.
    pub kept_open: u64,
    /// Requests that were never sent: in an open loop, because every connection was busy until the end;
    /// of [`Stop::Requests`](crate::Stop::Requests), because the server had stopped answering.
    pub unsent: u64,
}

impl Faults {
    /// Each kind with its name, in order of gravity.
    #[must_use]
    pub fn kinds(&self) -> [(&'static str, u64); KINDS] {
        [
            ("connects", self.connects),
            ("connect timeouts", self.connect_timeouts),
            ("timeouts", self.timeouts),
            ("resets", self.resets),
            ("closed early", self.closed_early),
            ("malformed", self.malformed),
            ("wrong status", self.wrong_status),
            ("wrong field", self.wrong_field),
            ("wrong body", self.wrong_body),
            ("kept open", self.kept_open),
            ("unsent", self.unsent),
        ]
    }

    /// From counts in the order of [`Fault`].
    pub(crate) fn from_counts(counts: [u64; KINDS]) -> Self {
        let count = |fault: Fault| counts[fault as usize];
        Self {
            connects: count(Fault::Connect),
            connect_timeouts: count(Fault::ConnectTimeout),
            timeouts: count(Fault::Timeout),
            resets: count(Fault::Reset),
            closed_early: count(Fault::ClosedEarly),
            malformed: count(Fault::Malformed),
            wrong_status: count(Fault::WrongStatus),
            wrong_field: count(Fault::WrongField),
            wrong_body: count(Fault::WrongBody),
            kept_open: count(Fault::KeptOpen),
            unsent: count(Fault::Unsent),
        }
    }

    /// What was added since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let (mut counts, before) = (self.kinds().map(|(_, count)| count), earlier.kinds());
        for (count, (_, before)) in counts.iter_mut().zip(before) {
            *count = count.saturating_sub(before);
        }
        Self::from_counts(counts)
    }

    /// All kinds together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.kinds().iter().map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_kinds_and_fields_have_one_order() {
        let counts = std::array::from_fn(|index| 1 << index);
        let faults = Faults::from_counts(counts);
        assert_eq!(faults.kinds().map(|(_, count)| count), counts);
        assert_eq!((faults.connects, faults.unsent), (1, 1 << Fault::Unsent as usize));
        assert_eq!(faults.total(), (1 << KINDS) - 1);
        assert_eq!(faults.since(&faults), Faults::default());
        assert_eq!(faults.since(&Faults::default()), faults);
    }
}
