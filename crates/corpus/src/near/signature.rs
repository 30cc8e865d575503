//! MinHash signatures in bands: texts that share a band are proposed for comparison.
//!
//! With 24 bands of 5 rows, two sets of similarity 0.8 meet in a band with probability
//! 1 - (1 - 0.8^5)^24 > 0.9999, of 0.5 with 0.53; every candidate is verified, so the second costs time only.

use super::features::Features;
use stoa_random::mix;
use xxhash_rust::xxh3::xxh3_64_with_seed;

const BANDS: usize = 24;
const ROWS: usize = 5;
const HASHES: usize = BANDS * ROWS;

/// The hash functions of all signatures, fixed forever: signatures of different runs and shards agree.
pub(crate) struct Signer {
    /// Odd multipliers and additions of `x ↦ a x + b` on 32 bits, each a bijection.
    multipliers: [u32; HASHES],
    additions: [u32; HASHES],
    keys: Vec<u64>,
}

impl Signer {
    pub(crate) fn new() -> Signer {
        let word = |index: usize| mix(0x5eed_0000 + index as u64);
        Signer {
            multipliers: std::array::from_fn(|index| (word(index) as u32) | 1),
            additions: std::array::from_fn(|index| (word(index) >> 32) as u32),
            keys: Vec::new(),
        }
    }

    /// The bucket keys of a text: 24 for each kind of shingles it has.
    pub(crate) fn band_keys(&mut self, features: &Features) -> impl Iterator<Item = u64> + '_ {
        self.keys.clear();
        for (kind, shingles) in [&features.characters, &features.words].into_iter().enumerate() {
            if shingles.is_empty() {
                continue;
            }
            let minima = self.minima(shingles);
            for (band, rows) in minima.chunks_exact(ROWS).enumerate() {
                let mut bytes = [0; ROWS * 4];
                for (bytes, row) in bytes.chunks_exact_mut(4).zip(rows) {
                    bytes.copy_from_slice(&row.to_le_bytes());
                }
                self.keys.push(xxh3_64_with_seed(&bytes, (kind * BANDS + band) as u64));
            }
        }
        self.keys.iter().copied()
    }

    fn minima(&self, shingles: &[u64]) -> [u32; HASHES] {
        let mut minima = [u32::MAX; HASHES];
        for &shingle in shingles {
            let word = shingle as u32;
            let functions = self.multipliers.iter().zip(&self.additions);
            for (minimum, (multiplier, addition)) in minima.iter_mut().zip(functions) {
                // The high bits of a product hardly depend on its multiplicand's: fold them in.
                let product = word.wrapping_mul(*multiplier).wrapping_add(*addition);
                *minimum = (*minimum).min(product ^ (product >> 15));
            }
        }
        minima
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows that two sets share estimate their similarity without bias.
    #[test]
    fn rows_estimate_similarity() {
        let signer = Signer::new();
        for shared in [20_u64, 50, 80] {
            let mut agreeing = 0;
            let trials = 200;
            for trial in 0..trials {
                let hash = |item: u64| mix(trial * 1000 + item);
                let left: Vec<u64> = (0..100).map(hash).collect();
                let right: Vec<u64> = (100 - shared..200 - shared).map(hash).collect();
                let pairs = signer.minima(&left).into_iter().zip(signer.minima(&right));
                agreeing += pairs.filter(|(left, right)| left == right).count();
            }
            let estimate = agreeing as f64 / (trials as usize * HASHES) as f64;
            let similarity = shared as f64 / (200 - shared) as f64;
            // The standard error over 200 independent trials is below 0.005; rows are dependent.
            assert!((estimate - similarity).abs() < 0.03, "{estimate} for {similarity}");
        }
    }
}
