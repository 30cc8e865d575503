//! State that executables share, and the one memory limit of an engine.

use std::thread;

use stoa_graph::{
    Buffers, Builder, CompileOptions, DType, DeviceId, Engine, EngineError, Placement, Program,
    Tensor, TensorType,
};
use stoa_native::{NativeEngine, NativeOptions};

/// Elements of each state: large beside what a run allocates besides.
const N: usize = 1 << 16;

fn engine(memory_limit_bytes: Option<usize>) -> NativeEngine {
    let options = NativeOptions { threads: Some(2), memory_limit_bytes, ..Default::default() };
    NativeEngine::new(options).unwrap()
}

/// x ← x + w; returns the new x.
fn adding() -> Program {
    let mut b = Builder::new();
    let x = b.state("x", TensorType::f32([N])).unwrap();
    let w = b.state("w", TensorType::f32([N])).unwrap();
    let sum = b.add(x, w).unwrap();
    b.updates("x", sum).unwrap();
    b.returns("sum", sum).unwrap();
    b.finish()
}

fn filled(value: f32) -> Tensor {
    Tensor::f32([N], vec![value; N]).unwrap()
}

fn state(engine: &NativeEngine, x: f32, w: f32) -> Buffers {
    let mut state = Buffers::new();
    state.insert("x", engine.upload(&filled(x)).unwrap());
    state.insert("w", engine.upload(&filled(w)).unwrap());
    state
}

fn value(engine: &NativeEngine, state: &Buffers, name: &str) -> f32 {
    engine.download(state.get(name).unwrap()).unwrap().as_f32().unwrap()[N - 1]
}

#[test]
fn a_run_leaves_shared_buffers_as_they_are() {
    let engine = engine(None);
    let mut executable = engine.compile(&adding(), &CompileOptions::default()).unwrap();
    let mut one = state(&engine, 1.0, 10.0);
    let mut other = one.clone();
    for _ in 0..2 {
        let _ = executable.run(&mut one, &[]).unwrap();
    }
    assert_eq!((value(&engine, &one, "x"), value(&engine, &other, "x")), (21.0, 1.0));
    let outputs = executable.run(&mut other, &[]).unwrap().buffers().unwrap();
    assert_eq!(value(&engine, &outputs, "sum"), 11.0);
    // The same buffer under both names: only the updated one gets bytes of its own.
    one.insert("x", one.get("w").unwrap().clone());
    let _ = executable.run(&mut one, &[]).unwrap();
    assert_eq!((value(&engine, &one, "x"), value(&engine, &one, "w")), (20.0, 10.0));
}

#[test]
fn executables_read_the_same_weights_at_one_time() {
    let engine = engine(None);
    let shared = state(&engine, 0.0, 3.0);
    thread::scope(|scope| {
        for start in [1.0, 2.0, 3.0] {
            let (engine, mut state) = (&engine, shared.clone());
            scope.spawn(move || {
                state.insert("x", engine.upload(&filled(start)).unwrap());
                let mut executable = engine.compile(&adding(), &Default::default()).unwrap();
                for _ in 0..50 {
                    let _ = executable.run(&mut state, &[]).unwrap();
                }
                assert_eq!(value(engine, &state, "x"), start + 150.0);
            });
        }
    });
    assert_eq!((value(&engine, &shared, "x"), value(&engine, &shared, "w")), (0.0, 3.0));
}

#[test]
fn an_update_of_a_shared_buffer_needs_memory_for_both() {
    let bytes = N * size_of::<f32>();
    let plan = engine(None).compile(&adding(), &Default::default()).unwrap().memory();
    let engine = engine(Some(plan.total_bytes()));
    let mut executable = engine.compile(&adding(), &Default::default()).unwrap();
    let mut state = state(&engine, 1.0, 10.0);
    let _ = executable.run(&mut state, &[]).unwrap();
    let shared = state.clone();
    match executable.run(&mut state, &[]).unwrap_err() {
        EngineError::MemoryLimit { what: "a buffer", plan: needed, total_bytes, .. } => {
            assert_eq!((needed.state_bytes, total_bytes), (bytes, plan.total_bytes() + bytes));
        }
        other => panic!("{other}"),
    }
    assert_eq!(value(&engine, &state, "x"), 11.0);
    drop(shared);
    let _ = executable.run(&mut state, &[]).unwrap();
    assert_eq!(value(&engine, &state, "x"), 21.0);
}

/// Products whose values take `2·rows²` floats at once.
fn products(rows: usize) -> Program {
    let mut b = Builder::new();
    let x = b.state("x", TensorType::f32([rows, rows])).unwrap();
    let y = b.matmul(x, x, false, false).unwrap();
    let z = b.matmul(y, x, false, true).unwrap();
    b.returns("z", z).unwrap();
    b.finish()
}

#[test]
fn all_programs_and_buffers_keep_to_one_limit() {
    let (small, large) = (products(128), products(256));
    let needed = engine(None).compile(&large, &Default::default()).unwrap().memory();
    let engine = engine(Some(needed.total_bytes()));
    // Programs take turns in one workspace, so any number of them fits where the largest does.
    let mut executables: Vec<_> = [&small, &large, &small]
        .map(|program| engine.compile(program, &Default::default()).unwrap())
        .into();
    let too_large = engine.compile(&products(257), &Default::default()).err().unwrap();
    assert!(too_large.to_string().contains("--memory-limit"), "{too_large}");
    let mut state = Buffers::new();
    state.insert("x", engine.upload(&Tensor::zeros(&TensorType::f32([256, 256]))).unwrap());
    let _ = executables[1].run(&mut state, &[]).unwrap();
    // The limit counts buffers and plans that are live already.
    let more = Tensor::zeros(&TensorType::f32([128, 128]));
    let refused = engine.upload(&more).err().unwrap();
    assert!(matches!(refused, EngineError::MemoryLimit { what: "a buffer", .. }), "{refused}");
    // What is dropped is given back.
    drop(executables.remove(1));
    let mut other = Buffers::new();
    other.insert("x", engine.upload(&more).unwrap());
    for executable in &mut executables {
        let _ = executable.run(&mut other, &[]).unwrap();
    }
}

#[test]
fn there_is_one_device() {
    let engine = engine(None);
    let far = DeviceId(1);
    let refused = engine.upload_to(far, &filled(0.0)).err().unwrap();
    assert_eq!(refused.to_string(), "there is no device 1; the engine has 1, counted from 0");
    let placed = |name: &str| CompileOptions::from(&Placement([(name.to_owned(), far)].into()));
    let refused = engine.compile(&adding(), &placed("w")).err().unwrap();
    assert!(matches!(refused, EngineError::UnknownDevice { devices: 1, .. }), "{refused}");
    assert!(engine.compile(&adding(), &placed("of another program")).is_ok());
    assert_eq!(engine.facts().devices.len(), 1);
}

#[test]
fn samples_of_the_peak_only_raise_it() {
    let engine = engine(None);
    assert!(engine.facts().peak_flops.is_empty(), "nothing is measured unless asked");
    let mut last = 0.0;
    for _ in 0..3 {
        engine.sample_peak();
        let peaks = engine.facts().peak_flops;
        let peak = peaks[&DType::F32];
        assert!(peak >= last && peak.is_finite(), "{peak} after {last}");
        assert!(peaks[&DType::BF16] > 0.0, "products of bf16 have a peak of their own");
        last = peak;
    }
}
