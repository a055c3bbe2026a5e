//! Reads responses. It shares no code with our own parser: a check must not share the faults of what
//! it checks.

/// The most bytes of a head that are looked at.
const HEAD_BYTES_MAX: usize = 256 * 1024;

/// One response, without its body's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The server's minor version of HTTP/1.
    pub(crate) minor: u8,
    pub(crate) status: u16,
    /// Names in lower case, values trimmed.
    fields: Vec<(String, String)>,
    pub(crate) body_bytes: usize,
}

/// What stands at the front of what was received.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Front {
    /// A whole response, and how many bytes it takes.
    Whole(Answer, usize),
    /// The beginning of one.
    Partial,
    /// Something else.
    Garbled,
}

impl Answer {
    /// The values of a field.
    pub(crate) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields.iter().filter(move |(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.values(name).next().is_some()
    }

    /// An option of `Connection`.
    pub(crate) fn connection(&self, option: &str) -> bool {
        self.values("connection")
            .flat_map(|value| value.split(','))
            .any(|one| one.trim().eq_ignore_ascii_case(option))
    }

    /// 100 and its like: another response follows.
    pub(crate) fn is_interim(&self) -> bool {
        (100..200).contains(&self.status) && self.status != 101
    }

    /// The server understood the request and did not like how it was made. Others of 400 to 599 are
    /// answers of an application: the request itself was taken.
    pub(crate) fn is_refusal(&self) -> bool {
        is_refusal(self.status)
    }
}

/// See [`Answer::is_refusal`].
pub(crate) fn is_refusal(status: u16) -> bool {
    matches!(status, 400 | 408 | 411 | 413 | 414 | 415 | 417 | 421 | 426 | 431 | 500..=599)
}

/// Reads one response to a request, whose method was HEAD if `head_only`. `ended` says that no more
/// will come. Costs a pass over the head, and over the chunks if there are any.
pub(crate) fn read(input: &[u8], head_only: bool, ended: bool) -> Front {
    let Some(head_bytes) = find(input, b"\r\n\r\n").map(|at| at + 4) else {
        let known = input.len().min(7);
        let garbled = input[..known] != b"HTTP/1."[..known] || input.len() > HEAD_BYTES_MAX;
        return if garbled || ended { Front::Garbled } else { Front::Partial };
    };
    let Some(mut answer) = head(&input[..head_bytes]) else {
        return Front::Garbled;
    };
    let status = answer.status;
    let body = &input[head_bytes..];
    let bodiless = head_only || status < 200 || status == 204 || status == 304;
    let coding = answer.values("transfer-encoding").last().map(str::to_ascii_lowercase);
    let used = if bodiless {
        Some((0, 0))
    } else if coding.is_some_and(|coding| coding.ends_with("chunked")) {
        match chunks(body) {
            Ok(used) => used,
            Err(Malformed) => return Front::Garbled,
        }
    } else if answer.has("content-length") {
        match answer.values("content-length").map(str::parse).collect::<Result<Vec<usize>, _>>() {
            Ok(lengths) if lengths.len() == 1 => {
                (body.len() >= lengths[0]).then_some((lengths[0], lengths[0]))
            }
            _ => return Front::Garbled,
        }
    } else {
        ended.then_some((body.len(), body.len()))
    };
    match used {
        Some((data_bytes, used)) => {
            answer.body_bytes = data_bytes;
            Front::Whole(answer, head_bytes + used)
        }
        None if ended => Front::Garbled,
        None => Front::Partial,
    }
}

/// Reads a head; the body is yet to be read.
fn head(bytes: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.trim_end().split("\r\n");
    let rest = lines.next()?.strip_prefix("HTTP/1.")?;
    let minor: u8 = rest.get(..1)?.parse().ok()?;
    let status: u16 = rest.get(2..5)?.parse().ok()?;
    let fields = lines
        .map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        })
        .collect::<Option<Vec<_>>>()?;
    ((100..600).contains(&status)).then_some(Answer { minor, status, fields, body_bytes: 0 })
}

struct Malformed;

/// Bytes of data and bytes in all of a chunked body; `None` while it is not whole.
fn chunks(input: &[u8]) -> Result<Option<(usize, usize)>, Malformed> {
    let (mut at, mut data_bytes) = (0, 0);
    loop {
        let Some(line) = find(&input[at..], b"\r\n") else { return Ok(None) };
        let size = String::from_utf8_lossy(&input[at..at + line]);
        let size = size.split(';').next().unwrap_or_default().trim().to_owned();
        let size = usize::from_str_radix(&size, 16).map_err(|_| Malformed)?;
        at += line + 2;
        if size == 0 {
            break;
        }
        let end = at.checked_add(size).and_then(|end| end.checked_add(2)).ok_or(Malformed)?;
        match input.get(end - 2..end) {
            None => return Ok(None),
            Some(b"\r\n") => {}
            Some(_) => return Err(Malformed),
        }
        data_bytes += size;
        at = end;
    }
    loop {
        let Some(line) = find(&input[at..], b"\r\n") else { return Ok(None) };
        at += line + 2;
        if line == 0 {
            return Ok(Some((data_bytes, at)));
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(input: &str, head_only: bool, ended: bool) -> (u16, usize, usize) {
        match read(input.as_bytes(), head_only, ended) {
            Front::Whole(answer, used) => (answer.status, answer.body_bytes, used),
            other => panic!("{input:?}: {other:?}"),
        }
    }

    #[test]
    fn each_kind_of_body_ends_where_it_should() {
        let length = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP";
        assert_eq!(whole(length, false, false), (200, 2, length.len() - 4));
        assert_eq!(whole(length, true, false), (200, 0, length.len() - 6));
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
            2;a=b\r\nhi\r\n0\r\nA: b\r\n\r\n";
        assert_eq!(whole(chunked, false, false), (200, 2, chunked.len()));
        let close = "HTTP/1.0 200 OK\r\n\r\nhello";
        assert_eq!(whole(close, false, true), (200, 5, close.len()));
        assert_eq!(whole("HTTP/1.1 204 \r\n\r\nHTTP", false, false), (204, 0, 17));
        for (text, ends) in [(length, 4), (chunked, 0)] {
            for cut in 0..text.len() - ends {
                let front = read(&text.as_bytes()[..cut], false, false);
                assert_eq!(front, Front::Partial, "{cut} of {text:?}");
                let front = read(&text.as_bytes()[..cut], false, true);
                assert_eq!(front, Front::Garbled, "{cut} of {text:?}");
            }
        }
    }

    #[test]
    fn what_is_no_response_is_told_at_once() {
        for text in [
            "SSH-2.0",
            "HTTP/2 200\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nhi",
            "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nhi"
                .trim_start_matches("HTTP/1.1 200 OK\r\n"),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhixx",
        ] {
            assert_eq!(read(text.as_bytes(), false, false), Front::Garbled, "{text:?}");
        }
    }

    #[test]
    fn connection_options_are_a_list() {
        let text = b"HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 0\r\n\r\n";
        let Front::Whole(answer, _) = read(text, false, false) else { panic!() };
        assert!(answer.connection("close") && !answer.connection("keep-alive"));
    }
}
