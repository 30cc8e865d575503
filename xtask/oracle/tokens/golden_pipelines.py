"""Makes the golden ids of tokenizers with every part that is read, for
`crates/tokens/tests/pipelines.rs`.

usage: golden_pipelines.py DIRECTORY

DIRECTORY holds `texts.json` and `stoa.json` (see golden.py). The script trains `characters.json`,
a BPE of characters with ▁, bytes and an unknown token, and writes `pipelines.json`: cases that
each change some fields of one of the two files, with the ids that `tokenizers` gives to the texts
in the same file and the text that these ids decode to. Needs tokenizers==0.23.3.
"""

import json
import os
import sys

from tokenizers import Tokenizer, normalizers
from tokenizers import pre_tokenizers as pre
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

TEXTS = [
    "The mill opens at 7, and they'll sell  1234 loaves.",
    " l'été — ÀÉ ﬁn ½ ２３!! (Straße) «ça»",
    "東京タワー, ひらがな。 पानी ១២៣",
    "a\r\nb\n\n\tc  x_y e\u0301 <s> ... #hash @you\u00a0z",
    "👋🏽 İSTANBUL\u200b ok \u034b\u089b\u209e",
]

BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
GPT2 = {**BYTES, "use_regex": True}


def split(pattern, behavior="Isolated", invert=False):
    """A Split by an expression or, as a tuple of one, by a text."""
    kind = {"String": pattern[0]} if isinstance(pattern, tuple) else {"Regex": pattern}
    return {"type": "Split", "pattern": kind, "behavior": behavior, "invert": invert}


def sequence(*parts):
    """Pre-tokenisers one after the other."""
    return {"type": "Sequence", "pretokenizers": list(parts)}


def metaspace(scheme, splits):
    """A Metaspace part."""
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": splits}


def replace(what, content):
    """A Replace part."""
    kind = {"String": what[0]} if isinstance(what, tuple) else {"Regex": what}
    return {"type": "Replace", "pattern": kind, "content": content}


def normalizer(*parts):
    """Normalizers one after the other."""
    return {"/normalizer": {"type": "Sequence", "normalizers": list(parts)}}


def pre_tokenizer(*parts):
    """Pre-tokenisers one after the other, then bytes."""
    return {"/pre_tokenizer": sequence(*parts, BYTES)}


DIGITS = {"type": "Digits", "individual_digits": True}
BERT = {
    "type": "BertNormalizer",
    "clean_text": True,
    "handle_chinese_chars": True,
    "strip_accents": None,
    "lowercase": True,
}
DEEPSEEK = [
    split(r"\p{N}{1,3}"),
    split("[一-龥぀-ゟ゠-ヿ]+"),
    split(
        "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?"
        "[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"
    ),
]
# Each changes a byte-level tokenizer.
OF_BYTES = {
    "gpt2 with a space before": {"/pre_tokenizer": {**GPT2, "add_prefix_space": True}},
    "digits then gpt2": {"/pre_tokenizer": sequence(DIGITS, GPT2)},
    "runs of digits": pre_tokenizer({**DIGITS, "individual_digits": False}),
    "deepseek": pre_tokenizer(*DEEPSEEK),
    "falcon": {
        "/pre_tokenizer": sequence(
            {"type": "Punctuation", "behavior": "Contiguous"},
            GPT2,
            {"type": "Digits", "individual_digits": False},
            split("[0-9][0-9][0-9]"),
        )
    },
    "removed": pre_tokenizer(split(r"\s+", "Removed")),
    "words kept": pre_tokenizer(split(r"\w+", "Removed", True)),
    "with previous": pre_tokenizer(split(("e",), "MergedWithPrevious")),
    "with next": pre_tokenizer(split(r"[ae ]", "MergedWithNext")),
    "with next inverted": pre_tokenizer(split(r"\p{L}", "MergedWithNext", True)),
    "contiguous": pre_tokenizer(split(r"[a-m ]", "Contiguous")),
    "lines": pre_tokenizer(split(r"^.", "Isolated"), split(r".$", "Isolated")),
    "repeated repeats": pre_tokenizer(split(r"\p{L}{1,2}+|[[:punct:]]|\h{2}", "Isolated")),
    "a space before each": {
        "/pre_tokenizer": sequence(split(r"\w+"), {**BYTES, "add_prefix_space": True})
    },
    "punctuation": pre_tokenizer({"type": "Punctuation", "behavior": "Isolated"}),
    "whitespace": pre_tokenizer({"type": "Whitespace"}),
    "whitespace split": pre_tokenizer({"type": "WhitespaceSplit"}),
    "bert": {**pre_tokenizer({"type": "BertPreTokenizer"}), "/normalizer": BERT},
    "scripts": pre_tokenizer({"type": "UnicodeScripts"}),
    "delimiter": pre_tokenizer({"type": "CharDelimiterSplit", "delimiter": "e"}),
    "fixed length": pre_tokenizer({"type": "FixedLength", "length": 3}),
    "nfkc": normalizer({"type": "NFKC"}),
    "nfd without accents": normalizer({"type": "NFD"}, {"type": "StripAccents"}),
    "nfkd in lower case": normalizer({"type": "NFKD"}, {"type": "Lowercase"}),
    "stripped": normalizer({"type": "Strip", "strip_left": True, "strip_right": True}),
    "stripped at the right": normalizer({"type": "Strip", "strip_left": False, "strip_right": True}),
    "replaced": normalizer(replace(r"\s+", " "), replace(("l",), "LL")),
    "prepended": normalizer({"type": "Prepend", "prepend": "e"}),
    "nmt": normalizer({"type": "Nmt"}),
    "bytes by a normalizer": {
        **normalizer({"type": "NFC"}, {"type": "ByteLevel"}),
        "/pre_tokenizer": split("Ġ", "MergedWithNext"),
    },
    "ends of words": {"/model/end_of_word_suffix": "e", "/model/unk_token": "!"},
    "prefixes of parts": {"/model/continuing_subword_prefix": "e", "/model/merges": []},
    "whole pieces": {"/model/ignore_merges": True},
}
FALLBACK = [{"type": "ByteFallback"}, {"type": "Fuse"}]
# Each changes a tokenizer of characters.
OF_CHARACTERS = {
    "llama 2": {},
    "gemma": {
        "/normalizer": replace((" ",), "▁"),
        "/pre_tokenizer": split((" ",), "MergedWithPrevious"),
        "/decoder": {"type": "Sequence", "decoders": [replace(("▁",), " "), *FALLBACK]},
    },
    "metaspace first": {
        "/normalizer": None,
        "/pre_tokenizer": metaspace("first", True),
        "/decoder": metaspace("first", True),
    },
    "metaspace always": {
        "/normalizer": None,
        "/pre_tokenizer": sequence(split(r"\d"), metaspace("always", True)),
        "/decoder": metaspace("always", True),
    },
    "metaspace never": {
        "/normalizer": None,
        "/pre_tokenizer": metaspace("never", False),
        "/decoder": metaspace("never", False),
    },
    "unknown fused": {"/model/byte_fallback": False},
    "unknown one by one": {"/model/byte_fallback": False, "/model/fuse_unk": False},
    "left out": {"/model/byte_fallback": False, "/model/unk_token": None},
    "ends of words": {
        "/normalizer": {"type": "Lowercase"},
        "/pre_tokenizer": {"type": "WhitespaceSplit"},
        "/model/end_of_word_suffix": "e",
        "/decoder": {"type": "BPEDecoder", "suffix": "e"},
    },
}


def characters(texts):
    """A BPE of characters as Llama 2's file has it."""
    tokenizer = Tokenizer(BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    spaces = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    tokenizer.normalizer = normalizers.Sequence(spaces)
    tokenizer.pre_tokenizer = pre.Split("▁", "merged_with_next")
    names = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    alphabet = [c for c in sorted(set("".join(texts))) if ord(c) < 0x100]
    plain = ["".join(c for c in text if c in alphabet) for text in texts]
    trainer = BpeTrainer(
        vocab_size=len(names) + len(alphabet) + 120, special_tokens=names, show_progress=False
    )
    tokenizer.train_from_iterator(plain, trainer)
    file = json.loads(tokenizer.to_str())
    file["added_tokens"] = file["added_tokens"][:3]
    file["pre_tokenizer"] = None
    strip = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
    decoders = [replace(("▁",), " "), *FALLBACK, strip]
    file["decoder"] = {"type": "Sequence", "decoders": decoders}
    return file


def changed(file, changes):
    """A copy of a file with values at JSON pointers."""
    file = json.loads(json.dumps(file))
    for pointer, value in changes.items():
        *path, last = pointer.split("/")[1:]
        place = file
        for name in path:
            place = place[name]
        place[last] = value
    return file


def main():
    if len(sys.argv) != 2:
        return __doc__
    directory = sys.argv[1]

    def read(name):
        with open(os.path.join(directory, name), encoding="utf-8") as file:
            return json.load(file)

    texts = read("texts.json")
    bases = {"stoa.json": read("stoa.json"), "characters.json": characters(texts)}
    with open(os.path.join(directory, "characters.json"), "w", encoding="utf-8") as file:
        json.dump(bases["characters.json"], file, ensure_ascii=False, separators=(",", ":"))
        file.write("\n")
    cases = []
    for base, changes in (("stoa.json", OF_BYTES), ("characters.json", OF_CHARACTERS)):
        for name, change in changes.items():
            tokenizer = Tokenizer.from_str(json.dumps(changed(bases[base], change)))
            tokenizer.encode_special_tokens = True
            ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS]
            decoded = [tokenizer.decode(i, skip_special_tokens=False) for i in ids]
            case = {"name": name, "base": base, "set": change, "ids": ids, "decoded": decoded}
            cases.append(case)
    with open(os.path.join(directory, "pipelines.json"), "w", encoding="utf-8") as file:
        file.write('{"texts":' + json.dumps(TEXTS) + ',\n"cases":[\n')
        file.write(",\n".join(json.dumps(case, separators=(",", ":")) for case in cases))
        file.write("\n]}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
