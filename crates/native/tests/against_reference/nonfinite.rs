//! NaN and infinity where the reference has them, and nowhere else.

use std::collections::BTreeMap;

use stoa_graph::reference::{Array, run};
use stoa_graph::{
    AdamWSpec, AttentionSpec, Builder, CachedAttentionSpec, DType, MuonSpec, Nonlinearity, Op,
    Orthogonalizer, RopeSpec, TensorType,
};

use crate::draws::Draws;
use crate::harness::{
    Case, Given, ULP, check_any_nonfinite, check_large, check_op, each_isa, f32s, i32s, run_on,
    typed,
};

const POISONS: [f64; 3] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];

/// Checks the op with each poison at several places of each float input.
fn check(case: impl Into<Case>, given: &[Given], tolerance: f64) {
    check_by(check_large, case.into(), given, tolerance);
}

fn check_by(check_one: fn(Case, &[Given], f64), case: Case, given: &[Given], tolerance: f64) {
    for i in (0..given.len()).filter(|&i| given[i].dtype.is_float()) {
        let n = given[i].array.data.len();
        for at in [0, n / 2, n - 1] {
            for poison in POISONS {
                let mut given = given.to_vec();
                given[i].array.data[at] = poison;
                check_one(case.clone(), &given, tolerance);
            }
        }
    }
}

fn tensors(shapes: &[&[usize]]) -> Vec<Given> {
    let mut draws = Draws::new(1);
    shapes.iter().map(|shape| f32s(draws.array(shape, 1.0))).collect()
}

#[test]
fn pointwise_ops() {
    for n in [1, 19, 64] {
        for op in [
            Op::Scale { by: 0.0 },
            Op::Scale { by: -2.0 },
            Op::Activation(Nonlinearity::SoftCap { cap: 3.0 }),
            Op::Activation(Nonlinearity::ReluSquared),
            Op::Activation(Nonlinearity::Silu),
            Op::Activation(Nonlinearity::GeluExact),
            Op::Activation(Nonlinearity::Relu),
            Op::Cast { dtype: DType::BF16 },
            Op::Cast { dtype: DType::F16 },
        ] {
            check(&op, &tensors(&[&[n]]), 8.0 * ULP);
        }
        for op in [
            Op::Add,
            Op::Mul,
            Op::ActivationBackward(Nonlinearity::SoftCap { cap: 3.0 }),
            Op::ActivationBackward(Nonlinearity::ReluSquared),
            Op::ActivationBackward(Nonlinearity::Silu),
            Op::ActivationBackward(Nonlinearity::GeluExact),
            Op::ActivationBackward(Nonlinearity::Relu),
            Op::Gated(Nonlinearity::Silu),
        ] {
            check(&op, &tensors(&[&[n], &[n]]), 16.0 * ULP);
        }
        check(&Op::GatedBackward(Nonlinearity::Silu), &tensors(&[&[n], &[n], &[n]]), 16.0 * ULP);
    }
}

#[test]
fn casts_beyond_the_range_of_f16() {
    let x = Array::new([6], [65504.0, 65519.0, 65520.0, -1e30, 6e-8, 2.9e-8]);
    check_op(&Op::Cast { dtype: DType::F16 }, &[f32s(x.clone())], 0.0);
    check_op(&Op::Cast { dtype: DType::BF16 }, &[f32s(x)], 0.0);
    let x = Array::new([2], [f64::from(f32::MAX), -f64::from(f32::MAX)]);
    check_op(&Op::Cast { dtype: DType::BF16 }, &[f32s(x)], 0.0);
}

#[test]
fn products_skip_no_zero() {
    for [m, k, n] in [[1, 1, 1], [3, 5, 7], [33, 17, 19]] {
        for (ta, tb) in [(false, false), (false, true), (true, false), (true, true)] {
            let a = if ta { [k, m] } else { [m, k] };
            let b = if tb { [n, k] } else { [k, n] };
            for accumulate in [false, true] {
                let op = Op::MatMul {
                    transpose_a: ta,
                    transpose_b: tb,
                    bias: false,
                    result: DType::F32,
                };
                let case = if accumulate { Case::adding(op, 0) } else { Case::from(&op) };
                let shapes: [&[usize]; 3] = [&a, &b, &[m, n]];
                let mut given = tensors(&shapes[..2 + usize::from(accumulate)]);
                check(case.clone(), &given, 64.0 * ULP);
                given[0].array.data.fill(0.0);
                check(case, &given, 64.0 * ULP);
            }
        }
    }
}

#[test]
fn rows() {
    for (rows, d, group) in [(1, 1, 1), (3, 20, 20), (3, 20, 5)] {
        let x: [&[usize]; 3] = [&[rows, d], &[group], &[]];
        check(&Op::RmsNorm { group, eps: 0.1, weighted: true }, &tensors(&x[..2]), 16.0 * ULP);
        let x: [&[usize]; 3] = [&[rows, d], &[rows, d], &[group]];
        let op = Op::RmsNormBackward { group, eps: 0.1, weighted: true };
        check(&op, &tensors(&x), 64.0 * ULP);
    }
    let x: [&[usize]; 3] = [&[3, 20], &[5], &[5]];
    check(&Op::LayerNorm { group: 5, eps: 0.1, biased: true }, &tensors(&x), 64.0 * ULP);
    let x: [&[usize]; 3] = [&[3, 20], &[3, 20], &[5]];
    check(&Op::LayerNormBackward { group: 5, eps: 0.1, biased: true }, &tensors(&x), 64.0 * ULP);
    let positions = i32s(Draws::new(2).integers(&[3, 1], 0..9));
    let spec = RopeSpec::geometric(10, 100.0, 1);
    let given = [tensors(&[&[3, 20]]), vec![positions]].concat();
    check(&Op::Rope(spec), &given, 4.0 * ULP);
    let ids = i32s(Draws::new(3).integers(&[5], 0..4));
    let given = [tensors(&[&[4, 19]]), vec![ids.clone()]].concat();
    check(&Op::Gather, &given, 0.0);
    let given = [vec![ids], tensors(&[&[5, 19], &[4, 19]])].concat();
    check(Case::adding(Op::GatherBackward { rows: 4 }, 0), &given, 8.0 * ULP);
}

#[test]
fn losses() {
    for softcap in [None, Some(2.0)] {
        let mut given = tensors(&[&[5, 7], &[11, 7]]);
        given.push(i32s(Array::new([5], [3.0, -1.0, 10.0, 0.0, -1.0])));
        given.extend(tensors(&[&[5]]));
        check_entropy(&Op::CrossEntropy { softcap }, &given);
        given.push(f32s(Array::scalar(1.0)));
        check_entropy(&Op::CrossEntropyBackward { softcap }, &given);
    }
    let given = tensors(&[&[3, 19], &[3, 19], &[3]]);
    check(&Op::MeanSquaredError, &given, 32.0 * ULP);
    let given = tensors(&[&[3, 19], &[3, 19], &[3], &[]]);
    check(&Op::MeanSquaredErrorBackward, &given, 32.0 * ULP);
}

/// As [`check`], and with everything in an ignored row.
fn check_entropy(op: &Op, given: &[Given]) {
    check_by(check_any_nonfinite, op.into(), given, 64.0 * ULP);
    for poison in POISONS {
        let mut given = given.to_vec();
        given[0].array.data[7..14].fill(poison);
        given[3].array.data[1] = poison;
        check_large(op, &given, 64.0 * ULP);
    }
}

#[test]
fn optimizers() {
    check(&Op::GlobalNorm, &tensors(&[&[19], &[3, 5], &[]]), 32.0 * ULP);
    let scalars =
        |values: &[f64]| values.iter().map(|&x| f32s(Array::scalar(x))).collect::<Vec<_>>();
    let adamw = AdamWSpec { beta1: 0.9, beta2: 0.95, eps: 1e-3, weight_decay: 0.1, lr_scale: 1.0 };
    let mut given = tensors(&[&[19], &[19], &[19], &[19]]);
    given[3].array.data.iter_mut().for_each(|x| *x = x.abs() + 0.25);
    for factor in [1.0, 0.0] {
        let given = [given.clone(), scalars(&[0.1, 2.0, factor])].concat();
        check_by(check_any_nonfinite, (&Op::AdamW(adamw)).into(), &given, 64.0 * ULP);
    }
    let muon = MuonSpec {
        nesterov: true,
        orthogonalizer: Orthogonalizer::PolarExpress,
        iterations: 5,
        weight_decay: 0.1,
        lr_scale: 1.0,
    };
    for factor in [1.0, 0.0] {
        let given = [tensors(&[&[5, 19], &[5, 19], &[5, 19]]), scalars(&[0.1, 0.9, factor])];
        let given = given.concat();
        for poison in [f64::NAN, f64::INFINITY] {
            let mut given = given.clone();
            given[1].array.data[17] = poison;
            check_large(&Op::Muon(muon), &given, 1000.0 * ULP);
        }
    }
    let mut nothing =
        [tensors(&[&[5, 19], &[5, 19], &[5, 19]]), scalars(&[0.1, 0.9, 1.0])].concat();
    nothing[1].array.data.fill(0.0);
    nothing[2].array.data.fill(0.0);
    check_large(&Op::Muon(muon), &nothing, 8.0 * ULP);
}

#[test]
fn caches_are_read_up_to_the_position_and_no_further() {
    for (dtype, d) in [(DType::F32, 8), (DType::BF16, 8), (DType::Q8_0, 32)] {
        let mut draws = Draws::new(4);
        let mut cache = draws.array(&[2, 1, 40, d], 1.0);
        // Sequence 0 is filled up to position 17, sequence 1 not at all.
        cache.data[18 * d..].fill(f64::NAN);
        let spec = CachedAttentionSpec {
            heads: 2,
            kv_heads: 1,
            head_dim: d,
            window: None,
            scale: 0.3,
            score_cap: None,
        };
        let q = f32s(draws.array(&[4, 2 * d], 1.0));
        let table = i32s(Array::new([2, 1], [0.0, 1.0]));
        let sequences = i32s(Array::new([4], [0.0, 0.0, -1.0, 1.0]));
        let positions = i32s(Array::new([4], [17.0, 3.0, 0.0, 0.0]));
        let caches = [typed(dtype, cache.clone()), typed(dtype, cache)];
        let places = [table, sequences, positions];
        let given = [&[q], &caches[..], &places].concat();
        check_large(&Op::CachedAttention(spec.clone()), &given, 48.0 * ULP);
        // A window that begins after something poisonous.
        let mut old = draws.array(&[2, 1, 40, d], 1.0);
        old.data[..12 * d].fill(f64::NAN);
        let caches = [typed(dtype, old.clone()), typed(dtype, old)];
        let given = [&given[..1], &caches, &places[..2]].concat();
        let positions = i32s(Array::new([4], [17.0, 20.0, 0.0, 39.0]));
        let spec = CachedAttentionSpec { window: Some(6), ..spec };
        check_large(&Op::CachedAttention(spec), &[&given[..], &[positions]].concat(), 48.0 * ULP);
    }
}

#[test]
fn attention_keeps_it_in_the_sequence() {
    let spec = AttentionSpec {
        batch: 3,
        heads: 2,
        kv_heads: 1,
        head_dim: 8,
        causal: true,
        window: None,
        scale: 0.3,
        score_cap: None,
    };
    let time = 35;
    let clean = tensors(&[&[3 * time, 16], &[3 * time, 8], &[3 * time, 8]]);
    for input in 0..3 {
        let mut b = Builder::new();
        let mut arrays = BTreeMap::new();
        let mut values = Vec::new();
        for (i, given) in clean.iter().enumerate() {
            let ty = TensorType::f32(given.array.shape.clone());
            values.push(b.data(format!("x{i}"), ty).unwrap());
            arrays.insert(format!("x{i}"), given.array.clone());
        }
        // At time 20 of the second sequence.
        let name = format!("x{input}");
        let width = clean[input].array.shape[1];
        arrays.get_mut(&name).unwrap().data[(time + 20) * width] = f64::NAN;
        let (out, lse) = b.attention(values[0], values[1], values[2], None, spec.clone()).unwrap();
        b.returns("out", out).unwrap();
        b.returns("lse", lse).unwrap();
        let program = b.finish();
        let expected = run(&program, &arrays).unwrap();
        each_isa(|engines| {
            for engine in engines {
                let found = run_on(engine, &program, &arrays);
                for (name, expected) in &expected {
                    let found = found[name].to_f64();
                    let width = expected.shape[1];
                    let own = time * width..2 * time * width;
                    for (i, (f, e)) in found.iter().zip(&expected.data).enumerate() {
                        // What sees it has it; what does not may have it in its own sequence.
                        let right = if e.is_nan() {
                            f.is_nan()
                        } else {
                            (f - e).abs() < 64.0 * ULP || own.contains(&i) && f.is_nan()
                        };
                        assert!(right, "{name}[{i}] = {f}, expected {e}");
                    }
                }
            }
        });
    }
}
