"""Logits of saved models by `transformers`: an outside reader of what Stoa saves.

Loads each DIR (config.json, model.safetensors), refuses missing or unexpected tensors, and prints one JSON
object a line: {"model": ..., "class": ..., "ids": [...], "logits": [[...], ...], "loss": x}. Logits are
f32 [time, vocab]; the loss is the mean next-token cross-entropy of the ids.
"""

import argparse
import json

import torch
from transformers import AutoModelForCausalLM


def logits(directory, ids):
    model, loading = AutoModelForCausalLM.from_pretrained(
        directory, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    problems = {kind: sorted(map(str, names)) for kind, names in loading.items() if names}
    if problems:
        raise SystemExit(f"{directory}: tensors do not match the configuration: {problems}")
    model.eval()
    batch = torch.tensor([ids])
    with torch.no_grad():
        result = model(batch, labels=batch, use_cache=False)
    return {
        "model": directory,
        "class": type(model).__name__,
        "ids": ids,
        "logits": result.logits[0].tolist(),
        "loss": result.loss.item() if len(ids) > 1 else None,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "models", nargs="+", help="directories with config.json and model.safetensors")
    parser.add_argument("--ids", required=True, help="token ids, comma separated")
    options = parser.parse_args()
    ids = [int(word) for word in options.ids.split(",")]
    for model in options.models:
        print(json.dumps(logits(model, ids)), flush=True)


if __name__ == "__main__":
    main()
