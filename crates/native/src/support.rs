//! Which element types the kernels of an op run on. What an op means on others is the graph's
//! business; a program that needs them is refused when it is compiled.

use stoa_graph::{DType, EngineError, Node, Op, Program, TensorType};

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

fn activations(op: &Op) -> Activations {
    match op {
        Op::Fill { .. } | Op::Reshape { .. } | Op::Cast { .. } => Activations::Any,
        // The result is the cache.
        Op::KvAppend => Activations::F32Inputs,
        // Operands of products.
        Op::MatMul { .. } | Op::CrossEntropy { .. } | Op::CrossEntropyBackward { .. } => {
            Activations::F32Results
        }
        Op::Add
        | Op::Mul
        | Op::Scale { .. }
        | Op::RmsNorm { .. }
        | Op::RmsNormBackward { .. }
        | Op::Rope(_)
        | Op::Attention { .. }
        | Op::AttentionBackward { .. }
        | Op::Activation(_)
        | Op::ActivationBackward(_)
        | Op::Gated(_)
        | Op::GatedBackward(_)
        | Op::Gather
        | Op::GatherBackward { .. }
        | Op::MeanSquaredError
        | Op::MeanSquaredErrorBackward
        | Op::GlobalNorm
        | Op::ClipFactor { .. }
        | Op::AdamW(_)
        | Op::Muon(_)
        | Op::CachedAttention(_) => Activations::F32,
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
    let (of_inputs, of_outputs) = match activations(&node.op) {
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
