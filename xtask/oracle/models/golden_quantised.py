"""Makes the golden values of block-quantised weights with ggml and `gguf`, its Python package.

Writes OUT/quantised.json and OUT/quantised_nested.json; with --check compares them with what it
would write. Each holds one list of float32 numbers in blocks, and for each type `blocks`, their bytes
in hexadecimal, and what the blocks stand for: `numbers`, or of the nested types, to keep the file
small, `fnv1a`, the 64-bit FNV-1a hash of the little-endian bytes of these numbers. The numbers have ties of rounding, equal
extremes of both signs, a block of zeros, one of subnormal scale and one with a single number.

`gguf` quantises to the types with blocks of 32. Those with blocks of 256 it can only read; their
blocks are made by a ggml library that --library names, and are otherwise taken from the file that is
there. It should be built with -ffp-contract=off, since products fused with sums round elsewhere.
"""

import argparse
import ctypes
import json
import pathlib
import sys

import gguf
import numpy as np
from gguf.quants import dequantize, quantize

NESTED = ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K")


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


def wide_numbers():
    """Blocks of 256 whose parts differ in size; few digits keep the file small."""
    draws = np.random.Generator(np.random.PCG64(9))
    blocks = []
    for scale in (1, 1e-2):
        parts = draws.standard_normal((16, 16)) * draws.uniform(0.1, 3, (16, 1))
        blocks.append(parts.ravel() * scale)
    positive = np.abs(draws.standard_normal(256)) + 0.5
    single = np.zeros(256)
    single[100] = -3.0
    halves = np.concatenate([np.zeros(128), draws.standard_normal(128)])
    blocks += [positive, single, halves, np.zeros(256), (np.arange(256) - 127.5) / 8]
    return np.round(np.stack(blocks), 3).astype(np.float32)


def library(path):
    ggml = ctypes.CDLL(str(path))
    ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
    ggml.ggml_quantize_chunk.argtypes = (
        [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p] + [ctypes.c_int64] * 3 + [ctypes.c_void_p]
    )

    def quantized(given, kind):
        elements, size = gguf.GGML_QUANT_SIZES[kind]
        blocks = np.zeros((given.shape[0], given.shape[1] // elements * size), dtype=np.uint8)
        where = [array.ctypes.data_as(ctypes.c_void_p) for array in (given, blocks)]
        size = ggml.ggml_quantize_chunk(int(kind), *where, 0, *given.shape, None)
        assert size == blocks.size
        return blocks

    return quantized


def fnv1a(numbers):
    hashed = 0xCBF29CE484222325
    for byte in numbers.astype("<f4").tobytes():
        hashed = (hashed ^ byte) * 0x100000001B3 % 2**64
    return f"{hashed:016x}"


def golden(given, names, quantized, meaning):
    # The shortest decimals that read as the same float32.
    made = {"given": [float(str(x)) for x in given.ravel()]}
    for name in names:
        kind = gguf.GGMLQuantizationType[name]
        blocks = quantized(given, kind)
        made[name.lower()] = {"blocks": blocks.tobytes().hex()}
        made[name.lower()] |= meaning(dequantize(blocks, kind).ravel())
    return json.dumps(made, indent=1) + "\n"


def stored(path):
    """The blocks of the file that is there, where no library makes them."""
    found = json.loads(path.read_text())

    def quantized(given, kind):
        blocks = bytes.fromhex(found[kind.name.lower()]["blocks"])
        return np.frombuffer(blocks, dtype=np.uint8).reshape(given.shape[0], -1)

    return quantized


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--library", type=pathlib.Path, help="libggml-base.so")
    options = parser.parse_args()
    nested = options.out / "quantised_nested.json"
    made_nested = library(options.library) if options.library else stored(nested)
    files = {
        options.out / "quantised.json": golden(
            numbers(),
            ("Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"),
            quantize,
            lambda x: {"numbers": [float(str(number)) for number in x]},
        ),
        nested: golden(wide_numbers(), NESTED, made_nested, lambda x: {"fnv1a": fnv1a(x)}),
    }
    for path, text in files.items():
        if options.check:
            if path.read_text() != text:
                sys.exit(f"{path} differs")
        else:
            path.write_text(text)
