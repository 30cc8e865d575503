//! The table `[model]` of a run file, and the model that it describes.

use serde::{Deserialize, Serialize};
use stoa_models::{LanguageConfig, Mlp, QkNorm, SlidingWindow};

use crate::TrainingError;
use crate::error::check;

/// Depth when none is given: the S workload of the benchmarks.
const DEFAULT_DEPTH: usize = 6;

/// A model: a depth, from which everything follows, and any size given by itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)] // The fields of `LanguageConfig`.
pub struct ModelFile {
    /// Number of blocks; width and the rest follow (`LanguageConfig::from_depth`).
    pub depth: Option<usize>,
    pub vocab: Option<usize>,
    pub hidden: Option<usize>,
    pub layers: Option<usize>,
    pub heads: Option<usize>,
    pub kv_heads: Option<usize>,
    pub head_dim: Option<usize>,
    pub mlp: Option<Mlp>,
    pub qk_norm: Option<QkNorm>,
    pub norm_weights: Option<bool>,
    pub rope_theta: Option<f32>,
    pub rms_eps: Option<f32>,
    pub tied_head: Option<bool>,
    pub logit_softcap: Option<f32>,
    pub sliding_window: Option<SlidingWindow>,
    pub max_time: Option<usize>,
}

impl ModelFile {
    /// The model for a tokenizer of `vocab_size` tokens.
    ///
    /// # Errors
    /// [`TrainingError::Setting`], [`TrainingError::Model`].
    pub fn resolve(&self, vocab_size: usize) -> Result<LanguageConfig, TrainingError> {
        let depth = self.depth.or(self.layers).unwrap_or(DEFAULT_DEPTH);
        // Refused here rather than overflowing in the arithmetic on it.
        check("model.depth", depth, (1..=4096).contains(&depth), "1 to 4096")?;
        let vocab = self.vocab.unwrap_or(vocab_size);
        check("model.vocab", vocab, vocab >= vocab_size, {
            format!("the tokenizer has {vocab_size} tokens, each needs a row")
        })?;
        let mut model = LanguageConfig::from_depth(depth, vocab);
        if let Some(hidden) = self.hidden {
            model.hidden = hidden;
            check("model.hidden", hidden, (1..=1 << 20).contains(&hidden), "1 to 1048576")?;
            model.mlp = Mlp::swiglu((8 * hidden).div_ceil(3).next_multiple_of(64));
            model.head_dim = self.head_dim.unwrap_or(model.head_dim);
            model.heads = self.heads.unwrap_or(hidden.div_ceil(model.head_dim.max(1)));
            model.kv_heads = model.heads;
        }
        model.layers = self.layers.unwrap_or(model.layers);
        model.heads = self.heads.unwrap_or(model.heads);
        model.kv_heads = self.kv_heads.or(self.heads).unwrap_or(model.kv_heads);
        model.head_dim = self.head_dim.unwrap_or(model.head_dim);
        model.mlp = self.mlp.unwrap_or(model.mlp);
        model.qk_norm = self.qk_norm.unwrap_or(model.qk_norm);
        model.norm_weights = self.norm_weights.unwrap_or(model.norm_weights);
        model.rope_theta = self.rope_theta.unwrap_or(model.rope_theta);
        model.rms_eps = self.rms_eps.unwrap_or(model.rms_eps);
        model.tied_head = self.tied_head.unwrap_or(model.tied_head);
        model.logit_softcap = self.logit_softcap;
        model.sliding_window = self.sliding_window.clone();
        model.max_time = self.max_time.unwrap_or(model.max_time);
        model.validate()?;
        Ok(model)
    }
}
