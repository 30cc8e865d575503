//! Attention and its gradient under all masks.

use std::collections::BTreeMap;

use proptest::prelude::*;
use stoa_graph::reference::{Array, run};
use stoa_graph::{AttentionSpec, Builder, Op, TensorType};

use crate::draws::Draws;
use crate::harness::{Given, ULP, check_large, check_op, f32s, i32s};

/// Scores below 4 in size, exponentials, sums over the keys seen.
const FORWARD: f64 = 32.0 * ULP;
/// Five products, with errors of the forward's results in them.
const BACKWARD: f64 = 256.0 * ULP;

fn qkv(spec: &AttentionSpec, time: usize, segmented: bool) -> Vec<Given> {
    let tokens = spec.batch * time;
    let mut draws = Draws::new((tokens * spec.head_dim) as u64);
    let mut of = |heads: usize| f32s(draws.array(&[tokens, heads * spec.head_dim], 1.0));
    let mut given = vec![of(spec.heads), of(spec.kv_heads), of(spec.kv_heads)];
    // Documents of uneven lengths, borders at other places in each sequence.
    let ids: Vec<f64> = (0..tokens).map(|t| ((t + t / time.max(1)) * 3 / 10) as f64).collect();
    given.extend(segmented.then(|| i32s(Array::new([tokens], ids))));
    given
}

/// Inputs of the backward: those of the forward, its results in f32, and dout.
fn backward_inputs(spec: &AttentionSpec, given: &[Given]) -> Vec<Given> {
    let segmented = given.len() == 4;
    let mut b = Builder::new();
    let mut arrays = BTreeMap::new();
    let mut values = Vec::new();
    for (i, given) in given.iter().enumerate() {
        let ty = TensorType::new(given.dtype, given.array.shape.clone());
        values.push(b.data(format!("x{i}"), ty).unwrap());
        arrays.insert(format!("x{i}"), given.array.clone());
    }
    let op = Op::Attention { spec: spec.clone(), segmented };
    let results = b.add_node(op, &values).unwrap();
    b.returns("out", results[0]).unwrap();
    b.returns("lse", results[1]).unwrap();
    let mut results = run(&b.finish(), &arrays).unwrap();
    let mut dout = Draws::new(77).array(&given[0].array.shape, 1.0);
    dout.data.iter_mut().for_each(|x| *x = f64::from(*x as f32));
    let mut backward = given[..3].to_vec();
    backward.extend(["out", "lse"].map(|name| f32s(results.remove(name).unwrap())));
    backward.push(f32s(dout));
    backward.extend(given.get(3).cloned());
    backward
}

fn check(spec: &AttentionSpec, time: usize, segmented: bool, all_sources: bool) {
    let given = qkv(spec, time, segmented);
    let backward = backward_inputs(spec, &given);
    let check = if all_sources { check_op } else { check_large };
    let op = Op::Attention { spec: spec.clone(), segmented };
    check(&op, &given, FORWARD);
    let op = Op::AttentionBackward { spec: spec.clone(), segmented };
    check(&op, &backward, BACKWARD);
}

fn spec(batch: usize, heads: [usize; 2], head_dim: usize) -> AttentionSpec {
    let scale = 1.0 / (head_dim as f32).sqrt();
    let [heads, kv_heads] = heads;
    AttentionSpec {
        batch,
        heads,
        kv_heads,
        head_dim,
        causal: true,
        window: None,
        scale,
        score_cap: None,
    }
}

#[test]
fn every_mask_and_grouping() {
    for (batch, time) in [(1, 1), (2, 7), (1, 33)] {
        for (heads, head_dim) in [([1, 1], 1), ([3, 3], 8), ([4, 2], 16), ([5, 1], 7)] {
            for causal in [true, false] {
                for window in [None, Some(1), Some(5), Some(100)] {
                    for (segmented, score_cap) in
                        [(false, None), (true, None), (false, Some(0.7)), (true, Some(0.7))]
                    {
                        let spec = spec(batch, heads, head_dim);
                        let spec = AttentionSpec { causal, window, score_cap, ..spec };
                        check(&spec, time, segmented, window.is_none());
                    }
                }
            }
        }
    }
}

#[test]
fn sequences_longer_than_any_tile() {
    for (time, head_dim) in [(203, 64), (131, 128), (259, 32)] {
        for (causal, window) in [(true, None), (false, None), (true, Some(67)), (false, Some(67))] {
            for (segmented, score_cap) in [(false, None), (true, None), (true, Some(0.7))] {
                let spec = spec(1, [2, 1], head_dim);
                let spec = AttentionSpec { causal, window, score_cap, ..spec };
                check(&spec, time, segmented, false);
            }
        }
    }
}

#[test]
fn large_scores_do_not_overflow() {
    // Scores of hundreds: exp of their differences, never of themselves.
    let spec = AttentionSpec { scale: 1.0, ..spec(2, [2, 2], 16) };
    let mut given = qkv(&spec, 19, false);
    given[0] = given[0].clone().scaled(30.0);
    let op = Op::Attention { spec, segmented: false };
    // Scores of 300 carry absolute errors of 300 roundings.
    check_large(&op, &given, 2000.0 * ULP);
}

#[test]
fn no_tokens() {
    let spec = spec(1, [2, 1], 4);
    check_op(&Op::Attention { spec: spec.clone(), segmented: false }, &qkv(&spec, 0, false), 0.0);
}

proptest! {
    #![proptest_config(crate::programs::deterministic(40))]

    #[test]
    fn any_shape(
        batch in 1usize..4, time in 1usize..90, kv_heads in 1usize..4, groups in 1usize..4,
        head_dim in 1usize..70, causal: bool, window in proptest::option::of(1usize..100),
        segmented: bool, score_cap in proptest::option::of(0.3f32..3.0),
    ) {
        let heads = [kv_heads * groups, kv_heads];
        let spec = AttentionSpec { causal, window, score_cap, ..spec(batch, heads, head_dim) };
        check(&spec, time, segmented, false);
    }
}
