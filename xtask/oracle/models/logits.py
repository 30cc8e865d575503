"""Logits of a saved model by `transformers`: an outside reader of what Stoa saves.

Loads DIR (config.json, model.safetensors; Llama or Qwen3), refuses missing or unexpected tensors,
and prints one JSON object: {"class": ..., "ids": [...], "logits": [[...], ...], "loss": x}. Logits
are f32 [time, vocab]; the loss is the mean next-token cross-entropy of the ids.
"""

import argparse
import json

import torch
from transformers import AutoModelForCausalLM


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="directory with config.json and model.safetensors")
    parser.add_argument("--ids", required=True, help="token ids, comma separated")
    options = parser.parse_args()
    ids = [int(word) for word in options.ids.split(",")]

    model, loading = AutoModelForCausalLM.from_pretrained(
        options.model, dtype=torch.float32, output_loading_info=True)
    problems = {kind: sorted(map(str, names)) for kind, names in loading.items() if names}
    if problems:
        raise SystemExit(f"{options.model}: tensors do not match the configuration: {problems}")
    model.eval()
    batch = torch.tensor([ids])
    with torch.no_grad():
        result = model(batch, labels=batch)
    print(json.dumps({
        "class": type(model).__name__,
        "ids": ids,
        "logits": result.logits[0].tolist(),
        "loss": result.loss.item() if len(ids) > 1 else None,
    }))


if __name__ == "__main__":
    main()
