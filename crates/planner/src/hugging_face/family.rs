//! The table of families, `data/families.toml`: what the model types of config.json have in common and
//! where they differ, as data. Reads the table only; [`super::shape`] applies it.

use serde::Deserialize;
use std::collections::BTreeMap;

use crate::error::{PlanError, Result, nearest};

/// The data file, as text.
pub const FAMILY_DATA: &str = include_str!("../../data/families.toml");

/// What to do about a model that cannot be read.
const INSTEAD: &str = "give a size, as --model 7b, or the name of a published model";

/// A property that holds, does not, or hangs on a key.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Flag {
    /// Always.
    Fixed(bool),
    /// As a key says.
    Key {
        /// Key of config.json.
        key: String,
        /// Value where it is missing.
        otherwise: bool,
    },
}

impl Default for Flag {
    fn default() -> Self {
        Flag::Fixed(false)
    }
}

/// Kinds of norm by their parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Norm {
    /// A weight for each channel.
    #[default]
    Rms,
    /// A weight and a bias.
    Layer,
    /// A layer norm with weights alone.
    LayerWithoutBias,
    /// Without parameters.
    None,
}

impl Norm {
    /// Parameters of a norm of some width.
    pub(super) fn params(self, width: u128) -> u128 {
        match self {
            Norm::Rms | Norm::LayerWithoutBias => width,
            Norm::Layer => 2 * width,
            Norm::None => 0,
        }
    }
}

/// Norms of queries and keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum QueryKeyNorm {
    /// None.
    #[default]
    None,
    /// A weight for each channel of a head, shared by the heads.
    Head,
    /// The same with a bias.
    HeadWithBias,
    /// A weight for each channel of every head.
    Width,
}

/// A table of learned positions.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Positions {
    pub(super) keys: Vec<String>,
    pub(super) otherwise: usize,
    /// Rows beyond the number that the key gives.
    #[serde(default)]
    pub(super) more: usize,
}

/// Attention to the last keys alone.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Window {
    pub(super) keys: Vec<String>,
    pub(super) otherwise: Option<usize>,
    /// Whether it is on at all.
    #[serde(default = "on")]
    pub(super) on: Flag,
    /// Share of layers, where `layer_types` does not say.
    pub(super) share: Option<f64>,
    /// One layer in so many sees all, where nothing else says.
    pub(super) pattern: Option<usize>,
}

/// Experts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Moe {
    pub(super) count: Vec<String>,
    pub(super) per_token: Vec<String>,
    pub(super) per_token_default: Option<usize>,
    /// Width of an expert; that of a dense block where empty.
    #[serde(default)]
    pub(super) width: Vec<String>,
    /// Width of the expert that every token visits.
    #[serde(default)]
    pub(super) shared_width: Vec<String>,
    /// Or how many experts wide it is.
    #[serde(default)]
    pub(super) shared_count: Vec<String>,
    #[serde(default)]
    pub(super) shared_count_default: usize,
    /// Or that it is one expert wide.
    #[serde(default)]
    pub(super) shared_as_expert: bool,
    /// A gate before the shared expert.
    #[serde(default)]
    pub(super) shared_gate: bool,
    /// Router and experts have biases.
    #[serde(default)]
    pub(super) biased: bool,
    /// First layers without experts.
    #[serde(default)]
    pub(super) first_dense: Vec<String>,
    #[serde(default)]
    pub(super) first_dense_default: usize,
    /// `decoder_sparse_step` and `mlp_only_layers` say which layers have experts.
    #[serde(default)]
    pub(super) stepped: bool,
    /// `interleave_moe_layer_step` or `moe_layers` say so.
    #[serde(default)]
    pub(super) interleaved: bool,
    /// Width of the dense block of the other layers; that of every block where empty.
    #[serde(default)]
    pub(super) dense_width: Vec<String>,
}

/// A key that may have one value alone.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Only {
    pub(super) key: String,
    pub(super) is: serde_json::Value,
}

/// What no table of names can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Rule {
    /// Heads and norms of three generations hang together.
    Falcon,
}

/// Model types that are built alike. Names of keys are in order of preference.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Family {
    pub(super) types: Vec<String>,
    #[serde(default = "num_hidden_layers")]
    pub(super) layers: Vec<String>,
    #[serde(default = "hidden_size")]
    pub(super) hidden: Vec<String>,
    #[serde(default = "num_attention_heads")]
    pub(super) heads: Vec<String>,
    /// Heads where the key is missing, of classes whose published files leave it out.
    pub(super) heads_default: Option<usize>,
    #[serde(default = "num_key_value_heads")]
    pub(super) kv: Vec<String>,
    /// Heads of keys where the key is missing; as many as queries where this is.
    pub(super) kv_default: Option<usize>,
    /// One head of keys and values serves all queries.
    #[serde(default)]
    pub(super) single_kv: Flag,
    #[serde(default = "head_dim")]
    pub(super) head_dim: Vec<String>,
    /// Width of a head where the key is missing; hidden over heads where this is.
    pub(super) head_dim_default: Option<usize>,
    #[serde(default = "intermediate_size")]
    pub(super) ffn: Vec<String>,
    /// Width of a feed-forward block as a multiple of the hidden one, where no key gives it.
    pub(super) ffn_times_hidden: Option<usize>,
    /// Key of that multiple.
    pub(super) ffn_ratio: Option<String>,
    #[serde(default = "vocab_size")]
    pub(super) vocab: Vec<String>,
    /// The same of the vocabulary.
    pub(super) vocab_default: Option<usize>,
    /// Width of the embedding where it is another than the hidden one.
    #[serde(default)]
    pub(super) embed_width: Vec<String>,
    pub(super) positions: Option<Positions>,
    #[serde(default)]
    pub(super) norm: Norm,
    #[serde(default = "two")]
    pub(super) block_norms: u32,
    /// One norm a block instead.
    #[serde(default)]
    pub(super) one_norm: Flag,
    #[serde(default)]
    pub(super) embed_norm: bool,
    #[serde(default = "on")]
    pub(super) final_norm: Flag,
    #[serde(default)]
    pub(super) qk_norm: QueryKeyNorm,
    #[serde(default = "on")]
    pub(super) qk_norm_on: Flag,
    #[serde(default)]
    pub(super) parallel: Flag,
    #[serde(default = "yes")]
    pub(super) gated: bool,
    /// `tie_word_embeddings` where it is missing.
    #[serde(default)]
    pub(super) tied: bool,
    #[serde(default)]
    pub(super) qkv_bias: Flag,
    #[serde(default)]
    pub(super) out_bias: Flag,
    #[serde(default)]
    pub(super) ffn_bias: Flag,
    #[serde(default)]
    pub(super) head_bias: Flag,
    /// A learned score for each head that no key has.
    #[serde(default)]
    pub(super) sinks: bool,
    /// Low-rank queries, keys and values.
    #[serde(default)]
    pub(super) latent: bool,
    pub(super) window: Option<Window>,
    pub(super) moe: Option<Moe>,
    /// Blocks trained with the model that its class does not build.
    #[serde(default)]
    pub(super) extra_layers: Vec<String>,
    /// The paper does not count the embedding as active.
    #[serde(default)]
    pub(super) active_without_embedding: bool,
    #[serde(default)]
    pub(super) only: Vec<Only>,
    pub(super) rule: Option<Rule>,
}

fn names(name: &str) -> Vec<String> {
    vec![name.to_owned()]
}

fn num_hidden_layers() -> Vec<String> {
    names("num_hidden_layers")
}

fn hidden_size() -> Vec<String> {
    names("hidden_size")
}

fn num_attention_heads() -> Vec<String> {
    names("num_attention_heads")
}

fn num_key_value_heads() -> Vec<String> {
    names("num_key_value_heads")
}

fn head_dim() -> Vec<String> {
    names("head_dim")
}

fn intermediate_size() -> Vec<String> {
    names("intermediate_size")
}

fn vocab_size() -> Vec<String> {
    names("vocab_size")
}

fn two() -> u32 {
    2
}

fn yes() -> bool {
    true
}

fn on() -> Flag {
    Flag::Fixed(true)
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Refusal {
    types: Vec<String>,
    why: String,
}

/// The table of families.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Families {
    family: Vec<Family>,
    inner: BTreeMap<String, String>,
    refused: Vec<Refusal>,
}

impl Families {
    /// The table shipped with this crate.
    pub fn published() -> Self {
        toml::from_str(FAMILY_DATA).expect("the shipped table is tested")
    }

    /// The type of the language model inside another.
    pub(super) fn inner(&self, kind: &str) -> Option<&str> {
        self.inner.get(kind).map(String::as_str)
    }

    /// Refuses a type that is known not to be planned, whatever it holds.
    ///
    /// # Errors
    /// Why it is not.
    pub(super) fn plannable(&self, kind: &str, place: &str) -> Result<()> {
        let of = |refusal: &&Refusal| refusal.types.iter().any(|known| known == kind);
        let Some(refusal) = self.refused.iter().find(of) else { return Ok(()) };
        let reason = format!("model_type `{kind}` is not understood: {}; {INSTEAD}", refusal.why);
        Err(PlanError::Malformed { place: place.to_owned(), reason })
    }

    /// The family of a model type.
    ///
    /// # Errors
    /// When it is known not to be understood, or not known: with what is nearest.
    pub(super) fn find(&self, kind: &str, place: &str) -> Result<&Family> {
        self.plannable(kind, place)?;
        let of = |family: &&Family| family.types.iter().any(|known| known == kind);
        self.family.iter().find(of).ok_or_else(|| {
            let known: Vec<&str> =
                self.family.iter().flat_map(|f| &f.types).map(String::as_str).collect();
            let reason = format!(
                "model_type `{kind}` is not understood; nearest: {}. Known: {}; or {INSTEAD}",
                nearest(kind, known.iter().map(|name| [*name])),
                known.join(", ")
            );
            PlanError::Malformed { place: place.to_owned(), reason }
        })
    }

    /// The model type that an architecture belongs to, such as `LlamaForCausalLM`.
    pub(super) fn of_architecture(&self, architecture: &str) -> Option<&str> {
        let plain = |name: &str| name.to_lowercase().replace(['_', '-'], "");
        let stem = ["ForCausalLM", "LMHeadModel", "ForConditionalGeneration"]
            .iter()
            .find_map(|end| architecture.strip_suffix(end))?;
        let mut types = self.family.iter().flat_map(|f| &f.types).map(String::as_str);
        types.find(|kind| plain(kind) == plain(stem))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_table_is_read_and_names_each_type_once() {
        let table = Families::published();
        let mut seen = BTreeSet::new();
        let refused = table.refused.iter().flat_map(|r| &r.types);
        for kind in table.family.iter().flat_map(|f| &f.types).chain(refused) {
            assert!(seen.insert(kind.clone()), "{kind} stands twice");
        }
        for inner in table.inner.values() {
            assert!(table.find(inner, "x").is_ok(), "{inner}");
        }
        assert_eq!(table.of_architecture("MixtralForCausalLM"), Some("mixtral"));
        assert_eq!(table.of_architecture("GPT2LMHeadModel"), Some("gpt2"));
        assert_eq!(table.of_architecture("Something"), None);
    }
}
