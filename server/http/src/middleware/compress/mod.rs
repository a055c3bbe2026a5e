//! Compression of responses.

mod coder;
mod stream;

use std::cell::RefCell;
use std::rc::Rc;

use self::coder::{Lease, Levels, Pool};
use self::stream::Compressed;
use super::error::MiddlewareError;
use super::syntax::is_token;
use crate::content::Content;
use crate::negotiate::{self, Encoding};
use crate::web::{Middleware, Request, Response};

const NAME: &str = "compress";

/// What is worth compressing: text, and formats that are text or not compressed themselves.
pub const COMPRESSIBLE: &[&str] = &[
    "text/*",
    "application/json",
    "application/*+json",
    "application/javascript",
    "application/xml",
    "application/*+xml",
    "application/x-ndjson",
    "application/wasm",
    "application/vnd.ms-fontobject",
    "font/otf",
    "font/ttf",
    "image/bmp",
    "image/svg+xml",
    "image/vnd.microsoft.icon",
    "image/x-icon",
];

/// Fields about the bytes of a representation, which are others once it is compressed.
const ABOUT_BYTES: [&str; 5] =
    ["Accept-Ranges", "Content-MD5", "Digest", "Content-Digest", "Repr-Digest"];

/// Compresses responses as they are sent, in the coding that the client weighs most (RFC 9110
/// §12.5.3), and by default the cheapest of those that it weighs alike.
///
/// ```
/// use corelane_http::middleware::Compress;
/// use corelane_http::web::testing::{TestRequest, TestServer};
/// use corelane_http::web::{Request, Routes};
///
/// let app = Routes::new().get("/", |_: &Request<'_>| "long ".repeat(1000)).with(Compress::new());
/// let mut server = TestServer::new(app.build()?);
/// let response = server.send(TestRequest::get("/").header("Accept-Encoding", "gzip, zstd;q=0"));
/// assert_eq!(response.field("Content-Encoding"), Some("gzip"));
/// assert_eq!(response.field("Vary"), Some("Accept-Encoding"));
/// # Ok::<(), corelane_http::web::RouteError>(())
/// ```
///
/// # What is compressed
/// Content of the right [types](Compress::types), of [1 KiB](Compress::min_bytes) or of unknown
/// length. Not what has a Content-Encoding already, not a part (206), not what says
/// `Cache-Control: no-transform`, nor what would grow. Who is sent such content uncompressed is told
/// `Vary: Accept-Encoding` too.
///
/// A strong ETag becomes a weak one: two codings of one thing must not share a strong one (RFC 9110
/// §8.8.3.3), and one with a suffix would not be known to the handler when it comes back in
/// If-None-Match, which compares weakly (§13.1.2). It never equals itself in If-Match (§13.1.1):
/// [exclude](Compress::exclude) resources that are changed under that condition. Ranges of a response
/// that was compressed cannot be had, so Accept-Ranges is removed, and digests as well.
///
/// # How, and what it costs
/// Up to [64 KiB](Compress::at_once_bytes) at once, so that the length is known; more in pieces of
/// 16 KiB between which others have their turn, in chunks. Streams are flushed whenever they wait, so
/// that server-sent events arrive. HEAD is treated as GET, and costs the same.
///
/// For the 7 KB of JSON of `benches/benches/compress.rs` at the default levels, with instructions
/// counted by callgrind; and the memory held by each response that is under way in pieces:
///
/// | coding | level | ratio | instructions | memory |
/// |---|---|---|---|---|
/// | zstd | 3 | 5.6 | 0.2 million | 1.8 MiB |
/// | gzip | 4 | 5.6 | 0.6 million | 0.4 MiB |
/// | br | 4 | 5.9 | 1.5 million | 3.2 MiB |
///
/// At most [`streams_max`](Compress::streams_max) responses are under way in pieces on each lane;
/// further ones are sent uncompressed. Encoders of gzip and zstd are used again, up to four of each
/// per lane.
///
/// # Secrets
/// Where a response holds both a secret and something that an attacker chooses, its compressed length
/// tells the secret bit by bit (BREACH, CVE-2013-3587): TLS does not help.
/// [Exclude](Compress::exclude) such pages, or mask the secret anew in each response.
pub struct Compress {
    order: Vec<Encoding>,
    types: Vec<String>,
    excluded: Vec<String>,
    min_bytes: u64,
    at_once_bytes: u64,
    streams_max: usize,
    levels: Levels,
    pool: Rc<RefCell<Pool>>,
}

impl Default for Compress {
    fn default() -> Compress {
        Compress::new()
    }
}

impl Compress {
    /// With the defaults.
    pub fn new() -> Compress {
        let levels = Levels { gzip: 4, brotli: 4, zstd: 3 };
        let streams_max = 64;
        Compress {
            order: vec![Encoding::Zstd, Encoding::Gzip, Encoding::Brotli],
            types: COMPRESSIBLE.iter().map(|&kind| kind.to_owned()).collect(),
            excluded: Vec::new(),
            min_bytes: 1024,
            at_once_bytes: 64 * 1024,
            streams_max,
            levels,
            pool: Rc::new(RefCell::new(Pool::new(levels, streams_max))),
        }
    }

    /// The codings there are, and which is preferred at equal weight. Default zstd, gzip, br: on the
    /// fly, br takes more than twice as long as gzip for what it saves.
    pub fn encodings(mut self, order: &[Encoding]) -> Compress {
        self.order = order.to_vec();
        self
    }

    /// The media types that are compressed. One `*` in the subtype stands for any part of it; `*` alone
    /// is every type. Default [`COMPRESSIBLE`].
    ///
    /// # Errors
    /// If one is no media type.
    pub fn types<T: AsRef<str>>(
        mut self,
        types: impl IntoIterator<Item = T>,
    ) -> Result<Compress, MiddlewareError> {
        self.types.clear();
        for kind in types {
            let kind = kind.as_ref().to_ascii_lowercase();
            let is_type = kind.split_once('/').is_some_and(|(kind, subtype)| {
                is_token(kind.as_bytes())
                    && !kind.contains('*')
                    && is_token(subtype.as_bytes())
                    && subtype.matches('*').count() <= 1
            });
            if !is_type && kind != "*" {
                let reason = format!("`{kind}` is no media type: write `text/html` or `text/*`");
                return Err(MiddlewareError::new(NAME, reason));
            }
            self.types.push(kind);
        }
        Ok(self)
    }

    /// Leaves responses to paths that begin so as they are. The path is compared as it was sent, still
    /// encoded.
    pub fn exclude(mut self, path_prefix: &str) -> Compress {
        self.excluded.push(path_prefix.to_owned());
        self
    }

    /// The least length that is compressed. Default 1 KiB: less fits into a packet anyway.
    pub fn min_bytes(mut self, bytes: u64) -> Compress {
        self.min_bytes = bytes;
        self
    }

    /// Up to which length content is compressed at once, while the other connections of the lane wait.
    /// Default 64 KiB, about a millisecond.
    pub fn at_once_bytes(mut self, bytes: u64) -> Compress {
        self.at_once_bytes = bytes;
        self
    }

    /// How many responses of one lane may be under way that are compressed in pieces. Default 64.
    pub fn streams_max(mut self, streams: usize) -> Compress {
        self.streams_max = streams;
        self.refill();
        self
    }

    /// How hard to try: gzip from 1 to 9, br from 0 to 9, zstd from 1 to 12. Default 4, 4, 3. The
    /// highest levels of br and zstd are for what is compressed once and sent often.
    ///
    /// # Errors
    /// If there is no such level.
    pub fn level(mut self, encoding: Encoding, level: u32) -> Result<Compress, MiddlewareError> {
        let (place, range) = match encoding {
            Encoding::Identity => {
                return Err(MiddlewareError::new(NAME, "identity has no levels"));
            }
            Encoding::Gzip => (&mut self.levels.gzip, 1..=9),
            Encoding::Brotli => (&mut self.levels.brotli, 0..=9),
            Encoding::Zstd => (&mut self.levels.zstd, 1..=12),
        };
        if !range.contains(&level) {
            let (name, from, to) = (encoding.as_str(), range.start(), range.end());
            let reason = format!("{name} has the levels {from} to {to}, not {level}");
            return Err(MiddlewareError::new(NAME, reason));
        }
        *place = level;
        self.refill();
        Ok(self)
    }

    fn refill(&mut self) {
        self.pool = Rc::new(RefCell::new(Pool::new(self.levels, self.streams_max)));
    }

    /// Whether this response would be compressed for a client that wants it.
    fn is_eligible(&self, request: &Request<'_>, response: &Response) -> bool {
        !matches!(response.status(), 204..=206 | 304)
            && response.content().len().is_none_or(|len| len >= self.min_bytes.max(1))
            && is_sound(response.content())
            && response.field("Content-Type").is_some_and(|kind| self.has_type(kind))
            && !response.fields().contains("Content-Range")
            && self.may_change(request, response)
    }

    /// Whether this is a part of what would be compressed as a whole: it varies then as the whole does
    /// (RFC 9110 §15.3.7). Of several parts the type of the whole is not known.
    fn is_part_of_eligible(&self, request: &Request<'_>, response: &Response) -> bool {
        let is_type = |kind| self.has_type(kind) || kind.starts_with(b"multipart/byteranges");
        response.status() == 206
            && response.field("Content-Type").is_some_and(is_type)
            && whole_len(response).is_none_or(|len| len >= self.min_bytes.max(1))
            && self.may_change(request, response)
    }

    /// Whether the content may be another than the handler's.
    fn may_change(&self, request: &Request<'_>, response: &Response) -> bool {
        !response.is_malformed()
            && !response.fields().contains("Content-Encoding")
            && !is_fixed(response)
            && !self.is_excluded(request)
    }

    fn has_type(&self, media_type: &[u8]) -> bool {
        let name = media_type.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
        self.types.iter().any(|pattern| match pattern.split_once('*') {
            None => pattern.as_bytes().eq_ignore_ascii_case(name),
            Some((before, after)) => {
                name.len() >= before.len() + after.len()
                    && name[..before.len()].eq_ignore_ascii_case(before.as_bytes())
                    && name[name.len() - after.len()..].eq_ignore_ascii_case(after.as_bytes())
            }
        })
    }

    fn is_excluded(&self, request: &Request<'_>) -> bool {
        self.excluded.iter().any(|prefix| request.path().starts_with(prefix.as_str()))
    }

    /// The coding for this client, unless it is none.
    fn coding(&self, request: &Request<'_>) -> Option<Encoding> {
        negotiate::encoding(request.headers("Accept-Encoding"), &self.order)
            .filter(|coding| *coding != Encoding::Identity)
    }

    /// Compresses the content; false if that cannot be done now, or is not worth it.
    fn compress(&self, request: &Request<'_>, response: &mut Response, coding: Encoding) -> bool {
        let content = response.content_mut();
        let len = content.len();
        if let Some(len) = len.filter(|&len| len <= self.at_once_bytes)
            && (request.files().is_some() || !reads_files(content))
        {
            let Some(lease) = Lease::brief(&self.pool, coding, len) else { return false };
            let Some(bytes) = at_once(request, content, lease, len) else { return false };
            *content = Content::Bytes(bytes);
            return true;
        }
        let Some(lease) = Lease::lasting(&self.pool, coding, len) else { return false };
        let plain = std::mem::take(content);
        *content = Content::Stream(Box::new(Compressed::new(lease, plain)));
        true
    }
}

/// The length of what a response is a part of, by its Content-Range.
fn whole_len(response: &Response) -> Option<u64> {
    let range = std::str::from_utf8(response.field("Content-Range")?).ok()?;
    range.rsplit('/').next()?.parse().ok()
}

/// Whether the protocol can send it: no stream is among parts.
fn is_sound(content: &Content) -> bool {
    content.len().is_some() || matches!(content, Content::Stream(_))
}

fn reads_files(content: &Content) -> bool {
    match content {
        Content::File { .. } => true,
        Content::Parts(parts) => parts.iter().any(reads_files),
        _ => false,
    }
}

/// Compresses all of it. `None` if it cannot be read, or becomes no shorter.
fn at_once(
    request: &Request<'_>,
    content: &Content,
    mut lease: Lease,
    len: u64,
) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(len as usize / 4 + 128);
    write(request, content, &mut lease, &mut out)?;
    lease.finish(&mut out).ok()?;
    ((out.len() as u64) < len).then_some(out)
}

fn write(
    request: &Request<'_>,
    content: &Content,
    lease: &mut Lease,
    out: &mut Vec<u8>,
) -> Option<()> {
    match content {
        Content::Empty => Some(()),
        Content::Bytes(bytes) => lease.write(bytes, out).ok(),
        Content::Shared(bytes) => lease.write(bytes, out).ok(),
        Content::Parts(parts) => parts.iter().try_for_each(|part| write(request, part, lease, out)),
        Content::File { file, offset, len } => {
            let mut bytes = vec![0; usize::try_from(*len).ok()?];
            let mut filled = 0;
            while filled < bytes.len() {
                let at = offset + filled as u64;
                match request.files()?.read(file, at, &mut bytes[filled..]).ok()? {
                    0 => return None,
                    read => filled += read,
                }
            }
            lease.write(&bytes, out).ok()
        }
        Content::Stream(_) => None,
    }
}

/// Whether the response is to be left as it is (RFC 9111 §5.2.2.6).
fn is_fixed(response: &Response) -> bool {
    let controls =
        response.fields().iter().filter(|f| f.name.eq_ignore_ascii_case("Cache-Control"));
    let mut directives = controls.flat_map(|field| field.value.split(|&byte| byte == b','));
    directives.any(|directive| directive.trim_ascii().eq_ignore_ascii_case(b"no-transform"))
}

/// Makes a strong ETag a weak one.
fn weaken(response: &mut Response) {
    if let Some(tag) = response.field("ETag")
        && tag.starts_with(b"\"")
    {
        let weak = [b"W/", tag].concat();
        response.set("ETag", weak);
    }
}

/// Whether the client has named the weak form of the response's ETag: what it holds was compressed.
fn holds_compressed(request: &Request<'_>, response: &Response) -> bool {
    let Some(tag) = response.field("ETag").filter(|tag| tag.starts_with(b"\"")) else {
        return false;
    };
    let weak = [b"W/", tag].concat();
    request
        .headers("If-None-Match")
        .any(|tags| tags.windows(weak.len()).any(|window| window == weak))
}

impl Middleware for Compress {
    fn name(&self) -> &'static str {
        NAME
    }

    fn after(&self, request: &Request<'_>, response: &mut Response) {
        // A 304 says what the 200 would have said (RFC 9110 §15.4.5): else a cache would not know
        // that it is about what it holds (RFC 9111 §4.3.4).
        // Whether that would have varied depends on its type, which is not said here.
        if response.status() == 304 {
            if holds_compressed(request, response) {
                weaken(response);
            }
            response.vary("Accept-Encoding");
            return;
        }
        if !self.is_eligible(request, response) {
            if self.is_part_of_eligible(request, response) {
                response.vary("Accept-Encoding");
            }
            return;
        }
        response.vary("Accept-Encoding");
        let Some(coding) = self.coding(request) else { return };
        if !self.compress(request, response, coding) {
            return;
        }
        response.set("Content-Encoding", coding.as_str());
        for name in ABOUT_BYTES {
            response.remove(name);
        }
        weaken(response);
    }
}
