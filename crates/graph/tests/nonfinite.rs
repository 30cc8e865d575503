//! What NaN and infinity do in each family of ops, as stated in the docs of `Op`.

#![allow(clippy::unwrap_used)]

mod draws;

use std::collections::BTreeMap;

use draws::Draws;
use stoa_graph::reference::{Array, Rounding, run_rounded};
use stoa_graph::{
    AdamWSpec, AttentionSpec, Builder, CachedAttentionSpec, DType, GraphError, MuonSpec,
    Nonlinearity, Op, Orthogonalizer, RopeSpec, TensorType,
};

const INF: f64 = f64::INFINITY;
const NAN: f64 = f64::NAN;

/// Results of one op. The dtypes, from the first input on, are f32 where not given.
fn results(op: Op, inputs: &[Array], dtypes: &[DType]) -> Result<Vec<Array>, GraphError> {
    let mut b = Builder::new();
    let mut given = BTreeMap::new();
    let mut values = Vec::new();
    for (i, array) in inputs.iter().enumerate() {
        let dtype = dtypes.get(i).copied().unwrap_or(DType::F32);
        values.push(b.data(format!("x{i}"), TensorType::new(dtype, array.shape.clone()))?);
        given.insert(format!("x{i}"), array.clone());
    }
    let outputs = b.add_node(op, &values)?;
    for (i, &v) in outputs.iter().enumerate() {
        b.returns(format!("y{i}"), v)?;
    }
    let mut found = run_rounded(&b.finish(), &given, Rounding::Declared)?;
    Ok((0..outputs.len()).map(|i| found.remove(&format!("y{i}")).unwrap()).collect())
}

fn pointwise(op: Op, inputs: &[f64]) -> f64 {
    let inputs: Vec<Array> = inputs.iter().map(|&x| Array::scalar(x)).collect();
    results(op, &inputs, &[]).unwrap()[0].data[0]
}

/// Equal, where NaN equals NaN.
#[track_caller]
fn same(found: &[f64], expected: &[f64]) {
    let equal = |(a, b): (&f64, &f64)| a == b || a.is_nan() && b.is_nan();
    let all = found.len() == expected.len() && found.iter().zip(expected).all(equal);
    assert!(all, "{found:?} is not {expected:?}");
}

#[track_caller]
fn gives(op: Op, inputs: &[f64], expected: f64) {
    same(&[pointwise(op, inputs)], &[expected]);
}

#[test]
fn pointwise_ops_follow_ieee_754() {
    gives(Op::Add, &[INF, 1.0], INF);
    gives(Op::Add, &[INF, -INF], NAN);
    gives(Op::Add, &[NAN, 1.0], NAN);
    gives(Op::Mul, &[INF, -2.0], -INF);
    gives(Op::Mul, &[INF, 0.0], NAN);
    gives(Op::Scale { by: 0.0 }, &[INF], NAN);
    gives(Op::Scale { by: f32::INFINITY }, &[2.0], INF);
    gives(Op::Activation(Nonlinearity::SoftCap { cap: 3.0 }), &[INF], 3.0);
    gives(Op::Activation(Nonlinearity::SoftCap { cap: 3.0 }), &[-INF], -3.0);
    gives(Op::Activation(Nonlinearity::SoftCap { cap: 3.0 }), &[NAN], NAN);
    gives(Op::ActivationBackward(Nonlinearity::SoftCap { cap: 3.0 }), &[INF, 1.0], 0.0);
    gives(Op::ActivationBackward(Nonlinearity::SoftCap { cap: 3.0 }), &[INF, INF], NAN);
    gives(Op::ActivationBackward(Nonlinearity::SoftCap { cap: 3.0 }), &[NAN, 1.0], NAN);
    let f = Nonlinearity::ReluSquared;
    gives(Op::Activation(f), &[INF], INF);
    gives(Op::Activation(f), &[-INF], 0.0);
    gives(Op::Activation(f), &[NAN], NAN);
    gives(Op::ActivationBackward(f), &[NAN, 1.0], NAN);
    gives(Op::ActivationBackward(f), &[-1.0, INF], NAN);
    gives(Op::ActivationBackward(f), &[-INF, 1.0], 0.0);
    let f = Nonlinearity::Silu;
    gives(Op::Activation(f), &[INF], INF);
    gives(Op::Activation(f), &[-INF], NAN);
    gives(Op::Activation(f), &[NAN], NAN);
    // Large but finite arguments stay finite: exp overflows on the side where it may.
    gives(Op::Activation(f), &[-1e4], 0.0);
    gives(Op::Activation(f), &[1e4], 1e4);
    gives(Op::ActivationBackward(f), &[-1e4, 1.0], 0.0);
    gives(Op::ActivationBackward(f), &[1e4, 1.0], 1.0);
    gives(Op::ActivationBackward(f), &[NAN, 0.0], NAN);
    gives(Op::Activation(Nonlinearity::Gelu), &[INF], INF);
    gives(Op::Activation(Nonlinearity::Gelu), &[-INF], NAN);
    gives(Op::Activation(Nonlinearity::Gelu), &[NAN], NAN);
    gives(Op::Gated(Nonlinearity::Silu), &[2.0, INF], INF);
    gives(Op::Gated(Nonlinearity::Silu), &[0.0, INF], NAN);
    gives(Op::Gated(Nonlinearity::Silu), &[NAN, 0.0], NAN);
}

#[test]
fn a_fill_may_be_infinite() {
    let fill = |value| Op::Fill { ty: TensorType::f32([2]), value };
    same(&results(fill(f32::NEG_INFINITY), &[], &[]).unwrap()[0].data, &[-INF, -INF]);
    same(&results(fill(f32::NAN), &[], &[]).unwrap()[0].data, &[NAN, NAN]);
}

#[test]
fn casts_round_to_nearest_even_and_overflow_to_infinity() {
    let cast = |dtype, x: f64| pointwise(Op::Cast { dtype }, &[x]);
    same(&[cast(DType::F16, 65519.0), cast(DType::F16, 65520.0)], &[65504.0, INF]);
    same(&[cast(DType::BF16, f64::from(f32::MAX))], &[INF]);
    same(&[cast(DType::BF16, NAN), cast(DType::F16, -INF)], &[NAN, -INF]);
    // 1 + 2⁻⁸ lies between 1 and 1 + 2⁻⁷; 1 + 3·2⁻⁸ between 1 + 2⁻⁷ and 1 + 2⁻⁶.
    let eighth = 2f64.powi(-8);
    same(
        &[cast(DType::BF16, 1.0 + eighth), cast(DType::BF16, 1.0 + 3.0 * eighth)],
        &[1.0, 1.0 + 4.0 * eighth],
    );
}

#[test]
fn matmul_spreads_along_rows_and_columns_and_skips_no_zero() {
    let result = DType::F32;
    let op = Op::MatMul { transpose_a: false, transpose_b: false, bias: false, result };
    let a = Array::new([2, 2], [0.0, 1.0, NAN, 1.0]);
    let b = Array::new([2, 3], [INF, 1.0, 0.0, 1.0, 1.0, 1.0]);
    let y = &results(op, &[a, b], &[]).unwrap()[0];
    same(&y.data, &[NAN, 1.0, 1.0, NAN, NAN, NAN]);
}

#[test]
fn norms_keep_it_in_the_group() {
    let norm = |x: [f64; 4]| {
        let op = Op::RmsNorm { group: 2, eps: 1.0, weighted: false };
        results(op, &[Array::new([1, 4], x)], &[]).unwrap().remove(0).data
    };
    same(&norm([NAN, 1.0, 0.0, 0.0]), &[NAN, NAN, 0.0, 0.0]);
    same(&norm([-INF, 1.0, 0.0, 0.0]), &[NAN, 0.0, 0.0, 0.0]);
    let op = Op::RmsNorm { group: 2, eps: 0.0, weighted: false };
    let zeros = results(op, &[Array::zeros(&[1, 2])], &[]).unwrap();
    same(&zeros[0].data, &[NAN, NAN]);
    let op = Op::RmsNormBackward { group: 2, eps: 1.0, weighted: true };
    let x = Array::new([2, 2], [1.0, 2.0, 0.0, 0.0]);
    let dy = Array::new([2, 2], [NAN, 1.0, 1.0, 1.0]);
    let found = results(op, &[x, dy, Array::new([2], [1.0, 1.0])], &[]).unwrap();
    same(&found[0].data, &[NAN, NAN, 1.0, 1.0]);
    assert!(found[1].data[0].is_nan() && found[1].data[1].is_finite());
}

#[test]
fn rotations_keep_it_in_the_pair() {
    let spec = RopeSpec::geometric(4, 10.0, 1);
    let x = Array::new([1, 4], [1.0, 1.0, NAN, 1.0]);
    let positions = Array::new([1, 1], [3.0]);
    let y = results(Op::Rope(spec), &[x, positions], &[DType::F32, DType::I32]).unwrap();
    let nan: Vec<bool> = y[0].data.iter().map(|y| y.is_nan()).collect();
    assert_eq!(nan, [true, false, true, false]);
}

fn spec(batch: usize) -> AttentionSpec {
    AttentionSpec {
        batch,
        heads: 2,
        kv_heads: 1,
        head_dim: 2,
        causal: true,
        window: None,
        scale: 1.0,
        score_cap: None,
    }
}

#[test]
fn attention_spreads_to_who_sees_it_and_to_no_other_sequence() {
    let mut draws = Draws::new(1);
    let q = draws.array(&[6, 4]);
    let k = draws.array(&[6, 2]);
    let v = draws.array(&[6, 2]);
    let op = Op::Attention { spec: spec(2), segmented: false };
    let clean = results(op.clone(), &[q.clone(), k.clone(), v.clone()], &[]).unwrap();
    for poison in [NAN, INF] {
        // The key of time 1 of the first sequence: seen by times 1 and 2.
        let mut bad = k.clone();
        bad.data[2..4].fill(NAN);
        let found = results(op.clone(), &[q.clone(), bad, v.clone()], &[]).unwrap();
        assert!(found[0].data[4..12].iter().all(|x| x.is_nan()), "{found:?}");
        same(&found[0].data[12..], &clean[0].data[12..]);
        same(&found[1].data[6..], &clean[1].data[6..]);
        let mut bad = v.clone();
        bad.data[2] = poison;
        let found = results(op.clone(), &[q.clone(), k.clone(), bad], &[]).unwrap();
        for (i, (found, clean)) in found[0].data[4..].iter().zip(&clean[0].data[4..]).enumerate() {
            let touched = i < 8 && i % 2 == 0;
            assert!(if touched { !found.is_finite() } else { found == clean }, "{i}");
        }
        // A query alone: its own heads.
        let mut bad = q.clone();
        bad.data[12] = NAN;
        let found = results(op.clone(), &[bad, k.clone(), v.clone()], &[]).unwrap();
        assert!(found[0].data[12].is_nan() && found[0].data[13].is_nan());
        same(&found[0].data[14..], &clean[0].data[14..]);
    }
}

#[test]
fn tables_copy_bits_and_refuse_wrong_ids() {
    let table = Array::new([2, 2], [NAN, INF, 1.0, 2.0]);
    let ids = |ids: &[f64]| Array::new([ids.len()], ids);
    let dtypes = [DType::F32, DType::I32];
    let y = results(Op::Gather, &[table.clone(), ids(&[1.0, 0.0])], &dtypes).unwrap();
    same(&y[0].data, &[1.0, 2.0, NAN, INF]);
    for id in [-1.0, 2.0] {
        let error = results(Op::Gather, &[table.clone(), ids(&[1.0, id])], &dtypes).unwrap_err();
        let message = format!("gather: index {id} at position 1 is outside 0..2");
        assert_eq!(error.to_string(), message);
        let op = Op::GatherBackward { rows: 2 };
        let dtypes = [DType::I32, DType::F32];
        let error = results(op, &[ids(&[0.0, id]), table.clone()], &dtypes).unwrap_err();
        let message = format!("gather_backward: index {id} at position 1 is outside 0..2");
        assert_eq!(error.to_string(), message);
    }
    let op = Op::GatherBackward { rows: 3 };
    let inputs = [ids(&[2.0, 2.0]), table];
    let y = results(op, &inputs, &[DType::I32, DType::F32]).unwrap();
    same(&y[0].data, &[0.0, 0.0, 0.0, 0.0, NAN, INF]);
}

/// x, w, targets, weights of three rows and three classes.
fn entropy_inputs(targets: [f64; 3]) -> [Array; 4] {
    [
        Array::new([3, 1], [1.0, 2.0, 3.0]),
        Array::new([3, 1], [0.5, -0.5, 1.0]),
        Array::new([3], targets),
        Array::new([3], [1.0, 1.0, 1.0]),
    ]
}

const ENTROPY_TYPES: [DType; 3] = [DType::F32, DType::F32, DType::I32];

#[test]
fn an_ignored_row_is_not_read() {
    let op = Op::CrossEntropy { softcap: None };
    let back = Op::CrossEntropyBackward { softcap: None };
    let clean = entropy_inputs([0.0, -1.0, 2.0]);
    let mut bad = clean.clone();
    bad[0].data[1] = NAN;
    bad[3].data[1] = INF;
    let expected = results(op.clone(), &clean, &ENTROPY_TYPES).unwrap();
    assert_eq!(results(op, &bad, &ENTROPY_TYPES).unwrap(), expected);
    assert_eq!(expected[1].data[1], 0.0);
    let run = |inputs: &[Array; 4]| {
        let inputs = [&inputs[..], &[Array::scalar(1.0)]].concat();
        results(back.clone(), &inputs, &ENTROPY_TYPES).unwrap()
    };
    let expected = run(&clean);
    assert_eq!(run(&bad), expected);
    assert_eq!(expected[0].data[1], 0.0);
}

#[test]
fn a_read_row_spreads_to_the_loss() {
    let op = Op::CrossEntropy { softcap: None };
    for poison in [NAN, INF] {
        let mut inputs = entropy_inputs([0.0, -1.0, 2.0]);
        inputs[0].data[2] = poison;
        let found = results(op.clone(), &inputs, &ENTROPY_TYPES).unwrap();
        assert!(found[0].data[0].is_nan(), "{poison}");
        assert!(found[1].data[0].is_finite() && found[1].data[2].is_nan(), "{poison}");
        let inputs = [&inputs[..], &[Array::scalar(1.0)]].concat();
        let back = Op::CrossEntropyBackward { softcap: None };
        let found = results(back, &inputs, &ENTROPY_TYPES).unwrap();
        assert!(found[0].data[0].is_finite() && found[0].data[2].is_nan(), "dx, {poison}");
        assert!(found[1].data.iter().all(|x| x.is_nan()), "dw, {poison}");
    }
}

#[test]
fn wrong_targets_are_refused() {
    for target in [-2.0, 3.0] {
        let inputs = entropy_inputs([0.0, target, 2.0]);
        let op = Op::CrossEntropy { softcap: None };
        let error = results(op, &inputs, &ENTROPY_TYPES).unwrap_err().to_string();
        let message = format!("cross_entropy: index {target} at position 1 is outside 0..3");
        assert_eq!(error, message);
        let back = Op::CrossEntropyBackward { softcap: None };
        let inputs = [&inputs[..], &[Array::scalar(1.0)]].concat();
        let error = results(back, &inputs, &ENTROPY_TYPES).unwrap_err();
        assert!(matches!(error, GraphError::Index { position: 1, limit: 3, .. }));
    }
}

#[test]
fn large_logits_are_not_infinite() {
    let inputs = [
        Array::new([1, 1], [1e4]),
        Array::new([2, 1], [1.0, -1.0]),
        Array::new([1], [1.0]),
        Array::new([1], [1.0]),
    ];
    let found = results(Op::CrossEntropy { softcap: None }, &inputs, &ENTROPY_TYPES).unwrap();
    same(&found[0].data, &[2e4]);
}

#[test]
fn squared_errors_follow_ieee_754() {
    let rows = |x: [f64; 2]| Array::new([2, 1], x);
    let weights = Array::new([2], [1.0, 0.0]);
    let loss = |x: [f64; 2]| {
        let inputs = [rows(x), rows([0.0, 0.0]), weights.clone()];
        results(Op::MeanSquaredError, &inputs, &[]).unwrap()[0].data[0]
    };
    same(&[loss([INF, 0.0]), loss([0.0, INF]), loss([NAN, 0.0])], &[INF, NAN, NAN]);
    let inputs = [rows([INF, 1.0]), rows([0.0, 0.0]), weights, Array::scalar(1.0)];
    same(&results(Op::MeanSquaredErrorBackward, &inputs, &[]).unwrap()[0].data, &[INF, 0.0]);
}

#[test]
fn a_clip_factor_of_zero_marks_the_step_to_be_skipped() {
    let norm = |x: &[f64]| {
        let tensors = [Array::new([x.len()], x), Array::scalar(1.0)];
        results(Op::GlobalNorm, &tensors, &[]).unwrap()[0].data[0]
    };
    same(&[norm(&[NAN, INF]), norm(&[-INF, 1.0]), norm(&[1e30, 1.0])], &[NAN, INF, 1e30f32.into()]);
    let clip = |max_norm, norm, limit| pointwise(Op::ClipFactor { max_norm }, &[norm, limit]);
    same(&[clip(1.0, NAN, INF), clip(1.0, INF, INF), clip(1.0, -INF, INF)], &[0.0; 3]);
    same(&[clip(1.0, 4.0, 3.0), clip(1.0, 4.0, 4.0), clip(1.0, 4.0, NAN)], &[0.0, 0.25, 0.25]);
    same(&[clip(1.0, 0.0, INF), clip(1.0, 0.5, INF)], &[1.0, 1.0]);
    same(&[clip(f32::INFINITY, 0.0, INF), clip(f32::INFINITY, 1e30, INF)], &[1.0, 1.0]);
}

/// p, g, …, scalars for AdamW and Muon, with a NaN in g.
fn optimizer_inputs(states: usize, scalars: &[f64]) -> Vec<Array> {
    let mut draws = Draws::new(2);
    let mut inputs: Vec<Array> = (0..2 + states).map(|_| draws.array(&[2, 3])).collect();
    // Second moments are not negative; values that f32 holds.
    inputs.iter_mut().flat_map(|x| &mut x.data).for_each(|x| *x = f64::from(x.abs() as f32));
    inputs[1].data[4] = NAN;
    inputs.extend(scalars.iter().map(|&s| Array::scalar(s)));
    inputs
}

#[test]
fn a_factor_of_zero_leaves_parameters_alone_even_with_nan_gradients() {
    let adamw = AdamWSpec { beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.1, lr_scale: 1.0 };
    let inputs = optimizer_inputs(2, &[0.5, 1.0, 0.0]);
    let found = results(Op::AdamW(adamw), &inputs, &[]).unwrap();
    let expected = [inputs[0].clone(), inputs[2].clone(), inputs[3].clone()];
    assert_eq!(found, expected);
    // With another factor the NaN reaches its element alone.
    let inputs = optimizer_inputs(2, &[0.5, 1.0, 1.0]);
    let found = results(Op::AdamW(adamw), &inputs, &[]).unwrap();
    for array in found {
        let nan: Vec<usize> = (0..6).filter(|&i| array.data[i].is_nan()).collect();
        assert_eq!(nan, [4]);
    }
    for orthogonalizer in [Orthogonalizer::NewtonSchulz, Orthogonalizer::PolarExpress] {
        let muon = MuonSpec {
            nesterov: true,
            orthogonalizer,
            iterations: 5,
            weight_decay: 0.1,
            lr_scale: 1.0,
        };
        let inputs = optimizer_inputs(1, &[0.5, 0.9, 0.0]);
        let found = results(Op::Muon(muon), &inputs, &[]).unwrap();
        assert_eq!(found, [inputs[0].clone(), inputs[2].clone()]);
        // The norm of the matrix carries the NaN to all of p, not of the buffer.
        let inputs = optimizer_inputs(1, &[0.5, 0.9, 1.0]);
        let found = results(Op::Muon(muon), &inputs, &[]).unwrap();
        assert!(found[0].data.iter().all(|x| x.is_nan()));
        assert_eq!(found[1].data.iter().filter(|x| x.is_nan()).count(), 1);
        // No gradient at all is no direction, not a division by zero.
        let mut inputs = optimizer_inputs(1, &[0.5, 0.9, 1.0]);
        inputs[1].data.fill(0.0);
        inputs[2].data.fill(0.0);
        let found = results(Op::Muon(muon), &inputs, &[]).unwrap();
        assert!(found[0].data.iter().zip(&inputs[0].data).all(|(p, old)| {
            // Decay alone, within a rounding of f32.
            (p - old * (1.0 - 0.5 * 0.1)).abs() < 1e-7
        }));
    }
}

#[test]
fn caches_read_what_is_attended_to_and_no_more() {
    let mut draws = Draws::new(3);
    let i32s = [DType::F32, DType::F32, DType::I32, DType::I32, DType::I32];
    let ints = |x: &[f64]| Array::new([x.len()], x);
    // Sequence 0 holds NaN after position 1, sequence 1 everywhere; each has two pages of two.
    let mut cache = Array::new([4, 1, 2, 2], [NAN; 16]);
    let table = Array::new([2, 2], [3.0, 0.0, 1.0, 2.0]);
    let new = draws.array(&[3, 2]);
    let (sequences, positions) = (ints(&[0.0, -1.0, 0.0]), ints(&[0.0, 99.0, 1.0]));
    let inputs = [cache.clone(), new.clone(), table.clone(), sequences, positions];
    cache = results(Op::KvAppend, &inputs, &i32s).unwrap().remove(0);
    assert_eq!(cache.data.iter().filter(|x| x.is_finite()).count(), 4);
    let q = draws.array(&[3, 4]);
    let types = [&[DType::F32], &i32s[..]].concat();
    let AttentionSpec { heads, kv_heads, head_dim, window, scale, score_cap, .. } = spec(1);
    let spec = CachedAttentionSpec { heads, kv_heads, head_dim, window, scale, score_cap };
    let attend = |sequences: &[f64], positions: &[f64]| {
        let (sequences, positions) = (ints(sequences), ints(positions));
        let cache = || cache.clone();
        let inputs = [q.clone(), cache(), cache(), table.clone(), sequences, positions];
        results(Op::CachedAttention(spec.clone()), &inputs, &types)
    };
    let found = attend(&[0.0, -1.0, 0.0], &[0.0, 99.0, 1.0]).unwrap();
    assert!(found[0].data.iter().all(|x| x.is_finite()));
    same(found[0].row_of(1), &[0.0; 4]);
    let found = attend(&[0.0, 0.0, 1.0], &[1.0, 2.0, 0.0]).unwrap();
    assert!(found[0].row_of(0).iter().all(|x| x.is_finite()));
    assert!(found[0].data[4..].iter().all(|x| x.is_nan()));
    for (sequence, position, message) in [
        (2.0, 0.0, "cached_attention: index 2 at position 1 is outside 0..2"),
        (-2.0, 0.0, "cached_attention: index -2 at position 1 is outside 0..2"),
        (0.0, 4.0, "cached_attention: index 4 at position 1 is outside 0..4"),
        (0.0, -1.0, "cached_attention: index -1 at position 1 is outside 0..4"),
    ] {
        let (sequences, positions) = ([0.0, sequence, 0.0], [0.0, position, 0.0]);
        let error = attend(&sequences, &positions).unwrap_err();
        assert_eq!(error.to_string(), message);
        let places = [table.clone(), ints(&sequences), ints(&positions)];
        let inputs = [&[cache.clone(), new.clone()], &places[..]].concat();
        let error = results(Op::KvAppend, &inputs, &i32s).unwrap_err();
        assert_eq!(error.to_string(), message.replace("cached_attention", "kv_append"));
    }
}

/// Rows of a result.
trait Rows {
    fn row_of(&self, i: usize) -> &[f64];
}

impl Rows for Array {
    fn row_of(&self, i: usize) -> &[f64] {
        let width = self.shape[self.shape.len() - 1];
        &self.data[i * width..(i + 1) * width]
    }
}
