//! Prints the rate of the matrix product on the shapes of transformer training, as GFLOP/s and as a
//! share of the multiply-add peak: `cargo run --release -p stoa-native --example gemm_rates --
//! [--threads 1,2] [--isa avx512,avx2] [--filter TEXT] [--repeats N]`. Each shape is measured in f32
//! and in bf16, in turns; the share is of the f32 peak.
//!
//! Shapes are given as m × n × k with the layout of A and B: `n` stored as used, `t` transposed.
//! `nt` is a layer forward (x · Wᵀ), `nn` its input gradient, `tn` its weight gradient.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::time::Instant;
use stoa_native::gemm::{Arithmetic, MatMut, MatRef, Precision, gemm};
use stoa_native::isa::Isa;
use stoa_native::peak::fma_peak_gflops;
use stoa_native::pool::Pool;

/// (name, m, n, k, layout)
const SHAPES: &[(&str, usize, usize, usize, &str)] = &[
    ("S qkvo", 4096, 384, 384, "nt"),
    ("S up", 4096, 1536, 384, "nt"),
    ("S down", 4096, 384, 1536, "nt"),
    ("S head", 4096, 8192, 384, "nt"),
    ("S head chunk 512", 512, 8192, 384, "nt"),
    ("S head chunk 128", 128, 8192, 384, "nt"),
    ("S d qkvo", 4096, 384, 384, "nn"),
    ("S d up", 4096, 384, 1536, "nn"),
    ("S d down", 4096, 1536, 384, "nn"),
    ("S d head", 4096, 384, 8192, "nn"),
    ("S d head chunk 512", 512, 384, 8192, "nn"),
    ("S w qkvo", 384, 384, 4096, "tn"),
    ("S w up", 1536, 384, 4096, "tn"),
    ("S w down", 384, 1536, 4096, "tn"),
    ("S w head", 8192, 384, 4096, "tn"),
    ("S w head chunk 512", 8192, 384, 512, "tn"),
    ("L qkvo", 2048, 768, 768, "nt"),
    ("L up", 2048, 3072, 768, "nt"),
    ("L down", 2048, 768, 3072, "nt"),
    ("L head", 2048, 50304, 768, "nt"),
    ("L head chunk 256", 256, 50304, 768, "nt"),
    ("L d up", 2048, 768, 3072, "nn"),
    ("L d head", 2048, 768, 50304, "nn"),
    ("L w qkvo", 768, 768, 2048, "tn"),
    ("L w up", 3072, 768, 2048, "tn"),
    ("L w head", 50304, 768, 2048, "tn"),
    ("square 2048", 2048, 2048, 2048, "nn"),
    ("Muon 384", 384, 384, 384, "nt"),
    ("Muon 384x1536", 384, 384, 1536, "nt"),
    ("Muon 768x3072", 768, 768, 3072, "nt"),
    ("tiny qkvo", 2048, 128, 128, "nt"),
    ("tiny up", 2048, 512, 128, "nt"),
    ("tiny w", 512, 128, 2048, "tn"),
    ("attention tile", 64, 64, 64, "nt"),
];

struct Options {
    threads: Vec<usize>,
    isas: Vec<Isa>,
    filter: String,
    repeats: usize,
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        threads: vec![1, 2],
        isas: Isa::available().collect(),
        filter: String::new(),
        repeats: 7,
    };
    let mut args = std::env::args().skip(1);
    while let Some(flag) = args.next() {
        let value = args.next().ok_or(format!("{flag} needs a value"))?;
        let numbers = |text: &str| text.parse().map_err(|_| format!("{flag}: {text} is no number"));
        match flag.as_str() {
            "--threads" => {
                options.threads = value.split(',').map(numbers).collect::<Result<_, _>>()?
            }
            "--isa" => {
                let isas = value.split(',').map(|name| name.parse().map_err(|e| format!("{e}")));
                options.isas = isas.collect::<Result<_, _>>()?;
            }
            "--filter" => options.filter = value,
            "--repeats" => options.repeats = numbers(&value)?,
            _ => return Err(format!("unknown option {flag}")),
        }
    }
    Ok(options)
}

fn view(data: &[f32], rows: usize, cols: usize, transposed: bool) -> MatRef<'_> {
    if transposed { MatRef::new(data, cols, rows).t() } else { MatRef::new(data, rows, cols) }
}

/// Median seconds of one product in f32 and in bf16.
fn seconds(pool: &Pool, isa: Isa, [m, n, k]: [usize; 3], layout: &str, repeats: usize) -> [f64; 2] {
    let fill = |len: usize| (0..len).map(|i| (i % 13) as f32 - 6.0).collect::<Vec<f32>>();
    let (a, b, mut c) = (fill(m * k), fill(k * n), vec![0.0; m * n]);
    let a = view(&a, m, k, layout.starts_with('t'));
    let b = view(&b, k, n, layout.ends_with('t'));
    let mut once = |precision| {
        let arithmetic = Arithmetic { isa, precision };
        gemm(pool, arithmetic, 1.0, a, b, 0.0, MatMut::new(&mut c, m, n));
    };
    let precisions = [Precision::F32, Precision::Bf16];
    precisions.iter().for_each(|&precision| once(precision));
    // Short products are repeated to about a millisecond per measurement.
    let rounds = (1e9 / (2.0 * (m * n * k) as f64 * 10.0)).ceil().max(1.0) as usize;
    let mut times: Vec<[f64; 2]> = (0..repeats)
        .map(|_| {
            precisions.map(|precision| {
                let begun = Instant::now();
                (0..rounds).for_each(|_| once(precision));
                begun.elapsed().as_secs_f64() / rounds as f64
            })
        })
        .collect();
    [0, 1].map(|side| {
        times.sort_by(|x, y| x[side].total_cmp(&y[side]));
        times[repeats / 2][side]
    })
}

fn main() -> Result<(), String> {
    let Options { threads, isas, filter, repeats } = options()?;
    for isa in isas {
        for &threads in &threads {
            let pool = Pool::new(threads);
            let peak = fma_peak_gflops(&pool, isa, 5);
            println!("{isa}, {threads} threads: peak {peak:.0} GFLOP/s");
            for &(name, m, n, k, layout) in SHAPES.iter().filter(|s| s.0.contains(&filter)) {
                let times = seconds(&pool, isa, [m, n, k], layout, repeats);
                let [rate, bf16] = times.map(|seconds| 2.0 * (m * n * k) as f64 / seconds / 1e9);
                let (share, gain) = (100.0 * rate / peak, bf16 / rate);
                println!(
                    "  {name:20} {m:>5} x {n:>5} x {k:>5} {layout}  {rate:7.1}  {share:3.0} %  \
                     bf16 {bf16:7.1}  {gain:4.2}"
                );
            }
        }
    }
    Ok(())
}
