//! The arithmetic ceiling of this machine: fused multiply-adds on registers, nothing else.
//!
//! Every rate of a kernel is quoted as a share of this. It does not measure memory.

use crate::isa::{Isa, Kernel, Simd};
use crate::pool::Pool;
use std::hint::black_box;
use std::time::Instant;

/// Independent sums per thread: at least latency (4–5 cycles) times two units, and few enough for
/// the smallest register file.
const SUMS: usize = 12;
/// Multiply-adds per sum in one run: about a millisecond, long enough to hide starting the threads.
const STEPS: usize = 1 << 18;

struct MultiplyAdd;

impl Kernel for MultiplyAdd {
    type Output = f32;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let (x, y) = (s.splat(black_box(0.999)), s.splat(black_box(1e-3)));
        let mut sums = [s.splat(black_box(1.0)); SUMS];
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = s.mul_add(*sum, x, y);
            }
        }
        sums.iter().map(|&sum| s.reduce_add(sum)).sum()
    }
}

/// The highest rate of f32 multiply-adds seen in `runs` runs on all threads of the pool, in GFLOP/s
/// (a multiply-add counts as two operations).
///
/// # Panics
/// If the machine lacks `isa`.
pub fn fma_peak_gflops(pool: &Pool, isa: Isa, runs: usize) -> f64 {
    // Several pieces per thread, so that one that is interrupted does not hold up the rest.
    let pieces = pool.threads() * 4;
    let flops = (2 * isa.lanes() * SUMS * STEPS * pieces) as f64;
    let rates = (0..runs).map(|_| {
        let begun = Instant::now();
        pool.run(pieces, &|_, _| {
            black_box(isa.dispatch(MultiplyAdd));
        });
        flops / begun.elapsed().as_secs_f64() / 1e9
    });
    rates.fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_positive_and_finite() {
        for isa in Isa::available() {
            let peak = fma_peak_gflops(&Pool::new(1), isa, 1);
            assert!(peak.is_finite() && peak > 0.0, "{isa}: {peak}");
        }
    }
}
