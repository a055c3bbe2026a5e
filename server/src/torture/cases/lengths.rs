//! Content-Length and Transfer-Encoding.

use super::Expect::{Either, Refuse, RejectOrClose, RejectOrTake, Take};
use super::{Case, case, hidden};

#[rustfmt::skip]
pub(super) const CASES: &[Case] = &[
    // Valid ones first: they show that bodies are understood at all.
    case("length", "9112 §6.2", "Content-Length: 5", Take,
        "{post}Content-Length: 5\r\n\r\nhello"),
    case("length-0", "9112 §6.2", "Content-Length: 0", Take, "{post}Content-Length: 0\r\n\r\n"),
    case("length-get", "9112 §6", "GET with Content-Length: 35", Either,
        concat!("{get}Content-Length: 35\r\n\r\n", hidden!())),
    case("length-zeros", "9110 §8.6", "Content-Length: 0005", Either,
        "{post}Content-Length: 0005\r\n\r\nhello"),
    case("none", "9112 §6.3", "POST without length", Either, "{post}\r\n"),
    // Both.
    case("cl-te", "9112 §6.3", "Content-Length, Transfer-Encoding", RejectOrClose,
        concat!(
            "{post}Content-Length: 40\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            hidden!()
        )),
    case("te-cl", "9112 §6.3", "Transfer-Encoding, Content-Length", RejectOrClose,
        concat!(
            "{post}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n23\r\n",
            hidden!(),
            "\r\n0\r\n\r\n"
        )),
    case("cl0-te", "9112 §6.3", "Content-Length: 0, Transfer-Encoding", RejectOrClose,
        "{post}Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    case("te-http10", "9112 §6.1", "Transfer-Encoding in HTTP/1.0", RejectOrClose,
        concat!(
            "POST {path} HTTP/1.0\r\nHost: {host}\r\nConnection: keep-alive\r\n",
            "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        )),
    // Contents of Content-Length.
    case("cl-differ", "9112 §6.3", "two Content-Length, 5 and 40", Refuse,
        concat!("{post}Content-Length: 5\r\nContent-Length: 40\r\n\r\nhello", hidden!())),
    case("cl-twice", "9112 §6.3", "two Content-Length, 5 and 5", RejectOrTake,
        "{post}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
    case("cl-list", "9112 §6.3", "Content-Length: 5, 5", RejectOrTake,
        "{post}Content-Length: 5, 5\r\n\r\nhello"),
    case("cl-list-differ", "9112 §6.3", "Content-Length: 5, 40", Refuse,
        concat!("{post}Content-Length: 5, 40\r\n\r\nhello", hidden!())),
    case("cl-plus", "9112 §6.3", "Content-Length: +5", Refuse,
        "{post}Content-Length: +5\r\n\r\nhello"),
    case("cl-minus", "9112 §6.3", "Content-Length: -5", Refuse,
        "{post}Content-Length: -5\r\n\r\nhello"),
    case("cl-hex", "9112 §6.3", "Content-Length: 0x5", Refuse,
        "{post}Content-Length: 0x5\r\n\r\nhello"),
    case("cl-inner-space", "9112 §6.3", "Content-Length: 5 0", Refuse,
        "{post}Content-Length: 5 0\r\n\r\nhello"),
    case("cl-letters", "9112 §6.3", "Content-Length: 5abc", Refuse,
        "{post}Content-Length: 5abc\r\n\r\nhello"),
    case("cl-point", "9112 §6.3", "Content-Length: 5.0", Refuse,
        "{post}Content-Length: 5.0\r\n\r\nhello"),
    case("cl-underscore", "9112 §6.3", "Content-Length: 0_5", Refuse,
        "{post}Content-Length: 0_5\r\n\r\nhello"),
    case("cl-empty", "9112 §6.3", "Content-Length without a value", Refuse,
        "{post}Content-Length:\r\n\r\nhello"),
    case("cl-overflow", "9112 §6.3", "Content-Length: 2^64 + 5", Refuse,
        "{post}Content-Length: 18446744073709551621\r\n\r\nhello"),
    case("cl-vtab", "9112 §6.3", "Content-Length: VT 5", Refuse,
        "{post}Content-Length: \x0b5\r\n\r\nhello"),
    case("cl-colon-space", "9112 §5.1", "space before the colon of a length", Refuse,
        concat!("{post}Content-Length : 35\r\n\r\n", hidden!())),
    case("cl-fold", "9112 §5.2", "Content-Length on a folded line", RejectOrTake,
        "{post}Content-Length:\r\n 5\r\n\r\nhello"),
    case("cl-name-nul", "9110 §5.1", "Content-Length with a NUL in the name", Refuse,
        concat!("{post}Content-\0Length: 35\r\n\r\n", hidden!())),
    // Contents of Transfer-Encoding.
    case("te-case", "9112 §7", "Transfer-Encoding: cHuNkEd", Take,
        "{post}Transfer-Encoding: cHuNkEd\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    case("te-unknown", "9112 §6.3", "Transfer-Encoding: xchunked", Refuse,
        "{post}Transfer-Encoding: xchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    case("te-unknown-cl", "9112 §6.3", "Transfer-Encoding: xchunked, Content-Length", Refuse,
        concat!("{post}Transfer-Encoding: xchunked\r\nContent-Length: 35\r\n\r\n", hidden!())),
    case("te-identity", "9112 §6.3", "Transfer-Encoding: identity, Content-Length", Refuse,
        "{post}Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello"),
    case("te-not-last", "9112 §6.3", "Transfer-Encoding: chunked, identity", Refuse,
        "{post}Transfer-Encoding: chunked, identity\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    case("te-gzip", "9112 §6.1", "Transfer-Encoding: gzip, chunked", RejectOrTake,
        "{post}Transfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    case("te-twice", "9112 §6.1", "Transfer-Encoding: chunked, chunked", Refuse,
        "{post}Transfer-Encoding: chunked, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    case("te-two-lines", "9112 §6.1", "two Transfer-Encoding: chunked", Refuse,
        concat!(
            "{post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n"
        )),
    case("te-two-differ", "9112 §6.3", "Transfer-Encoding: chunked and identity", Refuse,
        concat!(
            "{post}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n"
        )),
    case("te-quoted", "9112 §6.3", "Transfer-Encoding: \"chunked\"", Refuse,
        "{post}Transfer-Encoding: \"chunked\"\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    case("te-vtab", "9112 §6.3", "Transfer-Encoding: VT chunked", Refuse,
        "{post}Transfer-Encoding: \x0bchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    case("te-empty", "9112 §6.3", "Transfer-Encoding without a value", Refuse,
        "{post}Transfer-Encoding:\r\nContent-Length: 5\r\n\r\nhello"),
    case("te-comma", "9110 §5.6.1", "Transfer-Encoding: chunked,", Either,
        "{post}Transfer-Encoding: chunked,\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    case("te-parameter", "9112 §7.1", "Transfer-Encoding: chunked;a=b", RejectOrTake,
        "{post}Transfer-Encoding: chunked;a=b\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    case("te-nul", "9110 §5.5", "Transfer-Encoding: chunked NUL", RejectOrTake,
        "{post}Transfer-Encoding: chunked\0\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    case("te-colon-space", "9112 §5.1", "Transfer-Encoding, space before the colon", Refuse,
        concat!("{post}Transfer-Encoding : chunked\r\nContent-Length: 40\r\n\r\n0\r\n\r\n", hidden!())),
    case("te-colon-tab", "9112 §5.1", "Transfer-Encoding, tab before the colon", Refuse,
        concat!(
            "{post}Transfer-Encoding\t: chunked\r\nContent-Length: 40\r\n\r\n0\r\n\r\n",
            hidden!()
        )),
    case("te-folded", "9112 §5.2", "Transfer-Encoding on a folded line", RejectOrTake,
        concat!(
            "{post}A: b\r\n Transfer-Encoding: chunked\r\nContent-Length: 40\r\n\r\n0\r\n\r\n",
            hidden!()
        )),
    case("te-underscore", "9110 §5.1", "Transfer_Encoding, Content-Length", Either,
        concat!("{post}Transfer_Encoding: chunked\r\nContent-Length: 40\r\n\r\n0\r\n\r\n", hidden!())),
    case("te-bare-cr", "9112 §2.2", "Transfer-Encoding behind a bare CR", RejectOrTake,
        concat!(
            "{post}A: b\rTransfer-Encoding: chunked\r\nContent-Length: 40\r\n\r\n0\r\n\r\n",
            hidden!()
        )),
    case("te-bare-lf", "9112 §2.2", "Transfer-Encoding behind a bare LF", RejectOrTake,
        concat!(
            "{post}A: b\nTransfer-Encoding: chunked\r\nContent-Length: 40\r\n\r\n0\r\n\r\n",
            hidden!()
        )),
];
