//! The fields of a config.json while they are read: what was asked for, what had to be assumed, what was
//! never looked at. Knows no family.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::family::Flag;
use crate::error::{PlanError, Result};
use crate::plan::Assumption;

/// Keys that decide no size and no work of training: they may stand unread.
const IDLE: &[&str] = &[
    "model_type",
    "architectures",
    "_name_or_path",
    "transformers_version",
    "torch_dtype",
    "dtype",
    "auto_map",
    "use_cache",
    "initializer_range",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "unk_token_id",
    "sep_token_id",
    "decoder_start_token_id",
    "hidden_act",
    "hidden_activation",
    "activation_function",
    "rms_norm_eps",
    "layer_norm_eps",
    "layer_norm_epsilon",
    "norm_eps",
    "layernorm_epsilon",
    "rope_theta",
    "rope_scaling",
    "rope_parameters",
    "rope_local_base_freq",
    "rope_pct",
    "rotary_pct",
    "rotary_emb_base",
    "rotary_dim",
    "rotary",
    "rope_interleave",
    "partial_rotary_factor",
    "attention_dropout",
    "hidden_dropout",
    "hidden_dropout_prob",
    "dropout",
    "attn_pdrop",
    "embd_pdrop",
    "resid_pdrop",
    "summary_type",
    "summary_use_proj",
    "layerdrop",
    "summary_activation",
    "summary_proj_to_labels",
    "summary_first_dropout",
    "task_specific_params",
    "max_position_embeddings",
    "max_seq_len",
    "seq_length",
    "n_ctx",
    "n_positions",
    "alibi",
    "slow_but_exact",
    "pretraining_tp",
    "unk_index",
    "max_window_layers",
    "layer_types",
    "attention_softmax_in_fp32",
    "scale_attention_softmax_in_fp32",
    "scale_attn_weights",
    "reorder_and_upcast_attn",
    "scale_attn_by_inverse_layer_idx",
    "skip_bias_add",
    "skip_bias_add_qkv",
    "masked_softmax_fusion",
    "apply_residual_connection_post_layernorm",
    "offset_alibi",
    "bias_dropout_fusion",
    "n_embed_proj",
    "attn_logit_softcapping",
    "final_logit_softcapping",
    "query_pre_attn_scalar",
    "cache_implementation",
    "attn_logit_soft_capping",
    "attn_implementation",
    "_attn_implementation",
    "gradient_checkpointing",
    "router_aux_loss_coef",
    "router_jitter_noise",
    "output_router_logits",
    "aux_loss_alpha",
    "seq_aux",
    "norm_topk_prob",
    "scoring_func",
    "topk_method",
    "topk_group",
    "n_group",
    "routed_scaling_factor",
    "ep_size",
    "router_bias_update_speed",
    "attention_multiplier",
    "embedding_multiplier",
    "residual_multiplier",
    "logits_scaling",
    "logit_scale",
    "clip_qkv",
    "attn_config.clip_qkv",
    "attn_config.rope_theta",
    "attn_config.attn_pdrop",
    "ffn_config.moe_loss_weight",
    "ffn_config.moe_jitter_eps",
    "ffn_config.moe_normalize_expert_weights",
    "resid_pdrop",
    "emb_pdrop",
    "use_qk_norm",
    "embedding_fraction",
    "init_device",
    "verbose",
    "logit_scale",
    "norm_type",
    "name",
    "attention_types",
    "prefix",
    "is_encoder_decoder",
    "is_decoder",
    "return_dict",
    "output_attentions",
    "output_hidden_states",
    "id2label",
    "label2id",
    "num_labels",
    "problem_type",
    "chunk_size_feed_forward",
    "tokenizer_class",
    "swiglu_limit",
    "initial_context_length",
    "original_max_position_embeddings",
    "embd_pdrop",
    "eos_token",
    "bos_token",
    "attn_temperature_tuning",
    "floor_scale",
    "attn_scale",
    "no_rope_layers",
    "no_rope_layer_interval",
    "for_llm_compressor",
    "attention_probs_dropout_prob",
    "norm_epsilon",
    "residual_dropout",
    "embedding_dropout",
    "mlp_type",
    "attention_in_fp32",
    "image_token_index",
    "boi_token_index",
    "eoi_token_index",
    "mm_tokens_per_image",
    "is_llama_config",
    "max_sequence_length",
    "num_ln_in_parallel_attn",
    "scale_attn_weights",
    "use_mrope",
    "use_position_embedding",
    "position_embedding_type",
    "kv_channels",
];

/// Largest size that is read, far beyond any model: products of three of them stay within 128 bits.
const LARGEST: f64 = 1_073_741_824.0;

/// The fields of one config.json.
pub(super) struct Fields<'a> {
    map: &'a Map<String, Value>,
    place: &'a str,
    read: RefCell<BTreeSet<String>>,
    assumed: RefCell<Vec<Assumption>>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(map: &'a Map<String, Value>, place: &'a str) -> Self {
        let (read, assumed) = (RefCell::default(), RefCell::default());
        Fields { map, place, read, assumed }
    }

    /// An error that names this file.
    pub(super) fn malformed(&self, reason: impl Into<String>) -> PlanError {
        PlanError::Malformed { place: self.place.to_owned(), reason: reason.into() }
    }

    /// Lists something that the file does not say.
    pub(super) fn assume(&self, english: String, french: String) {
        self.assumed.borrow_mut().push(Assumption::new(english, french));
    }

    /// Lists the value of a key that is missing.
    fn assume_value(&self, key: &str, value: &str) {
        self.assume(
            format!("config.json: `{key}` not given: {value}, the default of its class"),
            format!("config.json : `{key}` non donné : {value}, la valeur par défaut de sa classe"),
        );
    }

    /// The value of a key, `a.b` for one inside another; a null is kept apart from nothing.
    pub(super) fn value(&self, key: &str) -> Option<&'a Value> {
        self.read.borrow_mut().insert(key.to_owned());
        match key.split_once('.') {
            Some((outer, inner)) => {
                self.read.borrow_mut().insert(outer.to_owned());
                self.map.get(outer)?.as_object()?.get(inner)
            }
            None => self.map.get(key),
        }
    }

    /// The first of some keys that has a size, and that key; nulls count as missing.
    ///
    /// # Errors
    /// When the key holds something else than a size.
    pub(super) fn size(&self, keys: &[String]) -> Result<Option<usize>> {
        for key in keys {
            let Some(value) = self.value(key).filter(|value| !value.is_null()) else { continue };
            let whole =
                |x: f64| (x.fract() == 0.0 && (0.0..=LARGEST).contains(&x)).then_some(x as usize);
            return match value.as_f64().and_then(whole) {
                Some(size) => Ok(Some(size)),
                None => Err(self.malformed(format!(
                    "`{key}` is {value}; it must be a whole number up to 2^30"
                ))),
            };
        }
        Ok(None)
    }

    /// A size without which there is no model.
    ///
    /// # Errors
    /// When it is missing.
    pub(super) fn needed(&self, keys: &[String]) -> Result<usize> {
        let first = keys.first().map_or("", String::as_str);
        self.size(keys)?.ok_or_else(|| {
            self.malformed(format!(
                "`{first}` is missing; is this the config.json of a language model?"
            ))
        })
    }

    /// A size that the class of the model has by default, listed where the file does not say it.
    ///
    /// # Errors
    /// As [`Self::size`].
    pub(super) fn size_or(&self, keys: &[String], default: usize) -> Result<usize> {
        if let Some(size) = self.size(keys)? {
            return Ok(size);
        }
        if let Some(key) = keys.first() {
            self.assume_value(key, &default.to_string());
        }
        Ok(default)
    }

    /// Whether a key is there, even as null.
    pub(super) fn has(&self, keys: &[String]) -> bool {
        keys.iter().any(|key| self.value(key).is_some())
    }

    /// What a flag says, listed where its key is missing.
    ///
    /// # Errors
    /// When the key holds no truth value.
    pub(super) fn flag(&self, flag: &Flag) -> Result<bool> {
        match flag {
            Flag::Fixed(value) => Ok(*value),
            Flag::Key { key, otherwise } => self.truth(key, *otherwise),
        }
    }

    /// The truth value of a key.
    ///
    /// # Errors
    /// As [`Self::flag`].
    pub(super) fn truth(&self, key: &str, otherwise: bool) -> Result<bool> {
        let known = self.read.borrow().contains(key);
        match self.value(key) {
            Some(Value::Bool(value)) => Ok(*value),
            None | Some(Value::Null) => {
                if !known {
                    self.assume_value(key, if otherwise { "true" } else { "false" });
                }
                Ok(otherwise)
            }
            Some(other) => {
                Err(self.malformed(format!("`{key}` is {other}; it must be true or false")))
            }
        }
    }

    /// What was assumed, and the keys that were not read.
    pub(super) fn finish(self) -> Vec<Assumption> {
        let read = self.read.into_inner();
        let mut keys: Vec<String> = Vec::new();
        for (key, value) in self.map {
            let inner = value.as_object().filter(|_| read.contains(key));
            match inner {
                Some(object) => keys.extend(object.keys().map(|name| format!("{key}.{name}"))),
                None => keys.push(key.clone()),
            }
        }
        keys.retain(|key| !read.contains(key) && !IDLE.contains(&key.as_str()));
        keys.retain(|key| !key.ends_with(".model_type"));
        let mut assumed = self.assumed.into_inner();
        if !keys.is_empty() {
            let list = keys.iter().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", ");
            assumed.push(Assumption::new(
                format!("config.json: not read: {list}"),
                format!("config.json : non lus : {list}"),
            ));
        }
        assumed
    }
}
