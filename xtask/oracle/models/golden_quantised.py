"""Makes the golden values of block-quantised weights with `gguf`, ggml's Python package.

Writes OUT/quantised.json; with --check compares OUT/quantised.json with what it would write. The
file holds one list of float32 numbers in blocks of 32, and for each type `blocks`, their bytes in
hexadecimal, and `numbers`, what the blocks stand for. The numbers have ties of rounding, equal
extremes of both signs, a block of zeros, one of subnormal scale and one with a single number.
"""

import argparse
import json
import pathlib
import sys

import gguf
import numpy as np
from gguf.quants import dequantize, quantize


def numbers():
    draws = np.random.Generator(np.random.PCG64(8))
    ties = np.arange(32, dtype=np.float32) - 15.5
    ties[0] = 127.0
    extremes = np.array([2.0, -2.0] * 16, dtype=np.float32)
    single = np.zeros(32, dtype=np.float32)
    single[17] = -3.0
    blocks = [draws.standard_normal(32).astype(np.float32) * scale for scale in (1, 1e-3, 40, 3e-6)]
    blocks += [ties, extremes, -extremes, single, np.zeros(32, dtype=np.float32)]
    return np.stack(blocks)


def golden():
    given = numbers()
    made = {"given": given.ravel().tolist()}
    for name in ("Q8_0", "Q4_0"):
        kind = gguf.GGMLQuantizationType[name]
        blocks = quantize(given, kind)
        back = dequantize(blocks, kind).ravel().tolist()
        made[name.lower()] = {"blocks": blocks.tobytes().hex(), "numbers": back}
    return json.dumps(made, indent=1) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    path = options.out / "quantised.json"
    if options.check:
        sys.exit(path.read_text() != golden())
    path.write_text(golden())
