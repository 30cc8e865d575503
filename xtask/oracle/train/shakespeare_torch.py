"""Trains exported models with PyTorch on exported batches, to be compared with Stoa step by step.

Each DIR is one exported run (one seed). Everything random is in its files, so both programs see
the same weights, the same tokens in the same order, and the same rates:

  config.json, model.safetensors   initial weights in Hugging Face form (Llama or Qwen3), f32
  tokens.bin                       token ids, little-endian, u16 or u32 as run.json says
  batches.bin                      u32 little-endian [steps, batch]: where each sequence starts;
                                   it is tokens[start .. start + time + 1], inputs and targets
                                   shifted by one
  evaluation.bin                   optional, u32 little-endian [n]: starts of held-out sequences
  run.json                         {
      "token_bytes": 2, "steps": 500, "batch": 16, "time": 128,
      "lr": [500 numbers],         the schedule: multiplied by a group's lr
      "momentum": [500 numbers],   only when a group is muon
      "max_norm": 1.0 or null,     clip_grad_norm_ over all gradients
      "evaluate_every": 100,       steps between held-out losses (also after the last step)
      "groups": [                  the first whose pattern (a regular expression) is found in a
        {"pattern": "embed_tokens|lm_head|norm",             tensor's name takes it
         "kind": "adamw", "lr": 1.0, "beta1": 0.9, "beta2": 0.95, "eps": 1e-8,
         "weight_decay": 0.0},
        {"pattern": "", "kind": "muon", "lr": 0.02, "weight_decay": 0.1, "iterations": 5}
      ]
    }
  losses.json                      optional, Stoa's side: {"loss": [...], "evaluation": [...]}

The loss of a step is the mean cross-entropy of its batch before the update. Arithmetic is f32, in
another order than ours, so the curves agree closely at first and then part as two seeds would:
compare the first steps number by number, the last ones as means over steps and seeds.

Definitions of the optimizers: see ../models/golden_optimizers.py. torch.optim.AdamW is used as it
is; Muon is written here in f32 with Polar Express, because PyTorch's iterates in bfloat16 with the
older coefficients.

Writes DIR/losses.torch.json; the last line of stdout is one JSON object with a "runs" list and,
where every DIR has losses.json, the comparison averaged over runs.
"""

import argparse
import json
import math
import pathlib
import re
import statistics
import sys
import time

import numpy as np
import torch
from transformers import AutoModelForCausalLM

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "models"))
from golden_optimizers import polar_express  # noqa: E402

# Steps compared number by number, and steps whose mean is compared.
FIRST, LAST = 20, 100
# How far apart, in nats, is one training and not another. Losses near 7 in f32 are exact to 5e-7, and
# twenty updates magnify rounding a little; a wrong rate, decay or momentum shows by 1e-3 within ten
# steps. The last steps, averaged over seeds, part by rounding alone: two seeds differ by 0.02.
FIRST_TOLERANCE, LAST_TOLERANCE = 1e-4, 0.005


class Muon:
    """Nesterov momentum, orthogonalised by Polar Express, for matrices."""

    def __init__(self, parameters, lr, weight_decay, iterations):
        self.parameters, self.lr, self.weight_decay = parameters, lr, weight_decay
        self.coefficients = polar_express(iterations)
        self.buffers = [torch.zeros_like(p) for p in parameters]

    @torch.no_grad()
    def step(self, lr, momentum):
        for p, buffer in zip(self.parameters, self.buffers):
            buffer.lerp_(p.grad, 1 - momentum)
            u = p.grad.lerp(buffer, momentum)
            tall = u.size(0) > u.size(1)
            x = u.T if tall else u
            x = x / (1.02 * x.norm() + 1e-6)
            for a, b, c in self.coefficients:
                gram = x @ x.T
                x = a * x + (b * gram + c * gram @ gram) @ x
            u = x.T if tall else x
            rate = lr * self.lr
            scale = math.sqrt(max(1.0, p.size(0) / p.size(1)))
            p.mul_(1 - rate * self.weight_decay).sub_(u, alpha=rate * scale)


def make_optimizers(model, groups):
    members = [[] for _ in groups]
    for name, p in model.named_parameters():
        index = next((i for i, g in enumerate(groups) if re.search(g["pattern"], name)), None)
        if index is None:
            raise SystemExit(f"no group of run.json takes the tensor {name}")
        members[index].append(p)
    adamw, muons = [], []
    for group, parameters in zip(groups, members):
        if not parameters:
            continue
        if group["kind"] == "muon":
            muons.append(Muon(parameters, group["lr"], group["weight_decay"], group["iterations"]))
        elif group["kind"] == "adamw":
            adamw.append(dict(
                params=parameters, base_lr=group["lr"], betas=(group["beta1"], group["beta2"]),
                eps=group["eps"], weight_decay=group["weight_decay"]))
        else:
            raise SystemExit(f"unknown kind of optimizer: {group['kind']}")
    return torch.optim.AdamW(adamw, fused=True) if adamw else None, muons


def sequences(tokens, starts, length):
    rows = np.stack([tokens[start:start + length + 1] for start in starts]).astype(np.int64)
    rows = torch.from_numpy(rows)
    return rows[:, :-1], rows[:, 1:]


def batch_loss(model, inputs, targets):
    logits = model(input_ids=inputs, use_cache=False).logits
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


@torch.no_grad()
def evaluate(model, tokens, starts, run):
    losses = []
    for first in range(0, len(starts), run["batch"]):
        part = starts[first:first + run["batch"]]
        losses.append((batch_loss(model, *sequences(tokens, part, run["time"])).item(), len(part)))
    return sum(loss * count for loss, count in losses) / len(starts)


def train(directory):
    run = json.loads((directory / "run.json").read_text())
    dtype = {2: "<u2", 4: "<u4"}[run["token_bytes"]]
    tokens = np.fromfile(directory / "tokens.bin", dtype)
    starts = np.fromfile(directory / "batches.bin", "<u4").reshape(run["steps"], run["batch"])
    held_out = directory / "evaluation.bin"
    held_out = np.fromfile(held_out, "<u4") if held_out.exists() else np.empty(0, "<u4")
    for name, found in (("batches.bin", starts), ("evaluation.bin", held_out)):
        if found.size and int(found.max()) + run["time"] + 1 > len(tokens):
            raise SystemExit(f"{directory / name}: a sequence ends after the last token")

    model = AutoModelForCausalLM.from_pretrained(
        directory, dtype=torch.float32, attn_implementation="sdpa").train()
    optimizer, muons = make_optimizers(model, run["groups"])
    result = dict(loss=[], gradient_norm=[], evaluation=[])
    began = time.perf_counter()
    for step in range(run["steps"]):
        loss = batch_loss(model, *sequences(tokens, starts[step], run["time"]))
        model.zero_grad(set_to_none=True)
        loss.backward()
        limit = math.inf if run["max_norm"] is None else run["max_norm"]
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), limit)
        if optimizer:
            for group in optimizer.param_groups:
                group["lr"] = run["lr"][step] * group["base_lr"]
            optimizer.step()
        for muon in muons:
            muon.step(run["lr"][step], run["momentum"][step])
        result["loss"].append(loss.item())
        result["gradient_norm"].append(norm.item())
        done = step + 1
        if len(held_out) and (done % run["evaluate_every"] == 0 or done == run["steps"]):
            result["evaluation"].append([done, evaluate(model, tokens, held_out, run)])
        if done % 50 == 0:
            print(f"{directory.name}: step {done} loss {loss.item():.4f}", file=sys.stderr,
                  flush=True)
    result["seconds"] = time.perf_counter() - began
    (directory / "losses.torch.json").write_text(json.dumps(result) + "\n")
    return result


def compare(ours, torchs):
    """How far two curves are apart, in nats."""
    pairs = list(zip(ours["loss"], torchs["loss"], strict=True))
    comparison = {
        f"first_{FIRST}_max_difference": max(abs(a - b) for a, b in pairs[:FIRST]),
        f"last_{LAST}_mean_stoa": statistics.fmean(a for a, _ in pairs[-LAST:]),
        f"last_{LAST}_mean_torch": statistics.fmean(b for _, b in pairs[-LAST:]),
    }
    if ours.get("evaluation") and torchs["evaluation"]:
        comparison["evaluation_stoa"] = ours["evaluation"][-1][1]
        comparison["evaluation_torch"] = torchs["evaluation"][-1][1]
    return comparison


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directories", nargs="+", type=pathlib.Path, metavar="DIR")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    runs, comparisons = [], []
    for directory in options.directories:
        result = train(directory)
        runs.append(dict(directory=directory.name, first_loss=result["loss"][0],
                         last_loss=statistics.fmean(result["loss"][-LAST:]),
                         evaluation=result["evaluation"], seconds=result["seconds"]))
        ours = directory / "losses.json"
        if ours.exists():
            comparisons.append(compare(json.loads(ours.read_text()), result))
            runs[-1]["comparison"] = comparisons[-1]
    summary = dict(torch=torch.__version__, runs=runs)
    if len(comparisons) == len(runs):
        keys = set.intersection(*(set(c) for c in comparisons))
        summary["mean_over_runs"] = {
            key: statistics.fmean(c[key] for c in comparisons) for key in sorted(keys)}
    print(json.dumps(summary))
    apart = summary.get("mean_over_runs")
    if apart:
        first = max(c[f"first_{FIRST}_max_difference"] for c in comparisons)
        last = abs(apart[f"last_{LAST}_mean_stoa"] - apart[f"last_{LAST}_mean_torch"])
        if not (first < FIRST_TOLERANCE and last < LAST_TOLERANCE):
            raise SystemExit(
                f"the curves part: first {FIRST} steps by {first:.1e} (allowed {FIRST_TOLERANCE:.0e}), "
                f"mean of the last {LAST} by {last:.4f} (allowed {LAST_TOLERANCE})")


if __name__ == "__main__":
    main()
