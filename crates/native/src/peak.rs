//! The ceilings of this machine: multiply-adds on registers, nothing else, of f32 or of bf16 where it has
//! dot products of them; dot products of bytes likewise; and reads from memory.
//!
//! Every rate of a kernel is quoted as a share of these.

use crate::gemm::Arithmetic;
#[cfg(target_arch = "x86_64")]
use crate::gemm::Precision;
#[cfg(target_arch = "x86_64")]
use crate::isa::Avx512Bf16;
use crate::isa::{Dots, DotsKernel, Isa, Kernel, Simd};
use crate::pool::{AlignedBuffer, Pool};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
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

/// Dot products of bytes on registers.
struct DotQuads<S>(S);

impl<S: Dots> Kernel for DotQuads<S> {
    type Output = f32;
    #[inline(always)]
    fn run<T: Simd>(self, _: T) -> f32 {
        let s = self.0;
        // As many as there are quads, and sums that change what is multiplied: the compiler must not
        // find a product that it has.
        let weights = black_box([1, 2, 3, 4, 5, 6, 7, 8]).map(|x| s.splat_i32(x));
        let run = s.run(WEIGHTS).min(QUADS);
        let mut sums = [s.splat_i32(black_box(1)); SUMS];
        for _ in 0..STEPS / QUADS {
            for sum in &mut sums {
                let x = *sum;
                for weights in weights.chunks_exact(run) {
                    let mut partial = s.begin(*sum);
                    for &weights in weights {
                        partial = s.dot(partial, weights, x);
                    }
                    *sum = s.settle(*sum, partial);
                }
            }
        }
        sums.iter().map(|&sum| s.reduce_add(s.to_f32(sum))).sum()
    }
}

/// Greatest weight: those of four bits, of which the most can be added in 16 bits.
const WEIGHTS: u32 = 15;
/// Quads of a block of 32. A multiple of the quads that any set adds before it settles a sum.
const QUADS: usize = 8;

/// One piece of dot products; the products of bytes in it.
struct Quads;

impl DotsKernel for Quads {
    type Output = usize;
    fn run<S: Dots>(self, s: S) -> usize {
        black_box(s.enter(DotQuads(s)));
        STEPS / QUADS * SUMS * QUADS * 4 * S::LANES
    }
}

/// The highest rate of dot products of bytes seen in `runs` runs on all threads of the pool, in GOP/s
/// (a multiply-add counts as two operations).
///
/// # Panics
/// If the machine lacks the instruction set.
pub fn dot_peak_gops(pool: &Pool, isa: Isa, runs: usize) -> f64 {
    let pieces = pool.threads() * 4;
    let rates = (0..runs).map(|_| {
        let products = AtomicUsize::new(0);
        let begun = Instant::now();
        pool.run(pieces, &|_, _| {
            products.fetch_add(isa.with_dots(Quads), Ordering::Relaxed);
        });
        2.0 * products.into_inner() as f64 / begun.elapsed().as_secs_f64() / 1e9
    });
    rates.fold(0.0, f64::max)
}

/// Bytes that are read from memory: many times the caches.
const MEMORY: usize = 384 << 20;
/// Bytes that a thread reads in one go, as long as a task of a product with one row.
const PIECE: usize = 64 << 10;
/// Bytes ahead that are asked for, as products of one row do.
const AHEAD: usize = 4096;

/// Sums numbers of memory.
struct Sum<'a>(&'a [f32]);

impl Kernel for Sum<'_> {
    type Output = f32;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let mut sums = [s.zero(); 8];
        for line in self.0.chunks_exact(8 * S::LANES) {
            for (sum, part) in sums.iter_mut().zip(line.chunks_exact(S::LANES)) {
                s.prefetch(part.as_ptr().wrapping_byte_add(AHEAD));
                *sum = s.add(*sum, s.load(part));
            }
        }
        sums.iter().map(|&sum| s.reduce_add(sum)).sum()
    }
}

/// The highest rate at which all threads of the pool read memory in `runs` passes, in GB/s.
///
/// # Panics
/// If the machine lacks the instruction set.
pub fn read_gigabytes_per_second(pool: &Pool, isa: Isa, runs: usize) -> f64 {
    let mut memory = AlignedBuffer::default();
    let memory: &[f32] = memory.slice(MEMORY / size_of::<f32>());
    let pieces = memory.chunks_exact(PIECE / size_of::<f32>());
    let pieces: Vec<&[f32]> = pieces.collect();
    let rates = (0..runs).map(|_| {
        let begun = Instant::now();
        pool.run_neighbours(pieces.len(), &|i, _| {
            black_box(isa.dispatch(Sum(pieces[i])));
        });
        MEMORY as f64 / begun.elapsed().as_secs_f64() / 1e9
    });
    rates.fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gemm::Precision;

    #[test]
    fn the_peak_is_positive_and_finite() {
        for isa in Isa::available() {
            for precision in [Precision::F32, Precision::Bf16] {
                let peak = fma_peak_gflops(&Pool::new(1), Arithmetic { isa, precision }, 1);
                assert!(peak.is_finite() && peak > 0.0, "{isa} {precision:?}: {peak}");
            }
            let peak = dot_peak_gops(&Pool::new(1), isa, 1);
            assert!(peak.is_finite() && peak > 0.0, "{isa}: {peak}");
        }
        let rate = read_gigabytes_per_second(&Pool::new(2), Isa::detect(), 1);
        assert!(rate.is_finite() && rate > 0.0, "{rate}");
    }
}
