//! What a program costs, read off the graph: floating-point operations, bytes moved, live memory.
//! Measures nothing; says nothing about any engine's fusions. The operations of one op are a fact of
//! it (`Op::flops`).

use crate::{Node, Program, TensorType, Traffic, ValueId};

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
    Cost { flops: count(node.op.flops(&inputs, &outputs)), bytes: count(bytes) }
}

/// Cost of all nodes of a program.
pub fn program_cost(program: &Program) -> Cost {
    program.nodes().iter().map(|node| node_cost(program, node)).sum()
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
