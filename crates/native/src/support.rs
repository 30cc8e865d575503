//! What the kernels of this engine can do with each op: which element types they run on, what they
//! can add to, which ops they apply to the tiles of a product. A program that needs other types is
//! refused when it is compiled; fusions are made in `step`.

use stoa_graph::{DType, EngineError, Node, Nonlinearity, Op, Program, TensorType};

use crate::step::Then;

/// Activations an op has kernels for. Inputs that are read as they are stored may have any type the
/// shape rule allows.
enum Activations {
    /// Any the shape rule allows.
    Any,
    /// f32 alone.
    F32,
    /// f32 inputs; the results have a type of their own.
    F32Inputs,
    /// Inputs of any float type; f32 results.
    F32Results,
}

/// What the kernels of this engine can do with an op.
pub(crate) struct Support {
    activations: Activations,
    /// The result that the kernel can add to what stands in its place.
    pub sum: Option<usize>,
    /// The function that a product can end with which is this op, by the input that the product is.
    ends: [Option<Then>; 3],
}

impl Support {
    const fn of(activations: Activations) -> Self {
        Support { activations, sum: None, ends: [None; 3] }
    }

    const fn adding(self, sum: usize) -> Self {
        Support { sum: Some(sum), ..self }
    }

    const fn ending(self, ends: [Option<Then>; 3]) -> Self {
        Support { ends, ..self }
    }

    /// The function that ends a product which is input `at` of the op, where there is a kernel for
    /// both.
    pub fn ends_product(&self, at: usize) -> Option<Then> {
        self.ends.get(at).copied().flatten()
    }
}

/// What this engine can do with an op.
pub(crate) fn support(op: &Op) -> Support {
    use Activations::{Any, F32, F32Inputs, F32Results};
    match op {
        Op::Fill { .. } | Op::Reshape { .. } | Op::Cast { .. } => Support::of(Any),
        // The result is the cache.
        Op::KvAppend => Support::of(F32Inputs),
        // Operands of products.
        Op::MatMul { .. } => Support::of(F32Results).adding(0),
        Op::CrossEntropy { .. } => Support::of(F32Results),
        Op::CrossEntropyBackward { .. } => Support::of(F32Results).adding(1),
        Op::RmsNormBackward { .. } | Op::LayerNormBackward { .. } | Op::GatherBackward { .. } => {
            Support::of(F32).adding(0)
        }
        // Logits, which no backward pass reads before they are capped.
        Op::Activation(Nonlinearity::SoftCap { .. }) => Support::of(F32),
        Op::Activation(f) => Support::of(F32).ending([Some(Then::Activation(*f)), None, None]),
        Op::ActivationBackward(f) => {
            Support::of(F32).ending([None, Some(Then::ActivationBackward(*f)), None])
        }
        Op::Gated(f) => {
            let gated = |product_is_gate| Some(Then::Gated { f: *f, product_is_gate });
            Support::of(F32).ending([gated(true), gated(false), None])
        }
        Op::GatedBackward(f) => {
            Support::of(F32).ending([None, None, Some(Then::GatedBackward(*f))])
        }
        Op::Add
        | Op::Mul
        | Op::Scale { .. }
        | Op::RmsNorm { .. }
        | Op::LayerNorm { .. }
        | Op::Rope(_)
        | Op::Attention { .. }
        | Op::AttentionBackward { .. }
        | Op::Gather
        | Op::MeanSquaredError
        | Op::MeanSquaredErrorBackward
        | Op::GlobalNorm
        | Op::ClipFactor { .. }
        | Op::AdamW(_)
        | Op::Muon(_)
        | Op::CachedAttention(_) => Support::of(F32),
    }
}

/// Refuses a program with types that an op has no kernel for.
///
/// # Errors
/// [`EngineError::Unsupported`] names the first such op.
pub(crate) fn check(program: &Program) -> Result<(), EngineError> {
    program.nodes().iter().try_for_each(|node| check_node(program, node))
}

fn check_node(program: &Program, node: &Node) -> Result<(), EngineError> {
    let (of_inputs, of_outputs) = match support(&node.op).activations {
        Activations::Any => (false, false),
        Activations::F32 => (true, true),
        Activations::F32Inputs => (true, false),
        Activations::F32Results => (false, true),
    };
    let stored = node.op.facts().stored;
    let inputs = program.input_types(node);
    let narrow = |ty: &TensorType| ty.dtype.is_float() && ty.dtype != DType::F32;
    let activations = inputs.iter().enumerate().filter(|(i, _)| !stored.contains(i));
    let mut outputs = node.outputs.iter().map(|&v| program.ty(v));
    let refused = of_inputs && activations.map(|(_, ty)| ty).any(|ty| narrow(ty))
        || of_outputs && outputs.any(narrow);
    if !refused {
        return Ok(());
    }
    let outputs = node.outputs.iter().map(|&v| program.ty(v).to_string());
    let names = |types: Vec<String>| types.join(", ");
    let inputs = names(inputs.iter().map(ToString::to_string).collect());
    let types = format!("{inputs} → {}", names(outputs.collect()));
    Err(EngineError::Unsupported { op: node.op.name(), types })
}
