"""Parameter counts of published models by `transformers` on the meta device: no weights, no network.

Reads the `config` of every model in crates/planner/data/models.toml (fields of the published
config.json that decide sizes; the rest is as the configuration class of the model type has it) and
further configurations below, builds the causal language model without memory, and writes for each its
parameters and those a token passes through: all but the routed experts it does not visit. Models whose
paper counts otherwise say so in ACTIVE. MODULES that a class has but the paper's model has not are named.

    python golden_parameters.py MODELS.toml > crates/planner/tests/golden/parameters.json
"""

import json
import sys
import tomllib

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM

# Paper: embeddings are looked up, not multiplied by; gpt-oss counts the head alone as active
# (model card of 2025-08, table 1).
WITHOUT_EMBEDDING = {"gpt_oss"}

# Model types that `transformers` builds under another name: the same modules.
SAME_AS = {"kimi_k2": "deepseek_v3"}

# Configurations that exercise what no published model of the table does.
FURTHER = {
    "llama-biased": {"model_type": "llama", "num_hidden_layers": 3, "hidden_size": 256, "intermediate_size": 640, "num_attention_heads": 8, "num_key_value_heads": 2, "vocab_size": 1000, "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
    "llama-few-fields": {"model_type": "llama", "num_hidden_layers": 3, "hidden_size": 256, "intermediate_size": 640, "num_attention_heads": 8, "vocab_size": 1000},
    "mistral-few-fields": {"model_type": "mistral", "num_hidden_layers": 3, "hidden_size": 256, "intermediate_size": 640, "num_attention_heads": 32, "vocab_size": 1000},
    "mixtral-few-fields": {"model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 2, "num_hidden_layers": 2, "hidden_size": 256, "intermediate_size": 640, "num_attention_heads": 32, "vocab_size": 1000},
    "qwen2-few-fields": {"model_type": "qwen2", "num_hidden_layers": 3, "hidden_size": 256, "intermediate_size": 640, "num_attention_heads": 32, "vocab_size": 1000},
    "qwen3-few-fields": {"model_type": "qwen3", "num_hidden_layers": 3, "hidden_size": 256, "intermediate_size": 640, "num_attention_heads": 32, "vocab_size": 1000},
    "qwen3-moe-some-dense": {"model_type": "qwen3_moe", "num_hidden_layers": 6, "hidden_size": 256, "intermediate_size": 640, "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 64, "vocab_size": 1000, "num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 96, "decoder_sparse_step": 2, "mlp_only_layers": [1]},
    "gemma-few-fields": {"model_type": "gemma", "num_hidden_layers": 2, "hidden_size": 256, "intermediate_size": 640, "num_attention_heads": 16, "vocab_size": 1000},
    "gemma2-few-fields": {"model_type": "gemma2", "num_hidden_layers": 2, "hidden_size": 256, "intermediate_size": 640, "num_attention_heads": 8, "vocab_size": 1000},
    "gemma3-few-fields": {"model_type": "gemma3_text", "num_hidden_layers": 2, "hidden_size": 256, "intermediate_size": 640, "num_attention_heads": 8, "vocab_size": 1000},
    "gemma3-as-published": {"model_type": "gemma3", "text_config": {"model_type": "gemma3_text", "num_hidden_layers": 34, "hidden_size": 2560, "intermediate_size": 10240, "sliding_window": 1024}},
    "falcon-rw-1b": {"model_type": "falcon", "num_hidden_layers": 24, "hidden_size": 2048, "num_attention_heads": 32, "vocab_size": 50304, "multi_query": False, "new_decoder_architecture": False, "parallel_attn": False, "bias": True, "alibi": True, "tie_word_embeddings": False},
    "falcon-few-fields": {"model_type": "falcon", "num_hidden_layers": 2, "hidden_size": 512, "num_attention_heads": 8, "vocab_size": 1000, "tie_word_embeddings": True},
    "falcon-one-norm": {"model_type": "falcon", "num_hidden_layers": 2, "hidden_size": 512, "num_attention_heads": 8, "num_kv_heads": 2, "vocab_size": 1000, "new_decoder_architecture": True, "num_ln_in_parallel_attn": 1, "ffn_hidden_size": 1536, "tie_word_embeddings": False},
    "gpt-bigcode-many-heads": {"model_type": "gpt_bigcode", "n_layer": 2, "n_embd": 512, "n_head": 8, "n_positions": 512, "vocab_size": 1000, "multi_query": False},
    "gpt2-wide": {"model_type": "gpt2", "n_layer": 2, "n_embd": 512, "n_head": 8, "n_inner": 1536, "n_positions": 256, "vocab_size": 1000, "tie_word_embeddings": False},
    "gpt-neox-no-bias": {"model_type": "gpt_neox", "num_hidden_layers": 2, "hidden_size": 512, "intermediate_size": 2048, "num_attention_heads": 8, "vocab_size": 1000, "attention_bias": False},
    "stablelm-normed-heads": {"model_type": "stablelm", "num_hidden_layers": 2, "hidden_size": 512, "intermediate_size": 1024, "num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 1000, "qk_layernorm": True, "use_parallel_residual": True},
    "phi-normed-heads": {"model_type": "phi", "num_hidden_layers": 2, "hidden_size": 512, "intermediate_size": 1024, "num_attention_heads": 8, "vocab_size": 1000, "qk_layernorm": True},
    "opt-no-bias": {"model_type": "opt", "num_hidden_layers": 2, "hidden_size": 512, "ffn_dim": 1024, "num_attention_heads": 8, "word_embed_proj_dim": 512, "vocab_size": 1000, "max_position_embeddings": 256, "enable_bias": False},
    "starcoder2-no-bias": {"model_type": "starcoder2", "num_hidden_layers": 2, "hidden_size": 512, "intermediate_size": 1024, "num_attention_heads": 8, "vocab_size": 1000, "use_bias": False},
    "cohere-few-fields": {"model_type": "cohere", "num_hidden_layers": 2, "hidden_size": 512, "intermediate_size": 1024, "num_attention_heads": 8, "vocab_size": 1000},
    "deepseek-biased": {"model_type": "deepseek_v3", "num_hidden_layers": 3, "hidden_size": 256, "intermediate_size": 512, "num_attention_heads": 8, "num_key_value_heads": 8, "vocab_size": 1000, "q_lora_rank": 64, "kv_lora_rank": 32, "qk_rope_head_dim": 16, "qk_nope_head_dim": 32, "v_head_dim": 32, "n_routed_experts": 16, "num_experts_per_tok": 4, "n_group": 4, "topk_group": 2, "n_shared_experts": 2, "moe_intermediate_size": 64, "first_k_dense_replace": 1, "attention_bias": True},
    "glm4-0414": {"model_type": "glm4", "num_hidden_layers": 2, "hidden_size": 512, "intermediate_size": 1024, "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 64, "vocab_size": 160000, "attention_bias": False},
    "granitemoe-small": {"model_type": "granitemoe", "num_hidden_layers": 4, "hidden_size": 512, "intermediate_size": 1024, "num_attention_heads": 8, "vocab_size": 160000, "num_local_experts": 4, "num_experts_per_tok": 2},
    "phimoe-small": {"model_type": "phimoe", "num_hidden_layers": 4, "hidden_size": 512, "intermediate_size": 1024, "num_attention_heads": 8, "vocab_size": 160000, "num_local_experts": 4, "num_experts_per_tok": 2, "attention_bias": True, "lm_head_bias": True},
    "cohere2-small": {"model_type": "cohere2", "num_hidden_layers": 4, "hidden_size": 512, "intermediate_size": 1024, "num_attention_heads": 8, "vocab_size": 160000, "head_dim": 64, "num_key_value_heads": 2},
    "olmo3-small": {"model_type": "olmo3", "num_hidden_layers": 4, "hidden_size": 512, "intermediate_size": 1024, "num_attention_heads": 8, "vocab_size": 160000, "num_key_value_heads": 2},
    "smollm3-small": {"model_type": "smollm3", "num_hidden_layers": 4, "hidden_size": 512, "intermediate_size": 1024, "num_attention_heads": 8, "vocab_size": 160000, "num_key_value_heads": 2},
    "glm4_moe-small": {"model_type": "glm4_moe", "num_hidden_layers": 4, "hidden_size": 512, "intermediate_size": 1024, "num_attention_heads": 8, "vocab_size": 160000, "num_key_value_heads": 2, "head_dim": 32, "n_routed_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 128, "first_k_dense_replace": 1, "use_qk_norm": True},
    "ernie4_5-small": {"model_type": "ernie4_5", "num_hidden_layers": 4, "hidden_size": 512, "intermediate_size": 1024, "num_attention_heads": 8, "vocab_size": 160000, "use_bias": True},
    "ministral-small": {"model_type": "ministral", "head_dim": 64, "num_hidden_layers": 4, "hidden_size": 512, "intermediate_size": 1024, "num_attention_heads": 8, "vocab_size": 160000, "num_key_value_heads": 2},
    "gpt-neo-small": {"model_type": "gpt_neo", "num_layers": 4, "hidden_size": 512, "num_heads": 8, "vocab_size": 160000, "max_position_embeddings": 256, "attention_types": [[["global", "local"], 2]]},
    "codegen-small": {"model_type": "codegen", "n_layer": 4, "n_embd": 512, "n_head": 8, "vocab_size": 160000, "rotary_dim": 16},
    "llama4-some-dense": {"model_type": "llama4_text", "num_hidden_layers": 6, "hidden_size": 256, "intermediate_size": 128, "intermediate_size_mlp": 512, "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 32, "vocab_size": 1000, "num_local_experts": 4, "num_experts_per_tok": 1, "interleave_moe_layer_step": 3},
}


def configured(fields):
    """The configuration of the language model alone."""
    fields = dict(fields)
    fields["model_type"] = SAME_AS.get(fields["model_type"], fields["model_type"])
    config = AutoConfig.for_model(**fields)
    return getattr(config, "text_config", None) or config


def counted(fields):
    config = configured(fields)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    model.tie_weights()
    names = {}
    for name, parameter in model.named_parameters(remove_duplicate=True):
        names[name] = parameter.numel()
    total = sum(names.values())
    routed = sum(n for name, n in names.items() if ".experts." in name)
    active = total
    if routed:
        ffn = getattr(config, "ffn_config", config)
        first = lambda keys: next(getattr(ffn, k) for k in keys if getattr(ffn, k, None))
        count = first(["n_routed_experts", "moe_num_experts", "num_local_experts", "num_experts"])
        visited = first(["moe_top_k", "num_experts_per_tok"])
        assert routed % count == 0
        active -= routed // count * (count - visited)
    if fields["model_type"] in WITHOUT_EMBEDDING:
        active -= sum(n for name, n in names.items() if "embed_tokens" in name)
    return total, active


def main():
    models = tomllib.load(open(sys.argv[1], "rb"))["model"]
    cases = {name: json.loads(entry["config"]) for name, entry in models.items() if "config" in entry}
    rows = []
    for name, fields in (cases | FURTHER).items():
        total, active = counted(fields)
        row = {"name": name, "total": total, "active": active}
        if name in FURTHER:
            row["config"] = fields
        rows.append(row)
        print(f"{name:28} {total / 1e9:9.3f}B {active / 1e9:9.3f}B", file=sys.stderr)
    print('{"transformers": "%s", "rows": [' % transformers.__version__)
    print(",\n".join(json.dumps(row) for row in rows))
    print("]}")


if __name__ == "__main__":
    main()
