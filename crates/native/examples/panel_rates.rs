//! Prints what products of few and of many rows with weights in panels cost, beside the same
//! product with weights in rows: `cargo run --release -p stoa-native --example panel_rates --
//! [--isa avx2] [--rows 1,8,128] [--weights f32,q8_0] [--only "L up"]`. Quantised weights are
//! multiplied with rows of q8_0. Weights of several layers take turns, so that they come from memory;
//! each pair is measured in turns and the middle of the ratios is given.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::hint::black_box;
use std::time::Instant;

use half::f16;
use stoa_graph::{DType, Tensor};
use stoa_native::gemm::{
    BlockMatrix, MatMut, MatRef, Operand, PanelMatrix, gemm, panel_width, to_panels,
};
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

/// A matrix as it is stored.
fn rows_of(dtype: DType, bytes: &[u8], rows: usize, cols: usize) -> Operand<'_> {
    match dtype {
        DType::F32 => MatRef::new(bytemuck::cast_slice::<u8, f32>(bytes), rows, cols).into(),
        DType::F16 => MatRef::<f16>::new(bytemuck::cast_slice(bytes), rows, cols).into(),
        _ => BlockMatrix::new(dtype, bytes, rows, cols).into(),
    }
}

/// The bytes of a tensor, aligned as f32 are.
fn aligned(tensor: &Tensor) -> Vec<f32> {
    let mut words = vec![0.0_f32; tensor.bytes().len().div_ceil(4)];
    bytemuck::cast_slice_mut(&mut words)[..tensor.bytes().len()].copy_from_slice(tensor.bytes());
    words
}

fn main() {
    let isa: Isa = option("--isa").map_or(Isa::detect(), |name| name.parse().unwrap());
    let rows = option("--rows").unwrap_or("1,4,8,16,31,128,512".into());
    let rows: Vec<usize> = rows.split(',').map(|m| m.parse().unwrap()).collect();
    let types = option("--weights").unwrap_or("f32,f16,q8_0,q4_0".into());
    let wanted = |name: &str| option("--only").is_none_or(|only| only == name);
    let pool = Pool::new(2);
    for dtype in types.split(',') {
        let dtype = DType::ALL.into_iter().find(|d| d.name() == dtype).unwrap();
        let of_x = if dtype.is_quantised() { DType::Q8_0 } else { DType::F32 };
        for (name, n, k) in SHAPES.into_iter().filter(|shape| wanted(shape.0)) {
            let drawn = |rows: usize, dtype: DType| {
                let number = |i: usize| ((i * 7919) % 255) as f32 / 255.0 - 0.5;
                let numbers = (0..rows * k).map(number).collect();
                Tensor::f32([rows, k], numbers).unwrap().converted(dtype).unwrap()
            };
            let weights = drawn(n, dtype);
            let bytes = weights.bytes().len();
            let copies = (BYTES / bytes).clamp(1, 256);
            let plain: Vec<Vec<f32>> = vec![aligned(&weights); copies];
            let mut one = aligned(&weights);
            let width = panel_width(isa);
            let of_one = &mut bytemuck::cast_slice_mut(&mut one)[..bytes];
            to_panels(&pool, dtype, [n, k], width, of_one);
            let panels: Vec<Vec<f32>> = vec![one; copies];
            for &m in &rows {
                let x = drawn(m, of_x);
                let mut y = vec![0.0_f32; m * n];
                let mut pass = |packed: bool| {
                    let took = Instant::now();
                    for i in 0..copies {
                        let (x, y) = (rows_of(of_x, x.bytes(), m, k), MatMut::new(&mut y, m, n));
                        let stored = if packed { &panels[i] } else { &plain[i] };
                        let stored = &bytemuck::cast_slice::<f32, u8>(stored)[..bytes];
                        let w: Operand<'_> = match packed {
                            true => PanelMatrix::new(dtype, stored, n, k, width).into(),
                            false => rows_of(dtype, stored, n, k),
                        };
                        gemm(&pool, isa, 1.0, x, w.t(), 0.0, y);
                    }
                    black_box(&y);
                    took.elapsed().as_secs_f64() / copies as f64
                };
                let turns = if m > 100 { 3 } else { TURNS };
                let pairs: Vec<(f64, f64)> =
                    (0..turns).map(|_| (pass(false), pass(true))).collect();
                let ratio = middle(pairs.iter().map(|(old, new)| old / new).collect());
                let best = pairs.iter().map(|pair| pair.1).fold(f64::INFINITY, f64::min);
                println!(
                    "{isa} {dtype} {name:7} m {m:4}: {:6.1} GB/s {:7.1} GFLOP/s, \
                     panels/rows {ratio:5.2}",
                    bytes as f64 / best / 1e9,
                    (2 * m * n * k) as f64 / best / 1e9,
                );
            }
        }
    }
}
