//! The keys of an architecture as a configuration.

use std::cell::RefCell;
use std::collections::BTreeSet;

use stoa_gguf::{Array, GgufFile, Metadata, Value};

use super::architecture::{self, Architecture, Windows};
use super::tensors::part_name;
use crate::config::check_layers;
use crate::parameters::{Module, Place};
use crate::{Biases, Block, LanguageConfig, Mlp, ModelError, QkNorm, RopeScaling, SlidingWindow};

type Result<T> = std::result::Result<T, ModelError>;

/// The keys of a file that begin with the name of its architecture.
pub(super) struct Keys<'a> {
    file: &'a GgufFile,
    metadata: &'a Metadata,
    pub architecture: &'static Architecture,
    /// Keys that were asked for.
    asked: RefCell<BTreeSet<String>>,
}

/// Keys that say nothing of what is computed.
const IDLE: [&str; 2] = ["vocab_size", "attention.layer_indices"];

/// Divisors of the frequencies, by pair.
pub(super) const ROPE_FREQS: &str = "rope_freqs.weight";
/// The same for long sequences and for short ones.
pub(super) const ROPE_LONG: &str = "rope_factors_long.weight";
/// The list for short sequences.
pub(super) const ROPE_SHORT: &str = "rope_factors_short.weight";

/// Whether two configurations turn pairs alike, to the f32 of files.
pub(super) fn same_positions(a: &LanguageConfig, b: &LanguageConfig) -> bool {
    let [a, b] = [a, b].map(crate::rope::divisors);
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-6 * a)
}

impl<'a> Keys<'a> {
    pub fn new(file: &'a GgufFile) -> Result<Self> {
        let metadata = file.metadata();
        let name = metadata.text("general.architecture")?;
        let name = metadata.required("general.architecture", name)?;
        let architecture = architecture::find(file.path(), name)?;
        Ok(Keys { file, metadata, architecture, asked: RefCell::default() })
    }

    /// The configuration, and what was decided or left unread.
    pub fn config(&self) -> Result<(LanguageConfig, Vec<String>)> {
        let mut notes = Vec::new();
        let architecture = self.architecture;
        let hidden = self.needed("embedding_length")?;
        let layers = self.needed("block_count")?;
        check_layers(layers).map_err(|error| error.at(self.file.path()))?;
        let heads = self.same_in_all_layers("attention.head_count", layers)?;
        let heads = self.required("attention.head_count", heads)?;
        let kv_heads = self.same_in_all_layers("attention.head_count_kv", layers)?.unwrap_or(heads);
        let head_dim = match self.size("attention.key_length")? {
            Some(size) => size,
            None => hidden / heads.max(1),
        };
        self.only("attention.value_length", &head_dim.to_string(), |v| v.size() == Some(head_dim))?;
        self.only("attention.causal", "true", |v| *v == Value::Bool(true))?;
        self.only("expert_count", "0: mixtures of experts are not computed", |v| {
            v.size() == Some(0)
        })?;
        let intermediate = self
            .same_in_all_layers("feed_forward_length", layers)?
            .map(Ok)
            .unwrap_or_else(|| {
                // Files of GPT-2 of old converters leave it out.
                self.rows_of(Place::in_layer(0, Module::Up))
            })?;
        let eps = architecture.eps_key();
        let max_time = self.needed("context_length")?;
        let rotated = self.size("rope.dimension_count")?.filter(|&size| size != head_dim);
        let sliding_window = self.sliding_window(layers)?;
        let local = self.number("rope.freq_base_swa")?.map(|theta| theta as f32);
        let softcap = |key: &str, default: usize| {
            let default = architecture.softcaps.map(|caps| caps[default]);
            let found = self.number(key)?.map(|cap| cap as f32).or(default);
            Ok::<_, ModelError>(found.filter(|&cap| cap != 0.0))
        };
        let tied_head = self.file.tensor_type("output.weight").is_none();
        if tied_head {
            notes.push("there is no output.weight: the embedding is the head".to_owned());
        }
        let config = LanguageConfig {
            family: architecture.family,
            vocab: self.rows_of(Place::outside(Module::Embedding))?,
            hidden,
            layers,
            heads,
            kv_heads,
            head_dim,
            mlp: Mlp { kind: architecture.mlp, intermediate },
            block: self.block()?,
            biases: self.biases(),
            norm: architecture.norm,
            qk_norm: self.qk_norm(),
            norm_offset: architecture.norm_offset,
            learned_positions: architecture.learned_positions,
            rope_theta: self.number("rope.freq_base")?.map_or(10_000.0, |theta| theta as f32),
            rope_scaling: self.rope_scaling(max_time, &mut notes)?,
            rotary_dim: rotated.filter(|_| !architecture.learned_positions),
            local_rope_theta: local.or(architecture.local_rope_theta),
            layers_without_positions: match architecture.unrotated_every {
                Some(n) => (0..layers).filter(|layer| (layer + 1).is_multiple_of(n)).collect(),
                None => Vec::new(),
            },
            embedding_scale: match self.factor("embedding_scale")? {
                None if architecture.embedding_root => Some((hidden as f32).sqrt()),
                scale => scale,
            },
            residual_scale: self.factor("residual_scale")?,
            attention_scale: match self.factor("attention.scale")? {
                None if architecture.scaled_by_width == Some(layers) => {
                    Some((hidden as f32 / heads as f32).powf(-0.5))
                }
                scale => scale,
            },
            score_softcap: softcap("attn_logit_softcapping", 0)?,
            logit_scale: match self.factor("logit_scale")? {
                Some(scale) if architecture.logit_divisor => Some(1.0 / scale),
                scale => scale,
            },
            rms_eps: self.required(eps, self.number(eps)?)? as f32,
            tied_head,
            logit_softcap: softcap("final_logit_softcapping", 1)?,
            sliding_window,
            max_time,
            ..LanguageConfig::from_depth(1, 1)
        };
        self.name_unread(&mut notes);
        Ok((config, notes))
    }

    fn block(&self) -> Result<Block> {
        let parallel = self.metadata.flag(&self.key("use_parallel_residual"))?;
        let Architecture { block, other_block, .. } = *self.architecture;
        let other = parallel.is_some_and(|parallel| parallel != block.is_parallel());
        Ok(if other { other_block.unwrap_or(block) } else { block })
    }

    /// By the tensors that are there.
    fn biases(&self) -> Biases {
        let biased = |modules: &[Module]| {
            let name = |module| part_name(Place::in_layer(0, module).bias());
            modules.iter().any(|&module| self.file.tensor_type(&name(module)).is_some())
        };
        let fused = self.file.tensor_type("blk.0.attn_qkv.bias").is_some();
        Biases {
            qkv: fused || biased(&[Module::Query]),
            output: biased(&[Module::Output]),
            mlp: biased(&[Module::Up]),
        }
    }

    /// By the tensors that are there, where the architecture leaves it open.
    fn qk_norm(&self) -> QkNorm {
        let factors = part_name(Place::in_layer(0, Module::QueryNorm));
        let Architecture { qk_norm, optional_qk_norm, .. } = *self.architecture;
        let there = self.file.tensor_type(&factors).is_some();
        if there && optional_qk_norm != QkNorm::None { optional_qk_norm } else { qk_norm }
    }

    fn sliding_window(&self, layers: usize) -> Result<Option<SlidingWindow>> {
        let window = self.size("attention.sliding_window")?.filter(|&window| window > 0);
        let every =
            |n: usize| (0..layers).filter(|layer| !(layer + 1).is_multiple_of(n.max(1))).collect();
        let key = self.key("attention.sliding_window_pattern");
        let layers = match self.metadata.get(&key) {
            None => match self.architecture.windows {
                Windows::All => (0..layers).collect(),
                Windows::AllButEvery(n) => every(n),
            },
            Some(Value::Array(Array::Bool(windowed))) if windowed.len() == layers => {
                (0..layers).filter(|&layer| windowed[layer]).collect()
            }
            Some(value) => match value.size() {
                Some(n) => every(n),
                None => return Err(self.unsupported(&key, value, "a number or a flag a layer")),
            },
        };
        Ok(window.map(|window| SlidingWindow { window, layers }).filter(|w| !w.layers.is_empty()))
    }

    fn rope_scaling(
        &self,
        max_time: usize,
        notes: &mut Vec<String>,
    ) -> Result<Option<RopeScaling>> {
        let kind_key = self.key("rope.scaling.type");
        let kind = self.metadata.text(&kind_key)?.unwrap_or("none");
        let factor = match self.number("rope.scaling.factor")? {
            Some(factor) => Some(factor),
            None => self.number("rope.scale_linear")?,
        };
        let original = self.size("rope.scaling.original_context_length")?;
        let attention = self.number("rope.scaling.attn_factor")?.unwrap_or(1.0);
        if let Some((short_factor, long_factor)) = self.listed_factors()? {
            notes.push(format!("{} factors of positions come from tensors", short_factor.len()));
            return Ok(Some(RopeScaling::LongRope {
                short_factor,
                long_factor,
                original_max_position_embeddings: original.unwrap_or(max_time),
                attention_factor: attention,
            }));
        }
        let factor = factor.filter(|&factor| factor != 0.0);
        match (kind, factor) {
            (_, Some(factor)) if kind == "linear" || kind == "none" && factor != 1.0 => {
                Ok(Some(RopeScaling::Linear { factor }))
            }
            ("none" | "linear", _) => Ok(None),
            ("yarn", Some(factor)) => Ok(Some(RopeScaling::Yarn {
                factor,
                beta_fast: self.number("rope.scaling.yarn_beta_fast")?.unwrap_or(32.0),
                beta_slow: self.number("rope.scaling.yarn_beta_slow")?.unwrap_or(1.0),
                original_max_position_embeddings: original.unwrap_or(max_time),
                attention_factor: (attention != 1.0).then(|| attention * (0.1 * factor.ln() + 1.0)),
            })),
            _ => {
                let value = Value::from(kind);
                Err(self.unsupported(&kind_key, &value, "none, linear or yarn with a factor"))
            }
        }
    }

    /// Divisors of frequencies for short and for long sequences.
    fn listed_factors(&self) -> Result<Option<(Vec<f64>, Vec<f64>)>> {
        let list = |name: &str| -> Result<Option<Vec<f64>>> {
            let there = self.file.tensor_type(name).is_some();
            Ok(if there { Some(self.file.tensor(name)?.to_f64()) } else { None })
        };
        if let Some(factors) = list(ROPE_FREQS)? {
            return Ok(Some((factors.clone(), factors)));
        }
        Ok(list(ROPE_SHORT)?.zip(list(ROPE_LONG)?))
    }

    fn key(&self, key: &str) -> String {
        let key = format!("{}.{key}", self.architecture.name);
        self.asked.borrow_mut().insert(key.clone());
        key
    }

    fn size(&self, key: &str) -> Result<Option<usize>> {
        Ok(self.metadata.size(&self.key(key))?)
    }

    fn number(&self, key: &str) -> Result<Option<f64>> {
        Ok(self.metadata.number(&self.key(key))?)
    }

    /// A factor, where it changes anything.
    fn factor(&self, key: &str) -> Result<Option<f32>> {
        let factor = self.number(key)?.map(|factor| factor as f32);
        Ok(factor.filter(|&factor| factor != 1.0 && factor != 0.0))
    }

    fn needed(&self, key: &str) -> Result<usize> {
        let found = self.size(key)?;
        self.required(key, found)
    }

    fn required<T>(&self, key: &str, found: Option<T>) -> Result<T> {
        Ok(self.metadata.required(&self.key(key), found)?)
    }

    /// A number that files may give by layer.
    fn same_in_all_layers(&self, key: &str, layers: usize) -> Result<Option<usize>> {
        let key = self.key(key);
        let Some(value @ Value::Array(_)) = self.metadata.get(&key) else {
            return Ok(self.metadata.size(&key)?);
        };
        let sizes = self.metadata.sizes(&key)?.unwrap_or_default();
        match sizes.split_first() {
            Some((first, rest)) if sizes.len() == layers && rest.iter().all(|x| x == first) => {
                Ok(Some(*first))
            }
            _ => Err(self.unsupported(&key, value, "one number for all layers")),
        }
    }

    fn only(&self, key: &str, expected: &str, holds: impl Fn(&Value) -> bool) -> Result<()> {
        let key = self.key(key);
        match self.metadata.get(&key) {
            Some(value) if !holds(value) => Err(self.unsupported(&key, value, expected)),
            _ => Ok(()),
        }
    }

    fn rows_of(&self, place: Place) -> Result<usize> {
        let name = part_name(place);
        let ty = self.file.tensor_type(&name).and_then(|ty| ty.shape.first().copied());
        let (path, tensor) = (self.file.path().to_owned(), name);
        Ok(ty.ok_or(stoa_gguf::GgufError::MissingTensor { path, tensor })?)
    }

    fn unsupported(&self, key: &str, value: &Value, expected: &str) -> ModelError {
        ModelError::GgufKey {
            path: self.file.path().to_owned(),
            key: key.to_owned(),
            value: value.to_string(),
            expected: expected.to_owned(),
        }
    }

    /// Notes the keys of the architecture that nothing asked for.
    fn name_unread(&self, notes: &mut Vec<String>) {
        let asked = self.asked.borrow();
        let prefix = format!("{}.", self.architecture.name);
        for (key, value) in self.metadata.entries() {
            let Some(rest) = key.strip_prefix(&prefix) else { continue };
            if !asked.contains(key) && !IDLE.contains(&rest) {
                notes.push(format!("{key} = {value} is not used"));
            }
        }
    }
}
