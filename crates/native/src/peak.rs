//! The arithmetic ceiling of this machine: multiply-adds on registers, nothing else, of f32 or of bf16
//! where it has dot products of them.
//!
//! Every rate of a kernel is quoted as a share of this. It does not measure memory.

use crate::gemm::Arithmetic;
#[cfg(target_arch = "x86_64")]
use crate::gemm::Precision;
#[cfg(target_arch = "x86_64")]
use crate::isa::{Avx512Bf16, Isa};
use crate::isa::{Kernel, Simd};
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

/// The same with pairs of bf16.
#[cfg(target_arch = "x86_64")]
struct DotPairs(Avx512Bf16);

#[cfg(target_arch = "x86_64")]
impl Kernel for DotPairs {
    type Output = f32;
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> f32 {
        let s = self.0;
        let pairs = |x: f32| s.round_to_pairs(s.splat(black_box(x)), s.splat(black_box(x)));
        let (x, y) = (pairs(0.999), pairs(1e-3));
        let mut sums = [s.splat(black_box(1.0)); SUMS];
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = s.dot_pairs(x, y, *sum);
            }
        }
        sums.iter().map(|&sum| s.reduce_add(sum)).sum()
    }
}

/// Runs one piece; the multiply-adds of a lane and step in it.
fn piece(arithmetic: Arithmetic) -> usize {
    #[cfg(target_arch = "x86_64")]
    if arithmetic == (Arithmetic { isa: Isa::Avx512Bf16, precision: Precision::Bf16 }) {
        let s = Avx512Bf16::new().expect("this machine lacks the instruction set asked for");
        black_box(s.enter(DotPairs(s)));
        return 2;
    }
    black_box(arithmetic.isa.dispatch(MultiplyAdd));
    1
}

/// The highest rate of multiply-adds seen in `runs` runs on all threads of the pool, in GFLOP/s (a
/// multiply-add counts as two operations).
///
/// # Panics
/// If the machine lacks the instruction set.
pub fn fma_peak_gflops(pool: &Pool, arithmetic: impl Into<Arithmetic>, runs: usize) -> f64 {
    let arithmetic = arithmetic.into();
    // Several pieces per thread, so that one that is interrupted does not hold up the rest.
    let pieces = pool.threads() * 4;
    let lanes = arithmetic.isa.lanes() * piece(arithmetic);
    let flops = (2 * lanes * SUMS * STEPS * pieces) as f64;
    let rates = (0..runs).map(|_| {
        let begun = Instant::now();
        pool.run(pieces, &|_, _| {
            piece(arithmetic);
        });
        flops / begun.elapsed().as_secs_f64() / 1e9
    });
    rates.fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gemm::Precision;
    use crate::isa::Isa;

    #[test]
    fn the_peak_is_positive_and_finite() {
        for isa in Isa::available() {
            for precision in [Precision::F32, Precision::Bf16] {
                let peak = fma_peak_gflops(&Pool::new(1), Arithmetic { isa, precision }, 1);
                assert!(peak.is_finite() && peak > 0.0, "{isa} {precision:?}: {peak}");
            }
        }
    }
}
