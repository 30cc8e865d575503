//! The oracle has no faster twin to be compared with; these are laws it must obey: decoding with a
//! cache is attention over the whole sequence, documents in one row are documents apart, grouped
//! heads are repeated heads, rotations are relative and invertible. And the engine around it.

#![allow(clippy::unwrap_used)]

mod draws;

use std::collections::BTreeMap;

use draws::Draws;
use proptest::prelude::*;
use stoa_graph::reference::{Array, DeferredEngine, ReferenceEngine, Rounding, run, run_rounded};
use stoa_graph::{
    AttentionSpec, Buffer, Buffers, Builder, CachedAttentionSpec, CompileOptions, DType, DeviceId,
    Engine, EngineError, GraphError, Nonlinearity, Placement, Places, Program, RopeSpec, Tensor,
    TensorType, ValueId,
};

/// Both sides compute in f64, in another order: a few roundings of 2⁻⁵³ of values near 1.
const ROUNDING: f64 = 1e-13;

fn close(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= ROUNDING)
}

/// Result `y` of a program of f32 and i32 inputs.
fn compute(
    inputs: &[(&Array, DType)],
    build: impl FnOnce(&mut Builder, &[ValueId]) -> ValueId,
) -> Array {
    let mut b = Builder::new();
    let mut given = BTreeMap::new();
    let mut values = Vec::new();
    for (i, (array, dtype)) in inputs.iter().enumerate() {
        let ty = TensorType::new(*dtype, array.shape.clone());
        values.push(b.data(format!("x{i}"), ty).unwrap());
        given.insert(format!("x{i}"), (*array).clone());
    }
    let y = build(&mut b, &values);
    b.returns("y", y).unwrap();
    run(&b.finish(), &given).unwrap().remove("y").unwrap()
}

fn attend([q, k, v]: [&Array; 3], segments: Option<&Array>, spec: &AttentionSpec) -> Array {
    let mut inputs = vec![(q, DType::F32), (k, DType::F32), (v, DType::F32)];
    inputs.extend(segments.map(|s| (s, DType::I32)));
    compute(&inputs, |b, x| {
        b.attention(x[0], x[1], x[2], x.get(3).copied(), spec.clone()).unwrap().0
    })
}

fn integers(values: impl IntoIterator<Item = usize>) -> Array {
    let data: Vec<f64> = values.into_iter().map(|x| x as f64).collect();
    Array::new([data.len()], data)
}

/// Rows `range` of a matrix.
fn rows(x: &Array, range: std::ops::Range<usize>) -> Array {
    let width = x.shape[1];
    let data = &x.data[range.start * width..range.end * width];
    Array::new([range.len(), width], data)
}

prop_compose! {
    /// A shape and mask of attention, and the time of its sequences.
    fn attention_case()(
        batch in 1usize..4,
        time in 1usize..9,
        kv_heads in 1usize..4,
        groups in 1usize..4,
        head_dim in 1usize..6,
        causal: bool,
        window in proptest::option::of(1usize..10),
        score_cap in proptest::option::of(0.3f32..3.0),
    ) -> (AttentionSpec, usize) {
        let heads = kv_heads * groups;
        let scale = 0.7;
        let spec =
            AttentionSpec { batch, heads, kv_heads, head_dim, causal, window, scale, score_cap };
        (spec, time)
    }
}

fn qkv(spec: &AttentionSpec, time: usize, seed: u64) -> [Array; 3] {
    let mut draws = Draws::new(seed);
    let tokens = spec.batch * time;
    [spec.heads, spec.kv_heads, spec.kv_heads]
        .map(|heads| draws.array(&[tokens, heads * spec.head_dim]))
}

/// The pinned seed of every property here, so that a failure is the same everywhere.
fn deterministic(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        rng_seed: proptest::test_runner::RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(deterministic(64))]

    #[test]
    fn decoding_with_a_cache_is_attention_over_the_sequence(
        (spec, time) in attention_case(), seed: u64,
    ) {
        let spec = AttentionSpec { causal: true, ..spec };
        let [q, k, v] = qkv(&spec, time, seed);
        let whole = attend([&q, &k, &v], None, &spec);
        // Sequence s is row batch − s of the table; all tokens are appended, then all attend at once.
        let tokens = spec.batch * time;
        let sequences = integers((0..tokens).map(|t| spec.batch - t / time));
        let positions = integers((0..tokens).map(|t| t % time));
        // Pages of a few entries, dealt to the sequences in turn and from the last to the first.
        let (page, rows) = (1 + seed as usize % 4, spec.batch + 1);
        let columns = time.div_ceil(page) + 1;
        let pages = rows * columns;
        let mut table = integers((0..pages).map(|i| pages - 1 - (i % columns * rows + i / columns)));
        table.shape = vec![rows, columns];
        let cache = Array::zeros(&[pages, spec.kv_heads, page, spec.head_dim]);
        let inputs = [&q, &k, &v, &cache].map(|x| (x, DType::F32));
        let places = [&table, &sequences, &positions].map(|x| (x, DType::I32));
        let AttentionSpec { heads, kv_heads, head_dim, window, scale, score_cap, .. } = spec;
        let spec = CachedAttentionSpec { heads, kv_heads, head_dim, window, scale, score_cap };
        let decoded = compute(&[&inputs[..], &places].concat(), |b, x| {
            let places = Places { table: x[4], sequences: x[5], positions: x[6] };
            let keys = b.kv_append(x[3], x[1], places).unwrap();
            let values = b.kv_append(x[3], x[2], places).unwrap();
            b.cached_attention(x[0], (keys, values), places, spec.clone()).unwrap()
        });
        prop_assert!(close(&decoded.data, &whole.data));
    }

    #[test]
    fn documents_in_one_row_are_documents_apart(
        (spec, _) in attention_case(),
        lengths in proptest::collection::vec(1usize..5, 1..4),
        seed: u64,
    ) {
        let spec = AttentionSpec { batch: 1, ..spec };
        let time = lengths.iter().sum();
        let [q, k, v] = qkv(&spec, time, seed);
        let ids = lengths.iter().enumerate().flat_map(|(i, &n)| std::iter::repeat_n(i, n));
        let packed = attend([&q, &k, &v], Some(&integers(ids)), &spec);
        let mut start = 0;
        for n in lengths {
            let [q, k, v] = [&q, &k, &v].map(|x| rows(x, start..start + n));
            let alone = attend([&q, &k, &v], None, &spec);
            prop_assert!(close(&rows(&packed, start..start + n).data, &alone.data));
            start += n;
        }
    }

    #[test]
    fn grouped_heads_are_repeated_heads((spec, time) in attention_case(), seed: u64) {
        let [q, k, v] = qkv(&spec, time, seed);
        let grouped = attend([&q, &k, &v], None, &spec);
        let repeated = |x: &Array| {
            let groups = spec.heads / spec.kv_heads;
            let heads = x.data.chunks(spec.head_dim).flat_map(|head| head.repeat(groups));
            Array::new([x.shape[0], spec.heads * spec.head_dim], heads.collect::<Vec<_>>())
        };
        let full = AttentionSpec { kv_heads: spec.heads, ..spec };
        let plain = attend([&q, &repeated(&k), &repeated(&v)], None, &full);
        prop_assert!(close(&grouped.data, &plain.data));
    }

    #[test]
    fn a_window_of_one_returns_the_values((spec, time) in attention_case(), seed: u64) {
        let spec = AttentionSpec { window: Some(1), kv_heads: spec.heads, ..spec };
        let [q, k, v] = qkv(&spec, time, seed);
        prop_assert!(close(&attend([&q, &k, &v], None, &spec).data, &v.data));
    }

    #[test]
    fn the_future_does_not_matter_to_causal_attention((spec, time) in attention_case(), seed: u64) {
        let spec = AttentionSpec { causal: true, batch: 1, ..spec };
        let [q, k, v] = qkv(&spec, time, seed);
        let whole = attend([&q, &k, &v], None, &spec);
        for n in 1..time {
            let [q, k, v] = [&q, &k, &v].map(|x| rows(x, 0..n));
            prop_assert!(close(&attend([&q, &k, &v], None, &spec).data, &rows(&whole, 0..n).data));
        }
    }

    #[test]
    fn rotations_are_relative_and_invertible(
        half in 1usize..4, axes in 1usize..4, shift in -20i64..20, seed: u64,
    ) {
        let head_dim = 2 * half * axes;
        let spec = RopeSpec::geometric(head_dim, 30.0, axes);
        let mut draws = Draws::new(seed);
        let (q, k) = (draws.array(&[1, head_dim]), draws.array(&[1, head_dim]));
        let at = draws.integers(&[1, axes], -9..9);
        let to = draws.integers(&[1, axes], -9..9);
        let shifted = |x: &Array| {
            let data: Vec<f64> = x.data.iter().map(|p| p + shift as f64).collect();
            Array::new(x.shape.clone(), data)
        };
        let turn = |x: &Array, positions: &Array, spec: &RopeSpec| {
            compute(&[(x, DType::F32), (positions, DType::I32)], |b, x| {
                b.rope(x[0], x[1], spec.clone()).unwrap()
            })
        };
        let product = |at: &Array, to: &Array| {
            let (q, k) = (turn(&q, at, &spec), turn(&k, to, &spec));
            q.data.iter().zip(&k.data).map(|(a, b)| a * b).sum::<f64>()
        };
        prop_assert!(close(&[product(&at, &to)], &[product(&shifted(&at), &shifted(&to))]));
        let back = turn(&turn(&q, &at, &spec), &at, &RopeSpec { inverse: true, ..spec });
        prop_assert!(close(&back.data, &q.data));
    }

    #[test]
    fn the_fused_loss_is_the_loss_of_the_logits(
        n in 1usize..6, d in 1usize..6, vocab in 1usize..9, cap in proptest::option::of(0.5f32..5.0),
        seed: u64,
    ) {
        let mut draws = Draws::new(seed);
        let (x, w) = (draws.array(&[n, d]), draws.array(&[vocab, d]));
        let weights = draws.array(&[n]);
        let targets = draws.integers(&[n], 0..vocab as i64);
        let typed = [(&x, DType::F32), (&w, DType::F32), (&targets, DType::I32), (&weights, DType::F32)];
        let loss = compute(&typed, |b, x| b.cross_entropy(x[0], x[1], x[2], x[3], cap).unwrap().0);
        let logits = compute(&typed[..2], |b, x| {
            let logits = b.linear(x[0], x[1]).unwrap();
            cap.map_or(logits, |cap| b.activation(logits, Nonlinearity::SoftCap { cap }).unwrap())
        });
        let expected: f64 = (0..n).map(|i| {
            let row = &logits.data[i * vocab..(i + 1) * vocab];
            let sum: f64 = row.iter().map(|z| z.exp()).sum();
            weights.data[i] * (sum.ln() - row[targets.data[i] as usize])
        }).sum();
        prop_assert!(close(&loss.data, &[expected]));
    }
}

#[test]
fn a_rotation_by_hand() {
    // One head of four features: pairs (0, 2) by position·1 and (1, 3) by position/10.
    let spec = RopeSpec::geometric(4, 100.0, 1);
    let x = Array::new([1, 4], [1.0, 0.0, 0.0, 1.0]);
    let positions = Array::new([1, 1], [3.0]);
    let y = compute(&[(&x, DType::F32), (&positions, DType::I32)], |b, x| {
        b.rope(x[0], x[1], spec).unwrap()
    });
    let expected = [3f64.cos(), -0.3f64.sin(), 3f64.sin(), 0.3f64.cos()];
    assert!(close(&y.data, &expected), "{y:?}");
    // Two pairs of five features, half as large again; the last feature stays as it is.
    let spec = RopeSpec { head_dim: 5, factor: 1.5, ..RopeSpec::geometric(4, 100.0, 1) };
    let x = Array::new([1, 5], [1.0, 0.0, 0.0, 1.0, 7.0]);
    let y = compute(&[(&x, DType::F32), (&positions, DType::I32)], |b, x| {
        b.rope(x[0], x[1], spec).unwrap()
    });
    let expected = [&expected.map(|x| 1.5 * x)[..], &[7.0]].concat();
    assert!(close(&y.data, &expected), "{y:?}");
}

/// y = w·x, w ← w + y, a bf16 state, a table lookup.
fn counting_program() -> Program {
    let mut b = Builder::new();
    let w = b.state("w", TensorType::f32([2])).unwrap();
    let half = b.state("half", TensorType::new(DType::BF16, [2, 1])).unwrap();
    let x = b.data("x", TensorType::f32([2])).unwrap();
    let ids = b.data("ids", TensorType::i32([2])).unwrap();
    let looked_up = b.gather(half, ids).unwrap();
    let looked_up = b.reshape(looked_up, [2]).unwrap();
    let x = b.add(x, looked_up).unwrap();
    let y = b.mul(w, x).unwrap();
    let next = b.add(w, y).unwrap();
    let y = b.activation(y, Nonlinearity::ReluSquared).unwrap();
    b.returns("y", y).unwrap();
    b.updates("w", next).unwrap();
    b.finish()
}

fn state(engine: &ReferenceEngine) -> Buffers {
    let mut buffers = Buffers::new();
    let half = Tensor::from_f64(&TensorType::new(DType::BF16, [2, 1]), &[0.5, -0.5]).unwrap();
    buffers.insert("half", engine.upload(&half).unwrap());
    buffers.insert("w", engine.upload(&Tensor::f32([2], vec![1.0, 2.0]).unwrap()).unwrap());
    buffers
}

#[test]
fn the_engine_keeps_and_updates_state() {
    let engine = ReferenceEngine::new(Rounding::Declared);
    let mut executable = engine.compile(&counting_program(), &Default::default()).unwrap();
    assert_eq!(*executable.program(), counting_program());
    assert_eq!(executable.memory().state_bytes, 32);
    let mut buffers = state(&engine);
    let x = Tensor::f32([2], vec![0.5, 0.5]).unwrap();
    let ids = Tensor::i32([2], vec![0, 1]).unwrap();
    for step in 0..3 {
        let outputs = executable.run(&mut buffers, &[("x", &x), ("ids", &ids)]).unwrap();
        let outputs = outputs.outputs().unwrap();
        // The first element doubles, the second stays.
        let doubled = 2f32.powi(step);
        assert_eq!(outputs["y"].as_f32().unwrap(), [doubled * doubled, 0.0]);
        let w = engine.download(buffers.get("w").unwrap()).unwrap();
        assert_eq!(w.as_f32().unwrap(), [2.0 * doubled, 2.0]);
    }
}

#[test]
fn wrong_bindings_are_refused_and_leave_state_alone() {
    let engine = ReferenceEngine::default();
    let mut executable = engine.compile(&counting_program(), &Default::default()).unwrap();
    let mut buffers = state(&engine);
    let x = Tensor::f32([2], vec![0.5, 0.5]).unwrap();
    let ids = Tensor::i32([2], vec![0, 1]).unwrap();
    let far = Tensor::i32([2], vec![0, 2]).unwrap();
    let long = Tensor::f32([3], vec![0.0; 3]).unwrap();
    let mut refused =
        |data: &[(&str, &Tensor)]| executable.run(&mut buffers, data).err().unwrap().to_string();
    let unbound = "`ids` (i32[2]) was not given; a run needs every input of its program";
    assert_eq!(refused(&[("x", &x)]), unbound);
    let unknown = "the program has no input named `z`; it has: w, half, x, ids";
    assert_eq!(refused(&[("x", &x), ("ids", &ids), ("z", &x)]), unknown);
    assert_eq!(refused(&[("x", &long), ("ids", &ids)]), "`x` must be f32[2], was given f32[3]");
    assert_eq!(refused(&[("x", &ids), ("ids", &ids)]), "`x` must be f32[2], was given i32[2]");
    let outside = "gather: index 2 at position 1 is outside 0..2";
    assert_eq!(refused(&[("x", &x), ("ids", &far)]), outside);
    let w = engine.download(buffers.get("w").unwrap()).unwrap();
    assert_eq!(w.as_f32().unwrap(), [1.0, 2.0]);
    buffers.insert("w", engine.upload(&long).unwrap());
    let error = executable.run(&mut buffers, &[("x", &x), ("ids", &ids)]).err().unwrap();
    assert_eq!(error.to_string(), "`w` must be f32[2], was given f32[3]");
    let foreign = Buffer::new(TensorType::f32([2]), DeviceId::default(), ());
    assert!(matches!(engine.download(&foreign), Err(EngineError::ForeignBuffer(_))));
    buffers.insert("w", foreign);
    let error = executable.run(&mut buffers, &[("x", &x), ("ids", &ids)]).err().unwrap();
    assert!(matches!(error, EngineError::ForeignBuffer(name) if name == "w"));
}

#[test]
fn deferred_runs_are_done_in_order_when_waited_for() {
    let engine = DeferredEngine::new(2, Rounding::Declared);
    let far = DeviceId(1);
    let options = CompileOptions::from(&Placement([("w".to_owned(), far)].into()));
    let mut executable = engine.compile(&counting_program(), &options).unwrap();
    let expected = [("half", 0), ("ids", 0), ("w", 1), ("x", 0)];
    assert_eq!(engine.placed(), expected.map(|(name, at)| (name.to_owned(), DeviceId(at))).into());
    let tensor = |shape: &[usize], values: &[f64], dtype| {
        Tensor::from_f64(&TensorType::new(dtype, shape), values).unwrap()
    };
    let mut buffers = Buffers::new();
    let half = tensor(&[2, 1], &[0.5, -0.5], DType::BF16);
    let w = tensor(&[2], &[1.0, 2.0], DType::F32);
    buffers.insert("half", engine.upload(&half).unwrap());
    buffers.insert("w", engine.upload(&w).unwrap());
    let x = Tensor::f32([2], vec![0.5, 0.5]).unwrap();
    let ids = Tensor::i32([2], vec![0, 1]).unwrap();
    let data = [("x", &x), ("ids", &ids)];
    let misplaced = executable.run(&mut buffers, &data).unwrap_err().to_string();
    assert_eq!(misplaced, "`w` lies on device 0, the program expects it on device 1");
    buffers.insert("w", engine.upload_to(far, &w).unwrap());
    let first = executable.run(&mut buffers, &data).unwrap();
    // The second run is not waited for, yet the third sees its update.
    drop(executable.run(&mut buffers, &data).unwrap());
    let third = executable.run(&mut buffers, &data).unwrap();
    assert_eq!((engine.queued(), first.is_ready(), third.is_ready()), (3, false, false));
    let kept = third.buffers().unwrap();
    assert_eq!(engine.queued(), 3, "outputs that stay on the engine need no waiting");
    assert_eq!(first.outputs().unwrap()["y"].as_f32().unwrap(), [1.0, 0.0]);
    assert_eq!(engine.queued(), 2);
    let y = engine.download(kept.get("y").unwrap()).unwrap();
    assert_eq!((y.as_f32().unwrap(), engine.queued()), (&[16.0, 0.0][..], 0));
    let w = buffers.get("w").unwrap();
    assert_eq!((w.device, engine.download(w).unwrap().as_f32().unwrap()[0]), (far, 8.0));
    // A run that fails says so where it is waited for, and so does what came from it.
    let outside = Tensor::i32([2], vec![0, 2]).unwrap();
    let failing = executable.run(&mut buffers, &[("x", &x), ("ids", &outside)]).unwrap();
    let after = executable.run(&mut buffers, &data).unwrap();
    let message = "a deferred run failed: gather: index 2 at position 1 is outside 0..2";
    assert_eq!(after.outputs().unwrap_err().to_string(), message);
    assert_eq!(failing.outputs().unwrap_err().to_string(), message);
    assert_eq!(engine.download(buffers.get("w").unwrap()).unwrap_err().to_string(), message);
}

#[test]
fn rounding_happens_where_it_is_declared() {
    let mut b = Builder::new();
    let x = b.data("x", TensorType::f32([1])).unwrap();
    let third = b.scale(x, 1.0 / 3.0).unwrap();
    let narrow = b.cast(third, DType::BF16).unwrap();
    let wide = b.cast(narrow, DType::F32).unwrap();
    b.returns("third", third).unwrap();
    b.returns("wide", wide).unwrap();
    let program = b.finish();
    let inputs = BTreeMap::from([("x".to_owned(), Array::new([1], [0.1]))]);
    let by = f64::from(1.0f32 / 3.0);
    let exact = run(&program, &inputs).unwrap();
    assert_eq!((exact["third"].data[0], exact["wide"].data[0]), (by * 0.1, by * 0.1));
    let rounded = run_rounded(&program, &inputs, Rounding::Declared).unwrap();
    let third = f64::from((by * f64::from(0.1f32)) as f32);
    assert_eq!(rounded["third"].data[0], third);
    assert_eq!(rounded["wide"].data[0], f64::from(half::bf16::from_f64(third)));
}

#[test]
fn a_map_of_inputs_is_checked_too() {
    let program = counting_program();
    let mut inputs = BTreeMap::from([
        ("w".to_owned(), Array::zeros(&[2])),
        ("half".to_owned(), Array::zeros(&[2, 1])),
        ("x".to_owned(), Array::zeros(&[2])),
    ]);
    assert!(
        matches!(run(&program, &inputs), Err(GraphError::Unbound { name, .. }) if name == "ids")
    );
    inputs.insert("ids".to_owned(), Array::zeros(&[3]));
    assert!(
        matches!(run(&program, &inputs), Err(GraphError::Binding { name, .. }) if name == "ids")
    );
    inputs.insert("ids".to_owned(), Array::new([2], [0.0]));
    assert!(run(&program, &inputs).is_err(), "too few elements for its shape");
    inputs.insert("ids".to_owned(), Array::zeros(&[2]));
    assert_eq!(run(&program, &inputs).unwrap().len(), 2);
    let mut b = Builder::new();
    let w = b.state("w", TensorType::scalar()).unwrap();
    b.updates("w", w).unwrap();
    b.returns("w", w).unwrap();
    let inputs = BTreeMap::from([("w".to_owned(), Array::scalar(1.0))]);
    assert_eq!(run(&b.finish(), &inputs), Err(GraphError::DuplicateName("w".into())));
}

#[test]
fn empty_tensors_pass_through_every_family() {
    let empty = Array::zeros(&[0, 4]);
    let none = Array::zeros(&[0, 1]);
    let y = compute(&[(&empty, DType::F32), (&none, DType::I32)], |b, x| {
        let y = b.rms_norm(x[0], None, 1e-5).unwrap();
        let y = b.rope(y, x[1], RopeSpec::geometric(4, 1e4, 1));
        let y = y.unwrap();
        let spec = AttentionSpec {
            batch: 1,
            heads: 1,
            kv_heads: 1,
            head_dim: 4,
            causal: true,
            window: None,
            scale: 1.0,
            score_cap: None,
        };
        let (y, _) = b.attention(y, y, y, None, spec).unwrap();
        b.matmul(y, y, true, false).unwrap()
    });
    assert_eq!(y, Array::zeros(&[4, 4]));
}
