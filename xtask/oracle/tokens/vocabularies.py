"""Holds the ids of published vocabularies, and the text they decode to, against the programs they
are made for.

usage: vocabularies.py --ours PROGRAM --texts FILE [--random N] [--every N] [--only NAME]
                       (--files DIRECTORY | --gguf DIRECTORY)

PROGRAM is the example `tokens_side` of stoa-tokens, FILE holds a text as JSON string a line, of
which every Nth is taken; N random strings of Unicode are added. DIRECTORY holds, at any depth,
`tokenizer.json` (read by `tokenizers`), `tekken*.json` (`tiktoken`), `*.model*` of SentencePiece
(`sentencepiece`), or with --gguf `ggml-vocab-*.gguf` (llama.cpp). Prints one JSON object a
vocabulary; fails if ids or text differ, which for llama.cpp is reported alone: its patterns are
adaptations of the published ones.
"""

import argparse
import base64
import json
import os
import random
import struct
import subprocess
import sys
import tempfile

# Characters that pipelines tell apart.
TELLING = (
    " \t\n\r\u00a0\u2003\u3000\u200b\u200d''sStTrevmlLdD0129½²Ⅷ٣ǅéÉßÀſ\u0301\u0308漢字カタひら한"
    "!?.,;:_-—()[]{}<|>/\\@#$%&*+=~`^👍🏽🇫🇷▁Ġ▁<s></s>\u0e01\u0e31\ufeff\ufffd"
)


def random_texts(count):
    """Strings of characters that pipelines tell apart, and of any others."""
    rng = random.Random(1)
    assigned = [c for c in map(chr, range(0x110000)) if not 0xD800 <= ord(c) < 0xE000]
    low = assigned[:0x3000]
    texts = []
    for _ in range(count):
        kinds = rng.choice([(TELLING,), (TELLING, low), (low,), (assigned,), (TELLING, assigned)])
        length = rng.randrange(1, 48)
        texts.append("".join(rng.choice(rng.choice(kinds)) for _ in range(length)))
    return texts


class Ours:
    """The program under test."""

    def __init__(self, program):
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([program], stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    def ask(self, **command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise ValueError(self.process.stderr.read().strip())
        return json.loads(answer)


def read_ids(path):
    """The ids that `tokens_side` wrote."""
    with open(path, "rb") as file:
        data = file.read()
    lists, at = [], 0
    while at < len(data):
        (count,) = struct.unpack_from("<I", data, at)
        lists.append(list(struct.unpack_from(f"<{count}I", data, at + 4)))
        at += 4 + 4 * count
    return lists


def of_hugging_face(path):
    """Ids and text by `tokenizers`, names of special tokens as text."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(path)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.encode_special_tokens = True

    def ids(texts):
        return [e.ids for e in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    return ids, lambda ids: tokenizer.decode_batch(ids, skip_special_tokens=False)


def of_tekken(path):
    """Ids by `tiktoken` as Mistral's own program has them."""
    import tiktoken

    with open(path, encoding="utf-8") as file:
        tekken = json.load(file)
    config = tekken["config"]
    special = config["default_num_special_tokens"]
    ranks = {
        base64.b64decode(token["token_bytes"]): token["rank"]
        for token in tekken["vocab"]
        if token["rank"] < config["default_vocab_size"] - special
    }
    encoding = tiktoken.Encoding(
        "tekken", pat_str=config["pattern"], mergeable_ranks=ranks, special_tokens={}
    )

    def ids(texts):
        return [[i + special for i in encoding.encode_ordinary(text)] for text in texts]

    return ids, lambda ids: [encoding.decode([i - special for i in text]) for text in ids]


def of_sentence_piece(path):
    """Ids by `sentencepiece`. It takes control tokens for text as ours does."""
    from sentencepiece import SentencePieceProcessor

    processor = SentencePieceProcessor(model_file=path)
    return processor.encode, None


def of_gguf(path, scratch):
    """Ids by llama.cpp; the tables as JSON for our side."""
    import llama_cpp
    from gguf import GGUFReader

    tables = {}
    for name, field in GGUFReader(path).fields.items():
        if name.startswith("tokenizer.ggml."):
            tables[name[len("tokenizer.ggml.") :]] = field.contents()
    out = os.path.join(scratch, "tables.json")
    with open(out, "w", encoding="utf-8") as file:
        json.dump(tables, file)
    model = llama_cpp.Llama(path, vocab_only=True, verbose=False)

    def ids(texts):
        return [model.tokenize(text.encode(), add_bos=False, special=False) for text in texts]

    return out, ids


def witnesses(args, scratch):
    """Name, command that loads it here, and the functions of its own program."""
    for directory, _, names in sorted(os.walk(args.gguf or args.files)):
        for name in sorted(names):
            path = os.path.join(directory, name)
            label = os.path.relpath(path, args.gguf or args.files)
            if args.only and args.only not in label:
                continue
            if args.gguf:
                if name.startswith("ggml-vocab-") and name.endswith(".gguf"):
                    yield label, lambda path=path: of_gguf(path, scratch)
            elif name == "tokenizer.json":
                yield label, lambda path=path: (path, *of_hugging_face(path))
            elif name.startswith("tekken") and name.endswith(".json"):
                yield label, lambda path=path: (path, *of_tekken(path))
            elif ".model" in name:
                yield label, lambda path=path: (path, *of_sentence_piece(path))


def first_difference(texts, ours, theirs):
    """How many differ, and the first."""
    different = [at for at, (a, b) in enumerate(zip(ours, theirs)) if a != b]
    if not different:
        return {"different": 0}
    at = min(different, key=lambda at: len(texts[at]))
    shown = {"text": texts[at], "ours": ours[at], "theirs": theirs[at]}
    return {"different": len(different), "shortest": shown}


def compare(args, texts, texts_path, scratch):
    """Compares every vocabulary; how many differ from their own program."""
    failed = 0
    for label, load in witnesses(args, scratch):
        ours = Ours(args.ours)
        path, ids, *decode = load()
        try:
            ours.ask(do="load", **{"tables" if args.gguf else "tokenizer": path})
        except ValueError as refusal:
            print(json.dumps({"vocabulary": label, "refused": str(refusal)}), flush=True)
            continue
        ours.ask(do="texts", path=texts_path)
        out = os.path.join(scratch, "ids")
        ours.ask(do="ids", out=out)
        mine, theirs = read_ids(out), ids(texts)
        result = {"vocabulary": label, "texts": len(texts)}
        result |= first_difference(texts, mine, theirs)
        failed += bool(result["different"]) and not args.gguf
        if decode and decode[0]:
            ours.ask(do="decode", out=out)
            with open(out, encoding="utf-8") as file:
                decoded = [json.loads(line) for line in file]
            result["decoded"] = first_difference(texts, decoded, decode[0](mine))
            failed += bool(result["decoded"]["different"])
        print(json.dumps(result), flush=True)
        ours.process.kill()
    return failed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ours", required=True)
    parser.add_argument("--texts")
    parser.add_argument("--random", type=int, default=20_000)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--only")
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--files")
    kind.add_argument("--gguf")
    args = parser.parse_args()
    texts = random_texts(args.random)
    if args.texts:
        with open(args.texts, encoding="utf-8") as file:
            taken = (line for at, line in enumerate(file) if at % args.every == 0)
            texts += list(dict.fromkeys(json.loads(line) for line in taken))
    with tempfile.TemporaryDirectory() as scratch:
        texts_path = os.path.join(scratch, "texts.jsonl")
        with open(texts_path, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(text) + "\n" for text in texts)
        failed = compare(args, texts, texts_path, scratch)
    return f"{failed} vocabularies differ from their own program" if failed else 0


if __name__ == "__main__":
    sys.exit(main())
