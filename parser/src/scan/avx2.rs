//! Classes of bytes by AVX2.
//!
//! A byte is in a class if the entry of its low half in the table of the class has the bit of its
//! high half: eight bits for the eight halves of ASCII. Looking up 32 bytes in a table of 16 is one
//! instruction; it gives 0 where the highest bit is set, so bytes above 127 are in no class.

use std::arch::x86_64::{
    __m128i, __m256i, _mm_and_si128, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8,
    _mm_set1_epi8, _mm_setzero_si128, _mm_shuffle_epi8, _mm_srli_epi16, _mm256_and_si256,
    _mm256_broadcastsi128_si256, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_movemask_epi8,
    _mm256_set1_epi8, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_srli_epi16,
};

use super::{Classes, Classify, Task};
use crate::http1::framing::{is_token_byte, is_value_byte};

/// INVARIANT: exists only on a processor with AVX2 and BMI1.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

/// By the low half of a byte, the high halves with which it is in the class.
type Table = [u8; 16];

const NAME: Table = table(false);
const STOP: Table = table(true);

/// By the high half of a byte, its bit in a table.
const HIGH: Table = [1, 2, 4, 8, 16, 32, 64, 128, 0, 0, 0, 0, 0, 0, 0, 0];

const fn table(stop: bool) -> Table {
    let mut table = [0; 16];
    let mut byte = 0;
    while byte < 128 {
        let is_in = if stop { !is_value_byte(byte) } else { is_token_byte(byte) };
        table[byte as usize & 15] |= (is_in as u8) << (byte >> 4);
        byte += 1;
    }
    table
}

impl Avx2 {
    /// Asks the processor, once; a load and a comparison after that.
    #[inline(always)]
    pub(super) fn detect() -> Option<Self> {
        let has = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi1");
        has.then_some(Self(()))
    }

    /// Runs `task` with the instructions of such a processor.
    #[inline(always)]
    pub(super) fn run<T: Task>(self, task: T) -> T::Output {
        #[target_feature(enable = "avx2,bmi1")]
        fn run<T: Task>(avx2: Avx2, task: T) -> T::Output {
            task.run(avx2)
        }
        // SAFETY: the processor has these features, or there would be no `self`.
        unsafe { run(self, task) }
    }
}

impl Classify for Avx2 {
    const NAMES: bool = true;

    #[inline(always)]
    fn sixteen(self, bytes: &[u8; 16]) -> Classes {
        // SAFETY: the processor has AVX2, or there would be no `self`.
        unsafe { sixteen(bytes) }
    }

    #[inline(always)]
    fn thirty_two(self, bytes: &[u8; 32]) -> Classes {
        // SAFETY: the processor has AVX2, or there would be no `self`.
        unsafe { thirty_two(bytes) }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(table: &Table) -> __m128i {
    // SAFETY: the 16 bytes that are read are those of the array; no alignment is asked for.
    unsafe { _mm_loadu_si128(table.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn sixteen(bytes: &[u8; 16]) -> Classes {
    let vector = load(bytes);
    let half = _mm_and_si128(_mm_srli_epi16::<4>(vector), _mm_set1_epi8(15));
    let high = _mm_shuffle_epi8(load(&HIGH), half);
    let outside = |table: &Table| {
        let common = _mm_and_si128(_mm_shuffle_epi8(load(table), vector), high);
        _mm_movemask_epi8(_mm_cmpeq_epi8(common, _mm_setzero_si128()))
    };
    Classes { name: u64::from(!outside(&NAME) as u16), stop: u64::from(!outside(&STOP) as u16) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn thirty_two(bytes: &[u8; 32]) -> Classes {
    let wide = |table: &Table| _mm256_broadcastsi128_si256(load(table));
    // SAFETY: the 32 bytes that are read are those of the array; no alignment is asked for.
    let vector: __m256i = unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) };
    let half = _mm256_and_si256(_mm256_srli_epi16::<4>(vector), _mm256_set1_epi8(15));
    let high = _mm256_shuffle_epi8(wide(&HIGH), half);
    let outside = |table: &Table| {
        let common = _mm256_and_si256(_mm256_shuffle_epi8(wide(table), vector), high);
        _mm256_movemask_epi8(_mm256_cmpeq_epi8(common, _mm256_setzero_si256()))
    };
    Classes { name: u64::from(!outside(&NAME) as u32), stop: u64::from(!outside(&STOP) as u32) }
}
