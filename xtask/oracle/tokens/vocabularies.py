"""Holds the ids of published vocabularies, and the text they decode to, against the programs they
are made for.

usage: vocabularies.py --ours PROGRAM --texts FILE [--random N] [--every N] [--only NAME…]
                       (--files DIRECTORY… | --gguf DIRECTORY)

PROGRAM is the example `tokens_side` of stoa-tokens, FILE holds a text as JSON string a line, of
which every Nth is taken, once each; N random strings of Unicode are added. DIRECTORY holds, at any
depth, `tokenizer.json` (read by `tokenizers`), `tekken*.json` (`tiktoken`), `*.model*` of
SentencePiece (`sentencepiece`) and GGUF files, from whose tables the `tokenizer.json` of the
publisher is put together again where its pipeline is known (see `rebuilt.py`). With --gguf they are
read by llama.cpp. Prints one JSON object a vocabulary; fails if ids or text differ, which for
llama.cpp is reported alone: its patterns are adaptations of the published ones.

Texts are taken some at a time, each part by both sides on all cores, so that memory does not grow
with them. What ids decode to is compared for the first part, which has the random strings.
"""

import argparse
import base64
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from array import array

import rebuilt

# Bytes of text that both sides take at a time.
PART_BYTES = 8 << 20

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
    """The ids that `tokens_side` wrote: for each text their number, then they, u32."""
    numbers = array("I")
    with open(path, "rb") as file:
        numbers.frombytes(file.read())
    lists, at = [], 0
    while at < len(numbers):
        end = at + 1 + numbers[at]
        lists.append(numbers[at + 1 : end])
        at = end
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

    def decode(ids):
        return tokenizer.decode_batch([list(i) for i in ids], skip_special_tokens=False)

    return ids, decode


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
        encoded = encoding.encode_ordinary_batch(texts, num_threads=os.cpu_count())
        return [[i + special for i in text] for text in encoded]

    return ids, lambda ids: [encoding.decode([i - special for i in text]) for text in ids]


def of_sentence_piece(path):
    """Ids by `sentencepiece`. It takes control tokens for text as ours does."""
    from sentencepiece import SentencePieceProcessor

    processor = SentencePieceProcessor(model_file=path)
    return lambda texts: processor.encode(texts, num_threads=os.cpu_count()), None


def of_gguf(path, scratch):
    """Ids by llama.cpp; the tables as JSON for our side."""
    import llama_cpp

    out = os.path.join(scratch, "tables.json")
    with open(out, "w", encoding="utf-8") as file:
        json.dump(rebuilt.tables(path), file)
    model = llama_cpp.Llama(path, vocab_only=True, verbose=False)

    def ids(texts):
        return [model.tokenize(text.encode(), add_bos=False, special=False) for text in texts]

    return out, ids


def of_rebuilt(path, scratch):
    """Ids and text by `tokenizers` of a `tokenizer.json` made of the tables of a GGUF file."""
    out = os.path.join(scratch, "tokenizer.json")
    rebuilt.write(path, out)
    return out, *of_hugging_face(out)


def witnesses(args, scratch):
    """Name, and what gives the file that is loaded here and the functions of its own program."""
    roots = [args.gguf] if args.gguf else args.files
    paths = [
        (os.path.relpath(os.path.join(directory, name), root), os.path.join(directory, name))
        for root in roots
        for directory, _, names in os.walk(root)
        for name in names
    ]
    paths.sort()
    if args.only:
        paths = [found for part in args.only for found in paths if part in found[0]]
    for label, path in paths:
        name = os.path.basename(path)
        if args.gguf:
            if name.startswith("ggml-vocab-") and name.endswith(".gguf"):
                yield label, lambda path=path: of_gguf(path, scratch)
        elif name == "tokenizer.json":
            yield label, lambda path=path: (path, *of_hugging_face(path))
        elif name.startswith("tekken") and name.endswith(".json"):
            yield label, lambda path=path: (path, *of_tekken(path))
        elif name.endswith(".gguf"):
            if rebuilt.is_known(path):
                yield f"{label}, rebuilt", lambda path=path: of_rebuilt(path, scratch)
        elif ".model" in name:
            yield label, lambda path=path: (path, *of_sentence_piece(path))


class Differences:
    """How many texts differ, and the shortest."""

    def __init__(self):
        self.count = 0
        self.shortest = None

    def take(self, texts, ours, theirs):
        if not len(texts) == len(ours) == len(theirs):
            raise ValueError(f"{len(texts)} texts, ours {len(ours)}, theirs {len(theirs)}")
        for text, a, b in zip(texts, ours, theirs):
            if a != b:
                self.count += 1
                if self.shortest is None or len(text) < len(self.shortest[0]):
                    self.shortest = (text, a, b)

    def report(self):
        if self.shortest is None:
            return {"different": 0}
        text, ours, theirs = (list(x) if isinstance(x, array) else x for x in self.shortest)
        shown = {"text": text, "ours": ours, "theirs": theirs}
        return {"different": self.count, "shortest": shown}


def parts(texts):
    """Lists of texts of about PART_BYTES."""
    part, size = [], 0
    for text in texts:
        part.append(text)
        size += len(text)
        if size >= PART_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part


def compare(args, texts, scratch):
    """Compares every vocabulary; how many differ from their own program."""
    failed = 0
    texts_path, out = os.path.join(scratch, "texts.jsonl"), os.path.join(scratch, "out")
    for label, load in witnesses(args, scratch):
        start = time.monotonic()
        ours = Ours(args.ours)
        path, ids, *decode = load()
        try:
            ours.ask(do="load", **{"tables" if args.gguf else "tokenizer": path})
        except ValueError as refusal:
            print(json.dumps({"vocabulary": label, "refused": str(refusal)}), flush=True)
            continue
        apart, decoded_apart, decoded, left_out = Differences(), Differences(), 0, 0
        for part in parts(texts):
            with open(texts_path, "w", encoding="utf-8") as file:
                file.writelines(json.dumps(text) + "\n" for text in part)
            ours.ask(do="texts", path=texts_path)
            left_out = ours.ask(do="ids", out=out)["left_out"]
            mine = read_ids(out)
            apart.take(part, mine, [array("I", i) for i in ids(part)])
            if decode and decode[0] and not decoded:
                decoded = len(part)
                ours.ask(do="decode", out=out)
                with open(out, encoding="utf-8") as file:
                    decoded_apart.take(part, [json.loads(line) for line in file], decode[0](mine))
        result = {"vocabulary": label, "texts": len(texts), "left_out": left_out}
        result |= apart.report()
        failed += bool(apart.count) and not args.gguf
        if decode and decode[0]:
            result["decoded"] = {"texts": decoded} | decoded_apart.report()
            failed += bool(decoded_apart.count)
        result["seconds"] = round(time.monotonic() - start)
        print(json.dumps(result), flush=True)
        ours.process.kill()
    return failed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ours", required=True)
    parser.add_argument("--texts")
    parser.add_argument("--random", type=int, default=20_000)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--only", nargs="+")
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--files", nargs="+")
    kind.add_argument("--gguf")
    args = parser.parse_args()
    texts = random_texts(args.random)
    if args.texts:
        with open(args.texts, encoding="utf-8") as file:
            taken = (line for at, line in enumerate(file) if at % args.every == 0)
            texts += list(dict.fromkeys(json.loads(line) for line in taken))
    size = sum(len(text.encode()) for text in texts)
    print(json.dumps({"texts": len(texts), "random": args.random, "bytes": size}), flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        failed = compare(args, texts, scratch)
    return f"{failed} vocabularies differ from their own program" if failed else 0


if __name__ == "__main__":
    sys.exit(main())
