//! Shape of a language transformer of the Llama/Qwen3 family, by one dial or size by size.
//! Does not know `config.json` (see `hugging_face`) nor anything of training.

use serde::{Deserialize, Serialize};

use crate::{ModelError, RopeScaling};

/// Feed-forward part of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Mlp {
    /// down(silu(gate·x) ⊙ up·x) (arXiv 2002.05202 eq. 6): Llama, Qwen3.
    Swiglu {
        /// Features between the projections.
        intermediate: usize,
    },
    /// down(max(0, up·x)²) (arXiv 2109.08668 §4.2): nanochat. Hugging Face has no class for it.
    ReluSquared {
        /// Features between the projections.
        intermediate: usize,
    },
}

impl Mlp {
    /// Features between the projections.
    pub const fn intermediate(self) -> usize {
        match self {
            Mlp::Swiglu { intermediate } | Mlp::ReluSquared { intermediate } => intermediate,
        }
    }
}

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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LanguageConfig {
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
    /// Whether queries and keys are normalised per head before they are rotated.
    pub qk_norm: bool,
    /// Whether norms have a learned factor per feature.
    pub norm_weights: bool,
    /// Base of the rotary frequencies.
    pub rope_theta: f32,
    /// How these are stretched for contexts longer than those of pretraining.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rope_scaling: Option<RopeScaling>,
    /// Added to the mean square in every norm.
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
            vocab,
            hidden,
            layers: depth,
            heads: hidden / head_dim,
            kv_heads: hidden / head_dim,
            head_dim,
            mlp: Mlp::Swiglu { intermediate },
            qk_norm: true,
            norm_weights: true,
            rope_theta: 10_000.0,
            rope_scaling: None,
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
            ("layers", self.layers, 1 << 12),
            ("heads", self.heads, 1 << 12),
            ("kv_heads", self.kv_heads, 1 << 12),
            ("head_dim", self.head_dim, 1 << 12),
            ("mlp.intermediate", self.mlp.intermediate(), 1 << 22),
            ("max_time", self.max_time, i32::MAX as usize),
        ];
        for (field, value, limit) in sizes {
            check(field, value, (1..=limit).contains(&value), || format!("1 to {limit}"))?;
        }
        check("kv_heads", self.kv_heads, self.heads.is_multiple_of(self.kv_heads), || {
            format!("must divide heads, {}", self.heads)
        })?;
        check("head_dim", self.head_dim, self.head_dim.is_multiple_of(2), || {
            "rotary positions turn pairs of features, so it must be even".into()
        })?;
        check("rope_theta", self.rope_theta, self.rope_theta >= 1.0, || "at least 1".into())?;
        if let Some(scaling) = &self.rope_scaling {
            check("rope_scaling", format!("{scaling:?}"), scaling.is_valid(), || {
                "positive factors, the higher one above the lower, and a context".into()
            })?;
        }
        check("rms_eps", self.rms_eps, (0.0..1.0).contains(&self.rms_eps), || "in 0..1".into())?;
        if let Some(cap) = self.logit_softcap {
            check("logit_softcap", cap, cap > 0.0 && cap.is_finite(), || "positive".into())?;
        }
        if let Some(SlidingWindow { window, layers }) = &self.sliding_window {
            check("sliding_window.window", window, *window > 0, || "at least 1".into())?;
            let known = layers.iter().all(|&layer| layer < self.layers);
            check("sliding_window.layers", format!("{layers:?}"), known, || {
                format!("layers are 0..{}", self.layers)
            })?;
        }
        Ok(())
    }

    /// Window of a layer's attention, if it has one.
    pub fn window(&self, layer: usize) -> Option<usize> {
        let sliding = self.sliding_window.as_ref()?;
        sliding.layers.contains(&layer).then_some(sliding.window)
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
        assert!(
            refused(|c| c.sliding_window = Some(SlidingWindow { window: 4, layers: vec![2] }))
                .contains("layers are 0..2")
        );
    }
}
