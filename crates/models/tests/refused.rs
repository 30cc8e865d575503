//! Models of later work are refused by name: mixtures of experts, sinks, gated delta-net layers, alibi.

#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};
use stoa_models::from_hugging_face;

/// The keys that decide, as publishers write them; sizes are small.
fn dense() -> Value {
    json!({
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "vocab_size": 64,
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
        "max_position_embeddings": 128, "rope_theta": 10000.0
    })
}

fn with(changes: Value) -> Value {
    let mut keys = dense();
    for (key, value) in changes.as_object().unwrap() {
        keys[key] = value.clone();
    }
    keys
}

#[track_caller]
fn refused(keys: &Value, words: &[&str]) {
    let message = from_hugging_face(&keys.to_string()).unwrap_err().to_string();
    for word in words {
        assert!(message.contains(word), "{word}: {message}");
    }
}

#[test]
fn families_of_later_work_are_refused_with_what_they_compute() {
    assert!(from_hugging_face(&dense().to_string()).is_ok());
    let qwen3_moe = with(json!({
        "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "num_experts": 8,
        "num_experts_per_tok": 2, "moe_intermediate_size": 16, "norm_topk_prob": true,
        "decoder_sparse_step": 1, "mlp_only_layers": []
    }));
    refused(&qwen3_moe, &["Qwen3MoeForCausalLM", "mixtures of experts are", "Qwen3ForCausalLM"]);
    let gpt_oss = with(json!({
        "architectures": ["GptOssForCausalLM"], "model_type": "gpt_oss", "num_local_experts": 8,
        "num_experts_per_tok": 4, "swiglu_limit": 7.0, "attention_bias": true,
        "sliding_window": 128, "quantization_config": {"quant_method": "mxfp4"}
    }));
    refused(&gpt_oss, &["GptOssForCausalLM", "sinks of attention", "MXFP4"]);
    let hybrid = json!({
        "architectures": ["Qwen3_5ForConditionalGeneration"], "model_type": "qwen3_5",
        "text_config": {
            "model_type": "qwen3_5_text", "linear_conv_kernel_dim": 4,
            "layer_types": ["linear_attention", "linear_attention", "full_attention"]
        }
    });
    refused(&hybrid, &["Qwen3_5ForConditionalGeneration", "gated delta-net layers are"]);
    let mut by_type = dense();
    by_type.as_object_mut().unwrap().remove("architectures");
    by_type["model_type"] = "qwen3_5_text".into();
    refused(&by_type, &["model_type", "gated delta-net layers"]);
    let mamba = with(json!({"architectures": ["Mamba2ForCausalLM"], "model_type": "mamba2"}));
    refused(&mamba, &["Mamba2ForCausalLM", "state-space layers"]);
}

/// The same keys under the class of a family that is read.
#[test]
fn their_keys_are_refused_in_other_classes() {
    for (key, value) in [
        ("num_experts", json!(8)),
        ("num_local_experts", json!(8)),
        ("moe_intermediate_size", json!(16)),
        ("swiglu_limit", json!(7.0)),
        ("attention_sinks", json!(true)),
        ("attn_output_gate", json!(true)),
        ("full_attention_interval", json!(4)),
        ("linear_num_value_heads", json!(4)),
        ("kv_lora_rank", json!(512)),
        ("alibi", json!(true)),
    ] {
        refused(&with(json!({ key: value })), &[key, "is not supported"]);
    }
    let layers = json!(["linear_attention", "full_attention", "full_attention", "full_attention"]);
    refused(
        &with(json!({ "layer_types": layers })),
        &["layer_types", "`full_attention` or `sliding_attention`"],
    );
    let falcon_rw = json!({
        "architectures": ["FalconForCausalLM"], "model_type": "falcon", "vocab_size": 64,
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "alibi": true,
        "multi_query": false, "parallel_attn": false, "bias": true
    });
    refused(&falcon_rw, &["alibi", "true"]);
}

/// Found by fuzzing: windows of four billion layers were listed before their number was looked at.
#[test]
fn a_number_of_layers_that_no_model_has_is_refused_before_they_are_listed() {
    let config = r#"{"architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text",
        "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4,
        "num_hidden_layers": 4000000000, "head_dim": 8}"#;
    let error = from_hugging_face(config).unwrap_err().to_string();
    assert!(error.contains("layers") && error.contains("4096"), "{error}");
}
