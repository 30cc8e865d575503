//! How ops are written in programs, errors and profiles: a name, and in programs the attributes.

use std::fmt;

use crate::{AttentionSpec, CachedAttentionSpec, Op};

impl Op {
    /// Name in programs, errors and profiles.
    pub const fn name(&self) -> &'static str {
        match self {
            Op::Fill { .. } => "fill",
            Op::Reshape { .. } => "reshape",
            Op::Cast { .. } => "cast",
            Op::Add => "add",
            Op::Mul => "mul",
            Op::Scale { .. } => "scale",
            Op::MatMul { .. } => "matmul",
            Op::RmsNorm { .. } => "rms_norm",
            Op::RmsNormBackward { .. } => "rms_norm_backward",
            Op::Rope(_) => "rope",
            Op::Attention { .. } => "attention",
            Op::AttentionBackward { .. } => "attention_backward",
            Op::Activation(_) => "activation",
            Op::ActivationBackward(_) => "activation_backward",
            Op::Gated(_) => "gated",
            Op::GatedBackward(_) => "gated_backward",
            Op::Gather => "gather",
            Op::GatherBackward { .. } => "gather_backward",
            Op::CrossEntropy { .. } => "cross_entropy",
            Op::CrossEntropyBackward { .. } => "cross_entropy_backward",
            Op::MeanSquaredError => "mean_squared_error",
            Op::MeanSquaredErrorBackward => "mean_squared_error_backward",
            Op::GlobalNorm => "global_norm",
            Op::ClipFactor { .. } => "clip_factor",
            Op::AdamW(_) => "adamw",
            Op::Muon(_) => "muon",
            Op::KvAppend => "kv_append",
            Op::CachedAttention(_) => "cached_attention",
        }
    }

    /// Attributes as a program prints them, `transpose_b, result f32`; empty for an op that has
    /// none, or whose types say it all.
    fn attributes(&self) -> String {
        let flags = |flags: &[(&str, bool)]| -> Vec<String> {
            flags.iter().filter(|(_, set)| *set).map(|(name, _)| (*name).to_owned()).collect()
        };
        match self {
            Op::Fill { value, .. } => value.to_string(),
            Op::Scale { by } => format!("by {by}"),
            Op::MatMul { transpose_a, transpose_b, bias, result: _ } => {
                let (a, b) = (*transpose_a, *transpose_b);
                flags(&[("transpose_a", a), ("transpose_b", b), ("bias", *bias)]).join(", ")
            }
            Op::RmsNorm { group, eps, weighted } | Op::RmsNormBackward { group, eps, weighted } => {
                let flags = flags(&[("weighted", *weighted)]);
                [vec![format!("group {group}"), format!("eps {eps}")], flags].concat().join(", ")
            }
            Op::Rope(spec) => {
                let pairs = spec.frequencies.len();
                let range = match &*spec.frequencies {
                    [] => String::new(),
                    [first, .., last] => format!(" {first} to {last}"),
                    [only] => format!(" {only}"),
                };
                let start =
                    format!("head_dim {}, axes {}, {pairs} pairs{range}", spec.head_dim, spec.axes);
                [vec![start], flags(&[("inverse", spec.inverse)])].concat().join(", ")
            }
            Op::Attention { spec, segmented } | Op::AttentionBackward { spec, segmented } => {
                let flags = flags(&[("segmented", *segmented)]);
                [vec![attention(spec)], flags].concat().join(", ")
            }
            Op::CachedAttention(spec) => cached_attention(spec),
            Op::Activation(f) | Op::ActivationBackward(f) | Op::Gated(f) | Op::GatedBackward(f) => {
                format!("{f:?}")
            }
            Op::GatherBackward { rows } => format!("rows {rows}"),
            Op::CrossEntropy { softcap } | Op::CrossEntropyBackward { softcap } => {
                softcap.map(|c| format!("softcap {c}")).unwrap_or_default()
            }
            Op::ClipFactor { max_norm } => format!("max_norm {max_norm}"),
            Op::AdamW(spec) => format!("{spec:?}"),
            Op::Muon(spec) => format!("{spec:?}"),
            Op::Reshape { .. }
            | Op::Cast { .. }
            | Op::Add
            | Op::Mul
            | Op::Gather
            | Op::MeanSquaredError
            | Op::MeanSquaredErrorBackward
            | Op::GlobalNorm
            | Op::KvAppend => String::new(),
        }
    }
}

fn attention(spec: &AttentionSpec) -> String {
    let AttentionSpec { batch, heads, kv_heads, head_dim, causal, window, scale, score_cap } = spec;
    let mask = if *causal { "causal" } else { "both ways" };
    let scores = scores(*window, *scale, *score_cap);
    format!("batch {batch}, heads {heads}/{kv_heads} of {head_dim}, {mask}{scores}")
}

fn cached_attention(spec: &CachedAttentionSpec) -> String {
    let CachedAttentionSpec { heads, kv_heads, head_dim, window, scale, score_cap } = spec;
    format!("heads {heads}/{kv_heads} of {head_dim}{}", scores(*window, *scale, *score_cap))
}

/// How the scores of an attention come about.
fn scores(window: Option<usize>, scale: f32, score_cap: Option<f32>) -> String {
    let window = window.map(|window| format!(", window {window}")).unwrap_or_default();
    let cap = score_cap.map(|cap| format!(", score_cap {cap}")).unwrap_or_default();
    format!("{window}, scale {scale}{cap}")
}

impl fmt::Display for Op {
    /// `matmul{transpose_b}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self.attributes().as_str() {
            "" => Ok(()),
            attributes => write!(f, "{{{attributes}}}"),
        }
    }
}
