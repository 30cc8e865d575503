//! What is wrong with data or bindings is an error like the reference's, and changes no state.

use std::collections::BTreeMap;

use stoa_graph::reference::{Array, ReferenceEngine};
use stoa_graph::{
    Buffers, Builder, DType, Engine, EngineError, GraphError, Places, Program, Tensor, TensorType,
};
use stoa_native::{NativeEngine, NativeOptions};

use crate::harness::{run_on, upload};

fn engine() -> NativeEngine {
    NativeEngine::new(NativeOptions { threads: Some(2), ..NativeOptions::default() }).unwrap()
}

/// Looks up rows with ids that come as they are, reshaped, or filled.
#[derive(Clone, Copy)]
enum Ids {
    Plain,
    Reshaped,
    Filled(f32),
}

fn lookup(ids: Ids) -> Program {
    let mut b = Builder::new();
    let table = b.state("table", TensorType::f32([3, 2])).unwrap();
    let ids = match ids {
        Ids::Plain => b.data("ids", TensorType::i32([4])).unwrap(),
        Ids::Reshaped => {
            let square = b.data("ids", TensorType::i32([2, 2])).unwrap();
            b.reshape(square, [4]).unwrap()
        }
        Ids::Filled(value) => b.fill(TensorType::i32([4]), value).unwrap(),
    };
    let rows = b.gather(table, ids).unwrap();
    let changed = b.scale(table, 2.0).unwrap();
    b.updates("table", changed).unwrap();
    b.returns("rows", rows).unwrap();
    b.finish()
}

/// The error of a run, on the engine and on the reference; the state is untouched.
fn refusal(program: &Program, data: &[(&str, &Tensor)]) -> [String; 2] {
    let (native, reference) = (engine(), ReferenceEngine::default());
    [&native as &dyn Engine, &reference].map(|engine| {
        let inputs = program.inputs().iter().map(|i| {
            let shape = &program.ty(i.value).shape;
            (i.name.clone(), Array::new(shape.clone(), vec![1.0; shape.iter().product()]))
        });
        let inputs: BTreeMap<String, Array> = inputs.collect();
        let mut state = upload(engine, program, &inputs);
        let mut executable = engine.compile(program, &Default::default()).unwrap();
        let error = executable.run(&mut state, data).expect_err("refused");
        for (name, buffer) in &state.0 {
            let tensor = engine.download(buffer).unwrap();
            assert_eq!(tensor.to_f64(), inputs[name].data, "{name} changed before {error}");
        }
        error.to_string()
    })
}

#[test]
fn ids_outside_their_table() {
    for id in [-1, 3, i32::MAX, i32::MIN] {
        let expected = format!("gather: index {id} at position 2 is outside 0..3");
        for (ids, shape) in [(Ids::Plain, vec![4]), (Ids::Reshaped, vec![2, 2])] {
            let tensor = Tensor::i32(shape, vec![0, 2, id, 1]).unwrap();
            let found = refusal(&lookup(ids), &[("ids", &tensor)]);
            assert_eq!(found, [&expected[..]; 2]);
        }
    }
    let expected = "gather: index 7 at position 0 is outside 0..3";
    assert_eq!(refusal(&lookup(Ids::Filled(7.0)), &[]), [expected; 2]);
}

#[test]
fn targets_and_cache_places_outside() {
    let mut b = Builder::new();
    let x = b.data("x", TensorType::f32([3, 2])).unwrap();
    let w = b.state("w", TensorType::f32([5, 2])).unwrap();
    let targets = b.data("targets", TensorType::i32([3])).unwrap();
    let weights = b.data("weights", TensorType::f32([3])).unwrap();
    let (loss, _) = b.cross_entropy(x, w, targets, weights, None).unwrap();
    b.returns("loss", loss).unwrap();
    let program = b.finish();
    let x = Tensor::f32([3, 2], vec![1.0; 6]).unwrap();
    let weights = Tensor::f32([3], vec![1.0; 3]).unwrap();
    for target in [-2, 5] {
        let targets = Tensor::i32([3], vec![-1, 4, target]).unwrap();
        let data = [("x", &x), ("targets", &targets), ("weights", &weights)];
        let expected = format!("cross_entropy: index {target} at position 2 is outside 0..5");
        assert_eq!(refusal(&program, &data), [&expected[..]; 2]);
    }
    let mut b = Builder::new();
    let cache = b.state("cache", TensorType::f32([3, 1, 2, 2])).unwrap();
    let new = b.data("new", TensorType::f32([3, 2])).unwrap();
    let table = b.data("table", TensorType::i32([2, 2])).unwrap();
    let sequences = b.data("sequences", TensorType::i32([3])).unwrap();
    let positions = b.data("positions", TensorType::i32([3])).unwrap();
    let updated = b.kv_append(cache, new, Places { table, sequences, positions }).unwrap();
    b.updates("cache", updated).unwrap();
    let program = b.finish();
    let pages = Tensor::i32([2, 2], vec![2, 0, 1, 1]).unwrap();
    for (sequence, position, message) in [
        (2, 0, "kv_append: index 2 at position 1 is outside 0..2"),
        (-2, 0, "kv_append: index -2 at position 1 is outside 0..2"),
        (1, 4, "kv_append: index 4 at position 1 is outside 0..4"),
        (1, -1, "kv_append: index -1 at position 1 is outside 0..4"),
    ] {
        let sequences = Tensor::i32([3], vec![0, sequence, -1]).unwrap();
        let positions = Tensor::i32([3], vec![0, position, 0]).unwrap();
        let places = [("table", &pages), ("sequences", &sequences), ("positions", &positions)];
        let data = [&[("new", &x)], &places[..]].concat();
        assert_eq!(refusal(&program, &data), [message; 2]);
    }
    // A page that no token needs is as wrong as one that is read.
    for (page, message) in [
        (3, "kv_append: index 3 at position 3 is outside 0..3"),
        (-1, "kv_append: index -1 at position 3 is outside 0..3"),
    ] {
        let pages = Tensor::i32([2, 2], vec![2, 0, 1, page]).unwrap();
        let none = Tensor::i32([3], vec![0; 3]).unwrap();
        let places = [("table", &pages), ("sequences", &none), ("positions", &none)];
        assert_eq!(refusal(&program, &[&[("new", &x)], &places[..]].concat()), [message; 2]);
    }
    // The position of what is left out is not read.
    let native = engine();
    let mut executable = native.compile(&program, &Default::default()).unwrap();
    let zeros = BTreeMap::from([("cache".to_owned(), Array::zeros(&[3, 1, 2, 2]))]);
    let mut state = upload(&native, &program, &zeros);
    let sequences = Tensor::i32([3], vec![0, -1, -1]).unwrap();
    let positions = Tensor::i32([3], vec![0, 99, -7]).unwrap();
    let places = [("table", &pages), ("sequences", &sequences), ("positions", &positions)];
    let data = [&[("new", &x)], &places[..]].concat();
    let _ = executable.run(&mut state, &data).unwrap();
}

#[test]
fn bindings_that_do_not_fit() {
    let program = lookup(Ids::Plain);
    let ids = Tensor::i32([4], vec![0; 4]).unwrap();
    let short = Tensor::i32([3], vec![0; 3]).unwrap();
    let floats = Tensor::f32([4], vec![0.0; 4]).unwrap();
    let [native, _] = refusal(&program, &[]);
    assert!(native.contains("ids"), "{native}");
    let [native, reference] = refusal(&program, &[("ids", &short)]);
    assert_eq!([&native[..], &reference], ["`ids` must be i32[4], was given i32[3]"; 2]);
    let [native, reference] = refusal(&program, &[("ids", &floats)]);
    assert_eq!([&native[..], &reference], ["`ids` must be i32[4], was given f32[4]"; 2]);
    let [native, _] = refusal(&program, &[("ids", &ids), ("more", &ids)]);
    assert!(native.contains("more"), "{native}");
}

#[test]
fn state_that_is_missing_or_of_another_engine() {
    let program = lookup(Ids::Plain);
    let ids = Tensor::i32([4], vec![0; 4]).unwrap();
    let native = engine();
    let mut executable = native.compile(&program, &Default::default()).unwrap();
    let missing = executable.run(&mut Buffers::new(), &[("ids", &ids)]);
    assert!(matches!(missing, Err(EngineError::Graph(GraphError::UnknownName { .. }))));
    let mut state = Buffers::new();
    let table = Tensor::f32([3, 2], vec![0.0; 6]).unwrap();
    state.insert("table", ReferenceEngine::default().upload(&table).unwrap());
    let foreign = executable.run(&mut state, &[("ids", &ids)]);
    assert!(matches!(foreign, Err(EngineError::ForeignBuffer(name)) if name == "table"));
    assert!(matches!(native.download(&state.0["table"]), Err(EngineError::ForeignBuffer(_))));
    let wide = Tensor::f32([3, 3], vec![0.0; 9]).unwrap();
    state.insert("table", native.upload(&wide).unwrap());
    let error = executable.run(&mut state, &[("ids", &ids)]).err().unwrap();
    assert_eq!(error.to_string(), "`table` must be f32[3, 2], was given f32[3, 3]");
}

/// A program with activations that no kernel takes is refused when it is compiled.
#[test]
fn types_without_a_kernel() {
    let mut b = Builder::new();
    let x = b.data("x", TensorType::new(DType::F16, [2, 3])).unwrap();
    let y = b.add(x, x).unwrap();
    b.returns("y", y).unwrap();
    let program = b.finish();
    let refused = engine().compile(&program, &Default::default()).err().unwrap();
    let message = "this engine does not run add on f16[2, 3], f16[2, 3] → f16[2, 3]";
    assert_eq!(refused.to_string(), message);
}

#[test]
fn a_memory_limit_refuses_when_compiled() {
    let mut b = Builder::new();
    let x = b.state("x", TensorType::f32([1024, 1024])).unwrap();
    let y = b.matmul(x, x, false, false).unwrap();
    let z = b.matmul(y, x, false, true).unwrap();
    b.returns("z", z).unwrap();
    let program = b.finish();
    let limited = |memory_limit_bytes| {
        let options =
            NativeOptions { threads: Some(1), memory_limit_bytes, ..NativeOptions::default() };
        NativeEngine::new(options)
            .unwrap()
            .compile(&program, &Default::default())
            .map(|e| e.memory())
    };
    let plan = limited(None).unwrap();
    // The state, and both products (one is read while the other is made).
    assert_eq!(plan.state_bytes, 4 << 20);
    assert!(plan.arena_bytes >= 8 << 20 && plan.arena_bytes < 9 << 20, "{plan:?}");
    assert_eq!(limited(Some(plan.total_bytes())).unwrap(), plan, "exactly enough is enough");
    match limited(Some(plan.total_bytes() - 1)) {
        Err(EngineError::MemoryLimit { plan: refused, total_bytes, limit_bytes, .. }) => {
            let bytes = plan.total_bytes();
            assert_eq!((refused, total_bytes, limit_bytes), (plan, bytes, bytes - 1));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn inputs_returned_and_states_exchanged() {
    let mut b = Builder::new();
    let x = b.state("x", TensorType::f32([3])).unwrap();
    let y = b.state("y", TensorType::f32([3])).unwrap();
    let given = b.data("given", TensorType::f32([3])).unwrap();
    let shape = b.reshape(x, [1, 3]).unwrap();
    b.returns("x before", x).unwrap();
    b.returns("given", given).unwrap();
    b.returns("row", shape).unwrap();
    b.updates("x", y).unwrap();
    b.updates("y", x).unwrap();
    let program = b.finish();
    let array = |x: f64| Array::new([3], [x; 3]);
    let inputs = [("x", 1.0), ("y", 2.0), ("given", 3.0)];
    let inputs: BTreeMap<String, Array> =
        inputs.into_iter().map(|(name, x)| (name.to_owned(), array(x))).collect();
    let found = run_on(&engine(), &program, &inputs);
    for (name, expected) in
        [("x before", 1.0), ("given", 3.0), ("row", 1.0), ("x", 2.0), ("y", 1.0)]
    {
        assert_eq!(found[name].to_f64(), [expected; 3], "{name}");
    }
}
