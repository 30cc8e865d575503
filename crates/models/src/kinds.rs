//! What a configuration chooses among: norms, their place in a block, feed-forward parts, biases.
//! No sizes but those of the feed-forward part.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use stoa_graph::Nonlinearity;

/// Function of the feed-forward part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MlpKind {
    /// down(silu(gate·x) ⊙ up·x) (arXiv 2002.05202 eq. 6): Llama and most since.
    Swiglu,
    /// The same with GELU by tanh as the gate's function (arXiv 2002.05202 eq. 5): Gemma.
    Geglu,
    /// The same with exact GELU.
    GegluExact,
    /// The same with max(0, x).
    Reglu,
    /// down(max(0, up·x)²) (arXiv 2109.08668 §4.2): nanochat. Hugging Face has no class for it.
    ReluSquared,
    /// down(max(0, up·x)).
    Relu,
    /// down(silu(up·x)).
    Silu,
    /// down(gelu(up·x)) with GELU by tanh: GPT-2.
    Gelu,
    /// The same with exact GELU: GPT-NeoX, Falcon.
    GeluExact,
}

impl MlpKind {
    /// Whether one projection gates the other.
    pub const fn is_gated(self) -> bool {
        match self {
            MlpKind::Swiglu | MlpKind::Geglu | MlpKind::GegluExact | MlpKind::Reglu => true,
            MlpKind::ReluSquared
            | MlpKind::Relu
            | MlpKind::Silu
            | MlpKind::Gelu
            | MlpKind::GeluExact => false,
        }
    }

    /// The pointwise function: of the gate, where there is one.
    pub const fn nonlinearity(self) -> Nonlinearity {
        match self {
            MlpKind::Swiglu | MlpKind::Silu => Nonlinearity::Silu,
            MlpKind::Geglu | MlpKind::Gelu => Nonlinearity::Gelu,
            MlpKind::GegluExact | MlpKind::GeluExact => Nonlinearity::GeluExact,
            MlpKind::Reglu | MlpKind::Relu => Nonlinearity::Relu,
            MlpKind::ReluSquared => Nonlinearity::ReluSquared,
        }
    }
}

/// Feed-forward part of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mlp {
    /// Its function.
    pub kind: MlpKind,
    /// Features between the projections.
    pub intermediate: usize,
}

impl Mlp {
    /// [`MlpKind::Swiglu`] of this many features.
    pub const fn swiglu(intermediate: usize) -> Self {
        Mlp { kind: MlpKind::Swiglu, intermediate }
    }

    /// [`MlpKind::ReluSquared`] of this many features.
    pub const fn relu_squared(intermediate: usize) -> Self {
        Mlp { kind: MlpKind::ReluSquared, intermediate }
    }
}

/// What every norm of the residual stream computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Norm {
    /// Root mean square (arXiv 1910.07467).
    #[default]
    Rms,
    /// Layer normalisation with factors and biases (arXiv 1607.06450): GPT-2, GPT-NeoX, Falcon,
    /// StableLM.
    Layer,
    /// Layer normalisation with factors alone: Cohere.
    LayerUnbiased,
}

/// Where norms stand in a block with attention A and feed-forward part M, and what M reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Block {
    /// x + A(norm x), then x + M(norm x) (arXiv 2002.04745): Llama and most.
    #[default]
    PreNorm,
    /// x + norm A(x), then x + norm M(x): OLMo 2 (arXiv 2501.00656 §3.1).
    PostNorm,
    /// x + norm A(norm x), then x + norm M(norm x): Gemma 2 and 3 (arXiv 2408.00118 §2).
    PreAndPostNorm,
    /// x + A(n) + M(n) with n = norm x: Falcon 7B, Cohere.
    Parallel,
    /// x + A(norm x) + M(norm' x): GPT-NeoX (arXiv 2204.06745 §2.1).
    ParallelTwoNorms,
}

impl Block {
    /// Whether attention reads a norm of the residual stream.
    pub const fn has_input_norm(self) -> bool {
        !matches!(self, Block::PostNorm)
    }

    /// Whether the feed-forward part reads a norm of its own.
    pub const fn has_mlp_norm(self) -> bool {
        matches!(self, Block::PreNorm | Block::PreAndPostNorm | Block::ParallelTwoNorms)
    }

    /// Whether the feed-forward part does not read what attention adds.
    pub const fn is_parallel(self) -> bool {
        matches!(self, Block::Parallel | Block::ParallelTwoNorms)
    }

    /// Whether what attention and feed-forward part give is normalised.
    pub const fn has_post_norms(self) -> bool {
        matches!(self, Block::PostNorm | Block::PreAndPostNorm)
    }
}

/// Norm of queries and keys before they are rotated. In files `false`, `true`, `"over_all_heads"` or
/// `"layer_by_head"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum QkNorm {
    /// None.
    #[default]
    None,
    /// Root mean square of each head by itself, one set of factors for all heads: Qwen3, Gemma 3.
    PerHead,
    /// Root mean square of all heads together, a factor for each feature: OLMo 2.
    OverAllHeads,
    /// Layer normalisation of each head by itself, a factor for each feature of each head and no bias:
    /// Cohere's Command-R+ (`use_qk_norm`), StableLM 2 12B (`qk_layernorm`).
    LayerByHead,
}

const OVER_ALL_HEADS: &str = "over_all_heads";
const LAYER_BY_HEAD: &str = "layer_by_head";

impl Serialize for QkNorm {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            QkNorm::None => serializer.serialize_bool(false),
            QkNorm::PerHead => serializer.serialize_bool(true),
            QkNorm::OverAllHeads => serializer.serialize_str(OVER_ALL_HEADS),
            QkNorm::LayerByHead => serializer.serialize_str(LAYER_BY_HEAD),
        }
    }
}

impl<'de> Deserialize<'de> for QkNorm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = QkNorm;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "true, false, \"{OVER_ALL_HEADS}\" or \"{LAYER_BY_HEAD}\"")
            }

            fn visit_bool<E: de::Error>(self, per_head: bool) -> Result<QkNorm, E> {
                Ok(if per_head { QkNorm::PerHead } else { QkNorm::None })
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<QkNorm, E> {
                match text {
                    OVER_ALL_HEADS => Ok(QkNorm::OverAllHeads),
                    LAYER_BY_HEAD => Ok(QkNorm::LayerByHead),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// Which projections have a bias. No family read here has one on its head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Biases {
    /// Those of queries, keys and values: Qwen2, GPT-2, GPT-NeoX.
    pub qkv: bool,
    /// That of attention's output.
    pub output: bool,
    /// Those of the feed-forward part.
    pub mlp: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_earlier_versions_read_as_before() {
        let mlp = |text: &str| serde_json::from_str::<Mlp>(text).unwrap();
        assert_eq!(mlp(r#"{"kind":"swiglu","intermediate":8}"#), Mlp::swiglu(8));
        assert_eq!(mlp(r#"{"kind":"relu_squared","intermediate":8}"#), Mlp::relu_squared(8));
        let written = serde_json::to_string(&Mlp::swiglu(8)).unwrap();
        assert_eq!(written, r#"{"kind":"swiglu","intermediate":8}"#);
        for (text, norm) in [
            ("false", QkNorm::None),
            ("true", QkNorm::PerHead),
            ("\"over_all_heads\"", QkNorm::OverAllHeads),
            ("\"layer_by_head\"", QkNorm::LayerByHead),
        ] {
            assert_eq!(serde_json::from_str::<QkNorm>(text).unwrap(), norm);
            assert_eq!(serde_json::to_string(&norm).unwrap(), text);
        }
        let error = serde_json::from_str::<QkNorm>("\"yes\"").unwrap_err().to_string();
        assert!(error.contains("true, false, \"over_all_heads\" or"), "{error}");
    }
}
