//! The executable definition of every op: plain loops in f64, one small function per op, each
//! following the op's doc word by word. Slow and obvious on purpose: engines and gradients are
//! tested against it. No blocking, no threads, no reuse of memory.

mod activation;
mod array;
mod attention;
mod cache;
mod deferred;
mod elementwise;
mod engine;
mod loss;
mod matmul;
mod norm;
mod optimizer;
mod rope;
mod table;

use std::collections::BTreeMap;

pub use array::{Array, Rounding};
pub use deferred::DeferredEngine;
pub use engine::ReferenceEngine;

use crate::{GraphError, Op, Output, Program, TensorType};

type Result<T> = std::result::Result<T, GraphError>;

/// Runs a program once on exact arithmetic: nothing is rounded to the declared types, a cast
/// changes no value. Returned outputs by name and updated states by state name; `inputs` are all
/// inputs, state and data, by name.
///
/// # Errors
/// [`GraphError::Unbound`] and [`GraphError::Binding`] when `inputs` does not fit the program,
/// [`GraphError::Index`] when an index in them lies outside its table,
/// [`GraphError::DuplicateName`] when an output is returned under the name of an updated state.
pub fn run(program: &Program, inputs: &BTreeMap<String, Array>) -> Result<BTreeMap<String, Array>> {
    run_rounded(program, inputs, Rounding::Exact)
}

/// As [`run`], rounding inputs and every op's results as `rounding` says.
///
/// # Errors
/// As [`run`].
pub fn run_rounded(
    program: &Program,
    inputs: &BTreeMap<String, Array>,
    rounding: Rounding,
) -> Result<BTreeMap<String, Array>> {
    let rounded = program.inputs().iter().map(|input| {
        let given = inputs.get(&input.name)?.clone();
        // What does not fill its shape is refused before it is used.
        let ty = program.ty(input.value);
        let fits = given.shape == ty.shape && given.data.len() == ty.elements();
        Some(if fits { given.rounded(ty.dtype, rounding) } else { given })
    });
    let rounded: Vec<Option<Array>> = rounded.collect();
    let given: Vec<Option<&Array>> = rounded.iter().map(Option::as_ref).collect();
    let values = evaluate(program, &given, rounding)?;
    let mut results = BTreeMap::new();
    for output in program.outputs() {
        let (Output::Returned { name, value } | Output::Updates { state: name, value }) = output;
        if results.insert(name.clone(), values[value.index()].clone()).is_some() {
            return Err(GraphError::DuplicateName(name.clone()));
        }
    }
    Ok(results)
}

/// All values of a program by index, from its inputs in their order, which are of their declared
/// types already where `rounding` asks for them. Values that no node makes stay empty.
fn evaluate(
    program: &Program,
    inputs: &[Option<&Array>],
    rounding: Rounding,
) -> Result<Vec<Array>> {
    let mut values = vec![Array::default(); program.types().len()];
    for (input, given) in program.inputs().iter().zip(inputs) {
        let (name, expected) = (input.name.clone(), program.ty(input.value).clone());
        let Some(given) = given else { return Err(GraphError::Unbound { name, expected }) };
        if given.shape != expected.shape || given.data.len() != expected.elements() {
            let found = TensorType::new(expected.dtype, given.shape.clone());
            return Err(GraphError::Binding { name, expected, found });
        }
        values[input.value.index()] = (*given).clone();
    }
    for node in program.nodes() {
        let mut given: Vec<&Array> = node.inputs.iter().map(|v| &values[v.index()]).collect();
        // A cache of blocks takes rows that are rounded to blocks, and keeps those that it holds.
        let entries = matches!(node.op, Op::KvAppend)
            .then(|| given[1].clone().rounded(program.ty(node.inputs[0]).dtype, rounding));
        if let Some(entries) = &entries {
            given[1] = entries;
        }
        let results = apply(&node.op, &given)?;
        for (&v, result) in node.outputs.iter().zip(results) {
            let ty = program.ty(v);
            debug_assert_eq!(result.shape, ty.shape, "{}", node.op.name());
            // Quantised numbers that no cast makes are an input's: in another shape, or a cache's.
            let computed = !ty.dtype.is_quantised() || matches!(node.op, Op::Cast { .. });
            values[v.index()] = if computed { result.rounded(ty.dtype, rounding) } else { result };
        }
    }
    Ok(values)
}

/// Results of one op on inputs that satisfy its shape rule.
fn apply(op: &Op, x: &[&Array]) -> Result<Vec<Array>> {
    let last = |given: bool| given.then(|| x[x.len() - 1]);
    Ok(match op {
        Op::Fill { ty, value } => vec![elementwise::fill(ty, f64::from(*value))],
        Op::Reshape { shape } => vec![Array { shape: shape.clone(), data: x[0].data.clone() }],
        // Rounding to the declared type is what is left of a cast; `evaluate` does it.
        Op::Cast { .. } => vec![x[0].clone()],
        Op::Add => vec![elementwise::map2(x[0], x[1], |a, b| a + b)],
        Op::Mul => vec![elementwise::map2(x[0], x[1], |a, b| a * b)],
        Op::Scale { by } => vec![elementwise::map(x[0], |x| f64::from(*by) * x)],
        Op::MatMul { transpose_a, transpose_b, bias, result: _ } => {
            let product = matmul::matmul(x[0], x[1], *transpose_a, *transpose_b);
            vec![if *bias { matmul::add_to_rows(&product, x[2]) } else { product }]
        }
        Op::RmsNorm { group, eps, weighted } => {
            vec![norm::rms_norm(x[0], last(*weighted), *group, f64::from(*eps))]
        }
        Op::RmsNormBackward { group, eps, weighted } => {
            norm::rms_norm_backward(x[0], x[1], last(*weighted), *group, f64::from(*eps))
        }
        Op::LayerNorm { group, eps, biased } => {
            vec![norm::layer_norm(x[0], x[1], biased.then(|| x[2]), *group, f64::from(*eps))]
        }
        Op::LayerNormBackward { group, eps, biased } => {
            let mut results = norm::layer_norm_backward(x[0], x[1], x[2], *group, f64::from(*eps));
            results.truncate(2 + usize::from(*biased));
            results
        }
        Op::Rope(spec) => vec![rope::rope(x[0], x[1], spec)],
        Op::Attention { spec, segmented } => {
            attention::attention(x[0], x[1], x[2], last(*segmented), spec)
        }
        Op::AttentionBackward { spec, segmented } => attention::attention_backward(
            [x[0], x[1], x[2], x[3], x[4], x[5]],
            last(*segmented),
            spec,
        ),
        Op::Activation(f) => vec![elementwise::map(x[0], |x| activation::value(*f, x))],
        Op::ActivationBackward(f) => {
            vec![elementwise::map2(x[0], x[1], |x, dy| dy * activation::slope(*f, x))]
        }
        Op::Gated(f) => {
            vec![elementwise::map2(x[0], x[1], |gate, up| activation::value(*f, gate) * up)]
        }
        Op::GatedBackward(f) => activation::gated_backward(*f, x[0], x[1], x[2]),
        Op::Gather => vec![table::gather(x[0], x[1])?],
        Op::GatherBackward { rows } => vec![table::gather_backward(x[0], x[1], *rows)?],
        Op::CrossEntropy { softcap } => {
            let (loss, nll) = loss::cross_entropy(x[0], x[1], x[2], x[3], *softcap)?;
            vec![loss, nll]
        }
        Op::CrossEntropyBackward { softcap } => {
            loss::cross_entropy_backward([x[0], x[1], x[2], x[3], x[4]], *softcap)?
        }
        Op::MeanSquaredError => vec![loss::mean_squared_error(x[0], x[1], x[2])],
        Op::MeanSquaredErrorBackward => {
            vec![loss::mean_squared_error_backward(x[0], x[1], x[2], x[3])]
        }
        Op::GlobalNorm => vec![optimizer::global_norm(x)],
        Op::ClipFactor { max_norm } => {
            vec![Array::scalar(optimizer::clip_factor(x[0].data[0], x[1].data[0], *max_norm))]
        }
        Op::AdamW(spec) => optimizer::adamw(x, spec),
        Op::Muon(spec) => optimizer::muon(x, spec),
        Op::KvAppend => vec![cache::kv_append(x[0], x[1], &places(op, &x[2..]))?],
        Op::CachedAttention(spec) => {
            vec![cache::cached_attention(x[0], x[1], x[2], &places(op, &x[3..]), spec)?]
        }
    })
}

/// The inputs of an op on paged caches that say where tokens lie.
fn places<'a>(op: &Op, inputs: &[&'a Array]) -> cache::Places<'a> {
    let (table, sequences, positions) = (inputs[0], inputs[1], inputs[2]);
    cache::Places { op: op.name(), table, sequences, positions }
}
