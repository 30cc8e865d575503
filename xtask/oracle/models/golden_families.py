"""Tiny models of every family that is read, and what `transformers` makes of them.

For each case a directory under OUT:
  config.json     as `save_pretrained` writes it
  expected.json   {"tensors": {name: shape}, "ids": [[...]], "rows": n, "logits": [[...]],
                   "greedy": [...], "gaps": [...], "losses": [...], "versions": {...}}

No weights are stored: element i of tensor `name` is a function of both (`draw` below), which the
test computes too. `logits` are those of the last `rows` positions of ids[0], f32, in eval mode.
`greedy` are 64 tokens after ids[0][:12], each the best of a whole pass, and `gaps` the distance of
the second best. `losses` are those of 20 steps of AdamW (OPTIMIZER, on all parameters, no dropout)
on the batch `ids`, each the mean next-token cross-entropy before its step. All is float32.
"""

import argparse
import json
import pathlib
import shutil

import numpy
import torch
import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

torch.set_num_threads(1)

BATCH, TIME, ROWS, PROMPT, ANSWER, STEPS = 2, 24, 8, 12, 64, 20
OPTIMIZER = dict(lr=1e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)

SIZES = dict(
    vocab_size=61, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=96, bos_token_id=1, eos_token_id=2,
    pad_token_id=None, attention_dropout=0.0,
)
LLAMA3 = dict(rope_type="llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=32, rope_theta=10000.0)
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=24, rope_theta=10000.0)
LISTS = dict(short_factor=[1.0, 1.1, 1.2, 1.3], long_factor=[1.0, 1.5, 2.5, 4.0])
LONGROPE = dict(rope_type="longrope", rope_theta=10000.0, **LISTS)
SLIDING, FULL = "sliding_attention", "full_attention"

# Sizes that a class spells in its own way, or derives.
OTHER_SPELLINGS = {
    "gpt2": ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
             "num_key_value_heads", "max_position_embeddings", "pad_token_id",
             "attention_dropout"),
    "gpt_neox": ("num_key_value_heads",),
    "falcon": ("intermediate_size", "num_key_value_heads"),
}

# name: (model type, keys)
CASES = {
    "llama_linear": ("llama", dict(rope_parameters=dict(
        rope_type="linear", factor=3.0, rope_theta=10000.0))),
    "llama_llama3_biases": ("llama", dict(
        rope_parameters=LLAMA3, attention_bias=True, mlp_bias=True, tie_word_embeddings=True)),
    "llama_yarn": ("llama", dict(rope_parameters=YARN, head_dim=16)),
    "llama_dynamic": ("llama", dict(rope_parameters=dict(
        rope_type="dynamic", factor=2.0, rope_theta=10000.0))),
    "mistral": ("mistral", dict(sliding_window=8, head_dim=16)),
    "qwen2": ("qwen2", dict(tie_word_embeddings=True)),
    "qwen2_windows": ("qwen2", dict(
        use_sliding_window=True, sliding_window=8, max_window_layers=1)),
    "qwen3_windows": ("qwen3", dict(
        head_dim=16, use_sliding_window=True, sliding_window=8,
        layer_types=[FULL, SLIDING, FULL])),
    "smollm3": ("smollm3", dict(no_rope_layers=[1, 1, 0], no_rope_layer_interval=3)),
    "phi3": ("phi3", dict(sliding_window=9)),
    "phi3_partial": ("phi3", dict(
        tie_word_embeddings=True,
        rope_parameters=dict(rope_type="default", rope_theta=10000.0, partial_rotary_factor=0.5))),
    # 12 tokens and more are beyond 8, so that the long factors serve every pass.
    "phi3_longrope": ("phi3", dict(
        rope_parameters=dict(LONGROPE, original_max_position_embeddings=8),
        original_max_position_embeddings=8)),
    "phi3_longrope_short": ("phi3", dict(
        rope_parameters=dict(LONGROPE, original_max_position_embeddings=96, attention_factor=1.25),
        original_max_position_embeddings=96)),
    # Six of eight features rotate, with factors for long contexts and a factor on attention.
    "phi4_mini": ("phi3", dict(
        tie_word_embeddings=True, rope_parameters=dict(
            rope_type="longrope", rope_theta=10000.0, partial_rotary_factor=0.75,
            short_factor=[1.0, 1.2, 1.3], long_factor=[1.0, 2.0, 5.0],
            original_max_position_embeddings=8),
        original_max_position_embeddings=8)),
    "gemma": ("gemma", dict(head_dim=16)),
    "gemma2": ("gemma2", dict(
        head_dim=16, query_pre_attn_scalar=24, sliding_window=8, final_logit_softcapping=3.0,
        attn_logit_softcapping=2.0)),
    "gemma3": ("gemma3_text", dict(
        head_dim=16, query_pre_attn_scalar=16, sliding_window=8,
        layer_types=[SLIDING, SLIDING, FULL], rope_parameters={
            SLIDING: dict(rope_type="default", rope_theta=100.0),
            FULL: dict(rope_type="linear", factor=4.0, rope_theta=10000.0)})),
    "olmo2": ("olmo2", {}),
    "granite": ("granite", dict(
        embedding_multiplier=3.0, logits_scaling=2.0, residual_multiplier=0.4,
        attention_multiplier=0.2, tie_word_embeddings=True)),
    "stablelm": ("stablelm", dict(use_qkv_bias=True, rope_parameters=dict(
        rope_type="default", rope_theta=10000.0, partial_rotary_factor=0.5))),
    "stablelm_parallel": ("stablelm", dict(use_parallel_residual=True, rope_parameters=dict(
        rope_type="default", rope_theta=10000.0, partial_rotary_factor=0.25))),
    "stablelm_yarn": ("stablelm", dict(rope_parameters=dict(YARN, partial_rotary_factor=0.5))),
    "stablelm_qk_norm": ("stablelm", dict(
        qk_layernorm=True, use_parallel_residual=True, rope_parameters=dict(
            rope_type="default", rope_theta=10000.0, partial_rotary_factor=0.25))),
    "gpt2": ("gpt2", dict(
        n_embd=32, n_layer=3, n_head=4, n_positions=96, resid_pdrop=0.0, embd_pdrop=0.0,
        attn_pdrop=0.0)),
    "gpt_neox": ("gpt_neox", dict(rope_parameters=dict(
        rope_type="default", rope_theta=10000.0, partial_rotary_factor=0.25))),
    "gpt_neox_sequential": ("gpt_neox", dict(
        use_parallel_residual=False, attention_bias=False, rope_parameters=dict(
            rope_type="default", rope_theta=10000.0, partial_rotary_factor=1.0))),
    "falcon_7b": ("falcon", dict(multi_query=True, parallel_attn=True, bias=False)),
    "falcon_grouped": ("falcon", dict(
        new_decoder_architecture=True, num_kv_heads=2, bias=False)),
    "falcon_sequential": ("falcon", dict(
        multi_query=False, parallel_attn=False, bias=True, tie_word_embeddings=False)),
    "cohere": ("cohere", dict(logit_scale=0.25)),
    "cohere_qk_norm": ("cohere", dict(logit_scale=0.25, use_qk_norm=True)),
    "cohere2": ("cohere2", dict(
        logit_scale=0.5, sliding_window=8, head_dim=16, layer_types=[SLIDING, SLIDING, FULL])),
}


def draw(name, shape):
    """Uniform numbers: SplitMix64 of FNV-1a of the name plus (index + 1) times the golden ratio."""
    with numpy.errstate(over="ignore"):
        key = numpy.uint64(0xCBF29CE484222325)
        for byte in name.encode():
            key = (key ^ numpy.uint64(byte)) * numpy.uint64(0x100000001B3)
        count = int(numpy.prod(shape))
        index = numpy.arange(1, count + 1, dtype=numpy.uint64)
        z = key + index * numpy.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        z = z ^ (z >> numpy.uint64(31))
    unit = (z >> numpy.uint64(40)).astype(numpy.float64) / 2**24
    if name.endswith(".bias"):
        values = 0.5 * (unit - 0.5)
    elif len(shape) == 1:
        values = 0.75 + 0.5 * unit
    else:
        values = 0.75 * (unit - 0.5)
    return torch.from_numpy(values.astype(numpy.float32).reshape(shape))


def fill(model):
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(draw(name, tuple(weight.shape)))


def greedy(model, prompt):
    ids, answer, gaps = list(prompt), [], []
    for _ in range(ANSWER):
        with torch.no_grad():
            row = model(torch.tensor([ids]), use_cache=False).logits[0, -1]
        best = torch.topk(row, 2)
        answer.append(best.indices[0].item())
        gaps.append(float(f"{(best.values[0] - best.values[1]).item():.4g}"))
        ids.append(answer[-1])
    return answer, gaps


def losses(model, ids):
    optimizer = torch.optim.AdamW(model.parameters(), **OPTIMIZER)
    found = []
    for _ in range(STEPS):
        loss = model(ids, labels=ids, use_cache=False).loss
        found.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return found


def make(out, name):
    model_type, keys = CASES[name]
    others = OTHER_SPELLINGS.get(model_type, ())
    sizes = {key: value for key, value in SIZES.items() if key not in others}
    config = CONFIG_MAPPING[model_type](**{**sizes, **keys})
    config._attn_implementation = "eager"
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    model = model.float().eval()
    fill(model)
    directory = out / name
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    config.architectures = [type(model).__name__]
    config.save_pretrained(directory)

    generator = numpy.random.default_rng(7)
    ids = torch.tensor(generator.integers(0, SIZES["vocab_size"], (BATCH, TIME)).tolist())
    with torch.no_grad():
        logits = model(ids[:1], use_cache=False).logits[0, -ROWS:]
    answer, gaps = greedy(model, ids[0, :PROMPT].tolist())
    expected = {
        "tensors": {name: list(weight.shape) for name, weight in model.named_parameters()},
        "ids": ids.tolist(),
        "rows": ROWS,
        "logits": [[float(f"{x:.8g}") for x in row] for row in logits.tolist()],
        "greedy": answer,
        "gaps": gaps,
        "losses": losses(model, ids),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }
    (directory / "expected.json").write_text(json.dumps(expected) + "\n")
    size = sum(path.stat().st_size for path in directory.iterdir())
    print(f"{name}: std {logits.std().item():.3f}, losses {expected['losses'][0]:.4f} to "
          f"{expected['losses'][-1]:.4f}, {len(set(answer))} tokens, {size} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    for name in CASES:
        if name.startswith(options.only):
            make(options.out, name)


if __name__ == "__main__":
    main()
