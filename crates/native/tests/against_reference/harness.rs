//! Runs a program on every engine there is and compares with the reference.

use std::collections::BTreeMap;

use stoa_graph::reference::{Array, Rounding, run_rounded};
use stoa_graph::{
    Buffers, Builder, DType, Engine, Executable, InputKind, Op, Output, Outputs, Program, Tensor,
    TensorType, ValueId,
};
use stoa_native::isa::Isa;
use stoa_native::{NativeEngine, NativeOptions};

/// Unit roundoff of f32.
pub const ULP: f64 = 1.0 / (1 << 24) as f64;

/// An input of an op.
#[derive(Clone, Debug)]
pub struct Given {
    pub dtype: DType,
    pub array: Array,
}

pub fn f32s(array: Array) -> Given {
    Given { dtype: DType::F32, array }
}

pub fn i32s(array: Array) -> Given {
    Given { dtype: DType::I32, array }
}

pub fn typed(dtype: DType, array: Array) -> Given {
    Given { dtype, array }
}

impl Given {
    fn ty(&self) -> TensorType {
        TensorType::new(self.dtype, self.array.shape.clone())
    }
}

thread_local! {
    /// For each instruction set of this machine, engines with 1, 2 and 3 threads.
    static ENGINES: Vec<Vec<NativeEngine>> = Isa::available()
        .map(|isa| {
            let engine = |threads| {
                let options = NativeOptions {
                    threads: Some(threads),
                    isa: Some(isa),
                    ..NativeOptions::default()
                };
                NativeEngine::new(options).unwrap()
            };
            (1..=3).map(engine).collect()
        })
        .collect();
}

/// Calls `f` with the engines of each instruction set.
pub fn each_isa(mut f: impl FnMut(&[NativeEngine])) {
    ENGINES.with(|engines| engines.iter().for_each(|of_isa| f(of_isa)));
}

/// Everything a run leaves: returned outputs and updated states, by name.
pub fn run_on(
    engine: &dyn Engine,
    program: &Program,
    inputs: &BTreeMap<String, Array>,
) -> BTreeMap<String, Tensor> {
    let mut executable = engine.compile(program, &Default::default()).unwrap();
    let mut state = upload(engine, program, inputs);
    let mut results = run_with(&mut *executable, &mut state, inputs);
    for output in program.outputs() {
        if let Output::Updates { state: name, .. } = output {
            results.insert(name.clone(), engine.download(state.get(name).unwrap()).unwrap());
        }
    }
    results
}

/// The state inputs of a program on an engine.
pub fn upload(engine: &dyn Engine, program: &Program, inputs: &BTreeMap<String, Array>) -> Buffers {
    let mut state = Buffers::new();
    for input in program.inputs().iter().filter(|i| i.kind == InputKind::State) {
        let tensor = inputs[&input.name].to_tensor(program.ty(input.value).dtype).unwrap();
        state.insert(input.name.clone(), engine.upload(&tensor).unwrap());
    }
    state
}

/// One run with the data inputs among `inputs`.
pub fn run_with(
    executable: &mut dyn Executable,
    state: &mut Buffers,
    inputs: &BTreeMap<String, Array>,
) -> Outputs {
    let program = executable.program();
    let data: Vec<(String, Tensor)> = program
        .inputs()
        .iter()
        .filter(|i| i.kind == InputKind::Data)
        .map(|i| (i.name.clone(), inputs[&i.name].to_tensor(program.ty(i.value).dtype).unwrap()))
        .collect();
    let data: Vec<(&str, &Tensor)> = data.iter().map(|(n, t)| (n.as_str(), t)).collect();
    executable.run(state, &data).unwrap().outputs().unwrap()
}

/// Runs on all engines; results within `tolerance` of the reference, by name, and the same bits
/// for any number of threads.
#[track_caller]
pub fn check_program(
    what: &str,
    program: &Program,
    inputs: &BTreeMap<String, Array>,
    rounding: Rounding,
    tolerance: f64,
) {
    let expected = run_rounded(program, inputs, rounding).unwrap();
    check_results(what, program, inputs, |what, found| {
        for (name, expected) in &expected {
            assert_close(&format!("{what}: {name}"), &found[name], expected, tolerance);
        }
    });
}

/// Calls `check` with the results of all engines; they are the same bits for any number of threads.
#[track_caller]
fn check_results(
    what: &str,
    program: &Program,
    inputs: &BTreeMap<String, Array>,
    check: impl Fn(&str, &BTreeMap<String, Tensor>),
) {
    each_isa(|engines| {
        let mut first: Option<BTreeMap<String, Tensor>> = None;
        for engine in engines {
            let what = format!("{what}, {}", engine.facts().name);
            let found = run_on(engine, program, inputs);
            check(&what, &found);
            let first = first.get_or_insert_with(|| found.clone());
            for (name, tensor) in &found {
                assert!(bits(tensor) == bits(&first[name]), "{what}: {name} depends on threads");
            }
        }
    });
}

/// Elements within `tolerance` of the largest expected one (at least 1: inputs here are of that
/// size); NaN where NaN is expected, the same infinities.
#[track_caller]
pub fn assert_close(what: &str, found: &Tensor, expected: &Array, tolerance: f64) {
    assert_eq!(found.shape(), expected.shape, "{what}");
    let finite = expected.data.iter().filter(|x| x.is_finite());
    let scale = finite.fold(1.0, |m: f64, x| m.max(x.abs()));
    for (i, (found, expected)) in found.to_f64().iter().zip(&expected.data).enumerate() {
        let same = found == expected || found.is_nan() && expected.is_nan();
        let near = (found - expected).abs() <= tolerance * scale;
        assert!(same || near, "{what}[{i}]: {found} is not {expected} (± {})", tolerance * scale);
    }
}

/// Elements as bits, so that equality means identity.
pub fn bits(tensor: &Tensor) -> Vec<u64> {
    tensor.to_f64().into_iter().map(f64::to_bits).collect()
}

/// How the inputs of an op come about.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Source {
    /// Given as data: may not be overwritten.
    Data,
    /// Made by nodes, and dead after the op: may be overwritten.
    Nodes,
    /// As nodes, with the second of two inputs of one type replaced by the first.
    Shared(usize, usize),
    /// States that the results replace: the first of the type, or the last.
    State { last: bool },
}

/// What is checked: an op, and perhaps that the last input is added to one of its results.
#[derive(Clone, Debug)]
pub struct Case {
    op: Op,
    sum: Option<usize>,
}

impl Case {
    /// The last input is added to result `sum`.
    pub fn adding(op: Op, sum: usize) -> Self {
        Case { op, sum: Some(sum) }
    }
}

impl From<&Op> for Case {
    fn from(op: &Op) -> Self {
        Case { op: op.clone(), sum: None }
    }
}

/// Checks one op with its inputs from all sources.
#[track_caller]
pub fn check_op<C: Into<Case>>(case: C, given: &[Given], tolerance: f64) {
    let case = &case.into();
    let mut sources = vec![Source::Data, Source::Nodes];
    for i in 0..given.len() {
        for j in i + 1..given.len() {
            if given[i].ty() == given[j].ty() && given[i].dtype.is_float() {
                sources.push(Source::Shared(i, j));
            }
        }
    }
    sources.extend([Source::State { last: false }, Source::State { last: true }]);
    for source in sources {
        let (program, inputs) = program_of(case, given, source);
        let what = format!(
            "{case:?} {:?} from {source:?}",
            given.iter().map(Given::ty).collect::<Vec<_>>()
        );
        check_program(&what, &program, &inputs, Rounding::Declared, tolerance);
    }
}

/// Checks one op as [`check_op`] does, with its inputs given as data alone.
#[track_caller]
pub fn check_large<C: Into<Case>>(case: C, given: &[Given], tolerance: f64) {
    let case = &case.into();
    let (program, inputs) = program_of(case, given, Source::Data);
    let what = format!("{case:?} {:?}", given.iter().map(Given::ty).collect::<Vec<_>>());
    check_program(&what, &program, &inputs, Rounding::Declared, tolerance);
}

/// As [`check_large`], where NaN may stand for infinity and the reverse: the op adds terms in an
/// order of its own.
#[track_caller]
pub fn check_any_nonfinite<C: Into<Case>>(case: C, given: &[Given], tolerance: f64) {
    let case = &case.into();
    let (program, inputs) = program_of(case, given, Source::Data);
    let what = format!("{case:?} {:?}", given.iter().map(Given::ty).collect::<Vec<_>>());
    let expected = run_rounded(&program, &inputs, Rounding::Declared).unwrap();
    check_results(&what, &program, &inputs, |what, found| {
        for (name, expected) in &expected {
            // What must not be finite is made NaN on both sides, and compared as such.
            let nan = |x: f64| if x.is_finite() { x } else { f64::NAN };
            let masked = |x: &Array| {
                Array::new(x.shape.clone(), x.data.iter().map(|&x| nan(x)).collect::<Vec<_>>())
            };
            let dtype = found[name].ty().dtype;
            let found = masked(&Array::from(&found[name])).to_tensor(dtype).unwrap();
            assert_close(&format!("{what}: {name}"), &found, &masked(expected), tolerance);
        }
    });
}

fn program_of(case: &Case, given: &[Given], source: Source) -> (Program, BTreeMap<String, Array>) {
    let mut b = Builder::new();
    let mut values: Vec<ValueId> = Vec::new();
    let mut inputs = BTreeMap::new();
    for (i, given) in given.iter().enumerate() {
        let name = format!("x{i}");
        inputs.insert(name.clone(), given.array.clone());
        values.push(match source {
            Source::Data => b.data(name, given.ty()).unwrap(),
            Source::State { .. } => b.state(name, given.ty()).unwrap(),
            Source::Nodes | Source::Shared(..) => made(&mut b, name, given),
        });
    }
    if let Source::Shared(i, j) = source {
        values[j] = values[i];
    }
    let of_op = values.len() - usize::from(case.sum.is_some());
    let mut outputs = b.add_node(case.op.clone(), &values[..of_op]).unwrap();
    if let Some(sum) = case.sum {
        outputs[sum] = b.add(values[of_op], outputs[sum]).unwrap();
    }
    let mut replaced = Vec::new();
    for (o, &output) in outputs.iter().enumerate() {
        b.returns(format!("y{o}"), output).unwrap();
        let fits = |i: &usize| given[*i].ty() == *b.ty(output) && !replaced.contains(i);
        let place = match source {
            Source::State { last: false } => (0..given.len()).find(fits),
            Source::State { last: true } => (0..given.len()).rfind(fits),
            _ => None,
        };
        if let Some(i) = place {
            b.updates(&format!("x{i}"), output).unwrap();
            replaced.push(i);
        }
    }
    (b.finish(), inputs)
}

/// The same value through nodes: floats through a cast from f32 or a product with 1, integers
/// through a reshape.
fn made(b: &mut Builder, name: String, given: &Given) -> ValueId {
    let shape = given.array.shape.clone();
    if given.dtype.is_float() {
        let wide = b.data(name, TensorType::f32(shape)).unwrap();
        let wide = b.scale(wide, 1.0).unwrap();
        return if given.dtype == DType::F32 { wide } else { b.cast(wide, given.dtype).unwrap() };
    }
    let flat = b.data(name, TensorType::new(given.dtype, shape.clone())).unwrap();
    let tall = [vec![1], shape.clone()].concat();
    let tall = b.reshape(flat, tall).unwrap();
    b.reshape(tall, shape).unwrap()
}

impl Given {
    /// As the program's inputs are compared by name.
    pub fn scaled(mut self, by: f64) -> Self {
        self.array.data.iter_mut().for_each(|x| *x *= by);
        self
    }
}
