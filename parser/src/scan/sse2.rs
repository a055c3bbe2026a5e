//! Classes of bytes by SSE2, which every x86-64 processor has.

use std::arch::x86_64::{
    __m128i, _mm_andnot_si128, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8,
    _mm_or_si128, _mm_set1_epi8,
};

use super::{Classes, Classify};

#[derive(Clone, Copy)]
pub(super) struct Sse2;

impl Classify for Sse2 {
    const NAMES: bool = false;

    #[inline(always)]
    fn sixteen(self, bytes: &[u8; 16]) -> Classes {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { sixteen(bytes) }
    }
}

#[inline]
#[target_feature(enable = "sse2")]
fn sixteen(bytes: &[u8; 16]) -> Classes {
    let is = |vector: __m128i, byte: u8| _mm_cmpeq_epi8(vector, _mm_set1_epi8(byte as i8));
    // SAFETY: the 16 bytes that are read are those of the array; no alignment is asked for.
    let vector = unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) };
    let low = _mm_cmpeq_epi8(_mm_min_epu8(vector, _mm_set1_epi8(0x1f)), vector);
    let low = _mm_andnot_si128(is(vector, b'\t'), low);
    let stop = _mm_or_si128(low, is(vector, 0x7f));
    let ends_name = _mm_or_si128(stop, is(vector, b':'));
    Classes {
        name: u64::from(!_mm_movemask_epi8(ends_name) as u16),
        stop: u64::from(_mm_movemask_epi8(stop) as u16),
    }
}
