//! The parameters of a model: the module each belongs to, its name, its shape, and the group that
//! decides how it is initialized and trained. Names are those of Llama's checkpoints where Llama has
//! the module; how families spell them in their files is in `families`. No values.

use stoa_graph::{DType, TensorType};

use crate::{LanguageConfig, Norm, QkNorm};

/// What a parameter is, which decides its initialization and optimizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ParameterGroup {
    /// Token embedding (also the head when tied), and that of learned positions.
    Embedding,
    /// Output head.
    Head,
    /// Matrix that reads the residual stream: q, k, v, gate, up.
    InputProjection,
    /// Matrix that writes to the residual stream: o, down.
    OutputProjection,
    /// Factor of a norm.
    Norm,
    /// Bias of a projection or a norm.
    Bias,
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
    /// Whether it is stored in whichever type is chosen: factors and biases are not.
    pub fn is_matrix(&self) -> bool {
        self.ty(DType::BF16).dtype == DType::BF16
    }

    /// Type with matrices stored as `dtype`; norm factors and biases are always `f32`.
    pub fn ty(&self, dtype: DType) -> TensorType {
        let dtype = match self.group {
            ParameterGroup::Norm | ParameterGroup::Bias => DType::F32,
            ParameterGroup::Embedding
            | ParameterGroup::Head
            | ParameterGroup::InputProjection
            | ParameterGroup::OutputProjection => dtype,
        };
        TensorType::new(dtype, self.shape.clone())
    }
}

/// A module of the transformer, which has a weight and may have a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Module {
    /// Token embedding.
    Embedding,
    /// Embedding of learned positions.
    Positions,
    /// Norm that attention reads, or both parts of a parallel block.
    InputNorm,
    /// Queries.
    Query,
    /// Keys.
    Key,
    /// Values.
    Value,
    /// Norm of queries.
    QueryNorm,
    /// Norm of keys.
    KeyNorm,
    /// Output of attention.
    Output,
    /// Norm of what attention gives.
    AttentionPostNorm,
    /// Norm that the feed-forward part reads.
    MlpNorm,
    /// Gate of the feed-forward part.
    Gate,
    /// First projection of the feed-forward part.
    Up,
    /// Last projection of the feed-forward part.
    Down,
    /// Norm of what the feed-forward part gives.
    MlpPostNorm,
    /// Norm before the head.
    FinalNorm,
    /// Output head.
    Head,
}

impl Module {
    /// Whether its rows are features of heads that rotate afterwards.
    pub(crate) const fn rotates(self) -> bool {
        matches!(self, Module::Query | Module::Key | Module::QueryNorm | Module::KeyNorm)
    }

    /// Name without layer and kind of parameter.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Module::Embedding => "embed_tokens",
            Module::Positions => "embed_positions",
            Module::InputNorm => "input_layernorm",
            Module::Query => "self_attn.q_proj",
            Module::Key => "self_attn.k_proj",
            Module::Value => "self_attn.v_proj",
            Module::QueryNorm => "self_attn.q_norm",
            Module::KeyNorm => "self_attn.k_norm",
            Module::Output => "self_attn.o_proj",
            Module::AttentionPostNorm => "attention_post_norm",
            Module::MlpNorm => "post_attention_layernorm",
            Module::Gate => "mlp.gate_proj",
            Module::Up => "mlp.up_proj",
            Module::Down => "mlp.down_proj",
            Module::MlpPostNorm => "mlp_post_norm",
            Module::FinalNorm => "norm",
            Module::Head => "lm_head",
        }
    }
}

/// Which parameter of the transformer one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// Layer, if the module is in one.
    pub layer: Option<usize>,
    /// Module.
    pub module: Module,
    /// Whether it is the module's bias, not its weight.
    pub bias: bool,
}

impl Place {
    /// The weight of a module of a layer.
    pub const fn in_layer(layer: usize, module: Module) -> Self {
        Place { layer: Some(layer), module, bias: false }
    }

    /// The weight of a module outside the layers.
    pub const fn outside(module: Module) -> Self {
        Place { layer: None, module, bias: false }
    }

    /// The bias of the same module.
    pub const fn bias(self) -> Self {
        Place { bias: true, ..self }
    }

    /// Name of the parameter: `model.layers.0.self_attn.q_proj.weight`.
    pub fn name(self) -> String {
        let (module, kind) = (self.module.name(), if self.bias { "bias" } else { "weight" });
        match self.layer {
            Some(layer) => format!("model.layers.{layer}.{module}.{kind}"),
            None if self.module == Module::Head => format!("{module}.{kind}"),
            None => format!("model.{module}.{kind}"),
        }
    }
}

/// All parameters, in the order of the forward pass.
pub fn parameters(config: &LanguageConfig) -> Vec<Parameter> {
    placed_parameters(config).into_iter().map(|(_, parameter)| parameter).collect()
}

/// All parameters with their places, in the order of the forward pass.
pub fn placed_parameters(config: &LanguageConfig) -> Vec<(Place, Parameter)> {
    let mut list = List { config, found: Vec::new() };
    list.weight(Place::outside(Module::Embedding), &[config.vocab, config.hidden]);
    if config.learned_positions {
        list.weight(Place::outside(Module::Positions), &[config.max_time, config.hidden]);
    }
    for layer in 0..config.layers {
        list.layer(layer);
    }
    list.norm(Place::outside(Module::FinalNorm));
    if !config.tied_head {
        list.weight(Place::outside(Module::Head), &[config.vocab, config.hidden]);
    }
    list.found
}

/// Number of parameter elements.
pub fn parameter_count(config: &LanguageConfig) -> usize {
    parameters(config).iter().map(|p| p.shape.iter().product::<usize>()).sum()
}

struct List<'a> {
    config: &'a LanguageConfig,
    found: Vec<(Place, Parameter)>,
}

impl List<'_> {
    fn layer(&mut self, layer: usize) {
        let LanguageConfig { block, biases, hidden, head_dim, .. } = *self.config;
        let (q, kv) = (self.config.query_features(), self.config.kv_features());
        let inner = self.config.mlp.intermediate;
        let at = |module| Place::in_layer(layer, module);
        if block.has_input_norm() {
            self.norm(at(Module::InputNorm));
        }
        self.projection(at(Module::Query), [q, hidden], biases.qkv);
        self.projection(at(Module::Key), [kv, hidden], biases.qkv);
        self.projection(at(Module::Value), [kv, hidden], biases.qkv);
        let factors = match self.config.qk_norm {
            QkNorm::PerHead => Some([head_dim; 2]),
            QkNorm::OverAllHeads | QkNorm::LayerByHead => Some([q, kv]),
            QkNorm::None => None,
        };
        if let Some([q, k]) = factors.filter(|_| self.config.norm_weights) {
            self.weight(at(Module::QueryNorm), &[q]);
            self.weight(at(Module::KeyNorm), &[k]);
        }
        self.projection(at(Module::Output), [hidden, q], biases.output);
        if block.has_post_norms() {
            self.norm(at(Module::AttentionPostNorm));
        }
        if block.has_mlp_norm() {
            self.norm(at(Module::MlpNorm));
        }
        if self.config.mlp.kind.is_gated() {
            self.projection(at(Module::Gate), [inner, hidden], biases.mlp);
        }
        self.projection(at(Module::Up), [inner, hidden], biases.mlp);
        self.projection(at(Module::Down), [hidden, inner], biases.mlp);
        if block.has_post_norms() {
            self.norm(at(Module::MlpPostNorm));
        }
    }

    fn projection(&mut self, place: Place, shape: [usize; 2], biased: bool) {
        self.weight(place, &shape);
        if biased {
            self.weight(place.bias(), &shape[..1]);
        }
    }

    fn norm(&mut self, place: Place) {
        if self.config.norm_weights {
            self.weight(place, &[self.config.hidden]);
        }
        if self.config.norm == Norm::Layer {
            self.weight(place.bias(), &[self.config.hidden]);
        }
    }

    fn weight(&mut self, place: Place, shape: &[usize]) {
        let group = match place.module {
            _ if place.bias => ParameterGroup::Bias,
            Module::Embedding | Module::Positions => ParameterGroup::Embedding,
            Module::Head => ParameterGroup::Head,
            Module::Query | Module::Key | Module::Value | Module::Gate | Module::Up => {
                ParameterGroup::InputProjection
            }
            Module::Output | Module::Down => ParameterGroup::OutputProjection,
            Module::InputNorm
            | Module::QueryNorm
            | Module::KeyNorm
            | Module::AttentionPostNorm
            | Module::MlpNorm
            | Module::MlpPostNorm
            | Module::FinalNorm => ParameterGroup::Norm,
        };
        let parameter = Parameter { name: place.name(), shape: shape.to_vec(), group };
        self.found.push((place, parameter));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Biases, Block, Mlp};

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
            mlp: Mlp::swiglu(3072),
            tied_head: true,
            ..LanguageConfig::from_depth(28, 151_936)
        };
        let total = parameter_count(&config);
        assert_eq!(total, 596_049_920);
        assert_eq!(total - 151_936 * 1024, 440_467_456);
    }

    #[test]
    fn counts_are_those_of_the_published_gpt2() {
        // openai-community/gpt2: 124 M parameters with one table for embedding and head.
        let config = LanguageConfig {
            mlp: Mlp { kind: crate::MlpKind::Gelu, intermediate: 3072 },
            biases: Biases { qkv: true, output: true, mlp: true },
            norm: Norm::Layer,
            qk_norm: QkNorm::None,
            learned_positions: true,
            tied_head: true,
            max_time: 1024,
            ..LanguageConfig::from_depth(12, 50_257)
        };
        assert_eq!(parameter_count(&config), 124_439_808);
    }

    #[test]
    fn names_are_distinct() {
        let plain = LanguageConfig::from_depth(12, 500);
        for (config, in_layer, outside) in [
            (plain.clone(), 11, 3),
            (LanguageConfig { block: Block::PreAndPostNorm, ..plain.clone() }, 13, 3),
            (LanguageConfig { block: Block::Parallel, norm: Norm::Layer, ..plain }, 11, 4),
        ] {
            let list = parameters(&config);
            let names: std::collections::BTreeSet<_> = list.iter().map(|p| &p.name).collect();
            assert_eq!(names.len(), list.len());
            assert_eq!(list.len(), 12 * in_layer + outside, "{config:?}");
        }
    }
}
