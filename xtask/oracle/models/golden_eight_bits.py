"""Tiny Llama models whose matrices are stored in 8 bits with scales, as other tools write them, and what
`transformers` makes of the numbers that they stand for.

For each case a directory under OUT:
  config.json          with its `quantization_config`
  model.safetensors    written by the `safetensors` package from torch tensors
  expected.json        {"ids": [...], "logits": [[...]], "versions": {...}}

and OUT/codes.json: {"float8_e4m3fn": [256 numbers], "float8_e5m2": [...]}, each as torch converts the byte,
NaN and infinities as texts.

A matrix W becomes round(W / scale) in its type, and stands for that times the scale. Logits are those of
LlamaForCausalLM in f32 with matrices dequantised by torch here.
"""

import argparse
import json
import math
import pathlib
import shutil

import numpy
import torch
import transformers
from safetensors.torch import save_file

from golden_families import draw

IDS = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8]
BLOCK = 16
CONFIG = dict(
    vocab_size=40, hidden_size=40, intermediate_size=56, num_hidden_layers=1,
    num_attention_heads=5, num_key_value_heads=1, head_dim=8, max_position_embeddings=32,
    tie_word_embeddings=False, bos_token_id=1, eos_token_id=2, pad_token_id=None,
)


def compressed(kind, strategy, **more):
    weights = dict(num_bits=8, type=kind, strategy=strategy, symmetric=True, **more)
    return dict(
        quant_method="compressed-tensors", format=f"{kind}-quantized",
        quantization_status="compressed",
        config_groups=dict(group_0=dict(targets=["Linear"], weights=weights)), ignore=["lm_head"])


FP8_BLOCKS = dict(
    quant_method="fp8", fmt="e4m3", activation_scheme="dynamic",
    weight_block_size=[BLOCK, BLOCK])

# name: (element type, suffix of the scale, how many share one, what the configuration says)
CASES = {
    "fp8_blocks": (torch.float8_e4m3fn, "weight_scale_inv", "block", FP8_BLOCKS),
    "fp8_tensors": (torch.float8_e4m3fn, "weight_scale", "tensor", compressed("float", "tensor")),
    "fp8_rows": (torch.float8_e4m3fn, "weight_scale", "row", dict(quant_method="fbgemm_fp8")),
    "fp8_e5m2": (torch.float8_e5m2, "weight_scale", "tensor", dict(
        quant_method="modelopt", quant_algo="FP8")),
    "int8_rows": (torch.int8, "weight_scale", "row", compressed("int", "channel")),
    "int8_groups": (torch.int8, "weight_scale", "group", compressed(
        "int", "group", group_size=8)),
    "int8_shifted": (torch.int8, "weight_scale", "shifted", compressed("int", "channel")),
    "int8_bitsandbytes": (torch.int8, "SCB", "row", dict(
        quant_method="bitsandbytes", load_in_8bit=True)),
}


def spread(scale, rows, columns):
    """A scale for each element."""
    high, wide = math.ceil(rows / scale.shape[0]), math.ceil(columns / scale.shape[1])
    if scale.shape == (math.ceil(rows / BLOCK), math.ceil(columns / BLOCK)):
        high = wide = BLOCK
    wider = scale.repeat_interleave(high, 0).repeat_interleave(wide, 1)
    return wider[:rows, :columns]


def stored(weight, dtype, sharing):
    """The stored numbers, their scale, the shift if any, and what they stand for."""
    rows, columns = weight.shape
    largest = 127.0 if dtype == torch.int8 else torch.finfo(dtype).max
    parts = {
        "tensor": (1, 1), "row": (rows, 1), "shifted": (rows, 1), "group": (rows, columns // 8),
        "block": (math.ceil(rows / BLOCK), math.ceil(columns / BLOCK)),
    }[sharing]
    greatest = torch.zeros(parts)
    for i in range(parts[0]):
        for j in range(parts[1]):
            high = {"tensor": rows, "block": BLOCK}.get(sharing, 1)
            wide = {"group": 8, "block": BLOCK}.get(sharing, columns)
            part = weight[i * high:(i + 1) * high, j * wide:(j + 1) * wide]
            greatest[i, j] = part.abs().max()
    scale = greatest / largest
    shift = torch.zeros(parts)
    if sharing == "shifted":
        shift = torch.arange(rows, dtype=torch.float32).reshape(parts) % 5 - 2
    each = spread(scale, rows, columns)
    numbers = weight / each + spread(shift, rows, columns)
    if dtype == torch.int8:
        numbers = numbers.round().clamp(-128, 127)
    numbers = numbers.to(dtype)
    return numbers, scale, shift, (numbers.float() - spread(shift, rows, columns)) * each


def make(out, name):
    dtype, suffix, sharing, said = CASES[name]
    config = transformers.LlamaConfig(**CONFIG)
    model = transformers.LlamaForCausalLM._from_config(config, attn_implementation="eager")
    model = model.float().eval()
    tensors = {}
    with torch.no_grad():
        for full, weight in model.named_parameters():
            weight.copy_(draw(full, tuple(weight.shape)))
            if not full.endswith("proj.weight"):
                tensors[full] = weight.detach().clone()
                continue
            numbers, scale, shift, meant = stored(weight, dtype, sharing)
            weight.copy_(meant)
            tensors[full] = numbers
            stem = full[: -len("weight")]
            if suffix == "SCB":
                tensors[stem + "SCB"] = scale[:, 0] * 127.0
                tensors[stem + "weight_format"] = torch.tensor(0, dtype=torch.uint8)
            else:
                tensors[stem + suffix] = scale[0, 0] if sharing == "tensor" else scale
            if sharing == "shifted":
                tensors[stem + "weight_zero_point"] = shift.to(torch.int8)
            if name == "fp8_tensors":
                tensors[stem + "input_scale"] = torch.tensor(0.5)
        logits = model(torch.tensor([IDS])).logits[0]
    directory = out / name
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    keys = json.loads(config.to_json_string(use_diff=False))
    keys = {key: keys[key] for key in [*CONFIG, "model_type", "rms_norm_eps", "rope_parameters"]}
    keys.update(architectures=["LlamaForCausalLM"], torch_dtype="float32",
                quantization_config=said)
    (directory / "config.json").write_text(json.dumps(keys, indent=1) + "\n")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()},
              directory / "model.safetensors", metadata={"format": "pt"})
    expected = {
        "ids": IDS,
        "logits": [[float(f"{x:.8g}") for x in row] for row in logits.tolist()],
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }
    (directory / "expected.json").write_text(json.dumps(expected) + "\n")
    print(f"{name}: std {logits.std().item():.3f}")


def codes(dtype):
    numbers = torch.arange(256, dtype=torch.int32).to(torch.uint8).view(dtype).float().tolist()
    return [x if math.isfinite(x) else str(x) for x in numbers]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path)
    options = parser.parse_args()
    numpy.seterr(over="ignore")
    for name in CASES:
        make(options.out, name)
    all_codes = {str(dtype).split(".")[1]: codes(dtype)
                 for dtype in (torch.float8_e4m3fn, torch.float8_e5m2)}
    (options.out / "codes.json").write_text(json.dumps(all_codes) + "\n")


if __name__ == "__main__":
    main()
