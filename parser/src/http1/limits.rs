//! What a peer may send: how much, and how strictly it is read.

/// The most fields any configuration can allow: the number of slots in a
/// [`FieldSlots`](super::FieldSlots).
pub const FIELDS_MAX: usize = 100;

/// Upper bounds on one message, and how strictly it is read. Everything a parser accepts is within
/// the bounds, and what exceeds one is refused when that is first known.
///
/// ```
/// use corelane_parser::http1::Limits;
///
/// let limits = Limits { body_bytes: 64 * 1024, ..Limits::default() };
/// assert_eq!(limits.fields, 64);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a whole head, empty lines before it and the empty line that ends it included.
    /// More is 431 (RFC 6585 §5). Default 32 KiB; at most `u32::MAX`.
    pub head_bytes: usize,
    /// Bytes of the request line without its CRLF. More is 414 (RFC 9112 §3). Default 8 KiB.
    pub request_line_bytes: usize,
    /// Bytes of one field line without its CRLF. More is 431 (RFC 6585 §5). Default 16 KiB.
    pub field_line_bytes: usize,
    /// Fields in a head. More is 431 (RFC 6585 §5). Default 64; values above [`FIELDS_MAX`] mean
    /// [`FIELDS_MAX`].
    pub fields: usize,
    /// Bytes of a body, framing not counted. More is 413 (RFC 9110 §15.5.14). Default 1 MiB.
    pub body_bytes: u64,
    /// Bytes of one chunk's extensions. More is 400 (RFC 9112 §7.1.1). Default 1 KiB.
    pub chunk_extension_bytes: u16,
    /// Bytes of a whole trailer section. More is 431 (RFC 6585 §5). Default 8 KiB.
    pub trailer_bytes: u16,
    /// Waives five rules that keep some clients out. Default off. Off they are refused:
    ///
    /// | what passes | refused otherwise | who sends it, and what to mind |
    /// |---|---|---|
    /// | bytes above 127 in the target, if UTF-8 | 400, RFC 9112 §3.2 | clients that send an address as typed, such as curl; the target is then not ASCII |
    /// | `\`, `%00`, `%0d`, `%0a` in the path | 400, policy | object stores, whose keys are any bytes; who decodes a path must expect them |
    /// | an empty Host | 400, policy | health checks and clients that know an address only; RFC 9110 §7.2 provides for it; it names no virtual host |
    /// | a Content-Type repeated with the very same value | 400, policy (RFC 9110 §8.3 allows one) | clients and gateways that add a field twice |
    /// | expectations other than 100-continue, which are ignored | 417, which RFC 9110 §10.1.1 allows and does not demand | old clients |
    ///
    /// No rule is waived by which two parties could come to disagree on where a message ends or
    /// whom it is for: bare line ends, folded lines, white space around names, a repeated or
    /// unusual Content-Length, any Transfer-Encoding but chunked, names that pass for those two
    /// elsewhere (`Content_Length`), a repeated or invalid Host and malformed chunks are refused in
    /// either case.
    pub lenient: bool,
}

impl Limits {
    /// The defaults, usable in constants.
    pub const DEFAULT: Limits = Limits {
        head_bytes: 32 * 1024,
        request_line_bytes: 8 * 1024,
        field_line_bytes: 16 * 1024,
        fields: 64,
        body_bytes: 1024 * 1024,
        chunk_extension_bytes: 1024,
        trailer_bytes: 8 * 1024,
        lenient: false,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
