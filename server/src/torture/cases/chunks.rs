//! The chunked coding.

use super::Expect::{BreakOff, Either, RejectOrTake, Take, Unmarked};
use super::{Case, Expect, case};

/// A POST with a chunked body.
macro_rules! chunked {
    ($id:literal, $rule:literal, $sent:literal, $expect:expr, $body:expr) => {
        case($id, $rule, $sent, $expect, concat!("{post}Transfer-Encoding: chunked\r\n\r\n", $body))
    };
}

/// The grammar of chunks leaves no room; whoever guesses a length may guess another than the next.
const GUESS: Expect = BreakOff;

#[rustfmt::skip]
pub(super) const CASES: &[Case] = &[
    // Valid.
    chunked!("chunks", "9112 §7.1", "two chunks", Take,
        "5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"),
    chunked!("chunk-upper", "9112 §7.1", "size A, ten bytes", Take,
        "A\r\nhellohello\r\n0\r\n\r\n"),
    chunked!("chunk-extension", "9112 §7.1.1", "size 5;a=b", Take,
        "5;a=b\r\nhello\r\n0\r\n\r\n"),
    chunked!("chunk-quoted", "9112 §7.1.1", "size 5;a=\"b;c\"", Either,
        "5;a=\"b;c\"\r\nhello\r\n0\r\n\r\n"),
    chunked!("chunk-zeros", "9112 §7.1", "size 0000005", Either,
        "0000005\r\nhello\r\n0\r\n\r\n"),
    chunked!("trailer", "9112 §7.1.2", "a trailer field", Take,
        "5\r\nhello\r\n0\r\nA: b\r\n\r\n"),
    chunked!("trailer-length", "9110 §6.5.1", "Content-Length: 99 as a trailer", Either,
        "5\r\nhello\r\n0\r\nContent-Length: 99\r\n\r\n"),
    chunked!("trailer-te", "9110 §6.5.1", "Transfer-Encoding as a trailer", Either,
        "5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    // Sizes.
    chunked!("size-0x", "9112 §7.1", "size 0x5", GUESS, "0x5\r\nhello\r\n0\r\n\r\n"),
    chunked!("size-plus", "9112 §7.1", "size +5", GUESS, "+5\r\nhello\r\n0\r\n\r\n"),
    chunked!("size-minus", "9112 §7.1", "size -5", GUESS, "-5\r\nhello\r\n0\r\n\r\n"),
    chunked!("size-minus-0", "9112 §7.1", "size -0", GUESS, "-0\r\n\r\n"),
    chunked!("size-underscore", "9112 §7.1", "size 0_5", GUESS, "0_5\r\nhello\r\n0\r\n\r\n"),
    chunked!("size-point", "9112 §7.1", "size 5.0", GUESS, "5.0\r\nhello\r\n0\r\n\r\n"),
    chunked!("size-letter", "9112 §7.1", "size 5g", GUESS, "5g\r\nhello\r\n0\r\n\r\n"),
    chunked!("size-none", "9112 §7.1", "an empty size", GUESS, "\r\nhello\r\n0\r\n\r\n"),
    chunked!("size-only-extension", "9112 §7.1", "size ;a=b", GUESS,
        ";a=b\r\nhello\r\n0\r\n\r\n"),
    chunked!("size-space-before", "9112 §7.1", "a space before the size", GUESS,
        " 5\r\nhello\r\n0\r\n\r\n"),
    chunked!("size-space-after", "9112 §7.1", "a space after the size", RejectOrTake,
        "5 \r\nhello\r\n0\r\n\r\n"),
    chunked!("size-tab-after", "9112 §7.1", "a tab after the size", RejectOrTake,
        "5\t\r\nhello\r\n0\r\n\r\n"),
    chunked!("size-inner-space", "9112 §7.1", "size 5 0", GUESS, "5 0\r\nhello\r\n0\r\n\r\n"),
    chunked!("size-comma", "9112 §7.1", "size 5,5", GUESS, "5,5\r\nhello\r\n0\r\n\r\n"),
    chunked!("size-nul", "9112 §7.1", "size 5 NUL", GUESS, "5\0\r\nhello\r\n0\r\n\r\n"),
    chunked!("size-2^64", "9112 §7.1", "size 2^64 + 5", GUESS,
        "10000000000000005\r\nhello\r\n0\r\n\r\n"),
    chunked!("size-2^32", "9112 §7.1", "size 2^32 + 5, then 5 bytes", Unmarked,
        "100000005\r\nhello\r\n0\r\n\r\n"),
    // Ends of lines and of data.
    chunked!("size-lf", "9112 §7.1", "LF after the size", GUESS, "5\nhello\r\n0\r\n\r\n"),
    chunked!("size-cr", "9112 §7.1", "CR after the size", GUESS, "5\rhello\r\n0\r\n\r\n"),
    chunked!("size-cr-cr-lf", "9112 §7.1", "CR CR LF after the size", GUESS,
        "5\r\r\nhello\r\n0\r\n\r\n"),
    chunked!("extension-lf", "9112 §7.1.1", "a bare LF in an extension", GUESS,
        "5;a\nhello\r\n0\r\n\r\n"),
    chunked!("extension-cr", "9112 §7.1.1", "a bare CR in an extension", GUESS,
        "5;a\rb\r\nhello\r\n0\r\n\r\n"),
    chunked!("extension-nul", "9112 §7.1.1", "a NUL in an extension", RejectOrTake,
        "5;a\0\r\nhello\r\n0\r\n\r\n"),
    chunked!("data-lf", "9112 §7.1", "LF after the data", GUESS, "5\r\nhello\n0\r\n\r\n"),
    chunked!("data-cr", "9112 §7.1", "CR after the data", GUESS, "5\r\nhello\r0\r\n\r\n"),
    chunked!("data-no-end", "9112 §7.1", "nothing after the data", GUESS,
        "5\r\nhello0\r\n\r\n"),
    chunked!("data-other-end", "9112 §7.1", "two other bytes after the data", GUESS,
        "5\r\nhello__0\r\n\r\n"),
    chunked!("data-longer", "9112 §7.1", "more data than the size says", GUESS,
        "5\r\nhello, hello\r\n0\r\n\r\n"),
    chunked!("last-lf", "9112 §7.1", "LF after the last size", GUESS, "5\r\nhello\r\n0\n\r\n"),
    chunked!("last-lf-lf", "9112 §7.1", "LF LF after the last size", GUESS,
        "5\r\nhello\r\n0\n\n"),
    chunked!("end-lf", "9112 §2.2", "LF as the last line", RejectOrTake,
        "5\r\nhello\r\n0\r\n\n"),
    chunked!("end-none", "9112 §7.1", "no empty line at the end", Unmarked,
        "5\r\nhello\r\n0\r\n"),
    chunked!("end-zeros", "9112 §7.1", "last size 000", Either, "5\r\nhello\r\n000\r\n\r\n"),
    // Trailers.
    chunked!("trailer-lf", "9112 §2.2", "LF after a trailer field", RejectOrTake,
        "5\r\nhello\r\n0\r\nA: b\n\r\n"),
    chunked!("trailer-colon-space", "9112 §5.1", "space before the colon of a trailer", RejectOrTake,
        "5\r\nhello\r\n0\r\nA : b\r\n\r\n"),
    chunked!("trailer-no-colon", "9112 §7.1.2", "a trailer without a colon", RejectOrTake,
        "5\r\nhello\r\n0\r\nAbc\r\n\r\n"),
];
