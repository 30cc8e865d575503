//! A shuffle without memory: a keyed permutation of 0..n, any element of which is found alone, so
//! that the data of step k need nothing of the steps before it.
//!
//! A balanced Feistel network (Luby and Rackoff, SIAM J. Comput. 17, 1988: four rounds of random
//! functions make a strong permutation) over the smallest even number of bits that holds n, walked
//! along its cycles until it lands inside (Black and Rogaway, CT-RSA 2002 §3).

use stoa_random::Stream;

/// A permutation of 0..n.
#[derive(Clone, Copy, Debug)]
pub struct Permutation {
    n: u64,
    half_bits: u32,
    keys: [u64; ROUNDS],
}

const ROUNDS: usize = 4;

impl Permutation {
    /// The permutation of 0..n that belongs to (seed, stream, epoch).
    pub fn new(n: u64, seed: u64, stream: &str, epoch: u64) -> Self {
        let half_bits = (64 - n.saturating_sub(1).leading_zeros()).div_ceil(2).max(1);
        let mut keys = [0; ROUNDS];
        for (round, key) in keys.iter_mut().enumerate() {
            *key = Stream::new(seed, stream).bits(epoch * ROUNDS as u64 + round as u64);
        }
        Permutation { n, half_bits, keys }
    }

    /// Where `index` goes. `index` must be below n.
    pub fn apply(&self, index: u64) -> u64 {
        assert!(index < self.n, "{index} is outside a permutation of {}", self.n);
        // The network permutes fewer than 4n values, so a walk takes under 4 steps on average.
        let mut value = self.network(index);
        while value >= self.n {
            value = self.network(value);
        }
        value
    }

    fn network(&self, value: u64) -> u64 {
        let mask = (1 << self.half_bits) - 1;
        let (mut left, mut right) = (value >> self.half_bits, value & mask);
        for key in self.keys {
            (left, right) = (right, left ^ (Stream::new(key, "").bits(right) & mask));
        }
        left << self.half_bits | right
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_is_permuted() {
        for n in (1..70).chain([127, 128, 1000, 4097]) {
            let permutation = Permutation::new(n, 3, "rows", 0);
            let mut seen = vec![false; n as usize];
            for i in 0..n {
                let image = permutation.apply(i) as usize;
                assert!(!std::mem::replace(&mut seen[image], true), "{n}: {image} twice");
            }
        }
        let large = Permutation::new(u64::MAX, 3, "rows", 0);
        assert_ne!(large.apply(u64::MAX - 1), large.apply(0));
    }

    #[test]
    fn keys_change_the_order_and_shuffle_well() {
        let order = |seed, epoch| {
            let permutation = Permutation::new(1000, seed, "rows", epoch);
            (0..1000).map(|i| permutation.apply(i)).collect::<Vec<_>>()
        };
        assert_eq!(order(1, 0), order(1, 0));
        assert_ne!(order(1, 0), order(2, 0));
        assert_ne!(order(1, 0), order(1, 1));
        // Neighbours of a random order of n are n/3 apart on average; 3 % is four standard errors.
        let steps: u64 = order(1, 0).windows(2).map(|w| w[0].abs_diff(w[1])).sum();
        assert!((steps as f64 / 999.0 / (1000.0 / 3.0) - 1.0).abs() < 0.03 * 4.0, "{steps}");
        // Fixed points of a random permutation are few: P(more than 9) < 1e-6.
        assert!(order(1, 0).iter().enumerate().filter(|(i, v)| *i as u64 == **v).count() < 10);
    }
}
