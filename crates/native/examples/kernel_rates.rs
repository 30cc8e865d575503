//! Speed of attention, forward and backward and of one query over a cache, at the sizes of the
//! benchmarks' models and around them.
//! Prints the median and the best of many calls; checks no results. `gemm_rates` is the same for
//! products, `stoa bench ops` for whole training steps.
//!
//! `cargo run --release -p stoa-native --example kernel_rates [-- FILTER]`

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::time::Instant;

use stoa_native::Context;
use stoa_native::isa::{Isa, Kernel, Simd};
use stoa_native::kernels::attention::{Heads, Mask, attention, attention_backward, key_ranges};
use stoa_native::kernels::cache::{
    CachedHeads, Entry, Paging, Places, Q8Block, cached_attention, kv_append,
};
use stoa_native::pool::Pool;

fn main() {
    let filter = std::env::args().nth(1).unwrap_or_default();
    let isa = std::env::var("ISA").map_or(Isa::detect(), |s| s.parse().expect("ISA"));
    let threads: usize = std::env::var("THREADS").map_or(2, |s| s.parse().expect("THREADS"));
    let bench = Bench { filter, isa, pool: Pool::new(threads) };
    println!("{isa}, {threads} threads");
    bench.peak();
    bench.attention();
    bench.cached::<f32>("f32");
    bench.cached::<half::f16>("f16");
    bench.cached::<Q8Block>("q8_0");
}

struct Bench {
    filter: String,
    isa: Isa,
    pool: Pool,
}

/// Independent multiply-adds in registers: the ceiling of arithmetic.
struct Peak(usize);

impl Kernel for Peak {
    type Output = f32;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let mut sums = [s.splat(1.0); 12];
        let (a, b) = (s.splat(std::hint::black_box(0.999)), s.splat(std::hint::black_box(1e-3)));
        for _ in 0..self.0 {
            for sum in &mut sums {
                *sum = s.mul_add(*sum, a, b);
            }
        }
        sums.iter().map(|&v| s.reduce_add(v)).sum()
    }
}

impl Bench {
    /// Median and least seconds of a call, over about 0.4 s of calls.
    fn seconds(&self, mut call: impl FnMut()) -> (f64, f64) {
        call();
        let begun = Instant::now();
        let mut times = Vec::new();
        while begun.elapsed().as_secs_f64() < 0.4 || times.len() < 5 {
            let start = Instant::now();
            call();
            times.push(start.elapsed().as_secs_f64());
        }
        times.sort_by(f64::total_cmp);
        (times[times.len() / 2], times[0])
    }

    fn report(&self, name: &str, (median, least): (f64, f64), amount: f64, unit: &str) {
        let rate = |seconds: f64| amount / seconds / 1e9;
        println!(
            "{name:44} {:9.3} ms {:8.1} (best {:8.1}) {unit}",
            median * 1e3,
            rate(median),
            rate(least)
        );
    }

    fn wanted(&self, name: &str) -> bool {
        name.contains(&self.filter)
    }

    fn peak(&self) {
        let threads = self.pool.threads();
        let steps = 1 << 20;
        let seconds = self.seconds(|| {
            self.pool.run(threads, &|_, _| {
                std::hint::black_box(self.isa.dispatch(Peak(steps)));
            });
        });
        let flops = (threads * steps * 12 * 2 * self.isa.lanes()) as f64;
        self.report("multiply-add peak", seconds, flops, "GFLOP/s");
    }

    fn attention(&self) {
        let context = Context::new(&self.pool, self.isa);
        for (batch, time, heads, kv_heads, head_dim) in [
            (16, 256, 6, 6, 64),
            (96, 256, 1, 1, 64),
            (4, 512, 12, 12, 64),
            (1, 2048, 6, 6, 64),
            (4, 512, 12, 12, 32),
            (4, 512, 6, 6, 128),
            (1, 2048, 6, 2, 128),
        ] {
            let name = format!("attention {batch}x{time} {heads}/{kv_heads}x{head_dim}");
            if !self.wanted(&name) {
                continue;
            }
            let scale = (head_dim as f32).powf(-0.5);
            let h = Heads { batch, time, heads, kv_heads, head_dim, scale, score_cap: None };
            let rows = batch * time;
            let fill =
                |n: usize| -> Vec<f32> { (0..n).map(|i| (i % 97) as f32 * 0.02 - 1.0).collect() };
            let (q, k, v) = (
                fill(rows * heads * head_dim),
                fill(rows * kv_heads * head_dim),
                fill(rows * kv_heads * head_dim),
            );
            let mut out = vec![0.0; q.len()];
            let mut lse = vec![0.0; rows * heads];
            let ranges = key_ranges(Mask { causal: true, window: None }, batch, time, None);
            let seconds = self.seconds(|| {
                attention(context, h, &ranges, &q, &k, &v, &mut out, &mut lse);
            });
            // Two products of time²/2 visible pairs each.
            let flops = 2.0 * (batch * heads * time * time * head_dim) as f64;
            self.report(&format!("{name} forward"), seconds, flops, "GFLOP/s");
            let dout = fill(q.len());
            let (mut dq, mut dk, mut dv) =
                (vec![0.0; q.len()], vec![0.0; k.len()], vec![0.0; k.len()]);
            let seconds = self.seconds(|| {
                let inputs = [&q[..], &k, &v, &out, &lse, &dout];
                let gradients = (&mut dq[..], &mut dk[..], &mut dv[..]);
                attention_backward(context, h, &ranges, inputs, gradients);
            });
            // Five such products.
            self.report(&format!("{name} backward"), seconds, 2.5 * flops, "GFLOP/s");
        }
    }

    /// One query of an answer, over caches of several layers, so that they come from memory.
    fn cached<T: Entry + Default>(&self, dtype: &str) {
        const PAGE: usize = 32;
        let context = Context::new(&self.pool, self.isa);
        for (heads, kv_heads, head_dim) in [(12, 12, 64), (9, 3, 64), (14, 2, 64), (4, 1, 256)] {
            for time in [64, 512, 4096] {
                let name = format!("cached {dtype} {heads}/{kv_heads}x{head_dim} over {time}");
                if !self.wanted(&name) {
                    continue;
                }
                let paging = Paging { kv_heads, page: PAGE, head_dim };
                let columns = time / PAGE;
                let layers = (100_000_000 / (2 * time * kv_heads * head_dim * 4)).clamp(2, 12);
                let fill = |n: usize| -> Vec<f32> {
                    (0..n).map(|i| (i % 97) as f32 * 0.02 - 1.0).collect()
                };
                let table: Vec<i32> = (0..columns as i32).collect();
                let (sequences, positions): (Vec<i32>, Vec<i32>) =
                    (0..time as i32).map(|position| (0, position)).unzip();
                let all =
                    Places { table: &table, columns, sequences: &sequences, positions: &positions };
                let new = fill(time * kv_heads * head_dim);
                let caches: Vec<Vec<T>> = (0..2 * layers)
                    .map(|_| {
                        let mut cache = vec![T::default(); new.len() / T::NUMBERS];
                        kv_append(context, &mut cache, paging, &new, all);
                        cache
                    })
                    .collect();
                let (q, mut out) = (fill(heads * head_dim), vec![0.0; heads * head_dim]);
                let h = CachedHeads { heads, paging, scale: 0.125, score_cap: None, window: None };
                let last = [time as i32 - 1];
                let places = Places { sequences: &[0], positions: &last, ..all };
                let seconds = self.seconds(|| {
                    for layer in caches.chunks_exact(2) {
                        let layer = (&layer[0][..], &layer[1][..]);
                        cached_attention(context, h, &q, layer, places, &mut out);
                    }
                });
                let bytes = caches.iter().map(|cache| size_of_val(&cache[..])).sum::<usize>();
                self.report(&name, seconds, bytes as f64, "GB/s");
            }
        }
    }
}
