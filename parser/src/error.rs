//! Why a message was refused: one flat list, each entry with its status and a stable name.

use std::fmt;

/// Builds [`Refusal`] and its three tables from one list, so that an entry cannot lack a part.
macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident, $status:literal, $rule:literal, $text:literal;)*) => {
        /// A message broke a rule. The connection it came on must be closed after the answer:
        /// nothing after the fault can be trusted to be where it seems to be.
        ///
        /// The fault is the peer's in every case but [`Refusal::HeadTimeout`] and
        /// [`Refusal::BodyTimeout`], which the owner of the clock raises.
        ///
        /// ```
        /// use corelane_parser::Refusal;
        ///
        /// let refusal = Refusal::HostMissing;
        /// assert_eq!(refusal.status(), 400);
        /// assert_eq!(refusal.rule(), "host-missing");
        /// assert_eq!(refusal.to_string(), "no Host field in an HTTP/1.1 request (RFC 9112 §3.2)");
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Refusal { $($(#[$doc])* #[doc = concat!("Answered with ", $status, ".")] $name,)* }

        impl Refusal {
            /// Every refusal, in the order of declaration: for tables, counters and tests.
            pub const ALL: &'static [Refusal] = &[$(Refusal::$name,)*];

            /// The status code of the answer.
            pub const fn status(self) -> u16 {
                match self { $(Refusal::$name => $status,)* }
            }

            /// A stable, machine-readable name for logs and counters.
            pub const fn rule(self) -> &'static str {
                match self { $(Refusal::$name => $rule,)* }
            }

            /// What is wrong, with the section of the RFC that says so, or "policy" where the
            /// rule is ours.
            pub const fn message(self) -> &'static str {
                match self { $(Refusal::$name => $text,)* }
            }
        }
    };
}

refusals! {
    /// More empty lines before a request line than a careless client would send.
    EmptyLines, 400, "empty-lines", "too many empty lines before the request line (RFC 9112 §2.2)";
    /// A line feed that no carriage return precedes.
    BareLineFeed, 400, "bare-line-feed", "a line feed without a carriage return (policy, RFC 9112 §2.2)";
    /// A carriage return that no line feed follows.
    BareCarriageReturn, 400, "bare-carriage-return", "a carriage return without a line feed (RFC 9112 §2.2)";
    /// The first thing on the request line is not a token followed by one space.
    Method, 400, "method", "the method is not a token followed by one space (RFC 9112 §3.1)";
    /// The method is longer than any that exists.
    MethodTooLong, 501, "method-too-long", "the method is longer than any that exists (RFC 9112 §3)";
    /// A byte that no target may contain, or a target not between two single spaces.
    Target, 400, "target", "the request target is missing or holds a forbidden byte (RFC 9112 §3.2)";
    /// A target of a form that does not go with its method, or of no form at all.
    TargetForm, 400, "target-form", "the form of the target does not fit the method (RFC 9112 §3.2)";
    /// A path that means different things to different servers.
    TargetPath, 400, "target-path", "a backslash or an encoded NUL, CR or LF in the path (policy)";
    /// The request line is longer than the limit.
    RequestLineTooLong, 414, "request-line-too-long", "the request line exceeds the limit (RFC 9112 §3)";
    /// The last thing on the request line is no HTTP version.
    Version, 400, "version", "the request line does not end in HTTP/ digit . digit (RFC 9112 §2.3)";
    /// A version whose major number is not 1: also the preface of HTTP/2.
    VersionUnsupported, 505, "version-unsupported", "the major version is not 1 (RFC 9110 §15.6.6)";
    /// A field name with a byte that is no token byte, white space around it, or a folded line.
    FieldName, 400, "field-name", "a field name is not a token followed by a colon (RFC 9112 §5)";
    /// `Content_Length` or `Transfer_Encoding`: harmless to us, and framing to some gateways.
    FieldNameAmbiguous, 400, "field-name-ambiguous", "a field name that others take for one of framing (policy)";
    /// A control byte in a field value.
    FieldValue, 400, "field-value", "a control byte in a field value (RFC 9110 §5.5)";
    /// A field line is longer than the limit.
    FieldLineTooLong, 431, "field-line-too-long", "a field line exceeds the limit (RFC 6585 §5)";
    /// More fields than the limit.
    TooManyFields, 431, "too-many-fields", "more fields than the limit (RFC 6585 §5)";
    /// The head is longer than the limit.
    HeadTooLarge, 431, "head-too-large", "the head exceeds the limit (RFC 6585 §5)";
    /// No Host in HTTP/1.1.
    HostMissing, 400, "host-missing", "no Host field in an HTTP/1.1 request (RFC 9112 §3.2)";
    /// More than one Host.
    HostRepeated, 400, "host-repeated", "more than one Host field (RFC 9112 §3.2)";
    /// A Host that is no authority.
    Host, 400, "host", "the Host field is not a host with an optional port (RFC 9112 §3.2)";
    /// A Content-Length that is not a plain number.
    ContentLength, 400, "content-length", "Content-Length is not a plain decimal number (RFC 9110 §8.6)";
    /// More than one Content-Length, equal or not.
    ContentLengthRepeated, 400, "content-length-repeated", "more than one Content-Length (policy, RFC 9112 §6.3)";
    /// A Transfer-Encoding that is not a list of codings.
    TransferEncoding, 400, "transfer-encoding", "Transfer-Encoding is malformed (RFC 9112 §6.1)";
    /// `chunked` applied twice, or not last.
    ChunkedNotLast, 400, "chunked-not-last", "chunked is not the one last transfer coding (RFC 9112 §6.3)";
    /// A transfer coding we do not implement.
    CodingUnknown, 501, "coding-unknown", "a transfer coding other than chunked (RFC 9112 §6.1)";
    /// Two framings at once: the classic smuggling vector.
    LengthAndEncoding, 400, "length-and-encoding", "Content-Length and Transfer-Encoding together (RFC 9112 §6.3)";
    /// Transfer-Encoding from a peer whose version does not know it.
    EncodingInHttp10, 400, "encoding-in-http10", "Transfer-Encoding in HTTP/1.0 (RFC 9112 §6.1)";
    /// More than one Content-Type.
    ContentTypeRepeated, 400, "content-type-repeated", "more than one Content-Type (policy, RFC 9110 §8.3)";
    /// An expectation other than 100-continue.
    Expectation, 417, "expectation", "an expectation other than 100-continue (RFC 9110 §10.1.1)";
    /// A WebSocket handshake of a version other than 13.
    WebSocketVersion, 426, "websocket-version", "a WebSocket version other than 13 (policy, RFC 6455 §4.4)";
    /// A status line that is none.
    StatusLine, 400, "status-line", "the response's status line is malformed (RFC 9112 §4)";
    /// A body longer than the limit.
    BodyTooLarge, 413, "body-too-large", "the body exceeds the limit (RFC 9110 §15.5.14)";
    /// A chunk size that is not 1 to 16 hexadecimal digits.
    ChunkSize, 400, "chunk-size", "a chunk size is not 1 to 16 hexadecimal digits (RFC 9112 §7.1)";
    /// A malformed chunk extension.
    ChunkExtension, 400, "chunk-extension", "a chunk extension is malformed (RFC 9112 §7.1.1)";
    /// A chunk extension longer than the limit.
    ChunkExtensionTooLong, 400, "chunk-extension-too-long", "a chunk extension exceeds the limit (RFC 9112 §7.1.1)";
    /// A chunk's data is not followed by CRLF.
    ChunkEnd, 400, "chunk-end", "chunk data is not followed by CRLF (RFC 9112 §7.1)";
    /// A line of the chunked framing does not end in CRLF.
    ChunkLineEnd, 400, "chunk-line-end", "a line of the chunked framing does not end in CRLF (RFC 9112 §7.1)";
    /// The framing outweighs the data.
    ChunkOverhead, 400, "chunk-overhead", "the chunked framing outweighs its data (policy, RFC 9112 §7.1)";
    /// A malformed trailer field.
    TrailerField, 400, "trailer-field", "a trailer field is malformed (RFC 9112 §7.1.2)";
    /// Trailers longer than the limit.
    TrailersTooLarge, 431, "trailers-too-large", "the trailer section exceeds the limit (RFC 6585 §5)";
    /// The head did not arrive in time.
    HeadTimeout, 408, "head-timeout", "the head did not arrive in time (RFC 9110 §15.5.9)";
    /// The body did not arrive in time.
    BodyTimeout, 408, "body-timeout", "the body did not arrive in time (RFC 9110 §15.5.9)";
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_its_own_name_and_a_known_status() {
        let statuses = [400, 408, 413, 414, 417, 426, 431, 501, 505];
        for (index, refusal) in Refusal::ALL.iter().enumerate() {
            assert!(statuses.contains(&refusal.status()), "{refusal:?}");
            let named = Refusal::ALL.iter().position(|other| other.rule() == refusal.rule());
            assert_eq!(named, Some(index), "two rules named {}", refusal.rule());
            let text = refusal.to_string();
            assert!(text.contains("RFC") || text.contains("policy"), "{text}");
        }
        for status in statuses {
            assert!(Refusal::ALL.iter().any(|refusal| refusal.status() == status), "{status}");
        }
    }
}
