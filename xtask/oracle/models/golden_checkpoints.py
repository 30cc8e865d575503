"""Makes tiny random Llama and Qwen3 checkpoints with `transformers`, and the logits it gives.

For each case a directory under OUT:
  config.json, model.safetensors   as `save_pretrained` writes them
  expected.json                    {"ids": [[...]], "logits": [[[...]]], "loss": x,
                                    "gradient_norms": {name: x}, "versions": {...}}
`ids` are [batch, time]; `logits` are f32 [batch, time, vocab] of the float32 model in eval mode;
`loss` is the mean next-token cross-entropy of `ids` (labels = ids, as transformers shifts them);
`gradient_norms` are the Frobenius norms of that loss's gradient for each named tensor, so that a
whole backward pass has an outside witness too. Loss and gradients are computed in float64, except
where transformers itself falls back to float32 (norms and rotary angles).

Weights are far larger than a usual initialisation (std 0.3, norm weights around 1), so that an
error anywhere shows in the logits. Same seeds, same bytes, for one version of PyTorch.
"""

import argparse
import json
import pathlib
import shutil

import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

SHARED = dict(
    vocab_size=97, hidden_size=32, intermediate_size=72, num_hidden_layers=2,
    max_position_embeddings=64, attention_bias=False, attention_dropout=0.0,
    bos_token_id=1, eos_token_id=2, pad_token_id=None,
)

# name: (configuration, model class, seed, whether to store bfloat16)
CASES = {
    "llama_grouped_untied": (
        LlamaConfig(**SHARED, num_attention_heads=4, num_key_value_heads=2, rms_norm_eps=1e-5,
                    rope_theta=10000.0, tie_word_embeddings=False, mlp_bias=False),
        LlamaForCausalLM, 1, False),
    "llama_tied_theta": (
        LlamaConfig(**SHARED, num_attention_heads=4, num_key_value_heads=4, rms_norm_eps=1e-6,
                    rope_theta=500000.0, tie_word_embeddings=True, mlp_bias=False),
        LlamaForCausalLM, 2, False),
    # Qwen3 has head_dim apart from hidden / heads: here 16 against 8.
    "qwen3_grouped_untied": (
        Qwen3Config(**SHARED, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
                    rms_norm_eps=1e-6, rope_theta=1000000.0, tie_word_embeddings=False),
        Qwen3ForCausalLM, 3, False),
    "qwen3_tied_bfloat16": (
        Qwen3Config(**SHARED, num_attention_heads=4, num_key_value_heads=1, head_dim=8,
                    rms_norm_eps=1e-6, rope_theta=10000.0, tie_word_embeddings=True),
        Qwen3ForCausalLM, 4, True),
}

BATCH, TIME = 2, 19


def randomise(model, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            draw = torch.randn(weight.shape, generator=generator)
            weight.copy_(1 + 0.2 * draw if weight.dim() == 1 else 0.3 * draw)


def make(out, name):
    config, model_class, seed, bfloat16 = CASES[name]
    torch.manual_seed(0)
    model = model_class(config).eval()
    randomise(model, seed)
    if bfloat16:
        # Stored in bfloat16, expected from the widened weights: arithmetic stays float32.
        model = model.to(torch.bfloat16)
    directory = out / name
    shutil.rmtree(directory, ignore_errors=True)
    model.save_pretrained(directory)
    (directory / "generation_config.json").unlink(missing_ok=True)
    # Read back rather than widened: `.to(bfloat16)` has rounded the rotary frequencies too.
    model = model_class.from_pretrained(directory, dtype=torch.float32).eval()

    generator = torch.Generator().manual_seed(100 + seed)
    ids = torch.randint(0, config.vocab_size, (BATCH, TIME), generator=generator)
    with torch.no_grad():
        logits = model(ids).logits
    exact = model.double()
    loss = exact(ids, labels=ids).loss
    loss.backward()
    expected = {
        "ids": ids.tolist(),
        "logits": [[[float(f"{x:.7g}") for x in row] for row in rows] for rows in logits.tolist()],
        "loss": loss.item(),
        "gradient_norms": {
            name: weight.grad.norm().item() for name, weight in exact.named_parameters()},
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }
    (directory / "expected.json").write_text(json.dumps(expected) + "\n")
    size = sum(path.stat().st_size for path in directory.iterdir())
    print(f"{name}: loss {loss.item():.4f}, {size} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name in CASES:
        make(options.out, name)


if __name__ == "__main__":
    main()
