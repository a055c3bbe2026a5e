//! Sends one message with the marker behind it, and judges what comes back.

use super::answer::is_refusal;
use super::cases::{Case, Expect};
use super::report::{Finding, Grade};
use super::target::Target;
use super::wire::{End, Lack};

/// The request that follows each message.
const MARKER: &str = "{get}Connection: close\r\n\r\n";
/// More answers than any case can lead to.
const ANSWERS_MAX: usize = 8;

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Outcome {
    /// The statuses of all final answers.
    statuses: Vec<u16>,
    /// The last one said that the connection ends. It may linger for what we still send.
    closing: bool,
    end: Lack,
}

/// Tries one case.
pub(crate) fn check(target: &Target, case: &'static Case) -> Finding {
    let (grade, got) = match exchange(target, case.message) {
        Ok(outcome) => {
            let (grade, remark) = judge(case.expect, &outcome);
            (grade, outcome.describe(remark))
        }
        Err(error) => (Grade::Violation, error),
    };
    Finding { id: case.id, rule: case.rule, sent: case.sent, got, grade }
}

fn exchange(target: &Target, message: &str) -> Result<Outcome, String> {
    let mut wire = target.connect()?;
    // If it ends early, the answers tell.
    let _ = wire.send(target.fill(&[message, MARKER].concat()));
    let (mut statuses, mut closing) = (Vec::new(), false);
    let end = loop {
        match wire.last_answer(false) {
            Ok(answer) if statuses.len() < ANSWERS_MAX => {
                statuses.push(answer.status);
                closing = answer.connection("close");
            }
            Ok(_) => break Lack::Garbled,
            Err(lack) => break lack,
        }
    };
    Ok(Outcome { statuses, closing, end })
}

impl Outcome {
    /// The first answer is a refusal; so is the end of the connection without any.
    fn is_refused(&self) -> bool {
        match self.statuses.first() {
            Some(status) => is_refusal(*status),
            None => matches!(self.end, Lack::Ended(_)),
        }
    }

    /// The second answer is one to the marker as it was sent.
    fn is_marked(&self) -> bool {
        self.statuses.get(1).is_some_and(|status| !is_refusal(*status))
    }

    fn is_over(&self) -> bool {
        matches!(self.end, Lack::Ended(_)) || self.closing
    }

    fn describe(&self, remark: &str) -> String {
        let mut text = match self.statuses.as_slice() {
            [] => "nothing".to_owned(),
            statuses => statuses.iter().map(u16::to_string).collect::<Vec<_>>().join(" "),
        };
        text += match self.end {
            Lack::Ended(End::Closed) => ", closed",
            Lack::Ended(End::Reset) => ", reset",
            Lack::Quiet => ", open",
            Lack::Garbled => ", then no HTTP",
        };
        if !remark.is_empty() {
            text += ": ";
            text += remark;
        }
        text
    }
}

/// The grade of an outcome, and why where that is not plain.
fn judge(expect: Expect, outcome: &Outcome) -> (Grade, &'static str) {
    use Grade::{Lenient, Ok, Violation};
    if outcome.end == Lack::Garbled {
        if expect == Expect::RejectOrBare && outcome.statuses.is_empty() {
            return (Lenient, "answered without a head");
        }
        return (Violation, "what came is no HTTP/1.1 response");
    }
    if expect == Expect::Unmarked {
        return match outcome.is_marked() {
            true => (Violation, "the marker was a part of this message, and was answered"),
            false => (Ok, ""),
        };
    }
    match outcome.statuses.len() {
        3.. => (Violation, "a part of the message was answered as a request"),
        0 if !outcome.is_over() => waiting(expect),
        _ if outcome.is_refused() => refused(expect, outcome),
        answers => taken(expect, outcome, answers),
    }
}

/// Neither answer nor end.
fn waiting(expect: Expect) -> (Grade, &'static str) {
    match expect {
        Expect::Take | Expect::Either => (Grade::Violation, "no answer"),
        Expect::Refuse | Expect::BreakOff | Expect::RejectOrClose => {
            (Grade::Violation, "takes the marker for a part of the message")
        }
        _ => (Grade::Lenient, "takes the marker for a part of the message"),
    }
}

fn refused(expect: Expect, outcome: &Outcome) -> (Grade, &'static str) {
    let must_end = matches!(expect, Expect::Refuse | Expect::BreakOff | Expect::RejectOrClose);
    match outcome.statuses.len() {
        _ if expect == Expect::Take => (Grade::Violation, "refused, though valid"),
        2 if must_end => (Grade::Violation, "reads on after a framing error"),
        2 if !outcome.is_marked() => (Grade::Violation, "reads on at the wrong place"),
        2 => (Grade::Ok, ""),
        _ if outcome.is_over() => (Grade::Ok, ""),
        _ => (Grade::Lenient, "refused, but not closed"),
    }
}

fn taken(expect: Expect, outcome: &Outcome, answers: usize) -> (Grade, &'static str) {
    use Grade::{Lenient, Ok, Violation};
    let ended = answers == 1 && outcome.is_over();
    if !ended && !outcome.is_marked() {
        return (Violation, "the marker was damaged or swallowed");
    }
    match expect {
        Expect::Take | Expect::Either => (Ok, ""),
        Expect::RejectOrTake => (Lenient, ""),
        Expect::RejectOrClose | Expect::RejectOrBare if ended => (Lenient, ""),
        Expect::RejectOrClose | Expect::RejectOrBare => (Violation, "not closed afterwards"),
        Expect::BreakOff if ended => (Lenient, "answered early, then broken off"),
        Expect::BreakOff | Expect::Refuse | Expect::Reject => (Violation, "taken"),
        Expect::Unmarked => (Violation, "answered"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOSED: Lack = Lack::Ended(End::Closed);

    #[track_caller]
    fn grades(statuses: &[u16], end: Lack, expected: &[(Expect, Grade)]) {
        let outcome = Outcome { statuses: statuses.to_vec(), closing: false, end };
        for (expect, grade) in expected {
            assert_eq!(judge(*expect, &outcome).0, *grade, "{expect:?} {outcome:?}");
        }
    }

    #[test]
    fn refusal_and_close_is_right_but_for_valid_messages() {
        use Expect::*;
        for (statuses, end) in
            [(&[400][..], CLOSED), (&[501], Lack::Ended(End::Reset)), (&[], CLOSED)]
        {
            let right = [Refuse, BreakOff, Reject, RejectOrTake, RejectOrClose, Either, Unmarked];
            grades(statuses, end, &right.map(|expect| (expect, Grade::Ok)));
            grades(statuses, end, &[(Take, Grade::Violation)]);
        }
    }

    #[test]
    fn taken_whole() {
        use Expect::*;
        for statuses in [[200, 200], [405, 404]] {
            grades(&statuses, CLOSED, &[(Take, Grade::Ok), (Either, Grade::Ok)]);
            grades(&statuses, CLOSED, &[(RejectOrTake, Grade::Lenient)]);
            let wrong = [Refuse, BreakOff, Reject, RejectOrClose, Unmarked];
            grades(&statuses, CLOSED, &wrong.map(|expect| (expect, Grade::Violation)));
        }
    }

    #[test]
    fn answered_and_ended() {
        use Expect::*;
        let lenient = [RejectOrTake, RejectOrClose, BreakOff];
        grades(&[200], CLOSED, &lenient.map(|expect| (expect, Grade::Lenient)));
        grades(&[200], CLOSED, &[Refuse, Reject].map(|expect| (expect, Grade::Violation)));
    }

    #[test]
    fn lingering_and_bare_answers() {
        let mut outcome = Outcome { statuses: vec![400], closing: true, end: Lack::Quiet };
        assert_eq!(judge(Expect::Refuse, &outcome).0, Grade::Ok);
        outcome.closing = false;
        assert_eq!(judge(Expect::Refuse, &outcome).0, Grade::Lenient);
        grades(&[], Lack::Garbled, &[(Expect::RejectOrBare, Grade::Lenient)]);
        grades(&[], Lack::Garbled, &[(Expect::RejectOrClose, Grade::Violation)]);
    }

    #[test]
    fn desynchronised_is_always_wrong() {
        use Expect::*;
        let all = [Refuse, BreakOff, Reject, RejectOrTake, RejectOrClose, Either, Take];
        for (statuses, end) in [
            (&[200, 200, 200][..], CLOSED),
            (&[200, 400], CLOSED),
            (&[200], Lack::Quiet),
            (&[200], Lack::Garbled),
        ] {
            grades(statuses, end, &all.map(|expect| (expect, Grade::Violation)));
        }
        grades(&[400, 200], CLOSED, &[(Refuse, Grade::Violation), (Reject, Grade::Ok)]);
        grades(&[400, 400], CLOSED, &[(Reject, Grade::Violation)]);
        grades(&[], Lack::Quiet, &[(Refuse, Grade::Violation), (Take, Grade::Violation)]);
        grades(&[], Lack::Quiet, &[(RejectOrTake, Grade::Lenient), (Unmarked, Grade::Ok)]);
    }
}
