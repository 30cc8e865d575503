//! Draws from a stream one after the other, in the distributions that the house needs.

use crate::Stream;

/// A stream with a position: the n-th draw is a pure function of the stream and n.
#[derive(Clone, Copy, Debug)]
pub struct Draws {
    stream: Stream,
    drawn: u64,
}

impl Draws {
    /// The stream called `name` under `seed` ([`Stream::hashed`]).
    pub fn new(seed: u64, name: &str) -> Self {
        Self::from(Stream::hashed(seed, name))
    }

    /// The stream of a numbered purpose ([`Stream::numbered`]).
    pub fn numbered(seed: u64, purpose: u64) -> Self {
        Self::from(Stream::numbered(seed, purpose))
    }

    /// The next 64 bits.
    pub fn word(&mut self) -> u64 {
        self.drawn += 1;
        self.stream.bits(self.drawn - 1)
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

    /// Uniform in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        self.drawn += 1;
        self.stream.unit(self.drawn - 1)
    }

    /// Uniform in a range.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// Uniform in the logarithm: for ranges over orders of magnitude.
    pub fn log_between(&mut self, low: f64, high: f64) -> f64 {
        self.between(low.ln(), high.ln()).exp()
    }

    /// Exponential with the given mean.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.uniform()).ln()
    }

    /// Normal of mean 0 and deviation 1 (Box and Muller, Ann. Math. Stat. 29, 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

impl From<Stream> for Draws {
    fn from(stream: Stream) -> Self {
        Draws { stream, drawn: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn moments_are_right() {
        let mut draws = Draws::numbered(1, 2);
        let n = 40_000;
        let normals: Vec<f64> = (0..n).map(|_| draws.normal()).collect();
        let mean = normals.iter().sum::<f64>() / f64::from(n);
        let variance = normals.iter().map(|x| x * x).sum::<f64>() / f64::from(n);
        // Five standard errors of the mean and of the variance.
        assert!(mean.abs() < 0.025 && (variance - 1.0).abs() < 0.036, "{mean} {variance}");
        let mean = (0..n).map(|_| draws.exponential(3.0)).sum::<f64>() / f64::from(n);
        assert!((mean - 3.0).abs() < 0.075, "{mean}");
    }
}
