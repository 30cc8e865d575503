//! Matrix products in all layouts, types and fusions.

use std::collections::BTreeMap;

use proptest::prelude::*;
use stoa_graph::reference::Rounding;
use stoa_graph::{Builder, DType, Nonlinearity, Op, TensorType};

use crate::draws::Draws;
use crate::harness::{Case, Given, ULP, check_large, check_op, check_program, f32s, typed};

fn product(transpose_a: bool, transpose_b: bool) -> Op {
    Op::MatMul { transpose_a, transpose_b, bias: false, result: DType::F32 }
}

/// A product with a bias, which is added before the matrix that the sum starts at, if any.
fn biased(transpose_a: bool, transpose_b: bool, accumulate: bool) -> Case {
    let op = Op::MatMul { transpose_a, transpose_b, bias: true, result: DType::F32 };
    if accumulate { Case::adding(op, 0) } else { Case::from(&op) }
}

/// With a bias of its columns, as the third input.
fn with_bias(mut given: Vec<Given>, n: usize) -> Vec<Given> {
    given.insert(2, f32s(Draws::new(n as u64).array(&[n], 1.0)));
    given
}

/// A product, and a matrix that it is added to.
fn matmul(transpose_a: bool, transpose_b: bool, accumulate: bool) -> Case {
    let op = product(transpose_a, transpose_b);
    if accumulate { Case::adding(op, 0) } else { Case::from(&op) }
}

/// Sums of k products of numbers below 1: errors add like a random walk, with a wide margin.
fn tolerance(k: usize) -> f64 {
    (4.0 + k as f64) * ULP
}

fn inputs([m, k, n]: [usize; 3], [ta, tb, accumulate]: [bool; 3], dtype: DType) -> Vec<Given> {
    let mut draws = Draws::new((m * 31 + k * 7 + n) as u64);
    let a = if ta { [k, m] } else { [m, k] };
    let b = if tb { [n, k] } else { [k, n] };
    let mut given = vec![f32s(draws.array(&a, 1.0)), typed(dtype, draws.array(&b, 1.0))];
    if accumulate {
        given.push(f32s(draws.array(&[m, n], 1.0)));
    }
    given
}

fn layouts() -> impl Iterator<Item = [bool; 3]> {
    (0..8).map(|bits| [bits & 1 != 0, bits & 2 != 0, bits & 4 != 0])
}

#[test]
fn small_products_in_all_layouts_and_types() {
    let sizes = [[1, 1, 1], [1, 7, 3], [5, 1, 2], [3, 5, 1], [4, 4, 4], [17, 31, 13], [7, 7, 7]];
    for [m, k, n] in sizes {
        for [ta, tb, accumulate] in layouts() {
            for dtype in [DType::F32, DType::BF16, DType::F16] {
                let given = inputs([m, k, n], [ta, tb, accumulate], dtype);
                check_op(matmul(ta, tb, accumulate), &given, tolerance(k));
                let given = with_bias(given, n);
                check_op(biased(ta, tb, accumulate), &given, tolerance(k));
            }
        }
    }
}

/// Weights in blocks, in both layouts, few rows and many, and under spans of the sum that do not
/// end with a block (sums of more than 512 terms are cut).
#[test]
fn products_with_quantised_weights() {
    for [m, k, n] in [[1, 32, 32], [5, 96, 64], [17, 64, 32], [131, 544, 96], [40, 1056, 32]] {
        for [ta, tb, accumulate] in layouts() {
            for dtype in [DType::Q8_0, DType::Q4_0, DType::Q4_1, DType::Q5_0, DType::Q5_1] {
                let n = if tb { n + 5 } else { n };
                let given = inputs([m, k, n], [ta, tb, accumulate], dtype);
                check_large(matmul(ta, tb, accumulate), &given, tolerance(k));
            }
        }
    }
    for [m, k, n] in [[1, 256, 256], [17, 768, 256]] {
        for [ta, tb, accumulate] in layouts() {
            for dtype in [DType::Q2_K, DType::Q3_K, DType::Q4_K, DType::Q5_K, DType::Q6_K] {
                let n = if tb { n + 5 } else { n };
                let given = inputs([m, k, n], [ta, tb, accumulate], dtype);
                check_large(matmul(ta, tb, accumulate), &given, tolerance(k));
            }
        }
    }
}

/// Rows of q8_0 with weights in blocks: whole tiles and ragged ones, in every direction.
#[test]
fn products_of_quantised_activations() {
    for [m, k, n] in [[1, 256, 32], [3, 512, 71], [5, 256, 33], [7, 768, 1], [34, 1024, 97]] {
        for dtype in DType::ALL.into_iter().filter(|dtype| dtype.is_quantised()) {
            for accumulate in [false, true] {
                let mut given = inputs([m, k, n], [false, true, accumulate], dtype);
                given[0].dtype = DType::Q8_0;
                check_large(matmul(false, true, accumulate), &given, tolerance(k));
                let given = with_bias(given, n);
                check_large(biased(false, true, accumulate), &given, tolerance(k));
            }
        }
    }
    for [m, k, n] in [[0, 32, 5], [3, 0, 5], [3, 32, 0]] {
        let mut given = inputs([m, k, n], [false, true, true], DType::Q8_0);
        given[0].dtype = DType::Q8_0;
        check_large(matmul(false, true, true), &given, tolerance(k));
    }
}

#[test]
fn products_of_nothing() {
    for [m, k, n] in [[0, 3, 5], [3, 0, 5], [3, 5, 0]] {
        for layout in layouts() {
            let [ta, tb, accumulate] = layout;
            let given = inputs([m, k, n], layout, DType::F32);
            check_op(matmul(ta, tb, accumulate), &given, 0.0);
            // A sum of nothing is its bias.
            check_op(biased(ta, tb, accumulate), &with_bias(given, n), ULP);
        }
    }
}

#[test]
fn products_larger_than_any_block() {
    for [m, k, n] in [[131, 517, 101], [1, 300, 1031], [1031, 67, 1], [257, 19, 259]] {
        for layout in layouts() {
            let [ta, tb, accumulate] = layout;
            let dtype = if ta == tb { DType::F32 } else { DType::BF16 };
            let given = inputs([m, k, n], layout, dtype);
            check_large(matmul(ta, tb, accumulate), &given, tolerance(k));
        }
    }
}

const CURVES: [Nonlinearity; 6] = [
    Nonlinearity::Silu,
    Nonlinearity::ReluSquared,
    Nonlinearity::Gelu,
    Nonlinearity::GeluExact,
    Nonlinearity::Relu,
    Nonlinearity::SoftCap { cap: 1.5 },
];

proptest! {
    #![proptest_config(crate::programs::deterministic(48))]

    #[test]
    fn products_of_any_size(
        m in 1usize..80, k in 1usize..80, n in 1usize..80, layout in 0usize..8, dtype in 0usize..3,
    ) {
        let layout = layouts().nth(layout).unwrap();
        let [ta, tb, accumulate] = layout;
        let dtype = [DType::F32, DType::BF16, DType::F16][dtype];
        let given = inputs([m, k, n], layout, dtype);
        check_large(matmul(ta, tb, accumulate), &given, tolerance(k));
        check_large(biased(ta, tb, accumulate), &with_bias(given, n), tolerance(k));
    }

    /// The casts are exact by definition, so the tolerance is that of a sum in f32: whether they are
    /// kept (read by others too, or returned) or resolved into the product.
    #[test]
    fn products_of_bf16(
        m in 1usize..80, k in 1usize..80, n in 1usize..80, layout in 0usize..8, keep: bool, seed: u64,
    ) {
        let [ta, tb, accumulate] = layouts().nth(layout).unwrap();
        let mut draws = Draws::new(seed);
        let mut b = Builder::new();
        let mut given = BTreeMap::new();
        let mut data = |name: &str, b: &mut Builder, shape: [usize; 2]| {
            given.insert(name.to_owned(), draws.array(&shape, 1.0));
            b.data(name, TensorType::f32(shape)).unwrap()
        };
        let x = data("x", &mut b, if ta { [k, m] } else { [m, k] });
        let w = data("w", &mut b, if tb { [n, k] } else { [k, n] });
        let c = data("c", &mut b, [m, n]);
        let narrow = [x, w].map(|v| b.cast(v, DType::BF16).unwrap());
        let y = b.add_node(product(ta, tb), &narrow).unwrap()[0];
        let y = if accumulate { b.add(c, y).unwrap() } else { y };
        b.returns("y", y).unwrap();
        if keep {
            b.returns("x rounded", narrow[0]).unwrap();
            // A product with one operand of f32 reads the other as it was rounded.
            let mixed = b.add_node(product(ta, tb), &[x, narrow[1]]).unwrap()[0];
            b.returns("mixed", mixed).unwrap();
        }
        check_program("bf16", &b.finish(), &given, Rounding::Declared, tolerance(k));
    }

    /// A product followed by its nonlinearity, forward and backward, which engines fuse.
    #[test]
    fn products_and_nonlinearities(
        m in 1usize..50, k in 1usize..50, n in 1usize..50, curve in 0usize..4, keep: bool, seed: u64,
    ) {
        let f = CURVES[curve];
        let mut draws = Draws::new(seed);
        let mut b = Builder::new();
        let mut given = BTreeMap::new();
        let mut data = |name: &str, b: &mut Builder, shape: [usize; 2]| {
            given.insert(name.to_owned(), draws.array(&shape, 1.0));
            b.data(name, TensorType::f32(shape)).unwrap()
        };
        let x = data("x", &mut b, [m, k]);
        let w = data("w", &mut b, [n, k]);
        let dy = data("dy", &mut b, [m, k]);
        let h = b.linear(x, w).unwrap();
        let y = b.activation(h, f).unwrap();
        // dy·wᵀ, through the nonlinearity's slope.
        let dh = b.linear(dy, w).unwrap();
        let through = b.add_node(Op::ActivationBackward(f), &[h, dh]).unwrap()[0];
        b.returns("y", y).unwrap();
        b.returns("through", through).unwrap();
        if keep {
            b.returns("h", h).unwrap();
            b.returns("dh", dh).unwrap();
        }
        // Squares and products of two sums of k terms.
        let tolerance = 4.0 * tolerance(k);
        check_program("fused", &b.finish(), &given, Rounding::Declared, tolerance);
    }

    /// A gated MLP's middle, forward and backward: the product may be the gate or the other
    /// factor, used again or not, and the gate given back where its gradient goes.
    #[test]
    fn products_and_gates(
        m in 1usize..50, k in 1usize..50, n in 1usize..50,
        gate_last: bool, keep: bool, seed: u64,
    ) {
        let mut draws = Draws::new(seed);
        let mut b = Builder::new();
        let mut given = BTreeMap::new();
        let mut data = |name: &str, b: &mut Builder, shape: [usize; 2]| {
            given.insert(name.to_owned(), draws.array(&shape, 1.0));
            b.data(name, TensorType::f32(shape)).unwrap()
        };
        let x = data("x", &mut b, [m, k]);
        let (gates, ups) = (data("gates", &mut b, [n, k]), data("ups", &mut b, [n, k]));
        let (dy, down) = (data("dy", &mut b, [m, k]), data("down", &mut b, [k, n]));
        let first = b.linear(x, if gate_last { ups } else { gates }).unwrap();
        let last = b.linear(x, if gate_last { gates } else { ups }).unwrap();
        let (gate, up) = if gate_last { (last, first) } else { (first, last) };
        let hidden = b.gated(gate, up, Nonlinearity::Silu).unwrap();
        let dh = b.matmul(dy, down, false, false).unwrap();
        let through = b.add_node(Op::GatedBackward(Nonlinearity::Silu), &[gate, up, dh]).unwrap();
        b.returns("hidden", hidden).unwrap();
        b.returns("dgate", through[0]).unwrap();
        b.returns("dup", through[1]).unwrap();
        if keep {
            b.returns("gate", gate).unwrap();
            b.returns("dh", dh).unwrap();
        }
        // Products of three sums of k terms, each below k in size.
        let tolerance = 8.0 * k as f64 * tolerance(k);
        check_program("gated", &b.finish(), &given, Rounding::Declared, tolerance);
    }
}
