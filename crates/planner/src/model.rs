//! The shape of a transformer: what the cost of a run depends on, and no more. Presets come from
//! the dated data file `data/models.toml`; [`crate::hugging_face`] reads `config.json` and counts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{PlanError, Result, nearest};
use crate::hugging_face::{self, Families};
use crate::units::Flops;

/// The data file, as text.
pub const MODEL_DATA: &str = include_str!("../data/models.toml");

/// Experts of a sparse model.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Experts {
    /// Routed experts of a layer.
    pub count: usize,
    /// Routed experts a token visits.
    pub per_token: usize,
    /// Width of an expert.
    pub ffn: usize,
    /// Width of the expert every token visits; 0 without.
    pub shared_ffn: usize,
    /// Layers that have one dense feed-forward block instead.
    pub dense_layers: usize,
}

/// Parameters to the last one, as the class of a model builds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All.
    pub total: u64,
    /// Those a token passes through, by the definition of the model's paper.
    pub active: u64,
}

/// Low-rank queries, keys and values (DeepSeek-V2, arXiv:2405.04434 section 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LatentAttention {
    /// Rank of the queries; 0 where they have one matrix.
    pub query_rank: usize,
    /// Width of the shared latent of keys and values, positional part included.
    pub kv_rank: usize,
    /// Width of a head's values.
    pub value_dim: usize,
}

/// Shape of a decoder-only transformer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelShape {
    /// Name, for people.
    pub name: String,
    /// Blocks.
    pub layers: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width of a dense feed-forward block.
    pub ffn: usize,
    /// Query heads.
    pub heads: usize,
    /// Key-value heads.
    pub kv_heads: usize,
    /// Width of a head's queries and keys.
    pub head_dim: usize,
    /// Tokens of the vocabulary.
    pub vocab: usize,
    /// Feed-forward blocks have a gate (three matrices instead of two).
    pub gated: bool,
    /// One matrix serves as embedding and head.
    pub tied: bool,
    /// Feed-forward and attention read the same norm, so their exchanges merge.
    pub parallel_block: bool,
    /// Experts, in a sparse model.
    pub experts: Option<Experts>,
    /// Latent attention.
    pub latent: Option<LatentAttention>,
    /// Keys a query sees at most, and the share of layers so limited.
    pub window: Option<(usize, f64)>,
    /// Blocks outside the decoder that are trained with it (multi-token prediction).
    pub extra_layers: usize,
    /// The exact count, where a config.json gave it: norms, biases and tables of positions included,
    /// blocks outside the decoder not.
    pub counted: Option<Counts>,
}

impl ModelShape {
    /// A dense model with defaults of the Llama family.
    pub fn dense(
        name: &str,
        layers: usize,
        hidden: usize,
        ffn: usize,
        heads: usize,
        kv_heads: usize,
        vocab: usize,
    ) -> Self {
        ModelShape {
            name: name.to_owned(),
            layers,
            hidden,
            ffn,
            heads,
            kv_heads,
            head_dim: hidden / heads.max(1),
            vocab,
            gated: true,
            tied: false,
            parallel_block: false,
            experts: None,
            latent: None,
            window: None,
            extra_layers: 0,
            counted: None,
        }
    }

    /// Checks that every size is there and divides where it must.
    ///
    /// # Errors
    /// Naming the field and a value that would do.
    pub fn check(&self) -> Result<()> {
        let sizes = [
            ("layers", self.layers),
            ("hidden", self.hidden),
            ("ffn", self.ffn),
            ("heads", self.heads),
            ("kv_heads", self.kv_heads),
            ("head_dim", self.head_dim),
            ("vocab", self.vocab),
        ];
        for (what, value) in sizes {
            if value == 0 || value > 1 << 24 {
                return Err(PlanError::Quantity {
                    what: format!("{what} of {}", self.name),
                    value: value.to_string(),
                    remedy: "give a size between 1 and 16777216".to_owned(),
                });
            }
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            return Err(PlanError::Quantity {
                what: format!("kv_heads of {}", self.name),
                value: self.kv_heads.to_string(),
                remedy: format!("it must divide the {} heads", self.heads),
            });
        }
        match self.experts {
            Some(e) if [e.count, e.ffn, e.shared_ffn].iter().any(|size| *size > 1 << 24) => {
                Err(PlanError::Quantity {
                    what: format!("experts of {}", self.name),
                    value: format!("{} of {} and {}", e.count, e.ffn, e.shared_ffn),
                    remedy: "give sizes up to 16777216".to_owned(),
                })
            }
            Some(e) if e.per_token == 0 || e.per_token > e.count || e.ffn == 0 => {
                Err(PlanError::Quantity {
                    what: format!("experts_per_token of {}", self.name),
                    value: e.per_token.to_string(),
                    remedy: format!("give 1 to {} experts of a width above 0", e.count),
                })
            }
            _ => Ok(()),
        }
    }

    /// Matrices of a feed-forward block.
    pub fn ffn_matrices(&self) -> usize {
        if self.gated { 3 } else { 2 }
    }

    /// Width of values over all heads: input of the output projection.
    pub fn value_width(&self) -> usize {
        self.heads * self.latent.map_or(self.head_dim, |l| l.value_dim)
    }

    /// Parameters of the attention of a layer.
    pub fn attention_params(&self) -> f64 {
        let h = self.hidden as f64;
        let queries = (self.heads * self.head_dim) as f64;
        let out = self.value_width() as f64 * h;
        match self.latent {
            Some(l) => {
                let (q, kv) = (l.query_rank as f64, l.kv_rank as f64);
                // Keys have a positional part of half the value width that is shared by the heads.
                let positional = self.head_dim.saturating_sub(l.value_dim) as f64;
                let up =
                    self.heads as f64 * (self.head_dim as f64 - positional + l.value_dim as f64);
                let query = if l.query_rank == 0 { h * queries } else { h * q + q * queries };
                query + h * kv + (kv - positional) * up + out
            }
            None => h * (queries + 2.0 * (self.kv_heads * self.head_dim) as f64) + out,
        }
    }

    /// Parameters of the dense feed-forward block of a layer.
    pub fn dense_ffn_params(&self) -> f64 {
        (self.ffn_matrices() * self.hidden * self.ffn) as f64
    }

    /// Layers with experts and without.
    pub fn sparse_and_dense_layers(&self) -> (usize, usize) {
        let dense = self.experts.map_or(self.layers, |e| e.dense_layers.min(self.layers));
        (self.layers - dense + self.extra_layers, dense)
    }

    /// Parameters of all routed experts of a sparse layer.
    pub fn routed_params(&self) -> f64 {
        let block = (self.ffn_matrices() * self.hidden) as f64;
        self.experts.map_or(0.0, |e| e.count as f64 * block * e.ffn as f64)
    }

    /// Parameters of the shared expert and router of a sparse layer.
    pub fn shared_params(&self) -> f64 {
        self.experts.map_or(0.0, |e| {
            (self.ffn_matrices() * self.hidden * e.shared_ffn + self.hidden * e.count) as f64
        })
    }

    /// Parameters of embedding and head together.
    pub fn embedding_params(&self) -> f64 {
        (self.vocab * self.hidden) as f64 * if self.tied { 1.0 } else { 2.0 }
    }

    /// Parameters of matrices, blocks outside the decoder included: what memory holds and products
    /// multiply by.
    pub fn matrix_params(&self) -> f64 {
        let (sparse, dense) = self.sparse_and_dense_layers();
        (sparse + dense) as f64 * self.attention_params()
            + dense as f64 * self.dense_ffn_params()
            + sparse as f64 * (self.routed_params() + self.shared_params())
            + self.embedding_params()
    }

    /// Those of them that a token passes through.
    pub fn active_matrix_params(&self) -> f64 {
        let idle = self.experts.map_or(0.0, |e| {
            let (sparse, _) = self.sparse_and_dense_layers();
            sparse as f64 * self.routed_params() * (1.0 - e.per_token as f64 / e.count as f64)
        });
        self.matrix_params() - idle
    }

    /// Parameters of the blocks outside the decoder.
    pub fn extra_params(&self) -> f64 {
        let block = if self.experts.is_some() {
            self.routed_params() + self.shared_params()
        } else {
            self.dense_ffn_params()
        };
        self.extra_layers as f64 * (self.attention_params() + block)
    }

    /// Parameters as people count them: exact where a config.json gave them, else those of matrices.
    pub fn params(&self) -> f64 {
        self.counted.map_or_else(|| self.matrix_params(), |counts| counts.total as f64)
    }

    /// Parameters a token passes through, likewise.
    pub fn active_params(&self) -> f64 {
        self.counted.map_or_else(|| self.active_matrix_params(), |counts| counts.active as f64)
    }

    /// Keys a query meets, averaged over layers, when the mask is counted in full.
    pub fn mean_keys(&self, seq: usize) -> f64 {
        match self.window {
            Some((window, share)) => share * window.min(seq) as f64 + (1.0 - share) * seq as f64,
            None => seq as f64,
        }
    }

    /// Model FLOPs of a training step on one token: 6 for each weight of a product, and the two
    /// products of attention three times (forward once, backward twice). `causal` counts only the
    /// half of the mask that is used. Recompute is never counted. (PaLM, arXiv:2204.02311 app. B;
    /// Megatron, arXiv:2104.04473 appendix.)
    pub fn train_flops_per_token(&self, seq: usize, causal: bool) -> Flops {
        let embedding = (self.vocab * self.hidden) as f64;
        let products = self.active_matrix_params() - if self.tied { 0.0 } else { embedding };
        let keys = self.mean_keys(seq) * if causal { 0.5 } else { 1.0 };
        let widths = (self.heads * self.head_dim + self.value_width()) as f64;
        let attention = (self.layers + self.extra_layers) as f64 * 2.0 * widths * keys;
        Flops(6.0 * products + 3.0 * attention)
    }

    /// FLOPs of the forward pass of the blocks alone on one token, attention in full: what full
    /// recompute repeats.
    pub fn block_forward_flops_per_token(&self, seq: usize) -> Flops {
        let head = (self.vocab * self.hidden) as f64;
        Flops((self.train_flops_per_token(seq, false).0 - 6.0 * head) / 3.0)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(default)]
    aliases: Vec<String>,
    source: String,
    date: String,
    /// Fields of its config.json.
    config: Option<String>,
    /// Or sizes, of a model known by its paper alone.
    layers: Option<usize>,
    hidden: Option<usize>,
    ffn: Option<usize>,
    heads: Option<usize>,
    kv_heads: Option<usize>,
    head_dim: Option<usize>,
    vocab: Option<usize>,
    gated: Option<bool>,
}

impl Entry {
    fn to_shape(&self, name: &str, families: &Families) -> Result<ModelShape> {
        if let Some(config) = &self.config {
            let read = hugging_face::read_as(families, config, name)?;
            return Ok(ModelShape { name: name.to_owned(), ..read.shape });
        }
        let size = |what: &str, value: Option<usize>| {
            value.ok_or_else(|| PlanError::Malformed {
                place: name.to_owned(),
                reason: format!("neither `config` nor `{what}`"),
            })
        };
        let heads = size("heads", self.heads)?;
        let base = ModelShape::dense(
            name,
            size("layers", self.layers)?,
            size("hidden", self.hidden)?,
            size("ffn", self.ffn)?,
            heads,
            self.kv_heads.unwrap_or(heads),
            size("vocab", self.vocab)?,
        );
        Ok(ModelShape {
            head_dim: self.head_dim.unwrap_or(base.head_dim),
            gated: self.gated.unwrap_or(true),
            ..base
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    model: BTreeMap<String, Entry>,
}

/// The published shapes this crate knows.
#[derive(Clone, Debug)]
pub struct Models {
    shapes: Vec<(Vec<String>, ModelShape)>,
}

impl Models {
    /// The shapes of the data file shipped with this crate.
    pub fn published() -> Self {
        Self::read(MODEL_DATA, "data/models.toml").expect("the shipped data file is tested")
    }

    /// Reads a data file of this format.
    ///
    /// # Errors
    /// When the text is not such a file, lacks a source or holds an impossible shape.
    pub fn read(text: &str, place: &str) -> Result<Self> {
        let malformed = |reason: String| PlanError::Malformed { place: place.to_owned(), reason };
        let file: File = toml::from_str(text).map_err(|error| malformed(error.to_string()))?;
        let families = Families::published();
        let mut shapes = Vec::new();
        for (name, entry) in &file.model {
            if entry.source.is_empty() || entry.date.len() != 7 {
                return Err(malformed(format!("{name} needs a source and a date like 2024-07")));
            }
            let shape = entry.to_shape(name, &families)?;
            shape.check()?;
            let names = std::iter::once(name).chain(&entry.aliases).cloned().collect();
            shapes.push((names, shape));
        }
        Ok(Models { shapes })
    }

    /// Finds one by name or alias, as people write it: case, the owner before a slash and words that
    /// change no size are ignored.
    ///
    /// # Errors
    /// With the nearest known names.
    pub fn find(&self, name: &str) -> Result<&ModelShape> {
        let asked = name.trim().to_lowercase();
        let words = distinguishing(&asked);
        let by_words = |known: &String| distinguishing(known) == words;
        let found = self
            .shapes
            .iter()
            .find(|(names, _)| names.contains(&asked))
            .or_else(|| self.shapes.iter().find(|(names, _)| names.iter().any(by_words)));
        found.map(|(_, shape)| shape).ok_or_else(|| {
            let names = self.shapes.iter().map(|(names, _)| names.iter().map(String::as_str));
            let asked = asked.rsplit('/').next().unwrap_or(&asked);
            let known: Vec<&str> = self.shapes.iter().map(|(_, s)| s.name.as_str()).collect();
            PlanError::UnknownModel {
                name: name.to_owned(),
                nearest: nearest(asked, names),
                known: known.join(", "),
            }
        })
    }
}

/// A name without the owner before a slash, the words that change no size and the marks between words.
fn distinguishing(name: &str) -> String {
    const IDLE: &[&str] =
        &["instruct", "it", "pt", "base", "chat", "hf", "sft", "dpo", "preview", "meta", "gguf"];
    let name = name.rsplit('/').next().unwrap_or(name);
    let words = name.split(['-', '_', ' ']).filter(|word| !word.is_empty());
    words.filter(|word| !IDLE.contains(word)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_found_by_the_names_people_type() {
        let models = Models::published();
        for (written, meant) in [
            ("mistral-7b", "mistral-7b"),
            ("mistralai/Mistral-7B-v0.1", "mistral-7b"),
            ("meta-llama/Llama-3.1-8B-Instruct", "llama-8b"),
            ("Llama-3.3-70B-Instruct", "llama-70b"),
            ("Qwen/Qwen2.5-7B", "qwen2.5-7b"),
            ("google/gemma-2-9b-it", "gemma-2-9b"),
            ("gemma3-27b", "gemma-3-27b"),
            ("microsoft/phi_4", "phi-4"),
            ("GPT2", "gpt2"),
            ("deepseek-ai/DeepSeek-R1", "deepseek-v3"),
            ("smollm2 135m", "smollm2-135m"),
            ("OLMo2-13B", "olmo-2-13b"),
            ("phi3-mini", "phi-3-mini"),
            ("llama2 7b chat", "llama-2-7b"),
        ] {
            assert_eq!(models.find(written).map(|m| m.name.as_str()), Ok(meant), "{written}");
        }
        for (written, offered) in [
            ("mistral-8b", "mistral-7b, mixtral-8x7b, mistral-nemo, mixtral-8x22b, mistral-large"),
            ("qwn3-8b", "qwen3-8b, qwen3-4b, qwen2-7b, qwen3-14b, qwen3-30b"),
            ("google/gema-2-9b", "gemma-2-9b, gemma-2-2b, gemma-2-27b, gemma-2b, gemma-3-1b"),
        ] {
            let error = models.find(written).unwrap_err();
            let PlanError::UnknownModel { nearest, .. } = &error else { panic!("{error}") };
            assert_eq!(nearest, offered, "{written}");
        }
        let mut seen = BTreeMap::new();
        for (names, shape) in &models.shapes {
            for name in names {
                let other = seen.insert(distinguishing(name), &shape.name);
                assert!(other.is_none_or(|other| *other == shape.name), "{name} means two models");
            }
        }
    }

    #[test]
    fn flops_follow_the_megatron_formula() {
        // arXiv:2104.04473: 72·l·h²·(1 + s/6h + V/12lh) a token without recompute.
        let gpt = Models::published().find("gpt3-175b").unwrap().clone();
        let (l, h, s, v) = (96.0, 12288.0, 2048.0, 51200.0);
        let formula = 72.0 * l * h * h * (1.0 + s / (6.0 * h) + v / (12.0 * l * h));
        let ours = gpt.train_flops_per_token(2048, false).0;
        assert!((ours / formula - 1.0).abs() < 1e-9, "{ours} {formula}");
    }
}
