//! The table of families: for each its class, the keys of its `config.json` with the values that the
//! configuration class of transformers 5.23 gives to absent ones, and what no key says.

use crate::{Block, Family, Norm, QkNorm};

/// One family.
pub(super) struct Row {
    pub family: Family,
    /// Class in `architectures`: the first is written.
    pub classes: &'static [&'static str],
    /// `model_type`: the first is written.
    pub model_types: &'static [&'static str],
    /// Keys in the family's spelling, as JSON.
    pub keys: &'static str,
    pub facts: Facts,
}

/// A property that a key may decide.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Flag {
    No,
    Yes,
    Key(&'static str),
}

/// Where norms stand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Blocks {
    Always(Block),
    /// The first where the key is true, else the second.
    Either(&'static str, Block, Block),
    /// By `new_decoder_architecture`, `num_ln_in_parallel_attn` and `parallel_attn`.
    Falcon,
}

/// How queries and keys are normalised.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum QkNorms {
    Always(QkNorm),
    /// So where the key is true, else not.
    Where(&'static str, QkNorm),
}

/// Which layers have a sliding window.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Windows {
    Never,
    /// All, where `sliding_window` says how long.
    All,
    /// As `layer_types` says, else those from `max_window_layers` on, where `use_sliding_window` is.
    FromLayer,
    /// As `layer_types` says, else those without positions, where `use_sliding_window` is.
    Unrotated,
    /// As `layer_types` says, else all but every n-th.
    AllButEvery(usize),
}

/// What a family computes, as far as it does not follow from sizes.
#[derive(Clone, Copy)]
pub(super) struct Facts {
    pub norm: Norm,
    pub norm_offset: bool,
    pub blocks: Blocks,
    pub qk_norm: QkNorms,
    pub qkv_bias: Flag,
    pub output_bias: Flag,
    pub mlp_bias: Flag,
    pub gated: bool,
    pub windows: Windows,
    /// The embedding is multiplied by √hidden.
    pub embedding_root: bool,
    pub learned_positions: bool,
    /// Layers without a window do not rotate, where there are windows.
    pub rotates_windows_only: bool,
    /// Exact GELU in files means that by tanh.
    pub gelu_is_tanh: bool,
}

const PER_HEAD: QkNorms = QkNorms::Always(QkNorm::PerHead);

const LLAMA: Facts = Facts {
    norm: Norm::Rms,
    norm_offset: false,
    blocks: Blocks::Always(Block::PreNorm),
    qk_norm: QkNorms::Always(QkNorm::None),
    qkv_bias: Flag::Key("attention_bias"),
    output_bias: Flag::Key("attention_bias"),
    mlp_bias: Flag::No,
    gated: true,
    windows: Windows::Never,
    embedding_root: false,
    learned_positions: false,
    rotates_windows_only: false,
    gelu_is_tanh: false,
};

const GEMMA2: Facts = Facts {
    norm_offset: true,
    blocks: Blocks::Always(Block::PreAndPostNorm),
    windows: Windows::AllButEvery(2),
    embedding_root: true,
    ..LLAMA
};

/// The families, in the order in which a model of none of them is offered to each.
pub(super) const ROWS: &[Row] = &[
    Row {
        family: Family::Llama,
        classes: &["LlamaForCausalLM", "LLaMAForCausalLM"],
        model_types: &["llama"],
        keys: r#"{"vocab_size": 32000, "hidden_size": 4096, "num_hidden_layers": 32,
            "num_attention_heads": 32, "num_key_value_heads": null, "head_dim": null,
            "intermediate_size": 11008, "hidden_act": "silu", "max_position_embeddings": 2048,
            "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "rope_scaling": null,
            "rope_parameters": null, "attention_bias": false, "mlp_bias": false,
            "tie_word_embeddings": false}"#,
        facts: Facts { mlp_bias: Flag::Key("mlp_bias"), ..LLAMA },
    },
    Row {
        family: Family::Qwen3,
        classes: &["Qwen3ForCausalLM"],
        model_types: &["qwen3"],
        keys: r#"{"vocab_size": 151936, "hidden_size": 4096, "num_hidden_layers": 32,
            "num_attention_heads": 32, "num_key_value_heads": 32, "head_dim": 128,
            "intermediate_size": 22016, "hidden_act": "silu", "max_position_embeddings": 32768,
            "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "rope_scaling": null,
            "rope_parameters": null, "attention_bias": false, "tie_word_embeddings": false,
            "use_sliding_window": false, "sliding_window": 4096, "max_window_layers": 28,
            "layer_types": null}"#,
        facts: Facts { qk_norm: PER_HEAD, windows: Windows::FromLayer, ..LLAMA },
    },
    Row {
        family: Family::Qwen2,
        classes: &["Qwen2ForCausalLM"],
        model_types: &["qwen2"],
        keys: r#"{"vocab_size": 151936, "hidden_size": 4096, "num_hidden_layers": 32,
            "num_attention_heads": 32, "num_key_value_heads": 32, "head_dim": null,
            "intermediate_size": 22016, "hidden_act": "silu", "max_position_embeddings": 32768,
            "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "rope_scaling": null,
            "rope_parameters": null, "tie_word_embeddings": false, "use_sliding_window": false,
            "sliding_window": 4096, "max_window_layers": 28, "layer_types": null}"#,
        facts: Facts {
            qkv_bias: Flag::Yes,
            output_bias: Flag::No,
            windows: Windows::FromLayer,
            ..LLAMA
        },
    },
    Row {
        family: Family::Mistral,
        classes: &["MistralForCausalLM"],
        model_types: &["mistral"],
        keys: r#"{"vocab_size": 32000, "hidden_size": 4096, "num_hidden_layers": 32,
            "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": null,
            "intermediate_size": 14336, "hidden_act": "silu", "max_position_embeddings": 131072,
            "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "rope_scaling": null,
            "rope_parameters": null, "sliding_window": 4096, "tie_word_embeddings": false}"#,
        facts: Facts { qkv_bias: Flag::No, output_bias: Flag::No, windows: Windows::All, ..LLAMA },
    },
    Row {
        family: Family::Smollm3,
        classes: &["SmolLM3ForCausalLM"],
        model_types: &["smollm3"],
        keys: r#"{"vocab_size": 128256, "hidden_size": 2048, "num_hidden_layers": 36,
            "num_attention_heads": 16, "num_key_value_heads": 4, "head_dim": null,
            "intermediate_size": 11008, "hidden_act": "silu", "max_position_embeddings": 32768,
            "rms_norm_eps": 1e-6, "rope_theta": 2000000.0, "rope_scaling": null,
            "rope_parameters": null, "attention_bias": false, "mlp_bias": false,
            "tie_word_embeddings": true, "no_rope_layers": null, "no_rope_layer_interval": 4,
            "use_sliding_window": false, "sliding_window": null, "layer_types": null}"#,
        facts: Facts { mlp_bias: Flag::Key("mlp_bias"), windows: Windows::Unrotated, ..LLAMA },
    },
    Row {
        family: Family::Phi3,
        classes: &["Phi3ForCausalLM"],
        model_types: &["phi3"],
        keys: r#"{"vocab_size": 32064, "hidden_size": 3072, "num_hidden_layers": 32,
            "num_attention_heads": 32, "num_key_value_heads": null, "head_dim": null,
            "intermediate_size": 8192, "hidden_act": "silu", "max_position_embeddings": 4096,
            "original_max_position_embeddings": 4096, "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0, "rope_scaling": null, "rope_parameters": null,
            "partial_rotary_factor": 1.0, "sliding_window": null, "tie_word_embeddings": false}"#,
        facts: Facts { qkv_bias: Flag::No, output_bias: Flag::No, windows: Windows::All, ..LLAMA },
    },
    Row {
        family: Family::Gemma,
        classes: &["GemmaForCausalLM"],
        model_types: &["gemma"],
        keys: r#"{"vocab_size": 256000, "hidden_size": 3072, "num_hidden_layers": 28,
            "num_attention_heads": 16, "num_key_value_heads": 16, "head_dim": 256,
            "intermediate_size": 24576, "hidden_act": "gelu_pytorch_tanh",
            "max_position_embeddings": 8192, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
            "rope_scaling": null, "rope_parameters": null, "attention_bias": false,
            "tie_word_embeddings": true}"#,
        facts: Facts { norm_offset: true, embedding_root: true, gelu_is_tanh: true, ..LLAMA },
    },
    Row {
        family: Family::Gemma2,
        classes: &["Gemma2ForCausalLM"],
        model_types: &["gemma2"],
        keys: r#"{"vocab_size": 256000, "hidden_size": 2304, "num_hidden_layers": 26,
            "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256,
            "intermediate_size": 9216, "hidden_activation": "gelu_pytorch_tanh",
            "max_position_embeddings": 8192, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
            "rope_scaling": null, "rope_parameters": null, "attention_bias": false,
            "query_pre_attn_scalar": 256, "sliding_window": 4096, "layer_types": null,
            "final_logit_softcapping": 30.0, "attn_logit_softcapping": 50.0,
            "tie_word_embeddings": true}"#,
        facts: GEMMA2,
    },
    Row {
        family: Family::Gemma3,
        classes: &["Gemma3ForCausalLM", "Gemma3ForConditionalGeneration"],
        model_types: &["gemma3_text", "gemma3"],
        keys: r#"{"vocab_size": 262208, "hidden_size": 2304, "num_hidden_layers": 26,
            "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256,
            "intermediate_size": 9216, "hidden_activation": "gelu_pytorch_tanh",
            "max_position_embeddings": 131072, "rms_norm_eps": 1e-6, "rope_theta": 1000000.0,
            "rope_local_base_freq": 10000.0, "rope_scaling": null, "rope_parameters": null,
            "attention_bias": false, "query_pre_attn_scalar": 256, "sliding_window": 4096,
            "sliding_window_pattern": 6, "layer_types": null, "final_logit_softcapping": null,
            "attn_logit_softcapping": null, "tie_word_embeddings": true}"#,
        facts: Facts { qk_norm: PER_HEAD, windows: Windows::AllButEvery(6), ..GEMMA2 },
    },
    Row {
        family: Family::Olmo2,
        classes: &["Olmo2ForCausalLM"],
        model_types: &["olmo2"],
        keys: r#"{"vocab_size": 50304, "hidden_size": 4096, "num_hidden_layers": 32,
            "num_attention_heads": 32, "num_key_value_heads": null, "head_dim": null,
            "intermediate_size": 11008, "hidden_act": "silu", "max_position_embeddings": 2048,
            "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "rope_scaling": null,
            "rope_parameters": null, "attention_bias": false, "tie_word_embeddings": false}"#,
        facts: Facts {
            blocks: Blocks::Always(Block::PostNorm),
            qk_norm: QkNorms::Always(QkNorm::OverAllHeads),
            ..LLAMA
        },
    },
    Row {
        family: Family::Granite,
        classes: &["GraniteForCausalLM"],
        model_types: &["granite"],
        keys: r#"{"vocab_size": 32000, "hidden_size": 4096, "num_hidden_layers": 32,
            "num_attention_heads": 32, "num_key_value_heads": null, "head_dim": null,
            "intermediate_size": 11008, "hidden_act": "silu", "max_position_embeddings": 2048,
            "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "rope_scaling": null,
            "rope_parameters": null, "attention_bias": false, "mlp_bias": false,
            "embedding_multiplier": 1.0, "logits_scaling": 1.0, "residual_multiplier": 1.0,
            "attention_multiplier": 1.0, "tie_word_embeddings": false}"#,
        facts: Facts { mlp_bias: Flag::Key("mlp_bias"), ..LLAMA },
    },
    Row {
        family: Family::Stablelm,
        classes: &["StableLmForCausalLM", "StableLMEpochForCausalLM"],
        model_types: &["stablelm", "stablelm_epoch"],
        keys: r#"{"vocab_size": 50304, "hidden_size": 2560, "num_hidden_layers": 32,
            "num_attention_heads": 32, "num_key_value_heads": 32, "intermediate_size": 6912,
            "hidden_act": "silu", "max_position_embeddings": 4096, "layer_norm_eps": 1e-5,
            "rope_theta": 10000.0, "rope_scaling": null, "rope_parameters": null,
            "partial_rotary_factor": 0.25, "use_qkv_bias": false, "use_parallel_residual": false,
            "qk_layernorm": false, "tie_word_embeddings": false}"#,
        facts: Facts {
            norm: Norm::Layer,
            blocks: Blocks::Either("use_parallel_residual", Block::Parallel, Block::PreNorm),
            qk_norm: QkNorms::Where("qk_layernorm", QkNorm::LayerByHead),
            qkv_bias: Flag::Key("use_qkv_bias"),
            output_bias: Flag::No,
            ..LLAMA
        },
    },
    Row {
        family: Family::Gpt2,
        classes: &["GPT2LMHeadModel"],
        model_types: &["gpt2"],
        keys: r#"{"vocab_size": 50257, "n_embd": 768, "n_layer": 12, "n_head": 12,
            "n_positions": 1024, "n_inner": null, "activation_function": "gelu_new",
            "layer_norm_epsilon": 1e-5, "tie_word_embeddings": true}"#,
        facts: Facts {
            norm: Norm::Layer,
            qkv_bias: Flag::Yes,
            output_bias: Flag::Yes,
            mlp_bias: Flag::Yes,
            gated: false,
            learned_positions: true,
            ..LLAMA
        },
    },
    Row {
        family: Family::GptNeox,
        classes: &["GPTNeoXForCausalLM"],
        model_types: &["gpt_neox"],
        keys: r#"{"vocab_size": 50432, "hidden_size": 6144, "num_hidden_layers": 44,
            "num_attention_heads": 64, "intermediate_size": 24576, "hidden_act": "gelu",
            "max_position_embeddings": 2048, "layer_norm_eps": 1e-5, "rope_theta": 10000.0,
            "rope_scaling": null, "rope_parameters": null, "rotary_pct": 0.25,
            "attention_bias": true, "use_parallel_residual": true,
            "tie_word_embeddings": false}"#,
        facts: Facts {
            norm: Norm::Layer,
            blocks: Blocks::Either(
                "use_parallel_residual",
                Block::ParallelTwoNorms,
                Block::PreNorm,
            ),
            mlp_bias: Flag::Yes,
            gated: false,
            ..LLAMA
        },
    },
    Row {
        family: Family::Falcon,
        classes: &["FalconForCausalLM", "RWForCausalLM"],
        model_types: &["falcon", "RefinedWebModel", "RefinedWeb"],
        keys: r#"{"vocab_size": 65024, "hidden_size": 4544, "num_hidden_layers": 32,
            "num_attention_heads": 71, "num_kv_heads": null, "ffn_hidden_size": null,
            "activation": "gelu", "max_position_embeddings": 2048, "layer_norm_epsilon": 1e-5,
            "rope_theta": 10000.0, "rope_scaling": null, "rope_parameters": null,
            "multi_query": true, "new_decoder_architecture": false, "parallel_attn": true,
            "num_ln_in_parallel_attn": null, "bias": false, "tie_word_embeddings": true}"#,
        facts: Facts {
            norm: Norm::Layer,
            blocks: Blocks::Falcon,
            qkv_bias: Flag::Key("bias"),
            output_bias: Flag::Key("bias"),
            mlp_bias: Flag::Key("bias"),
            gated: false,
            ..LLAMA
        },
    },
    Row {
        family: Family::Cohere,
        classes: &["CohereForCausalLM"],
        model_types: &["cohere"],
        keys: r#"{"vocab_size": 256000, "hidden_size": 8192, "num_hidden_layers": 40,
            "num_attention_heads": 64, "num_key_value_heads": null, "intermediate_size": 22528,
            "hidden_act": "silu", "max_position_embeddings": 8192, "layer_norm_eps": 1e-5,
            "rope_theta": 500000.0, "rope_scaling": null, "rope_parameters": null,
            "attention_bias": false, "logit_scale": 0.0625, "use_qk_norm": false,
            "tie_word_embeddings": true}"#,
        facts: Facts {
            norm: Norm::LayerUnbiased,
            qk_norm: QkNorms::Where("use_qk_norm", QkNorm::LayerByHead),
            blocks: Blocks::Always(Block::Parallel),
            ..LLAMA
        },
    },
    Row {
        family: Family::Cohere2,
        classes: &["Cohere2ForCausalLM"],
        model_types: &["cohere2"],
        keys: r#"{"vocab_size": 256000, "hidden_size": 8192, "num_hidden_layers": 40,
            "num_attention_heads": 64, "num_key_value_heads": null, "head_dim": null,
            "intermediate_size": 22528, "hidden_act": "silu", "max_position_embeddings": 8192,
            "layer_norm_eps": 1e-5, "rope_theta": 10000.0, "rope_scaling": null,
            "rope_parameters": null, "attention_bias": false, "logit_scale": 0.0625,
            "sliding_window": 4096, "sliding_window_pattern": 4, "layer_types": null,
            "tie_word_embeddings": true}"#,
        facts: Facts {
            norm: Norm::LayerUnbiased,
            blocks: Blocks::Always(Block::Parallel),
            windows: Windows::AllButEvery(4),
            rotates_windows_only: true,
            ..LLAMA
        },
    },
];
