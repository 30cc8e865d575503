//! A program as the engine runs it: one step per kernel call. Most steps are one node; some fuse a
//! product with the pointwise op that follows it. Decides no memory.

use stoa_graph::{Nonlinearity, Op, Output, Program, ValueId};

/// What a step computes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kernel {
    /// One op, as its doc defines it.
    Op(Op),
    /// a, b → h = op(a)·op(b), f(h): a projection and its nonlinearity.
    MatMulActivation { transpose_a: bool, transpose_b: bool, f: Nonlinearity },
    /// a, b, h → (op(a)·op(b))·f′(h): the gradient of a projection through a nonlinearity.
    MatMulActivationBackward { transpose_a: bool, transpose_b: bool, f: Nonlinearity },
}

/// One kernel call.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub kernel: Kernel,
    pub inputs: Vec<ValueId>,
    pub outputs: Vec<ValueId>,
}

impl Step {
    /// For each output, the inputs whose memory it may take over: the kernel reads such an input
    /// only at the place it is about to write.
    pub fn in_place(&self, output: usize) -> &'static [usize] {
        match &self.kernel {
            Kernel::Op(op) => op.facts().in_place_of(output),
            // A product writes its sums before its epilogue reads the third input.
            Kernel::MatMulActivation { .. } | Kernel::MatMulActivationBackward { .. } => &[],
        }
    }
}

/// The steps of a program, in order.
pub(crate) fn steps(program: &Program) -> Vec<Step> {
    let mut readers = vec![0_usize; program.types().len()];
    for node in program.nodes() {
        node.inputs.iter().for_each(|v| readers[v.index()] += 1);
    }
    program.outputs().iter().for_each(|o| readers[o.value().index()] += 1);
    let mut steps: Vec<Step> = Vec::with_capacity(program.nodes().len());
    for node in program.nodes() {
        let step = Step {
            kernel: Kernel::Op(node.op.clone()),
            inputs: node.inputs.clone(),
            outputs: node.outputs.clone(),
        };
        match fuse(steps.last(), &step, &readers) {
            Some(fused) => *steps.last_mut().expect("fused with the last step") = fused,
            None => steps.push(step),
        }
    }
    steps
}

/// The one step that does what `last` and `next` do, where there is a kernel for it.
fn fuse(last: Option<&Step>, next: &Step, readers: &[usize]) -> Option<Step> {
    let last = last?;
    let Kernel::Op(Op::MatMul { transpose_a, transpose_b, accumulate: false }) = last.kernel else {
        return None;
    };
    let product = last.outputs[0];
    match next.kernel {
        Kernel::Op(Op::Activation(f)) if next.inputs[0] == product => Some(Step {
            kernel: Kernel::MatMulActivation { transpose_a, transpose_b, f },
            inputs: last.inputs.clone(),
            outputs: vec![product, next.outputs[0]],
        }),
        Kernel::Op(Op::ActivationBackward(f))
            if next.inputs[1] == product && readers[product.index()] == 1 =>
        {
            Some(Step {
                kernel: Kernel::MatMulActivationBackward { transpose_a, transpose_b, f },
                inputs: vec![last.inputs[0], last.inputs[1], next.inputs[0]],
                outputs: next.outputs.clone(),
            })
        }
        _ => None,
    }
}

/// The state input (as its index among inputs) that `value` becomes the content of, if any.
pub(crate) fn updated_state(program: &Program, value: ValueId) -> Option<usize> {
    program.outputs().iter().find_map(|output| match output {
        Output::Updates { state, value: v } if *v == value => {
            program.inputs().iter().position(|i| i.name == *state)
        }
        _ => None,
    })
}
