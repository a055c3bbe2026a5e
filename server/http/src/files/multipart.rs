//! Several ranges in one answer (RFC 9110 §14.6).

use super::range::ByteRange;
use super::resource::Variant;
use crate::content::Content;
use crate::web::Response;

/// What says which bytes of how many they are.
pub(crate) fn content_range(range: ByteRange, len: u64) -> String {
    format!("bytes {}-{}/{len}", range.start, range.end.saturating_sub(1))
}

/// Makes a response, which describes all of a representation, one of these ranges of it. The number,
/// which is random, keeps the boundary out of the contents.
pub(crate) fn answer(
    mut response: Response,
    variant: &Variant,
    ranges: &[ByteRange],
    number: u64,
) -> Response {
    let boundary = format!("corelane-{number:016x}");
    let media_type = response.field("Content-Type").unwrap_or_default().to_vec();
    let mut parts = Vec::with_capacity(2 * ranges.len() + 1);
    for (at, &range) in ranges.iter().enumerate() {
        let mut head = Vec::with_capacity(160);
        if at > 0 {
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(format!("--{boundary}\r\nContent-Type: ").as_bytes());
        head.extend_from_slice(&media_type);
        let range_line = content_range(range, variant.len);
        head.extend_from_slice(format!("\r\nContent-Range: {range_line}\r\n\r\n").as_bytes());
        parts.push(Content::Bytes(head));
        parts.push(variant.content(range));
    }
    parts.push(Content::Bytes(format!("\r\n--{boundary}--\r\n").into_bytes()));
    response.set("Content-Type", format!("multipart/byteranges; boundary={boundary}"));
    response.with_status(206).with_content(Content::Parts(parts))
}
