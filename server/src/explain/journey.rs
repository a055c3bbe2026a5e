//! The notes of a trace as a journey: one part for the connection, one for each request, each step with
//! the time since its request began to arrive and the time it took, and a sentence on where that went.

use std::fmt::Write;
use std::time::Duration;

use super::Explanation;
use super::exchange::Exchange;
use super::trace::Note;

/// The notes of one request; those before the first are of the connection alone.
#[derive(Debug, PartialEq, Eq)]
struct Part<'a> {
    title: String,
    notes: &'a [Note],
}

/// What is shown.
pub(super) struct Journey<'a> {
    explanation: &'a Explanation,
    parts: Vec<Part<'a>>,
}

/// What a step's time goes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cause {
    /// The request, or what it waits for, is not there yet.
    Waiting,
    /// The loop works on other connections.
    Others,
    Accepting,
    Receiving,
    Parsing,
    Routing,
    Middleware,
    Handler,
    /// What the loop does around a step.
    Loop,
    Sending,
}

impl Cause {
    const ALL: [Cause; 10] = [
        Cause::Waiting,
        Cause::Others,
        Cause::Accepting,
        Cause::Receiving,
        Cause::Parsing,
        Cause::Routing,
        Cause::Middleware,
        Cause::Handler,
        Cause::Loop,
        Cause::Sending,
    ];

    /// What the time before this note went to.
    fn of(note: &Note) -> Cause {
        match (&*note.stage, &*note.event) {
            (_, "woke") => Cause::Waiting,
            (_, "served others") | ("output", "its turn to send") => Cause::Others,
            ("acceptor", _) => Cause::Accepting,
            ("kernel", "sent") => Cause::Sending,
            ("kernel", _) => Cause::Receiving,
            ("parser", _) => Cause::Parsing,
            ("router", _) => Cause::Routing,
            ("middleware", _) => Cause::Middleware,
            ("handler", _) => Cause::Handler,
            _ => Cause::Loop,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Cause::Waiting => "waiting for the answer to be made, or for more of the request",
            Cause::Others => "in other work of the same turn of its loop",
            Cause::Accepting => "taking the connection in",
            Cause::Receiving => "receiving from the kernel",
            Cause::Parsing => "in the parser",
            Cause::Routing => "in the router",
            Cause::Middleware => "in middleware",
            Cause::Handler => "in the handler, and writing its answer",
            Cause::Loop => "in the loop around it",
            Cause::Sending => "sending, in the kernel",
        }
    }
}

impl<'a> Journey<'a> {
    pub(super) fn of(explanation: &'a Explanation) -> Journey<'a> {
        let parts = divide(&explanation.trace.notes);
        Journey { explanation, parts }
    }

    /// As lines for people.
    pub(super) fn text(&self) -> String {
        let Explanation { url, connect, exchanges, trouble, trace } = self.explanation;
        let mut text = format!("{url} from {}\n", trace.peer);
        let mut asked = exchanges.iter();
        for part in &self.parts {
            let exchange = if part.is_request() { asked.next() } else { None };
            text += "\n";
            part.write(exchange, &mut text);
        }
        // Writing to a string does not fail.
        let _ = write!(text, "\nThe client connected in {}.", time(nanos(*connect)));
        for (number, exchange) in exchanges.iter().enumerate() {
            let part = self.parts.iter().filter(|part| part.is_request()).nth(number);
            text += "\n\n";
            text += &summary(number + 1, exchange, part);
        }
        if let Some(trouble) = trouble {
            let _ = write!(text, "\nNote: {trouble}.");
        }
        if trace.left_out > 0 {
            let _ = write!(text, "\nNote: {} more notes found no room.", trace.left_out);
        }
        if !trace.is_over() {
            text += "\nNote: the server has not seen the end of the connection yet.";
        } else if trace.state != "closed" {
            let _ =
                write!(text, "\nNote: the trace was {} before the connection ended.", trace.state);
        }
        text.push('\n');
        text
    }
}

/// Divides notes into those of the connection, and those of each request with what follows it: a request
/// begins in the turn in which something is received after the one before was answered and sent.
fn divide(notes: &[Note]) -> Vec<Part<'_>> {
    let is = |note: &Note, stage: &str, event: &str| note.stage == stage && note.event == event;
    let mut starts = vec![0];
    let (mut woke, mut done) = (0, true);
    let (mut answered, mut requests) = (false, 0);
    for (at, note) in notes.iter().enumerate() {
        if is(note, "loop", "woke") {
            woke = at;
        } else if is(note, "kernel", "received") && done {
            starts.push(woke);
            requests += 1;
            (done, answered) = (false, false);
        } else if is(note, "handler", "answered") || is(note, "parser", "refused") {
            answered = !note.detail.contains("later");
        } else if is(note, "kernel", "sent") {
            done = answered && note.detail.ends_with("all");
        } else if is(note, "loop", "closed") && done && requests > 0 {
            // Unless it closes in the same turn.
            starts.extend(starts.last().filter(|&&last| woke > last).map(|_| woke));
        }
    }
    starts.push(notes.len());
    let mut parts = Vec::new();
    for pair in starts.windows(2) {
        let &[from, to] = pair else { continue };
        let Some(notes) = notes.get(from..to).filter(|notes| !notes.is_empty()) else { continue };
        let received = notes.iter().any(|note| is(note, "kernel", "received"));
        let title = match received {
            true => {
                let number = parts.iter().filter(|part: &&Part<'_>| part.is_request()).count() + 1;
                format!("Request {number}")
            }
            false if parts.is_empty() => "The connection".to_owned(),
            false => "The end".to_owned(),
        };
        parts.push(Part { title, notes });
    }
    parts
}

impl Part<'_> {
    fn is_request(&self) -> bool {
        self.notes.iter().any(|note| note.stage == "kernel" && note.event == "received")
    }

    fn begun(&self) -> u64 {
        self.notes.first().map_or(0, |note| note.at)
    }

    /// From the poll that brought the first byte to the hand-over of the last.
    fn took(&self) -> Option<u64> {
        let sent = self.notes.iter().rev().find(|n| n.stage == "kernel" && n.event == "sent")?;
        Some(sent.at.saturating_sub(self.begun()))
    }

    fn write(&self, exchange: Option<&Exchange>, text: &mut String) {
        text.push_str(&self.title);
        if let Some(Exchange { status, request_bytes, response_bytes, .. }) = exchange {
            let _ = write!(
                text,
                ": {request_bytes} bytes; answered with {status}, {response_bytes} bytes"
            );
        }
        let _ = writeln!(text, "\n{:>10} {:>10}  {:<10}  what", "since", "took", "who");
        let mut before = None;
        for note in self.notes {
            let since = time(note.at.saturating_sub(self.begun()));
            let took = before.map_or("-".to_owned(), |at| time(note.at.saturating_sub(at)));
            let what = match &*note.detail {
                "" => note.event.clone(),
                detail => format!("{}: {detail}", note.event),
            };
            let _ = writeln!(text, "{since:>10} {took:>10}  {:<10}  {what}", note.stage);
            before = Some(note.at);
        }
    }

    /// Where the time went that it took, the largest share first.
    fn shares(&self) -> Vec<(Cause, u64)> {
        let last = self.begun() + self.took().unwrap_or(0);
        let mut shares = Cause::ALL.map(|cause| (cause, 0));
        for pair in self.notes.windows(2) {
            if pair[1].at <= last {
                let cause = Cause::of(&pair[1]);
                if let Some(share) = shares.iter_mut().find(|(known, _)| *known == cause) {
                    share.1 += pair[1].at.saturating_sub(pair[0].at);
                }
            }
        }
        let mut shares: Vec<_> = shares.into_iter().filter(|&(_, share)| share > 0).collect();
        shares.sort_by_key(|&(_, share)| std::cmp::Reverse(share));
        shares
    }
}

/// What the client saw of a request, and where the time went: a sentence a line.
fn summary(number: usize, exchange: &Exchange, part: Option<&Part<'_>>) -> String {
    let (first, last) = (nanos(exchange.first_byte), nanos(exchange.last_byte));
    let mut text = format!(
        "Request {number}: the client had the first byte of the answer after {}, the last after {}.",
        time(first),
        time(last)
    );
    let Some((part, took)) = part.and_then(|part| Some((part, part.took()?))) else { return text };
    let share = |(cause, share): &(Cause, u64)| {
        format!("{} ({} %) {}", time(*share), share * 100 / took.max(1), cause.words())
    };
    let shares: Vec<String> = part.shares().iter().take(2).map(share).collect();
    let _ = write!(text, "\n  The server took {} of it", time(took));
    text += &match &shares[..] {
        [] => ".".to_owned(),
        [most] => format!(": {most}."),
        [most, next, ..] => format!(", most of it {most}, then {next}."),
    };
    if last >= took {
        let rest = time(last - took);
        let _ =
            write!(text, "\n  The other {rest} are the way there and back, and waking both sides.");
    } else {
        text += "\n  The call that sends returned only after the client had the answer: on one machine it \
                 delivers, and may wake the client on the server's core.";
    }
    text
}

/// A time with its unit, three to four digits.
fn time(nanos: u64) -> String {
    match nanos {
        0..1_000 => format!("{nanos} ns"),
        1_000..1_000_000 => format!("{:.1} us", nanos as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.2} ms", nanos as f64 / 1e6),
        _ => format!("{:.2} s", nanos as f64 / 1e9),
    }
}

fn nanos(duration: Duration) -> u64 {
    super::nanos(duration)
}

#[cfg(test)]
#[path = "journey_tests.rs"]
mod tests;
