"""What `transformers` draws: greedy continuations of a tiny random model, and the distributions its
logits processors leave.

Usage: golden_generation.py GOLDEN_DIRECTORY

Writes GOLDEN_DIRECTORY/generation/:
  config.json, model.safetensors   a random Qwen3 (vocab 300, grouped heads, QK-norm)
  generated.json                   [{"prompt", "repetition_penalty", "ids"}]: `generate` without
                                   sampling and without an end token
  distributions.json               [{"logits", "prompt", settings..., "probabilities"}]: softmax of
                                   the logits after repetition penalty, temperature, top-k, top-p,
                                   min-p in the order of `generate`, in float64
Needs torch. Same seeds, same bytes, for one version of PyTorch.
"""

import json
import pathlib
import sys

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM
from transformers.generation import logits_process

VOCAB = 300


def make_model(out):
    """A random model whose logits are far apart, so that rounding does not change greedy ids."""
    config = Qwen3Config(
        vocab_size=VOCAB, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=8, max_position_embeddings=64,
        rms_norm_eps=1e-6, rope_theta=10000.0, tie_word_embeddings=False,
        bos_token_id=None, eos_token_id=None, pad_token_id=0,
    )
    model = Qwen3ForCausalLM(config).eval()
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for _, weight in sorted(model.named_parameters()):
            draw = torch.randn(weight.shape, generator=generator)
            weight.copy_(1 + 0.2 * draw if weight.dim() == 1 else 0.3 * draw)
    model.save_pretrained(out)
    (out / "generation_config.json").unlink(missing_ok=True)
    return model


def generated(model):
    cases = []
    generator = torch.Generator().manual_seed(12)
    for length, penalty in [(1, 1.0), (7, 1.0), (30, 1.0), (7, 1.3), (20, 0.7)]:
        prompt = torch.randint(0, VOCAB, (1, length), generator=generator)
        ids = model.generate(
            prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=24,
            repetition_penalty=penalty,
        )
        cases.append({
            "prompt": prompt[0].tolist(), "repetition_penalty": penalty,
            "ids": ids[0, length:].tolist(),
        })
    return cases


def distributions():
    cases = []
    generator = torch.Generator().manual_seed(13)
    settings = [
        (1.0, 1.0, 0, 1.0, 0.0), (1.0, 0.7, 10, 1.0, 0.0), (1.0, 1.3, 0, 0.8, 0.0),
        (1.0, 1.0, 0, 1.0, 0.1), (1.5, 0.9, 20, 0.9, 0.02), (0.8, 0.5, 5, 0.5, 0.2),
        (1.2, 2.0, 40, 0.95, 0.05), (1.0, 1.0, 1, 1.0, 0.0), (1.0, 1.0, 0, 0.05, 0.0),
    ]
    for penalty, temperature, top_k, top_p, min_p in settings:
        # Exact in float32, so that both sides see the same numbers.
        logits = (torch.randn(1, 60, generator=generator) * 3).float()
        prompt = torch.randint(0, 60, (1, 12), generator=generator)
        processors = []
        if penalty != 1.0:
            processors.append(logits_process.RepetitionPenaltyLogitsProcessor(penalty))
        if temperature != 1.0:
            processors.append(logits_process.TemperatureLogitsWarper(temperature))
        if top_k:
            processors.append(logits_process.TopKLogitsWarper(top_k))
        if top_p < 1.0:
            processors.append(logits_process.TopPLogitsWarper(top_p))
        if min_p > 0.0:
            processors.append(logits_process.MinPLogitsWarper(min_p))
        scores = logits.double()
        for processor in processors:
            scores = processor(prompt, scores)
        cases.append({
            "logits": logits[0].tolist(), "prompt": prompt[0].tolist(),
            "repetition_penalty": penalty, "temperature": temperature, "top_k": top_k,
            "top_p": top_p, "min_p": min_p,
            "probabilities": torch.softmax(scores, -1)[0].tolist(),
        })
    return cases


def main():
    out = pathlib.Path(sys.argv[1]) / "generation"
    out.mkdir(parents=True, exist_ok=True)
    model = make_model(out)
    for name, cases in [("generated", generated(model)), ("distributions", distributions())]:
        (out / f"{name}.json").write_text(json.dumps(cases) + "\n")


if __name__ == "__main__":
    main()
