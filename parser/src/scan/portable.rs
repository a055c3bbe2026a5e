//! Classes of bytes on any processor, eight at a time in an ordinary register.

use super::{Classes, Classify};

#[derive(Clone, Copy)]
pub(super) struct Portable;

/// The lowest bit of each of eight bytes.
const ONES: u64 = 0x0101_0101_0101_0101;

impl Classify for Portable {
    const NAMES: bool = false;

    #[inline(always)]
    fn sixteen(self, bytes: &[u8; 16]) -> Classes {
        let (eights, _) = bytes.as_chunks::<8>();
        let mut classes = Classes { name: 0, stop: 0 };
        for (index, &eight) in eights.iter().enumerate() {
            classes = classes.and(classes_of(u64::from_le_bytes(eight)), 8 * index);
        }
        classes
    }
}

#[inline(always)]
fn classes_of(eight: u64) -> Classes {
    let is = |byte: u8| zeros(eight ^ (ONES * u64::from(byte)));
    let stop = zeros(eight & (ONES * 0xe0)) & !is(b'\t') | is(0x7f);
    Classes { name: gather(!(stop | is(b':'))), stop: gather(stop) }
}

/// The highest bit of each byte that is 0.
#[inline(always)]
fn zeros(eight: u64) -> u64 {
    const LOW: u64 = ONES * 0x7f;
    // A byte's low bits carry into its highest unless they are 0, never into the next byte.
    !(((eight & LOW) + LOW) | eight | LOW)
}

/// The highest bits of eight bytes, side by side.
#[inline(always)]
fn gather(eight: u64) -> u64 {
    // One factor for each byte brings its bit to the place in the top byte; no two meet elsewhere.
    ((eight >> 7 & ONES).wrapping_mul(0x0102_0408_1020_4080)) >> 56
}
