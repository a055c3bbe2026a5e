//! Bytes as text.

/// `bytes` as text if all are visible ASCII and there is at least one.
#[inline(always)]
pub(crate) fn visible(bytes: &[u8]) -> Option<&str> {
    // Without an early exit sixteen are judged at once; the last of them overlap those before.
    let all = |bytes: &[u8]| bytes.iter().fold(true, |all, byte| all & byte.is_ascii_graphic());
    let is_visible = match bytes.last_chunk::<16>() {
        Some(last) => {
            let (chunks, _) = bytes.as_chunks::<16>();
            chunks.iter().chain([last]).all(|chunk| all(chunk))
        }
        None => all(bytes) && !bytes.is_empty(),
    };
    // SAFETY: ASCII is UTF-8.
    is_visible.then(|| unsafe { str::from_utf8_unchecked(bytes) })
}
