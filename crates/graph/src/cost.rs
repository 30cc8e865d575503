//! What a program costs, read off the graph: floating-point operations, bytes moved, live memory.
//! Measures nothing; says nothing about any engine's fusions.

use crate::{AttentionSpec, Node, Nonlinearity, Op, Program, TensorType, Traffic, ValueId};

/// Cost of a node or program. Counts beyond 64 bits stay at the greatest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Floating-point operations; a multiply-add counts 2, exp and the like count 1.
    pub flops: u64,
    /// Bytes read and written once each if nothing is fused or cached.
    pub bytes: u64,
}

impl std::ops::Add for Cost {
    type Output = Cost;

    fn add(self, other: Cost) -> Cost {
        Cost {
            flops: self.flops.saturating_add(other.flops),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

impl std::iter::Sum for Cost {
    fn sum<I: Iterator<Item = Cost>>(costs: I) -> Cost {
        costs.fold(Cost::default(), std::ops::Add::add)
    }
}

/// Cost of one node.
pub fn node_cost(program: &Program, node: &Node) -> Cost {
    let inputs = program.input_types(node);
    let outputs: Vec<&TensorType> = node.outputs.iter().map(|&v| program.ty(v)).collect();
    let size = |t: &TensorType| t.size_bytes() as u128;
    let sum = |types: &[&TensorType]| types.iter().map(|t| size(t)).sum::<u128>();
    let bytes = match node.op.facts().traffic {
        Traffic::Nothing => 0,
        Traffic::Everything => sum(&inputs) + sum(&outputs),
        Traffic::RowsRead => 2 * sum(&outputs) + sum(&inputs[1..]),
        Traffic::RowsWritten => 2 * size(inputs[1]),
    };
    let count = |n: u128| u64::try_from(n).unwrap_or(u64::MAX);
    Cost { flops: count(flops(&node.op, &inputs, &outputs)), bytes: count(bytes) }
}

/// Cost of all nodes of a program.
pub fn program_cost(program: &Program) -> Cost {
    program.nodes().iter().map(|node| node_cost(program, node)).sum()
}

/// Counted in u128: products of three addressable sizes can pass 64 bits.
fn flops(op: &Op, inputs: &[&TensorType], outputs: &[&TensorType]) -> u128 {
    let n = outputs.first().map_or(0, |t| t.elements() as u128);
    match op {
        Op::Fill { .. } | Op::Reshape { .. } | Op::Cast { .. } | Op::Gather | Op::KvAppend => 0,
        Op::Add | Op::Mul | Op::Scale { .. } => n,
        Op::Activation(f) => nonlinear_flops(*f).0 * n,
        Op::ActivationBackward(f) => nonlinear_flops(*f).1 * n,
        Op::Gated(f) => (2 + nonlinear_flops(*f).0) * n,
        Op::GatedBackward(f) => (5 + nonlinear_flops(*f).0 + nonlinear_flops(*f).1) * n,
        Op::MatMul { transpose_a, bias, .. } => {
            let k = inputs[0].shape[if *transpose_a { 0 } else { 1 }] as u128;
            2 * n * k + if *bias { n } else { 0 }
        }
        Op::RmsNorm { .. } => 4 * n,
        Op::RmsNormBackward { .. } => 9 * n,
        Op::Rope(_) => 3 * n,
        Op::Attention { spec, .. } => {
            attention_pairs(spec, inputs[0].shape[0]) * 4 * spec.head_dim as u128
        }
        // Five products of the size of q·kᵀ against the forward's two.
        Op::AttentionBackward { spec, .. } => {
            attention_pairs(spec, inputs[0].shape[0]) * 10 * spec.head_dim as u128
        }
        Op::CachedAttention(spec) => {
            let longest = inputs[3].shape[1].saturating_mul(inputs[1].shape[2]);
            let keys = longest.min(spec.window.unwrap_or(usize::MAX));
            4 * inputs[0].elements() as u128 * keys as u128
        }
        Op::GatherBackward { .. } => inputs[1].elements() as u128,
        Op::CrossEntropy { .. } => head_products(inputs, 1),
        Op::CrossEntropyBackward { .. } => head_products(inputs, 3),
        Op::MeanSquaredError => 3 * inputs[0].elements() as u128,
        Op::MeanSquaredErrorBackward => 3 * n,
        Op::GlobalNorm => inputs.iter().map(|t| 2 * t.elements() as u128).sum(),
        Op::ClipFactor { .. } => 2,
        Op::AdamW(_) => 14 * n,
        Op::Muon(spec) => {
            let (rows, cols) = (inputs[0].shape[0], inputs[0].shape[1]);
            let (small, large) = (rows.min(cols) as u128, rows.max(cols) as u128);
            // X·Xᵀ, its square, and the product with X, in each iteration.
            let iteration = 2 * (2 * small * small * large + small * small * small);
            (spec.iterations as u128).saturating_mul(iteration).saturating_add(8 * n)
        }
    }
}

/// Of a nonlinearity, and of its slope times a gradient.
fn nonlinear_flops(f: Nonlinearity) -> (u128, u128) {
    match f {
        Nonlinearity::ReluSquared | Nonlinearity::Silu => (2, 3),
        Nonlinearity::Gelu => (8, 14),
        Nonlinearity::SoftCap { .. } => (3, 5),
    }
}

/// Query-key pairs of all heads that the mask allows (segments are data and not counted).
fn attention_pairs(spec: &AttentionSpec, tokens: usize) -> u128 {
    let time = (tokens / spec.batch) as u128;
    let window = spec.window.map_or(time, |window| (window as u128).min(time));
    // 1 + 2 + … up to the window, then a full window for each later query.
    let causal = window * (window + 1) / 2 + (time - window) * window;
    // Both sides of the diagonal.
    let per_head = if spec.causal { causal } else { 2 * causal - time };
    spec.batch as u128 * spec.heads as u128 * per_head
}

fn head_products(inputs: &[&TensorType], products: u128) -> u128 {
    let [tokens, features] = [0, 1].map(|i| inputs[0].shape[i] as u128);
    let vocab = inputs[1].shape[0] as u128;
    products * 2 * tokens * features * vocab + 4 * tokens * vocab
}

/// When a value is first and last alive, as positions in the node order. An input is alive from
/// position 0; an output to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Liveness {
    /// Node that makes the value.
    pub first: usize,
    /// Last node that reads it (or the number of nodes, when it is an output).
    pub last: usize,
}

/// Liveness of each value; `None` for values no live node makes or reads.
pub fn liveness(program: &Program) -> Vec<Option<Liveness>> {
    let mut alive: Vec<Option<Liveness>> = vec![None; program.types().len()];
    for input in program.inputs() {
        alive[input.value.index()] = Some(Liveness { first: 0, last: 0 });
    }
    let mut extend = |value: ValueId, at: usize| {
        let span = alive[value.index()].get_or_insert(Liveness { first: at, last: at });
        span.last = span.last.max(at);
    };
    for (at, node) in program.nodes().iter().enumerate() {
        node.inputs.iter().chain(&node.outputs).for_each(|&v| extend(v, at));
    }
    program.outputs().iter().for_each(|o| extend(o.value(), program.nodes().len()));
    alive
}
