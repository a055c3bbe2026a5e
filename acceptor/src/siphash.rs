//! SipHash-1-3 over numbers.
//!
//! J.-P. Aumasson, D. J. Bernstein, *SipHash: a fast short-input PRF*, INDOCRYPT 2012; one round per
//! word and three at the end, as the standard library's hash maps use it. The standard library has
//! it too, but offers no way to set the key.

/// Hashes `words` and then the lowest `REST_BYTES` bytes of `rest`, all in little-endian order.
///
/// The last block has room for seven bytes beside the length, so that an IPv4 address and a port as
/// the rest cost four rounds where a word of its own would cost five. There may be at most 31 words,
/// since the algorithm keeps the length modulo 256; `rest` must be below 2^(8 `REST_BYTES`).
#[inline]
pub(crate) fn siphash13<const REST_BYTES: u32>(key: [u64; 2], words: &[u64], rest: u64) -> u64 {
    const { assert!(REST_BYTES < 8) };
    debug_assert!(words.len() < 32 && rest >> (8 * REST_BYTES) == 0);
    // "somepseudorandomlygeneratedbytes", the constants of the paper.
    let mut v = [
        key[0] ^ 0x736f_6d65_7073_6575,
        key[1] ^ 0x646f_7261_6e64_6f6d,
        key[0] ^ 0x6c79_6765_6e65_7261,
        key[1] ^ 0x7465_6462_7974_6573,
    ];
    for &word in words {
        compress(&mut v, word);
    }
    let length = words.len() as u64 * 8 + u64::from(REST_BYTES);
    compress(&mut v, length << 56 | rest);
    v[2] ^= 0xff;
    for _ in 0..3 {
        round(&mut v);
    }
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

#[inline(always)]
fn compress(v: &mut [u64; 4], word: u64) {
    v[3] ^= word;
    round(v);
    v[0] ^= word;
}

#[inline(always)]
fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[2] = v[2].wrapping_add(v[3]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[1]);
    v[0] = v[0].wrapping_add(v[3]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].rotate_left(32);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::hash_map::DefaultHasher;
    use std::hash::Hasher;

    proptest! {
        #[test]
        fn agrees_with_the_standard_library(
            words in prop::collection::vec(any::<u64>(), 0..5),
            rest in any::<[u8; 6]>(),
        ) {
            // `DefaultHasher::new` is SipHash-1-3 with a key of zeros.
            let mut reference = DefaultHasher::new();
            for word in &words {
                reference.write(&word.to_le_bytes());
            }
            prop_assert_eq!(siphash13::<0>([0, 0], &words, 0), reference.finish());
            let [a, b, c, d, e, f] = rest;
            let number = u64::from_le_bytes([a, b, c, d, e, f, 0, 0]);
            reference.write(&rest);
            prop_assert_eq!(siphash13::<6>([0, 0], &words, number), reference.finish());
        }
    }

    #[test]
    fn both_halves_of_the_key_matter() {
        let hashes = [[0, 0], [1, 0], [0, 1]].map(|key| siphash13::<0>(key, &[7], 0));
        assert!(hashes[0] != hashes[1] && hashes[0] != hashes[2] && hashes[1] != hashes[2]);
    }
}
