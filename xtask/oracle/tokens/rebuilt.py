"""The `tokenizer.json` of a publisher, put together again from the tables of a GGUF file.

usage: rebuilt.py FILE.gguf OUT.json

A GGUF file holds a vocabulary and merges as they were published, and of the pipeline a name alone.
`PIPELINES` has, for some names of vocabularies, normalizer and pre-tokenizer as the publisher's own
`tokenizer.json` has them. Post-processors are left out: they put special tokens around a text.
"""

import json
import os
import sys

NFC = {"type": "NFC"}
NORMAL, UNKNOWN, CONTROL, USER_DEFINED = 1, 2, 3, 4


def byte_level(use_regex=True):
    return {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": use_regex,
    }


def sequence(*parts):
    return {"type": "Sequence", "pretokenizers": list(parts)}


def digits(individual):
    return {"type": "Digits", "individual_digits": individual}


def split(regex):
    pattern = {"Regex": regex}
    return {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False}


GPT2 = (None, byte_level())
NEOX = (NFC, byte_level())
DIGITS = (None, sequence(digits(True), byte_level()))
FALCON = (
    None,
    sequence(
        {"type": "Punctuation", "behavior": "Contiguous"},
        byte_level(),
        digits(False),
        split("[0-9][0-9][0-9]"),
    ),
)

# Normalizer and pre-tokenizer by what the name of the file holds.
PIPELINES = {
    "ggml-vocab-gpt-2": GPT2,
    "ggml-vocab-gpt-neox": NEOX,
    "ggml-vocab-mpt": NEOX,
    "ggml-vocab-starcoder": DIGITS,
    "ggml-vocab-refact": DIGITS,
    "ggml-vocab-command-r": (NFC, DIGITS[1]),
    "ggml-vocab-falcon": FALCON,
    "SmolLM2": DIGITS,
}


def pipeline(path):
    name = os.path.basename(path)
    return next((found for part, found in PIPELINES.items() if name.startswith(part)), None)


def is_known(path):
    """Whether the publisher's pipeline is known."""
    return pipeline(path) is not None


def tables(path):
    """What stands under `tokenizer.ggml` in a GGUF file."""
    from gguf import GGUFReader

    fields = GGUFReader(path).fields.items()
    start = "tokenizer.ggml."
    return {name[len(start) :]: field.contents() for name, field in fields if name.startswith(start)}


def write(path, out):
    """Writes the `tokenizer.json` of a GGUF file."""
    read = tables(path)
    tokens, kinds = read["tokens"], read.get("token_type") or [NORMAL] * len(read["tokens"])
    vocab, added = {}, []
    for id_, (token, kind) in enumerate(zip(tokens, kinds)):
        if kind in (UNKNOWN, CONTROL, USER_DEFINED):
            special = kind != USER_DEFINED
            added.append(
                {
                    "id": id_,
                    "content": token,
                    "single_word": False,
                    "lstrip": False,
                    "rstrip": False,
                    "normalized": not special,
                    "special": special,
                }
            )
        # Added tokens stand in the vocabulary too, else they get other ids.
        vocab.setdefault(token, id_)
    merges = []
    for merge in read["merges"]:
        # A token may itself be a space.
        cut = merge.index(" ", 1)
        pair = [merge[:cut], merge[cut + 1 :]]
        if all(part in vocab for part in (*pair, "".join(pair))):
            merges.append(pair)
    normalizer, pre_tokenizer = pipeline(path)
    model = {"type": "BPE", "vocab": vocab, "merges": merges}
    model |= {"dropout": None, "unk_token": None, "fuse_unk": False, "byte_fallback": False}
    file = {
        "version": "1.0",
        "added_tokens": added,
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": None,
        "decoder": byte_level(),
        "model": model,
    }
    with open(out, "w", encoding="utf-8") as written:
        json.dump(file, written)


if __name__ == "__main__":
    write(sys.argv[1], sys.argv[2])
