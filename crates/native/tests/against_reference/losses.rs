//! Cross-entropy and squared errors.

use stoa_graph::reference::Array;
use stoa_graph::{DType, Op};

use crate::draws::Draws;
use crate::harness::{Case, Given, ULP, check_large, check_op, f32s, i32s, typed};

fn entropy_inputs([n, d, vocab]: [usize; 3], ignored: usize, dtype: DType) -> Vec<Given> {
    let mut draws = Draws::new((n * d + vocab) as u64);
    let x = f32s(draws.array(&[n, d], 1.0));
    let w = typed(dtype, draws.array(&[vocab, d], 1.0));
    let mut targets = draws.integers(&[n], 0..vocab as i64);
    for _ in 0..ignored.min(n) {
        let at = draws.below(n);
        targets.data[at] = -1.0;
    }
    if ignored >= n {
        targets.data.fill(-1.0);
    }
    vec![x, w, i32s(targets), f32s(draws.array(&[n], 1.0))]
}

/// Logits are sums of d products; the loss a sum of n terms of them and ln(vocab).
fn tolerance([n, d, vocab]: [usize; 3]) -> f64 {
    (16.0 + d as f64 + n as f64 + (vocab as f64).ln()) * ULP
}

fn check(sizes: [usize; 3], softcap: Option<f32>, ignored: usize, dtype: DType, all: bool) {
    let check = if all { check_op::<Case> } else { check_large::<Case> };
    let mut given = entropy_inputs(sizes, ignored, dtype);
    let [_, d, vocab] = sizes;
    check((&Op::CrossEntropy { softcap }).into(), &given, tolerance(sizes));
    given.push(f32s(Array::scalar(-1.5)));
    let op = Op::CrossEntropyBackward { softcap };
    check((&op).into(), &given, 2.0 * tolerance(sizes));
    given.push(f32s(Draws::new(5).array(&[vocab, d], 1.0)));
    check(Case::adding(op, 1), &given, 2.0 * tolerance(sizes));
}

#[test]
fn cross_entropy_of_small_tables() {
    for sizes in [[1, 1, 1], [1, 3, 7], [5, 3, 1], [7, 17, 13], [3, 5, 33], [0, 3, 5]] {
        for softcap in [None, Some(0.8)] {
            for ignored in [0, 1, sizes[0]] {
                for dtype in [DType::F32, DType::BF16, DType::F16] {
                    check(sizes, softcap, ignored, dtype, dtype == DType::F32);
                }
            }
        }
    }
}

/// The gradient of the logits is rounded for its products: 2⁻⁹ of each term. Those of a row add up
/// to at most 2·dloss in size, and rows add like a random walk.
#[test]
fn cross_entropy_of_bf16_features_and_weights() {
    for sizes in [[1, 1, 1], [7, 17, 13], [131, 33, 517]] {
        for ignored in [0, 3] {
            let mut given = entropy_inputs(sizes, ignored, DType::BF16);
            given[0].dtype = DType::BF16;
            check_large(&Op::CrossEntropy { softcap: None }, &given, tolerance(sizes));
            given.push(f32s(Array::scalar(-1.5)));
            let op = Op::CrossEntropyBackward { softcap: None };
            let rounded = 1.5 / 512.0 * (2.0 + (sizes[0] as f64).sqrt());
            check_large(&op, &given, rounded);
        }
    }
}

#[test]
fn cross_entropy_of_large_tables() {
    for (sizes, dtype) in [
        ([67, 48, 1031], DType::F32),
        ([131, 33, 517], DType::BF16),
        ([1, 64, 5003], DType::F32),
        ([517, 5, 259], DType::F32),
        ([67, 64, 1031], DType::Q8_0),
        ([131, 32, 517], DType::Q4_0),
    ] {
        check(sizes, None, 9, dtype, false);
        check(sizes, Some(15.0), 9, dtype, false);
    }
}

#[test]
fn large_logits_do_not_overflow() {
    let mut given = entropy_inputs([13, 32, 67], 1, DType::F32);
    given[0] = given[0].clone().scaled(100.0);
    // Logits of hundreds carry absolute errors of as many roundings.
    check_large(&Op::CrossEntropy { softcap: None }, &given, 100.0 * ULP);
    given.push(f32s(Array::scalar(1.0)));
    let op = Op::CrossEntropyBackward { softcap: None };
    check_large(&op, &given, 4000.0 * ULP);
}

#[test]
fn squared_errors() {
    for (n, d) in [(1, 1), (3, 7), (17, 33), (2, 131), (0, 5), (1031, 67)] {
        let mut draws = Draws::new(d as u64);
        let mut given = vec![f32s(draws.array(&[n, d], 1.0)), f32s(draws.array(&[n, d], 1.0))];
        given.push(f32s(draws.array(&[n], 1.0)));
        // A sum of n·d squares below 4.
        check_op(&Op::MeanSquaredError, &given, (8.0 + n as f64) * ULP);
        given.push(f32s(Array::scalar(0.7)));
        check_op(&Op::MeanSquaredErrorBackward, &given, 4.0 * ULP);
    }
}
