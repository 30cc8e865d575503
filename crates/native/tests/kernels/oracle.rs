//! What the kernel tests share: repeatable inputs, a loop over machines, comparison.

use stoa_native::Context;
use stoa_native::isa::Isa;
use stoa_native::pool::Pool;

/// Repeatable numbers (SplitMix64).
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in 0..bound.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// Uniform in −1..1.
    pub fn uniform(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    pub fn vec(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.uniform()).collect()
    }
}

/// Runs `kernel` on every instruction set with 1, 2 and 3 threads, requires the threads to agree
/// bit for bit, and hands each set's result to `judge`.
pub fn on_every_machine(
    mut kernel: impl FnMut(Context<'_>) -> Vec<Vec<f32>>,
    mut judge: impl FnMut(Isa, &[Vec<f32>]),
) {
    let pools = [1, 2, 3].map(Pool::new);
    for isa in Isa::available() {
        let results: Vec<Vec<Vec<f32>>> =
            pools.iter().map(|pool| kernel(Context::new(pool, isa))).collect();
        let bits = |r: &Vec<Vec<f32>>| -> Vec<Vec<u32>> {
            r.iter().map(|v| v.iter().map(|x| x.to_bits()).collect()).collect()
        };
        for other in &results[1..] {
            assert!(bits(&results[0]) == bits(other), "{isa}: threads change the result");
        }
        judge(isa, &results[0]);
    }
}

/// Asserts |found − want| ≤ tolerance·(1 + |want|) for each element; NaN only where NaN is wanted.
#[track_caller]
pub fn assert_close(what: &str, found: &[f32], want: &[f64], tolerance: f64) {
    assert_eq!(found.len(), want.len(), "{what}: length");
    for (i, (&f, &w)) in found.iter().zip(want).enumerate() {
        let same = f64::from(f) == w || (f.is_nan() && w.is_nan());
        let close = (f64::from(f) - w).abs() <= tolerance * (1.0 + w.abs());
        assert!(same || close, "{what}[{i}]: found {f}, want {w}");
    }
}

/// Widens to f64.
pub fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}
