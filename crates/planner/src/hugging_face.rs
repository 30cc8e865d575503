//! Shapes from a Hugging Face `config.json`: the fields of the Llama, Qwen, Mixtral, DeepSeek and
//! GPT-2 families. Reads sizes only; never weights.

use serde_json::{Map, Value};

use crate::error::{PlanError, Result};
use crate::model::{Experts, LatentAttention, ModelShape};

/// Reads a `config.json`.
///
/// # Errors
/// When it is no JSON object, or a size that every model has is missing.
pub fn read(text: &str, place: &str) -> Result<ModelShape> {
    let malformed = |reason: String| PlanError::Malformed { place: place.to_owned(), reason };
    let value: Value = serde_json::from_str(text).map_err(|e| malformed(e.to_string()))?;
    let config = value.as_object().ok_or_else(|| malformed("is no JSON object".to_owned()))?;
    // Models that also see pictures keep the text model one level down.
    let config = config.get("text_config").and_then(Value::as_object).unwrap_or(config);
    let size = |names: &[&str]| names.iter().find_map(|name| number(config, name));
    let needed = |names: &[&str]| {
        size(names).ok_or_else(|| {
            malformed(format!("no `{}`; is this the config.json of a language model?", names[0]))
        })
    };
    let layers = needed(&["num_hidden_layers", "n_layer", "n_layers"])?;
    let hidden = needed(&["hidden_size", "n_embd", "d_model"])?;
    let heads = needed(&["num_attention_heads", "n_head", "n_heads"])?;
    let vocab = needed(&["vocab_size"])?;
    let ffn = size(&["intermediate_size", "ffn_dim", "n_inner"]).unwrap_or(4 * hidden);
    let kv_heads = size(&["num_key_value_heads"]).unwrap_or(heads);
    let kind = config.get("model_type").and_then(Value::as_str).unwrap_or("model");
    let mut shape = ModelShape::dense(kind, layers, hidden, ffn, heads, kv_heads, vocab);
    shape.head_dim = size(&["head_dim"]).unwrap_or(shape.head_dim);
    shape.gated = gated(config, kind);
    shape.tied =
        config.get("tie_word_embeddings").and_then(Value::as_bool).unwrap_or(kind == "gpt2");
    shape.extra_layers = size(&["num_nextn_predict_layers"]).unwrap_or(0);
    if let (Some(query_rank), Some(rank), Some(rope), Some(nope)) = (
        size(&["q_lora_rank"]),
        size(&["kv_lora_rank"]),
        size(&["qk_rope_head_dim"]),
        size(&["qk_nope_head_dim"]),
    ) {
        let value_dim = size(&["v_head_dim"]).unwrap_or(nope);
        shape.head_dim = rope + nope;
        shape.latent = Some(LatentAttention { query_rank, kv_rank: rank + rope, value_dim });
    }
    if let Some(count) = size(&["num_local_experts", "n_routed_experts", "num_experts"]) {
        let width = size(&["moe_intermediate_size"]).unwrap_or(ffn);
        let shared = size(&["n_shared_experts"]).map_or(0, |n| n * width);
        shape.experts = Some(Experts {
            count,
            per_token: needed(&["num_experts_per_tok", "experts_per_token"])?,
            ffn: width,
            shared_ffn: size(&["shared_expert_intermediate_size"]).unwrap_or(shared),
            dense_layers: size(&["first_k_dense_replace"]).unwrap_or(0),
        });
    }
    let uses_window = config.get("use_sliding_window").and_then(Value::as_bool).unwrap_or(true);
    if let Some(window) = size(&["sliding_window"]).filter(|_| uses_window) {
        shape.window = Some((window, window_share(config)));
    }
    shape.check()?;
    Ok(shape)
}

fn number(config: &Map<String, Value>, name: &str) -> Option<usize> {
    config.get(name).and_then(Value::as_u64).map(|n| n as usize)
}

/// Older families have two matrices in a feed-forward block; SiLU and its like come with a gate.
fn gated(config: &Map<String, Value>, kind: &str) -> bool {
    let activation = ["hidden_act", "activation_function", "hidden_activation"]
        .iter()
        .find_map(|name| config.get(*name).and_then(Value::as_str));
    let plain = ["gpt2", "gpt_neox", "opt", "bloom", "phi", "mpt", "gptj", "starcoder2"];
    !plain.contains(&kind) && activation.is_none_or(|a| !a.eq_ignore_ascii_case("relu"))
}

/// Share of layers that are limited to the window.
fn window_share(config: &Map<String, Value>) -> f64 {
    let Some(kinds) = config.get("layer_types").and_then(Value::as_array) else { return 1.0 };
    let limited = kinds.iter().filter(|kind| kind.as_str() == Some("sliding_attention")).count();
    limited as f64 / kinds.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Models;

    #[test]
    fn families_are_read_as_the_presets_have_them() {
        let llama = r#"{"model_type":"llama","hidden_size":4096,"intermediate_size":14336,
            "num_hidden_layers":32,"num_attention_heads":32,"num_key_value_heads":8,
            "vocab_size":128256,"hidden_act":"silu","tie_word_embeddings":false}"#;
        let deepseek = r#"{"model_type":"deepseek_v3","hidden_size":7168,"intermediate_size":18432,
            "num_hidden_layers":61,"num_attention_heads":128,"num_key_value_heads":128,
            "vocab_size":129280,"q_lora_rank":1536,"kv_lora_rank":512,"qk_rope_head_dim":64,
            "qk_nope_head_dim":128,"v_head_dim":128,"n_routed_experts":256,"n_shared_experts":1,
            "moe_intermediate_size":2048,"num_experts_per_tok":8,"first_k_dense_replace":3,
            "num_nextn_predict_layers":1}"#;
        let models = Models::published();
        for (text, name) in [(llama, "llama-8b"), (deepseek, "deepseek-v3")] {
            let read = read(text, "config.json").unwrap();
            let preset = models.find(name).unwrap();
            assert_eq!(read.params(), preset.params(), "{name}");
            assert_eq!(read.active_params(), preset.active_params(), "{name}");
        }
        let gpt2 =
            r#"{"model_type":"gpt2","n_embd":768,"n_layer":12,"n_head":12,"vocab_size":50257}"#;
        let params = read(gpt2, "x").unwrap().params() / 1e6;
        assert!((120.0..125.0).contains(&params), "{params}");
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = read("{\"hidden_size\": 64}", "c.json").unwrap_err().to_string();
        assert!(error.contains("c.json") && error.contains("num_hidden_layers"), "{error}");
        assert!(read("[1]", "c.json").is_err() && read("{", "c.json").is_err());
    }
}
