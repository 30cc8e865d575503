//! A program as the engine runs it: one step per kernel call. Most steps are one node; some fuse a
//! product with the pointwise op that follows it, as the table [`Then::of`] says. Decides no memory.

use stoa_graph::{DType, Node, Nonlinearity, Op, Output, Program, ValueId};

use crate::gemm::Precision;

/// What a step computes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kernel {
    /// One op, as its doc defines it.
    Op(Op),
    /// a, b, others → a product and a pointwise function of it and the others, tile by tile. The
    /// outputs are the product where it is kept, then those of the function.
    ProductThen { transpose_a: bool, transpose_b: bool, then: Then },
}

/// A pointwise function that a product can end with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Then {
    /// h → h, f(h): a projection and its nonlinearity.
    Activation(Nonlinearity),
    /// dy, h → dy·f′(h): the gradient of a projection through a nonlinearity.
    ActivationBackward(Nonlinearity),
    /// gate, up → f(gate)·up, the product being one of the two and kept.
    Gated { f: Nonlinearity, product_is_gate: bool },
    /// dy, gate, up → dgate, dup.
    GatedBackward(Nonlinearity),
}

impl Then {
    /// The function of a product that `op` is, whose input at `product_at` the product is, where
    /// there is a kernel for both.
    fn of(op: &Op, product_at: usize) -> Option<Then> {
        match op {
            // Logits, which no backward pass reads before they are capped.
            Op::Activation(Nonlinearity::SoftCap { .. }) => None,
            Op::Activation(f) => Some(Then::Activation(*f)),
            Op::ActivationBackward(f) => (product_at == 1).then_some(Then::ActivationBackward(*f)),
            Op::Gated(f) => Some(Then::Gated { f: *f, product_is_gate: product_at == 0 }),
            Op::GatedBackward(f) => (product_at == 2).then_some(Then::GatedBackward(*f)),
            Op::Fill { .. }
            | Op::Reshape { .. }
            | Op::Cast { .. }
            | Op::Add
            | Op::Mul
            | Op::Scale { .. }
            | Op::MatMul { .. }
            | Op::RmsNorm { .. }
            | Op::RmsNormBackward { .. }
            | Op::Rope(_)
            | Op::Attention { .. }
            | Op::AttentionBackward { .. }
            | Op::Gather
            | Op::GatherBackward { .. }
            | Op::CrossEntropy { .. }
            | Op::CrossEntropyBackward { .. }
            | Op::MeanSquaredError
            | Op::MeanSquaredErrorBackward
            | Op::GlobalNorm
            | Op::ClipFactor { .. }
            | Op::AdamW(_)
            | Op::Muon(_)
            | Op::KvAppend
            | Op::CachedAttention(_) => None,
        }
    }

    /// Whether the product is an output too: the backward pass reads what a nonlinearity was given,
    /// and never the gradient that it turns into another.
    fn keeps_product(self) -> bool {
        match self {
            Then::Activation(_) | Then::Gated { .. } => true,
            Then::ActivationBackward(_) | Then::GatedBackward(_) => false,
        }
    }

    /// Name in profiles.
    pub fn name(self) -> &'static str {
        match self {
            Then::Activation(_) => "activation",
            Then::ActivationBackward(_) => "activation_backward",
            Then::Gated { .. } => "gated",
            Then::GatedBackward(_) => "gated_backward",
        }
    }
}

/// One kernel call.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub kernel: Kernel,
    /// What its products round their operands to, which are its first two inputs.
    pub precision: Precision,
    pub inputs: Vec<ValueId>,
    pub outputs: Vec<ValueId>,
}

impl Step {
    /// For each output, the inputs whose memory it may take over: the kernel reads such an input
    /// only at the place it is about to write.
    pub fn in_place(&self, output: usize) -> &'static [usize] {
        match &self.kernel {
            Kernel::Op(op) => op.facts().in_place_of(output),
            // A product writes its sums before its epilogue reads the other inputs, so these may
            // only give way to an output that is not the product.
            Kernel::ProductThen { then, .. } => match (then, output) {
                (Then::Gated { .. }, 1) | (Then::GatedBackward(_), 0) => &[2],
                (Then::Activation(_) | Then::ActivationBackward(_), _)
                | (Then::Gated { .. } | Then::GatedBackward(_), _) => &[],
            },
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
            precision: precision(program, node),
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

/// Whether an op multiplies its first two inputs as matrices.
pub(crate) fn multiplies(op: &Op) -> bool {
    matches!(op, Op::MatMul { .. } | Op::CrossEntropy { .. } | Op::CrossEntropyBackward { .. })
}

/// bf16 for products of two operands of that type.
fn precision(program: &Program, node: &Node) -> Precision {
    let narrow = |&v: &ValueId| program.ty(v).dtype == DType::BF16;
    match multiplies(&node.op) && node.inputs[..2].iter().all(narrow) {
        true => Precision::Bf16,
        false => Precision::F32,
    }
}

/// The one step that does what `last` and `next` do, where there is a kernel for it.
fn fuse(last: Option<&Step>, next: &Step, readers: &[usize]) -> Option<Step> {
    let last = last?;
    let Kernel::Op(Op::MatMul { transpose_a, transpose_b, accumulate: false, result: _ }) =
        last.kernel
    else {
        return None;
    };
    let Kernel::Op(op) = &next.kernel else { return None };
    let product = last.outputs[0];
    let at = next.inputs.iter().position(|&v| v == product)?;
    let then = Then::of(op, at)?;
    let others = [&next.inputs[..at], &next.inputs[at + 1..]].concat();
    let kept = then.keeps_product();
    if others.contains(&product) || !kept && readers[product.index()] > 1 {
        return None;
    }
    Some(Step {
        kernel: Kernel::ProductThen { transpose_a, transpose_b, then },
        precision: last.precision,
        inputs: [&last.inputs[..], &others].concat(),
        outputs: kept.then_some(product).into_iter().chain(next.outputs.iter().copied()).collect(),
    })
}

/// The state input (as its index among inputs) that `value` becomes the content of, if any.
pub(crate) fn updated_state(program: &Program, value: ValueId) -> Option<usize> {
    program.outputs().iter().find_map(|output| match output {
        Output::Updates { state, value: v } if *v == value => {
            program.inputs().iter().position(|i| i.name == *state)
        }
        Output::Updates { .. } | Output::Returned { .. } => None,
    })
}
