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

use super::blocks::Blocks;
use super::{Class, Task, Way};
use crate::http1::framing::{is_token_byte, is_value_byte};
use crate::http1::host::is_host_byte;
use crate::http1::target::is_plain_byte;

/// INVARIANT: exists only on a processor with AVX2 and BMI1.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

/// By the low half of a byte, the high halves with which it is in the class.
type Table = [u8; 16];

/// The table of the bytes for which a `const fn` is true.
macro_rules! table {
    ($is_in:ident) => {{
        let mut table = [0; 16];
        let mut byte = 0;
        while byte < 128 {
            table[byte as usize & 15] |= ($is_in(byte) as u8) << (byte >> 4);
            byte += 1;
        }
        table
    }};
}

const NAME: Table = table!(is_token_byte);
const STOP: Table = table!(is_stop_byte);
const HOST: Table = table!(is_host_byte);
const TARGET: Table = table!(is_plain_byte);

/// Whether a byte ends a value.
const fn is_stop_byte(byte: u8) -> bool {
    !is_value_byte(byte)
}

/// By the high half of a byte, its bit in a table.
const HIGH: Table = [1, 2, 4, 8, 16, 32, 64, 128, 0, 0, 0, 0, 0, 0, 0, 0];

/// Which of some bytes, the first of them in the lowest bit, are in which class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Classes {
    pub(super) name: u64,
    pub(super) stop: u64,
}

impl Classes {
    /// Those of bytes that are in none.
    pub(super) const NONE: Classes = Classes { name: 0, stop: 0 };

    /// These, and behind them those of bytes that begin `shift` bytes later.
    #[inline(always)]
    pub(super) fn and(self, later: Classes, shift: usize) -> Classes {
        Classes { name: self.name | later.name << shift, stop: self.stop | later.stop << shift }
    }

    /// Without those of the first bytes; at the other end are some that are in none.
    #[inline(always)]
    pub(super) fn skip(self, bytes: usize) -> Classes {
        Classes { name: self.name >> bytes, stop: self.stop >> bytes }
    }
}

impl Avx2 {
    /// Asks the processor, once; a load and a comparison after that.
    #[inline(always)]
    pub(super) fn detect() -> Option<Self> {
        let has = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi1");
        has.then_some(Self(()))
    }

    #[inline(always)]
    pub(super) fn sixteen(self, bytes: &[u8; 16]) -> Classes {
        // SAFETY: the processor has AVX2, or there would be no `self`.
        unsafe { sixteen(bytes) }
    }

    #[inline(always)]
    pub(super) fn thirty_two(self, bytes: &[u8; 32]) -> Classes {
        // SAFETY: the processor has AVX2, or there would be no `self`.
        let [name, stop] = unsafe { thirty_two(bytes, [&NAME, &STOP]) };
        Classes { name: name.into(), stop: stop.into() }
    }

    #[inline(always)]
    pub(super) fn sixty_four(self, bytes: &[u8; 64]) -> Classes {
        let ([low, high], _) = bytes.as_chunks() else { return Classes::NONE };
        self.thirty_two(low).and(self.thirty_two(high), 32)
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

impl Way for Avx2 {
    type Lines<'i> = Blocks<'i>;

    #[inline(always)]
    fn lines(self, input: &[u8]) -> Option<(&[u8], Blocks<'_>)> {
        Blocks::new(input, self)
    }

    #[inline(always)]
    fn in_class(self, bytes: &[u8; 32], class: Class) -> Option<u32> {
        let table = match class {
            Class::Host => &HOST,
            Class::Target => &TARGET,
        };
        // SAFETY: the processor has AVX2, or there would be no `self`.
        let [in_class] = unsafe { thirty_two(bytes, [table]) };
        Some(in_class)
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

/// Which of 32 bytes are in each class.
#[inline]
#[target_feature(enable = "avx2")]
fn thirty_two<const N: usize>(bytes: &[u8; 32], tables: [&Table; N]) -> [u32; N] {
    let wide = |table: &Table| _mm256_broadcastsi128_si256(load(table));
    // SAFETY: the 32 bytes that are read are those of the array; no alignment is asked for.
    let vector: __m256i = unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) };
    let half = _mm256_and_si256(_mm256_srli_epi16::<4>(vector), _mm256_set1_epi8(15));
    let high = _mm256_shuffle_epi8(wide(&HIGH), half);
    tables.map(|table| {
        let common = _mm256_and_si256(_mm256_shuffle_epi8(wide(table), vector), high);
        !_mm256_movemask_epi8(_mm256_cmpeq_epi8(common, _mm256_setzero_si256())) as u32
    })
}
