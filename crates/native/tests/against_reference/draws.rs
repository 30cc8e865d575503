//! Deterministic random arrays for tests. Not for training: no streams, no jumps.

use stoa_graph::reference::Array;

/// SplitMix64 (Steele, Lea, Flood 2014, figure 17).
pub struct Draws(u64);

impl Draws {
    pub fn new(seed: u64) -> Self {
        Draws(seed)
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in −1..1, a number that bf16 holds (so that it is the same in every float type).
    pub fn signed(&mut self) -> f64 {
        let wide = (self.bits() >> 11) as f32 / (1u64 << 52) as f32 - 1.0;
        half::bf16::from_f32(wide).to_f64()
    }

    /// Uniform integer in `range`.
    pub fn integer(&mut self, range: std::ops::Range<i64>) -> i64 {
        let width = u64::try_from(range.end - range.start).unwrap();
        range.start + i64::try_from(self.bits() % width).unwrap()
    }

    /// Uniform index below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.integer(0..n as i64)).unwrap()
    }

    /// Elements uniform in −scale..scale.
    pub fn array(&mut self, shape: &[usize], scale: f64) -> Array {
        let n: usize = shape.iter().product();
        Array::new(shape, (0..n).map(|_| scale * self.signed()).collect::<Vec<_>>())
    }

    /// Integers in `range`.
    pub fn integers(&mut self, shape: &[usize], range: std::ops::Range<i64>) -> Array {
        let n: usize = shape.iter().product();
        Array::new(shape, (0..n).map(|_| self.integer(range.clone()) as f64).collect::<Vec<_>>())
    }
}
