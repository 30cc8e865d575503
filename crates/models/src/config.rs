//! Shape of a language transformer as data: every family that is read is a value of one type, and one
//! program computes them all. Does not know `config.json` (see `hugging_face`) nor anything of training.

use serde::{Deserialize, Serialize};

use crate::{Biases, Block, Family, Mlp, ModelError, Norm, QkNorm, RopeScaling};

/// Layers that see only the last tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlidingWindow {
    /// Tokens a query sees, its own included.
    pub window: usize,
    /// Indices of the layers with that window; the others see everything before them.
    pub layers: Vec<usize>,
}

/// Shape of a language transformer.
///
/// One kind of attention and one feed-forward part serve all layers; what differs by layer is a list
/// of layers (`sliding_window`, `layers_without_positions`). Families with layers of several kinds
/// enter there: mixtures of experts (Qwen3-MoE, gpt-oss) as a list of layers whose [`Mlp`] has
/// experts and a router, sinks of gpt-oss as a parameter of attention, gated delta-net layers
/// (Qwen3.5) as a list of layers whose attention is another op with a state in place of a cache.
///
/// Fields with a default are left out of files that do not use them, so files of models without them
/// read as they always did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LanguageConfig {
    /// Published family whose class and tensor names are used in files. Changes nothing that is
    /// computed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub family: Family,
    /// Rows of the embedding and of the head.
    pub vocab: usize,
    /// Features of the residual stream.
    pub hidden: usize,
    /// Blocks.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Features of one head.
    pub head_dim: usize,
    /// Feed-forward part.
    pub mlp: Mlp,
    /// Where norms stand in a block, and what its two parts read.
    #[serde(default, skip_serializing_if = "is_default")]
    pub block: Block,
    /// Which projections have a bias.
    #[serde(default, skip_serializing_if = "is_default")]
    pub biases: Biases,
    /// What every norm of the residual stream computes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub norm: Norm,
    /// How queries and keys are normalised before they are rotated.
    pub qk_norm: QkNorm,
    /// Whether norms have a learned factor per feature.
    pub norm_weights: bool,
    /// Whether the factor of a norm is 1 + w for the stored w (Gemma: `GemmaRMSNorm` of
    /// transformers). GGUF files of Gemma store 1 + w.
    #[serde(default, skip_serializing_if = "is_default")]
    pub norm_offset: bool,
    /// Whether a learned vector for each of `max_time` positions is added to the embedding (GPT-2's
    /// `wpe`); nothing is rotated then.
    #[serde(default, skip_serializing_if = "is_default")]
    pub learned_positions: bool,
    /// Base of the rotary frequencies.
    pub rope_theta: f32,
    /// How these are stretched for contexts longer than those of pretraining.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rope_scaling: Option<RopeScaling>,
    /// First features of each head that are rotated, all of them if `None` (GPT-NeoX's `rotary_pct`,
    /// `partial_rotary_factor` elsewhere).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotary_dim: Option<usize>,
    /// Base of the frequencies in layers with a sliding window, which are never stretched (Gemma 3's
    /// `rope_local_base_freq`); that of the others if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_rope_theta: Option<f32>,
    /// Layers whose queries and keys are not rotated (SmolLM3's `no_rope_layers`; arXiv 2305.19466).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers_without_positions: Vec<usize>,
    /// Factor on the embedding (Gemma: √hidden; Granite's `embedding_multiplier`). It is not rounded to
    /// the type of the weights, as transformers does for a model that it runs in bf16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding_scale: Option<f32>,
    /// Factor on what attention and feed-forward part add to the residual stream (Granite's
    /// `residual_multiplier`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub residual_scale: Option<f32>,
    /// Factor on q·k in place of head_dim^−½ (Granite's `attention_multiplier`, Gemma's
    /// `query_pre_attn_scalar`^−½).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attention_scale: Option<f32>,
    /// Bound of the scores of attention, if any: cap·tanh(score/cap) (Gemma 2's
    /// `attn_logit_softcapping`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score_softcap: Option<f32>,
    /// Factor on the logits before they are bounded (Cohere's `logit_scale`, 1/`logits_scaling` of
    /// Granite).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logit_scale: Option<f32>,
    /// Added to the mean square, or to the variance, in every norm.
    pub rms_eps: f32,
    /// Whether the head is the embedding.
    pub tied_head: bool,
    /// Bound of the logits, if any: cap·tanh(logits/cap).
    pub logit_softcap: Option<f32>,
    /// Layers with a sliding window, if any.
    pub sliding_window: Option<SlidingWindow>,
    /// Longest sequence the model is meant for (`max_position_embeddings`).
    pub max_time: usize,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Longest context of models made by `from_depth`; nanochat's T (gpt.py, sequence_len).
const DEFAULT_MAX_TIME: usize = 2048;

impl LanguageConfig {
    /// A model by one dial: hidden size 64·depth (nanochat, base_train.py) and everything else
    /// from it. It exports as Qwen3: SwiGLU, QK-norm, untied head, no grouping of heads.
    pub fn from_depth(depth: usize, vocab: usize) -> Self {
        let depth = depth.max(1);
        // Heads of 128 as in nanochat need a width to be several of; small models get more and
        // smaller ones.
        let head_dim = match 64 * depth {
            ..=128 => 32,
            129..1024 => 64,
            _ => 128,
        };
        let hidden = (64 * depth).next_multiple_of(head_dim);
        // 8/3 of the width makes SwiGLU's three matrices as large as two of four times the width
        // (arXiv 2002.05202 §2); 64 keeps rows whole cache lines.
        let intermediate = (hidden * 8).div_ceil(3).next_multiple_of(64);
        LanguageConfig {
            family: Family::None,
            vocab,
            hidden,
            layers: depth,
            heads: hidden / head_dim,
            kv_heads: hidden / head_dim,
            head_dim,
            mlp: Mlp::swiglu(intermediate),
            block: Block::PreNorm,
            biases: Biases::default(),
            norm: Norm::Rms,
            qk_norm: QkNorm::PerHead,
            norm_weights: true,
            norm_offset: false,
            learned_positions: false,
            rope_theta: 10_000.0,
            rope_scaling: None,
            rotary_dim: None,
            local_rope_theta: None,
            layers_without_positions: Vec::new(),
            embedding_scale: None,
            residual_scale: None,
            attention_scale: None,
            score_softcap: None,
            logit_scale: None,
            rms_eps: 1e-6,
            tied_head: false,
            logit_softcap: None,
            sliding_window: None,
            max_time: DEFAULT_MAX_TIME,
        }
    }

    /// Whether every field makes sense with the others.
    ///
    /// # Errors
    /// [`ModelError::Config`] names the first field that does not.
    pub fn validate(&self) -> Result<(), ModelError> {
        // 2^31 rows is where token ids stop being i32.
        let sizes = [
            ("vocab", self.vocab, i32::MAX as usize),
            ("hidden", self.hidden, 1 << 20),
            ("heads", self.heads, 1 << 12),
            ("kv_heads", self.kv_heads, 1 << 12),
            ("head_dim", self.head_dim, 1 << 12),
            ("mlp.intermediate", self.mlp.intermediate, 1 << 22),
            ("max_time", self.max_time, i32::MAX as usize),
        ];
        for (field, value, limit) in sizes {
            check(field, value, (1..=limit).contains(&value), || format!("1 to {limit}"))?;
        }
        check_layers(self.layers)?;
        check("kv_heads", self.kv_heads, self.heads.is_multiple_of(self.kv_heads), || {
            format!("must divide heads, {}", self.heads)
        })?;
        check("rms_eps", self.rms_eps, (0.0..1.0).contains(&self.rms_eps), || "in 0..1".into())?;
        let layer_norms = self.norm != Norm::Rms || self.qk_norm == QkNorm::LayerByHead;
        let factors = self.norm_weights || !(layer_norms || self.norm_offset);
        check("norm_weights", self.norm_weights, factors, || {
            "layer norms and an offset need factors".into()
        })?;
        self.validate_positions()?;
        self.validate_scales()?;
        if let Some(SlidingWindow { window, layers }) = &self.sliding_window {
            check("sliding_window.window", window, *window > 0, || "at least 1".into())?;
            self.validate_layers("sliding_window.layers", layers)?;
        }
        Ok(())
    }

    fn validate_positions(&self) -> Result<(), ModelError> {
        let rotated = self.rotary_dim.unwrap_or(self.head_dim);
        check(
            "head_dim",
            self.head_dim,
            self.rotary_dim.is_some() || rotated.is_multiple_of(2),
            || "rotary positions turn pairs of features, so it must be even".into(),
        )?;
        let fits = rotated.is_multiple_of(2) && (2..=self.head_dim).contains(&rotated);
        check("rotary_dim", rotated, fits, || format!("even, 2 to {}", self.head_dim))?;
        for (field, theta) in
            [("rope_theta", Some(self.rope_theta)), ("local_rope_theta", self.local_rope_theta)]
        {
            let Some(theta) = theta else { continue };
            check(field, theta, theta >= 1.0 && theta.is_finite(), || "at least 1".into())?;
        }
        if let Some(scaling) = &self.rope_scaling {
            check("rope_scaling", format!("{scaling:?}"), scaling.is_valid(), || {
                "positive factors, the higher one above the lower, and a context".into()
            })?;
            let listed = scaling.listed_pairs().is_none_or(|pairs| 2 * pairs == rotated);
            check("rope_scaling", format!("{scaling:?}"), listed, || {
                format!("a factor for each of {} pairs", rotated / 2)
            })?;
        }
        self.validate_layers("layers_without_positions", &self.layers_without_positions)
    }

    fn validate_scales(&self) -> Result<(), ModelError> {
        for (field, bound) in
            [("logit_softcap", self.logit_softcap), ("score_softcap", self.score_softcap)]
        {
            let Some(cap) = bound else { continue };
            check(field, cap, cap > 0.0 && cap.is_finite(), || "positive".into())?;
        }
        for (field, scale) in [
            ("embedding_scale", self.embedding_scale),
            ("residual_scale", self.residual_scale),
            ("attention_scale", self.attention_scale),
            ("logit_scale", self.logit_scale),
        ] {
            let Some(scale) = scale else { continue };
            check(field, scale, scale.is_finite(), || "a finite number".into())?;
        }
        Ok(())
    }

    fn validate_layers(&self, field: &'static str, layers: &[usize]) -> Result<(), ModelError> {
        let known = layers.iter().all(|&layer| layer < self.layers);
        check(field, format!("{layers:?}"), known, || format!("layers are 0..{}", self.layers))
    }

    /// Window of a layer's attention, if it has one.
    pub fn window(&self, layer: usize) -> Option<usize> {
        let sliding = self.sliding_window.as_ref()?;
        sliding.layers.contains(&layer).then_some(sliding.window)
    }

    /// Whether queries and keys of a layer are rotated.
    pub fn rotates(&self, layer: usize) -> bool {
        !self.learned_positions && !self.layers_without_positions.contains(&layer)
    }

    /// Factor on q·k.
    pub fn score_scale(&self) -> f32 {
        self.attention_scale.unwrap_or_else(|| (self.head_dim as f32).powf(-0.5))
    }

    /// Features of all query heads together.
    pub const fn query_features(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Features of all key (or value) heads together.
    pub const fn kv_features(&self) -> usize {
        self.kv_heads * self.head_dim
    }
}

/// Most layers of a model.
const MOST_LAYERS: usize = 1 << 12;

/// That a model can have so many layers: readers ask before they list them.
///
/// # Errors
/// [`ModelError::Config`].
pub(crate) fn check_layers(layers: usize) -> Result<(), ModelError> {
    check("layers", layers, (1..=MOST_LAYERS).contains(&layers), || format!("1 to {MOST_LAYERS}"))
}

fn check(
    field: &'static str,
    value: impl std::fmt::Display,
    holds: bool,
    expected: impl FnOnce() -> String,
) -> Result<(), ModelError> {
    if holds {
        return Ok(());
    }
    Err(ModelError::Config { field, value: value.to_string(), expected: expected() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_depth_makes_a_sound_model() {
        for depth in 1..=40 {
            let config = LanguageConfig::from_depth(depth, 1000);
            config.validate().unwrap();
            assert_eq!(config.query_features(), config.hidden, "depth {depth}");
            assert!(config.hidden >= 64 * depth && config.hidden < 64 * depth + 128);
        }
    }

    /// What runs and their checkpoints wrote before there were families, and still write.
    #[test]
    fn a_model_without_new_parts_is_written_as_ever() {
        let config = LanguageConfig::from_depth(1, 10);
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(
            text,
            r#"{"vocab":10,"hidden":64,"layers":1,"heads":2,"kv_heads":2,"head_dim":32,"#
                .to_owned()
                + r#""mlp":{"kind":"swiglu","intermediate":192},"qk_norm":true,"norm_weights":true,"#
                + r#""rope_theta":10000.0,"rms_eps":0.000001,"tied_head":false,"logit_softcap":null,"#
                + r#""sliding_window":null,"max_time":2048}"#
        );
        assert_eq!(serde_json::from_str::<LanguageConfig>(&text).unwrap(), config);
    }

    #[test]
    fn nonsense_is_refused_by_field_name() {
        let sound = LanguageConfig::from_depth(2, 100);
        let refused = |change: fn(&mut LanguageConfig)| {
            let mut config = sound.clone();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert!(refused(|c| c.vocab = 0).contains("`vocab` = 0"));
        assert!(refused(|c| c.kv_heads = 3).contains("must divide heads"));
        assert!(refused(|c| c.head_dim = 7).contains("even"));
        assert!(refused(|c| c.rope_theta = f32::NAN).contains("rope_theta"));
        assert!(refused(|c| c.layers = usize::MAX).contains("1 to 4096"));
        assert!(refused(|c| c.logit_softcap = Some(0.0)).contains("positive"));
        assert!(refused(|c| c.rotary_dim = Some(c.head_dim + 2)).contains("rotary_dim"));
        assert!(refused(|c| c.embedding_scale = Some(f32::NAN)).contains("embedding_scale"));
        assert!(refused(|c| c.layers_without_positions = vec![2]).contains("layers are 0..2"));
        assert!(
            refused(|c| (c.norm, c.norm_weights) = (Norm::Layer, false)).contains("need factors")
        );
        assert!(
            refused(|c| c.sliding_window = Some(SlidingWindow { window: 4, layers: vec![2] }))
                .contains("layers are 0..2")
        );
    }
}
