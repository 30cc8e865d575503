//! Counter-based random draws: the n-th draw of a named stream is a pure function of (seed, name, n).
//!
//! The mixer is SplitMix64's finaliser (Steele, Lea, Flood, "Fast splittable pseudorandom number
//! generators", OOPSLA 2014, section 4) over `key + n × golden ratio`. It is not for cryptography.

/// 2^64 divided by the golden ratio, odd: SplitMix64's increment.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64's output function: a bijection of 64-bit words that mixes every bit.
pub fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// Stable 64-bit hash of bytes: FNV-1a, then mixed so that short strings differ in every bit.
pub fn stable_hash(bytes: &[u8]) -> u64 {
    let fnv = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    mix(fnv)
}

/// A stream of draws.
#[derive(Clone, Debug)]
pub struct Draws {
    key: u64,
    drawn: u64,
}

impl Draws {
    /// The stream called `name` under `seed`.
    pub fn new(seed: u64, name: &str) -> Draws {
        Draws { key: mix(seed.wrapping_add(GOLDEN)) ^ stable_hash(name.as_bytes()), drawn: 0 }
    }

    /// The next 64 bits.
    pub fn word(&mut self) -> u64 {
        self.drawn += 1;
        mix(self.key.wrapping_add(self.drawn.wrapping_mul(GOLDEN)))
    }

    /// A number in `0..bound`; `bound` must not be zero. The multiply-shift reduction (Lemire 2019)
    /// is biased by less than `bound / 2^64`.
    pub fn below(&mut self, bound: usize) -> usize {
        debug_assert!(bound > 0, "below(0) has no answer");
        ((u128::from(self.word()) * bound as u128) >> 64) as usize
    }

    /// True `numerator` times out of `denominator`.
    pub fn chance(&mut self, numerator: usize, denominator: usize) -> bool {
        self.below(denominator) < numerator
    }

    /// One of the items, which must not be empty.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// Fisher–Yates shuffle.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    /// `count` numbers below `bound`, each value used as evenly as possible, in random order.
    pub fn balanced(&mut self, count: usize, bound: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..bound).collect();
        self.shuffle(&mut order);
        let mut drawn: Vec<usize> = (0..count).map(|index| order[index % bound]).collect();
        self.shuffle(&mut drawn);
        drawn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_pure_and_separate() {
        let words = |seed, name| {
            let mut draws = Draws::new(seed, name);
            (0..8).map(|_| draws.word()).collect::<Vec<_>>()
        };
        assert_eq!(words(1, "names"), words(1, "names"));
        assert_ne!(words(1, "names"), words(2, "names"));
        assert_ne!(words(1, "names"), words(1, "posts"));
    }

    #[test]
    fn mix_agrees_with_splitmix64() {
        // First two outputs of SplitMix64 seeded with 0, as listed with the reference C program.
        assert_eq!(mix(GOLDEN), 0xe220_a839_7b1d_cdaf);
        assert_eq!(mix(GOLDEN.wrapping_mul(2)), 0x6e78_9e6a_a1b9_65f4);
    }

    #[test]
    fn balanced_uses_every_value_evenly() {
        let drawn = Draws::new(3, "b").balanced(25, 10);
        for value in 0..10 {
            let uses = drawn.iter().filter(|&&v| v == value).count();
            assert!(uses == 2 || uses == 3, "value {value} used {uses} times");
        }
    }

    #[test]
    fn below_stays_below_and_reaches_all() {
        let mut draws = Draws::new(9, "dice");
        let mut seen = [0_usize; 6];
        for _ in 0..6000 {
            seen[draws.below(6)] += 1;
        }
        // 1000 expected each; five standard deviations are 144.
        assert!(seen.iter().all(|&n| (856..=1144).contains(&n)), "{seen:?}");
    }
}
