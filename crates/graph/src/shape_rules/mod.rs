//! The type of every op's results from the types of its inputs, or why it does not fit.
//! The one place that knows arity, ranks and dtypes; a file for each family of ops.
//!
//! Activations are of any float type, all those of an op alike; what is learned or summed over
//! many (factors of norms, gradients of weights, losses, moments) is f32; weights, tables and
//! caches are read in the type they are stored in.

mod attention;
mod elementwise;
mod linear;
mod loss;
mod optimizer;
mod rule;
mod table;

use rule::Rule;

use crate::{GraphError, Op, TensorType};

type Result<T> = std::result::Result<T, GraphError>;

/// Types of the results of `op` on inputs of these types.
///
/// # Errors
/// What does not fit, with the types involved.
pub fn output_types(op: &Op, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
    let types = types_by_rule(op, inputs)?;
    types.into_iter().map(TensorType::checked).collect()
}

fn types_by_rule(op: &Op, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
    let rule = Rule::new(op.name(), inputs);
    match op {
        Op::Fill { ty, .. } => rule.fill(ty),
        Op::Reshape { shape } => rule.reshape(shape),
        Op::Cast { dtype } => rule.cast(*dtype),
        Op::Add | Op::Mul => rule.pointwise(2),
        Op::Scale { .. } => rule.pointwise(1),
        Op::Activation(f) => rule.nonlinear(*f, 1),
        Op::ActivationBackward(f) | Op::Gated(f) => rule.nonlinear(*f, 2),
        Op::GatedBackward(f) => rule.gated_backward(*f),
        Op::MatMul { transpose_a, transpose_b, bias, result } => {
            rule.matmul(*transpose_a, *transpose_b, *bias, *result)
        }
        Op::RmsNorm { group, weighted, .. } => rule.norm(*group, &["w"][..usize::from(*weighted)]),
        Op::RmsNormBackward { group, weighted, .. } => {
            let gradients = usize::from(*weighted);
            rule.norm_backward(*group, &["w"][..gradients], gradients)
        }
        Op::LayerNorm { group, biased, .. } => {
            rule.layer_norm(*group, &["scale", "bias"][..1 + usize::from(*biased)])
        }
        Op::LayerNormBackward { group, biased, .. } => {
            rule.layer_norm_backward(*group, 1 + usize::from(*biased))
        }
        Op::Rope(spec) => rule.rope(spec),
        Op::Attention { spec, segmented } => rule.attention(spec, *segmented),
        Op::AttentionBackward { spec, segmented } => rule.attention_backward(spec, *segmented),
        Op::Gather => rule.gather(),
        Op::GatherBackward { rows } => rule.gather_backward(*rows),
        Op::CrossEntropy { softcap } => rule.cross_entropy(*softcap),
        Op::CrossEntropyBackward { softcap } => rule.cross_entropy_backward(*softcap),
        Op::MeanSquaredError => rule.squared_error(),
        Op::MeanSquaredErrorBackward => rule.squared_error_backward(),
        Op::GlobalNorm => rule.global_norm(),
        Op::ClipFactor { max_norm } => rule.clip_factor(*max_norm),
        Op::AdamW(_) => rule.adamw(),
        Op::Muon(spec) => rule.muon(spec),
        Op::KvAppend => rule.kv_append(),
        Op::CachedAttention(spec) => rule.cached_attention(spec),
    }
}
