//! The parameters of a model: names as in Hugging Face Llama and Qwen3 checkpoints, shapes, and the
//! group that decides how each is initialized and trained. No values.

use stoa_graph::{DType, TensorType};

use crate::{LanguageConfig, Mlp};

/// What a parameter is, which decides its initialization and optimizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ParameterGroup {
    /// Token embedding (also the head when tied).
    Embedding,
    /// Output head.
    Head,
    /// Matrix that reads the residual stream: q, k, v, gate, up.
    InputProjection,
    /// Matrix that writes to the residual stream: o, down.
    OutputProjection,
    /// Factor of a norm.
    Norm,
}

/// One parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Name, as in Hugging Face checkpoints.
    pub name: String,
    /// Dimensions; matrices are [out, in].
    pub shape: Vec<usize>,
    /// What it is.
    pub group: ParameterGroup,
}

impl Parameter {
    /// Type with matrices stored as `dtype`; norm factors are always `f32`.
    pub fn ty(&self, dtype: DType) -> TensorType {
        let dtype = if self.group == ParameterGroup::Norm { DType::F32 } else { dtype };
        TensorType::new(dtype, self.shape.clone())
    }
}

/// All parameters, in the order of the forward pass.
pub fn parameters(config: &LanguageConfig) -> Vec<Parameter> {
    let mut list = Vec::new();
    let mut add = |name: String, shape: &[usize], group| {
        list.push(Parameter { name, shape: shape.to_vec(), group });
    };
    let (hidden, inner) = (config.hidden, config.mlp.intermediate());
    let (q, kv) = (config.query_features(), config.kv_features());
    add(EMBEDDING.into(), &[config.vocab, hidden], ParameterGroup::Embedding);
    for layer in 0..config.layers {
        let name = |part: &str| layer_name(layer, part);
        if config.norm_weights {
            add(name(INPUT_NORM), &[hidden], ParameterGroup::Norm);
        }
        add(name(QUERY), &[q, hidden], ParameterGroup::InputProjection);
        add(name(KEY), &[kv, hidden], ParameterGroup::InputProjection);
        add(name(VALUE), &[kv, hidden], ParameterGroup::InputProjection);
        if config.qk_norm && config.norm_weights {
            add(name(QUERY_NORM), &[config.head_dim], ParameterGroup::Norm);
            add(name(KEY_NORM), &[config.head_dim], ParameterGroup::Norm);
        }
        add(name(OUTPUT), &[hidden, q], ParameterGroup::OutputProjection);
        if config.norm_weights {
            add(name(MLP_NORM), &[hidden], ParameterGroup::Norm);
        }
        if matches!(config.mlp, Mlp::Swiglu { .. }) {
            add(name(GATE), &[inner, hidden], ParameterGroup::InputProjection);
        }
        add(name(UP), &[inner, hidden], ParameterGroup::InputProjection);
        add(name(DOWN), &[hidden, inner], ParameterGroup::OutputProjection);
    }
    if config.norm_weights {
        add(FINAL_NORM.into(), &[hidden], ParameterGroup::Norm);
    }
    if !config.tied_head {
        add(HEAD.into(), &[config.vocab, hidden], ParameterGroup::Head);
    }
    list
}

/// Number of parameter elements.
pub fn parameter_count(config: &LanguageConfig) -> usize {
    parameters(config).iter().map(|p| p.shape.iter().product::<usize>()).sum()
}

pub(crate) const EMBEDDING: &str = "model.embed_tokens.weight";
pub(crate) const FINAL_NORM: &str = "model.norm.weight";
pub(crate) const HEAD: &str = "lm_head.weight";
pub(crate) const INPUT_NORM: &str = "input_layernorm.weight";
pub(crate) const MLP_NORM: &str = "post_attention_layernorm.weight";
pub(crate) const QUERY: &str = "self_attn.q_proj.weight";
pub(crate) const KEY: &str = "self_attn.k_proj.weight";
pub(crate) const VALUE: &str = "self_attn.v_proj.weight";
pub(crate) const OUTPUT: &str = "self_attn.o_proj.weight";
pub(crate) const QUERY_NORM: &str = "self_attn.q_norm.weight";
pub(crate) const KEY_NORM: &str = "self_attn.k_norm.weight";
pub(crate) const GATE: &str = "mlp.gate_proj.weight";
pub(crate) const UP: &str = "mlp.up_proj.weight";
pub(crate) const DOWN: &str = "mlp.down_proj.weight";

pub(crate) fn layer_name(layer: usize, part: &str) -> String {
    format!("model.layers.{layer}.{part}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_those_of_the_published_qwen3_0_6b() {
        // Qwen/Qwen3-0.6B config.json: its card gives 0.6B in all, 0.44B without the embedding.
        let config = LanguageConfig {
            vocab: 151_936,
            hidden: 1024,
            layers: 28,
            heads: 16,
            kv_heads: 8,
            head_dim: 128,
            mlp: Mlp::Swiglu { intermediate: 3072 },
            tied_head: true,
            ..LanguageConfig::from_depth(28, 151_936)
        };
        let total = parameter_count(&config);
        assert_eq!(total, 596_049_920);
        assert_eq!(total - 151_936 * 1024, 440_467_456);
    }

    #[test]
    fn names_are_distinct() {
        let list = parameters(&LanguageConfig::from_depth(12, 500));
        let names: std::collections::BTreeSet<_> = list.iter().map(|p| &p.name).collect();
        assert_eq!(names.len(), list.len());
        assert_eq!(list.len(), 12 * 11 + 3);
    }
}
