"""Makes the golden tokenizers and ids that `crates/tokens/tests/golden.rs` compares with.

usage: golden.py DIRECTORY

DIRECTORY holds `texts.json` (written by hand) and `stoa.json`, `stoa.ranks` (trained by Stoa on
those texts; see docs/tokens.md). The script trains small tokenizers with `tokenizers` in the
styles of published ones, saves them as STYLE.json, and writes ids.json: for each tokenizer the
ids of every text as plain text ("text", special tokens not looked for) and as a document
("document", special tokens and template). `tiktoken` gives those of rank files. Needs
tokenizers==0.23.3 and tiktoken==0.14.0.
"""

import base64
import json
import os
import sys

import tiktoken
from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers
from tokenizers import pre_tokenizers as pre
from tokenizers import processors
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}" + TAIL
QWEN2 = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + TAIL
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
O200K = "|".join(
    [
        r"[^\r\n\p{L}\p{N}]?" + UPPER + "*" + LOWER + "+" + CONTRACTIONS + "?",
        r"[^\r\n\p{L}\p{N}]?" + UPPER + "+" + LOWER + "*" + CONTRACTIONS + "?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)


def split(regex):
    """A pre-tokeniser as Llama 3's and Qwen's files have it."""
    level = pre.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre.Sequence([pre.Split(Regex(regex), "isolated"), level])


def train(texts, pre_tokenizer, normalizer=None, special=()):
    """A small tokenizer trained by `tokenizers`."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.train_from_iterator(
        texts,
        BpeTrainer(
            vocab_size=400,
            special_tokens=list(special),
            initial_alphabet=pre.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return tokenizer


def gpt2(texts):
    """A space before every text, the special token first in the vocabulary."""
    return train(texts, pre.ByteLevel(add_prefix_space=True), special=["<|endoftext|>"])


def llama3(texts):
    """Whole tokens before merges, and a template that puts a BOS before documents."""
    tokenizer = train(texts, split(LLAMA3))
    tokenizer.add_special_tokens(["<|begin_of_text|>", "<|endoftext|>"])
    bos = tokenizer.token_to_id("<|begin_of_text|>")
    template = processors.TemplateProcessing(
        single="<|begin_of_text|> $A",
        pair="<|begin_of_text|> $A <|begin_of_text|> $B",
        special_tokens=[("<|begin_of_text|>", bos)],
    )
    level = processors.ByteLevel(trim_offsets=False)
    tokenizer.post_processor = processors.Sequence([level, template])
    file = json.loads(tokenizer.to_str())
    file["model"]["ignore_merges"] = True
    # In place of the longest token, which no other is made of, one that no merge leads to: only
    # a whole piece can be it.
    vocab = file["model"]["vocab"]
    vocab["ĠMcDonald"] = vocab.pop(min(vocab, key=lambda token: (-len(token), token)))
    file["model"]["merges"] = [m for m in file["model"]["merges"] if "".join(m) in vocab]
    return Tokenizer.from_str(json.dumps(file))


def qwen2(texts):
    """NFC, special and ordinary added tokens with every flag."""
    tokenizer = train(texts, split(QWEN2), normalizers.NFC())
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tokenizer.add_tokens(
        [
            AddedToken("<tool>", normalized=False),
            AddedToken("<mask>", lstrip=True, rstrip=True, normalized=False),
            AddedToken("cat", single_word=True, normalized=False),
            AddedToken("e\u0301<norm>", normalized=True),
        ]
    )
    return tokenizer


def o200k(texts):
    """Words split where case changes."""
    return train(texts, split(O200K))


def read_ranks(path):
    """A tiktoken rank file."""
    with open(path, "rb") as file:
        lines = (line.split() for line in file if line.strip())
        return {base64.b64decode(token): int(rank) for token, rank in lines}


def ids_of(tokenizer, texts):
    """Ids of all texts, as plain text and as documents."""
    tokenizer.encode_special_tokens = True
    plain = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
    tokenizer.encode_special_tokens = False
    return {"text": plain, "document": [tokenizer.encode(text).ids for text in texts]}


def main():
    directory = sys.argv[1]
    path = lambda name: os.path.join(directory, name)
    with open(path("texts.json"), encoding="utf-8") as file:
        texts = json.load(file)
    result = {"stoa.json": ids_of(Tokenizer.from_file(path("stoa.json")), texts)}
    encoding = tiktoken.Encoding(
        "stoa",
        pat_str=LLAMA3,
        mergeable_ranks=read_ranks(path("stoa.ranks")),
        special_tokens={},
    )
    result["stoa.ranks"] = {"text": [encoding.encode_ordinary(text) for text in texts]}
    for style in (gpt2, llama3, qwen2, o200k):
        name = f"{style.__name__}.json"
        style(texts).save(path(name), pretty=False)
        result[name] = ids_of(Tokenizer.from_file(path(name)), texts)
    with open(path("ids.json"), "w", encoding="utf-8") as file:
        file.write("{\n")
        rows = [
            f'"{name}": {{\n' + ",\n".join(f'"{k}": {json.dumps(v)}' for k, v in ids.items()) + "}"
            for name, ids in result.items()
        ]
        file.write(",\n".join(rows) + "\n}\n")


if __name__ == "__main__":
    main()
