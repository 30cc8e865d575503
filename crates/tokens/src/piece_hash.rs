//! The hash of short byte strings behind every table of pieces here.
//!
//! Folded 64 × 64 → 128-bit multiplication, as in wyhash; not a defence against chosen
//! collisions (tables that hostile text could fill are bounded or probe linearly over memory
//! proportional to that text).

/// Fraction of the golden ratio: bits without structure.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
/// Odd constant with balanced bits, from splitmix64.
const MIX: u64 = 0xbf58_476d_1ce4_e5b9;

/// The two halves of the product of two words, folded together.
#[inline(always)]
fn fold(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    (product as u64) ^ (product >> 64) as u64
}

/// The hash of one word.
#[inline(always)]
pub(crate) fn hash_word(word: u64) -> u64 {
    fold(word ^ SEED, MIX)
}

/// The hash of four words, such as a piece padded to 32 bytes.
#[inline(always)]
pub(crate) fn hash_words(words: &[u64; 4]) -> u64 {
    let low = fold(words[0] ^ SEED, words[1] ^ MIX);
    fold(low ^ words[2], words[3] ^ SEED ^ MIX)
}

/// Eight bytes at an offset, little end first.
#[inline(always)]
fn word_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].try_into().map_or(0, u64::from_le_bytes)
}

/// The hash of any bytes.
#[inline(always)]
pub(crate) fn hash_bytes(bytes: &[u8]) -> u64 {
    let length = bytes.len();
    let seed = SEED ^ (length as u64).wrapping_mul(MIX);
    if length >= 8 {
        // Whole words, then the last eight bytes again with whatever overlap there is.
        let mut state = seed;
        let mut at = 0;
        while at + 8 < length {
            state = fold(state ^ word_at(bytes, at), MIX);
            at += 8;
        }
        return fold(state ^ word_at(bytes, length - 8), SEED | 1);
    }
    let word = if length >= 4 {
        let half = |at: usize| bytes[at..at + 4].try_into().map_or(0, u32::from_le_bytes);
        u64::from(half(0)) << 32 | u64::from(half(length - 4))
    } else if length > 0 {
        let byte = |at: usize| u64::from(bytes[at]);
        byte(0) << 16 | byte(length / 2) << 8 | byte(length - 1)
    } else {
        0
    };
    fold(seed ^ word, SEED | 1)
}
