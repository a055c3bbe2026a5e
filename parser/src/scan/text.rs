//! Parts of a head whose bytes are of one class.

use super::{Class, Way};

/// How many bytes at the front of `part`, of 32 at most, are in `class`. None where no more than one
/// can be looked at at once. `part` is a part of `head`; what stands around it may be read.
#[inline(always)]
pub(crate) fn front_in<W: Way>(head: &[u8], part: &[u8], class: Class, way: W) -> Option<usize> {
    let start = part.as_ptr().addr().wrapping_sub(head.as_ptr().addr());
    let bytes = part.len().min(32);
    let classes = match head.get(start..)?.first_chunk() {
        Some(these_and_more) => way.in_class(these_and_more, class)?,
        None => {
            let those_before_too = head.get(..start + bytes)?.last_chunk()?;
            // By 32, if there is no byte, is by none.
            way.in_class(those_before_too, class)?.wrapping_shr(32 - bytes as u32)
        }
    };
    Some(bytes.min(classes.trailing_ones() as usize))
}

/// `part` as text, if all of its bytes are in `class`; see [`front_in`].
#[inline(always)]
pub(crate) fn text_in<'h, W: Way>(
    head: &[u8],
    part: &'h [u8],
    class: Class,
    way: W,
) -> Option<&'h str> {
    let mut rest = part;
    while !rest.is_empty() {
        let count = front_in(head, rest, class, way)?;
        if count < rest.len().min(32) {
            return None;
        }
        rest = &rest[count..];
    }
    // SAFETY: all of it was in the class, and no class has bytes beyond ASCII.
    Some(unsafe { str::from_utf8_unchecked(part) })
}
