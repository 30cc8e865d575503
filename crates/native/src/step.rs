//! A program as the engine runs it: one step per kernel call. Most steps are one node. Some fuse a
//! product with the pointwise op that follows it, as the table [`Then::of`] says, and some an op with
//! the addition that alone reads its result, as [`sum_of`] says. Decides no memory.

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
    /// The inputs of an op, and last c → the results of the op, with c added to the one that
    /// [`sum_of`] names.
    Adding(Op),
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

/// The result of an op that its kernel can add to what stands in its place, if any.
fn sum_of(op: &Op) -> Option<usize> {
    match op {
        Op::MatMul { .. } | Op::RmsNormBackward { .. } | Op::GatherBackward { .. } => Some(0),
        Op::CrossEntropyBackward { .. } => Some(1),
        Op::Fill { .. }
        | Op::Reshape { .. }
        | Op::Cast { .. }
        | Op::Add
        | Op::Mul
        | Op::Scale { .. }
        | Op::RmsNorm { .. }
        | Op::Rope(_)
        | Op::Attention { .. }
        | Op::AttentionBackward { .. }
        | Op::Activation(_)
        | Op::ActivationBackward(_)
        | Op::Gated(_)
        | Op::GatedBackward(_)
        | Op::Gather
        | Op::CrossEntropy { .. }
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

/// One kernel call.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub kernel: Kernel,
    /// The nodes it does the work of, as their places in the program.
    pub nodes: Vec<usize>,
    /// What its products round their operands to, which are its first two inputs.
    pub precision: Precision,
    pub inputs: Vec<ValueId>,
    pub outputs: Vec<ValueId>,
}

impl Step {
    /// For each output, the inputs whose memory it may take over: the kernel reads such an input
    /// only at the place it is about to write.
    pub fn in_place(&self, output: usize) -> Vec<usize> {
        match &self.kernel {
            Kernel::Op(op) => op.facts().in_place_of(output).to_vec(),
            Kernel::Adding(op) if sum_of(op) == Some(output) => vec![self.inputs.len() - 1],
            Kernel::Adding(op) => op.facts().in_place_of(output).to_vec(),
            // A product writes its sums before its epilogue reads the other inputs, so these may
            // only give way to an output that is not the product.
            Kernel::ProductThen { then, .. } => match (then, output) {
                (Then::Gated { .. }, 1) | (Then::GatedBackward(_), 0) => vec![2],
                (Then::Activation(_) | Then::ActivationBackward(_), _)
                | (Then::Gated { .. } | Then::GatedBackward(_), _) => vec![],
            },
        }
    }

    /// The op that the step begins with, where it runs one by its own kernel.
    pub fn op(&self) -> Option<&Op> {
        match &self.kernel {
            Kernel::Op(op) | Kernel::Adding(op) => Some(op),
            Kernel::ProductThen { .. } => None,
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
    // The step that makes each value; `None` for inputs of the program.
    let mut maker: Vec<Option<usize>> = vec![None; program.types().len()];
    for (at, node) in program.nodes().iter().enumerate() {
        let step = Step {
            kernel: Kernel::Op(node.op.clone()),
            nodes: vec![at],
            precision: precision(program, node),
            inputs: node.inputs.clone(),
            outputs: node.outputs.clone(),
        };
        let fused = with_last(&steps, &step, &readers)
            .or_else(|| into_maker(&steps, &maker, &step, &readers));
        let (place, step) = fused.unwrap_or((steps.len(), step));
        step.outputs.iter().for_each(|v| maker[v.index()] = Some(place));
        match steps.get_mut(place) {
            Some(replaced) => *replaced = step,
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

/// The one step that does what the last step and `next` do, and its place, where there is a kernel
/// for it. Of the last step only: what a function makes of a product would live from there on.
fn with_last(steps: &[Step], next: &Step, readers: &[usize]) -> Option<(usize, Step)> {
    let last = steps.last()?;
    let Kernel::Op(Op::MatMul { transpose_a, transpose_b, bias: false, result: _ }) = last.kernel
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
    let fused = Step {
        kernel: Kernel::ProductThen { transpose_a, transpose_b, then },
        nodes: [&last.nodes[..], &next.nodes].concat(),
        precision: last.precision,
        inputs: [&last.inputs[..], &others].concat(),
        outputs: kept.then_some(product).into_iter().chain(next.outputs.iter().copied()).collect(),
    };
    Some((steps.len() - 1, fused))
}

/// The one step that does what the addition `next` and the step that makes its later operand do, and
/// the place of that step, where its kernel can add. The other operand is there by then. The sum
/// takes the memory of the result that it replaces, so nothing lives longer than without.
fn into_maker(
    steps: &[Step],
    maker: &[Option<usize>],
    next: &Step,
    readers: &[usize],
) -> Option<(usize, Step)> {
    if next.kernel != Kernel::Op(Op::Add) {
        return None;
    }
    let [a, b] = next.inputs[..] else { return None };
    let made = |v: ValueId| maker[v.index()];
    let (term, other) = if made(a) > made(b) { (a, b) } else { (b, a) };
    let place = made(term).filter(|_| made(term) > made(other))?;
    let step = &steps[place];
    let Kernel::Op(op) = &step.kernel else { return None };
    let sum = sum_of(op)?;
    if step.outputs[sum] != term || readers[term.index()] > 1 {
        return None;
    }
    let mut outputs = step.outputs.clone();
    outputs[sum] = next.outputs[0];
    let fused = Step {
        kernel: Kernel::Adding(op.clone()),
        nodes: [&step.nodes[..], &next.nodes].concat(),
        precision: step.precision,
        inputs: [&step.inputs[..], &[other]].concat(),
        outputs,
    };
    Some((place, fused))
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

#[cfg(test)]
mod tests {
    use stoa_graph::{Builder, TensorType};

    use super::*;

    /// The kernels of a program on f32\[3, 3\] values x, w and c that `build` makes of them.
    fn kernels(build: impl Fn(&mut Builder, [ValueId; 3]) -> Vec<ValueId>) -> Vec<Kernel> {
        let mut b = Builder::new();
        let given = ["x", "w", "c"].map(|name| b.data(name, TensorType::f32([3, 3])).unwrap());
        let made = build(&mut b, given);
        for (i, value) in made.into_iter().enumerate() {
            b.returns(format!("y{i}"), value).unwrap();
        }
        steps(&b.finish()).into_iter().map(|step| step.kernel).collect()
    }

    fn product() -> Op {
        Op::MatMul { transpose_a: false, transpose_b: true, bias: false, result: DType::F32 }
    }

    #[test]
    fn a_product_adds_to_what_is_there_wherever_the_addition_stands() {
        let scale = Kernel::Op(Op::Scale { by: 2.0 });
        for product_first in [false, true] {
            let found = kernels(|b, [x, w, c]| {
                let y = b.linear(x, w).unwrap();
                let z = b.scale(x, 2.0).unwrap();
                let sum = if product_first { b.add(y, c) } else { b.add(c, y) };
                vec![z, sum.unwrap()]
            });
            assert_eq!(found, [Kernel::Adding(product()), scale.clone()]);
        }
        // Of two products the later one adds, and it keeps its place.
        let found = kernels(|b, [x, w, c]| {
            let first = b.linear(x, w).unwrap();
            let last = b.linear(x, c).unwrap();
            let z = b.scale(x, 2.0).unwrap();
            vec![z, b.add(last, first).unwrap()]
        });
        assert_eq!(found, [Kernel::Op(product()), Kernel::Adding(product()), scale]);
    }

    #[test]
    fn a_product_that_is_read_elsewhere_or_made_first_is_added_in_a_step_of_its_own() {
        let (add, scale) = (Kernel::Op(Op::Add), Kernel::Op(Op::Scale { by: 2.0 }));
        let kept = kernels(|b, [x, w, c]| {
            let y = b.linear(x, w).unwrap();
            vec![y, b.add(c, y).unwrap()]
        });
        assert_eq!(kept, [Kernel::Op(product()), add.clone()]);
        let twice = kernels(|b, [x, w, _]| {
            let y = b.linear(x, w).unwrap();
            vec![b.add(y, y).unwrap()]
        });
        assert_eq!(twice, [Kernel::Op(product()), add.clone()]);
        let early = kernels(|b, [x, w, c]| {
            let y = b.linear(x, w).unwrap();
            let z = b.scale(c, 2.0).unwrap();
            vec![b.add(z, y).unwrap()]
        });
        assert_eq!(early, [Kernel::Op(product()), scale, add]);
    }
}
