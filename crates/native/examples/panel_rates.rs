//! Prints what products of few and of many rows with weights in panels cost, beside the same
//! product with weights in rows: `cargo run --release -p stoa-native --example panel_rates --
//! [--isa avx2] [--rows 1,8,128]`. Weights of several layers take turns, so that they come from
//! memory; each pair is measured in turns and the middle of the ratios is given.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::hint::black_box;
use std::time::Instant;

use half::f16;
use stoa_graph::DType;
use stoa_native::gemm::{MatMut, MatRef, Operand, PanelMatrix, gemm, panel_width, to_panels};
use stoa_native::isa::Isa;
use stoa_native::pool::Pool;

/// (name, n, k)
const SHAPES: [(&str, usize, usize); 8] = [
    ("S qkvo", 384, 384),
    ("S up", 1536, 384),
    ("S down", 384, 1536),
    ("S head", 8192, 384),
    ("L qkvo", 768, 768),
    ("L up", 3072, 768),
    ("L down", 768, 3072),
    ("L head", 50304, 768),
];
/// Bytes of weights that take turns.
const BYTES: usize = 192 << 20;
const TURNS: usize = 9;

fn option(name: &str) -> Option<String> {
    let mut args = std::env::args();
    args.find(|arg| arg == name).and_then(|_| args.next())
}

fn middle(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

fn main() {
    let isa: Isa = option("--isa").map_or(Isa::detect(), |name| name.parse().unwrap());
    let rows = option("--rows").unwrap_or("1,4,8,16,31,128,512".into());
    let rows: Vec<usize> = rows.split(',').map(|m| m.parse().unwrap()).collect();
    let pool = Pool::new(2);
    for dtype in [DType::F32, DType::F16] {
        for (name, n, k) in SHAPES {
            let size = if dtype == DType::F32 { 4 } else { 2 };
            let copies = (BYTES / (n * k * size)).clamp(1, 64);
            let numbers = |i: usize| ((i * 7919) % 255) as f32 / 255.0 - 0.5;
            let one: Vec<f32> = match dtype {
                DType::F32 => (0..n * k).map(numbers).collect(),
                _ => {
                    let halves: Vec<f16> = (0..n * k).map(|i| f16::from_f32(numbers(i))).collect();
                    bytemuck::cast_slice(&halves).to_vec()
                }
            };
            let plain: Vec<Vec<f32>> = vec![one.clone(); copies];
            let mut one = one;
            let width = panel_width(isa);
            to_panels(&pool, dtype, [n, k], width, bytemuck::cast_slice_mut(&mut one));
            let panels: Vec<Vec<f32>> = vec![one; copies];
            for &m in &rows {
                let x: Vec<f32> = (0..m * k).map(numbers).collect();
                let mut y = vec![0.0_f32; m * n];
                let mut pass = |packed: bool| {
                    let took = Instant::now();
                    for i in 0..copies {
                        let (x, y) = (MatRef::new(&x, m, k), MatMut::new(&mut y, m, n));
                        if packed {
                            let bytes = bytemuck::cast_slice(&panels[i]);
                            let w = PanelMatrix::new(dtype, bytes, n, k, width);
                            gemm(&pool, isa, 1.0, x, Operand::from(w).t(), 0.0, y);
                        } else if dtype == DType::F32 {
                            let w = MatRef::new(&plain[i], n, k);
                            gemm(&pool, isa, 1.0, x, w.t(), 0.0, y);
                        } else {
                            let w = MatRef::<f16>::new(bytemuck::cast_slice(&plain[i]), n, k);
                            gemm(&pool, isa, 1.0, x, w.t(), 0.0, y);
                        }
                    }
                    black_box(&y);
                    took.elapsed().as_secs_f64() / copies as f64
                };
                let turns = if m > 100 { 3 } else { TURNS };
                let pairs: Vec<(f64, f64)> =
                    (0..turns).map(|_| (pass(false), pass(true))).collect();
                let ratio = middle(pairs.iter().map(|(old, new)| old / new).collect());
                let best = pairs.iter().map(|pair| pair.1).fold(f64::INFINITY, f64::min);
                let (bytes, flops) = ((n * k * size) as f64, (2 * m * n * k) as f64);
                println!(
                    "{isa} {dtype} {name:7} m {m:4}: {:6.1} GB/s {:7.1} GFLOP/s, \
                     panels/rows {ratio:5.2}",
                    bytes / best / 1e9,
                    flops / best / 1e9,
                );
            }
        }
    }
}
