"""The other side of `cargo xtask bench tokens`: obeys JSON commands on stdin, one a line, and
answers each with one line of JSON, as `crates/tokens/examples/tokens_side.rs` does.

usage: side.py hf|tiktoken|rustbpe

    {"do": "load", "tokenizer": FILE, "ranks": FILE, "regex": TEXT}
    {"do": "texts", "path": FILE}            one JSON string a line
    {"do": "encode"}                         seconds of each way to encode all texts
    {"do": "ids", "out": FILE, "special": BOOL}
    {"do": "train", "vocab_size": N, "regex": TEXT, "ranks": FILE}

`encode` measures each program by the calls it offers for many short texts, on one thread; the
figure that counts is its fastest. Thread counts come from the environment (RAYON_NUM_THREADS).
"""

import base64
import json
import struct
import sys
import time


class HuggingFace:
    """The package `tokenizers`."""

    def load(self, command):
        from tokenizers import Tokenizer

        self.tokenizer = Tokenizer.from_file(command["tokenizer"])

    def ways(self, texts):
        # Plain text, as Stoa's `encode` has it: special tokens are not looked for.
        self.tokenizer.encode_special_tokens = True
        one = lambda: [self.tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
        batch = lambda: [
            encoding.ids
            for encoding in self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        ]
        return {"encode": one, "encode_batch_fast": batch}

    def ids(self, texts, special):
        self.tokenizer.encode_special_tokens = not special
        return (self.tokenizer.encode(text, add_special_tokens=special).ids for text in texts)


class Tiktoken:
    """The package `tiktoken`."""

    def load(self, command):
        import tiktoken

        self.encoding = tiktoken.Encoding(
            "bench",
            pat_str=command["regex"],
            mergeable_ranks=read_ranks(command["ranks"]),
            special_tokens={},
        )

    def ways(self, texts):
        return {
            "encode_ordinary": lambda: [self.encoding.encode_ordinary(text) for text in texts],
            "encode_ordinary_batch": lambda: self.encoding.encode_ordinary_batch(
                texts, num_threads=1
            ),
        }

    def ids(self, texts, special):
        if special:
            raise ValueError("rank files hold no special tokens")
        return (self.encoding.encode_ordinary(text) for text in texts)


class RustBpe:
    """The package `rustbpe`, which trains."""

    def train(self, texts, command):
        import rustbpe

        tokenizer = rustbpe.Tokenizer()
        start = time.perf_counter()
        tokenizer.train_from_iterator(
            iter(texts), vocab_size=command["vocab_size"], pattern=command["regex"]
        )
        seconds = time.perf_counter() - start
        with open(command["ranks"], "w", encoding="ascii") as file:
            for token, rank in tokenizer.get_mergeable_ranks():
                file.write(f"{base64.b64encode(bytes(token)).decode()} {rank}\n")
        return {"seconds": {"train": seconds}}


def read_ranks(path):
    """A tiktoken rank file."""
    with open(path, "rb") as file:
        lines = (line.split() for line in file if line.strip())
        return {base64.b64decode(token): int(rank) for token, rank in lines}


def obey(side, command, texts):
    """Carries out one command."""
    if command["do"] == "load":
        start = time.perf_counter()
        side.load(command)
        return {"seconds": time.perf_counter() - start}
    if command["do"] == "texts":
        with open(command["path"], encoding="utf-8") as file:
            texts[:] = [json.loads(line) for line in file]
        return {"texts": len(texts), "bytes": sum(len(text.encode()) for text in texts)}
    if command["do"] == "encode":
        seconds = {}
        for name, way in side.ways(texts).items():
            start = time.perf_counter()
            result = way()
            seconds[name] = time.perf_counter() - start
        return {"seconds": seconds, "tokens": sum(len(ids) for ids in result)}
    if command["do"] == "ids":
        with open(command["out"], "wb") as file:
            for ids in side.ids(texts, command.get("special", False)):
                file.write(struct.pack(f"<I{len(ids)}I", len(ids), *ids))
        return {"texts": len(texts)}
    if command["do"] == "train":
        return side.train(texts, command)
    raise ValueError(f"unknown command {command}")


def main():
    side = {"hf": HuggingFace, "tiktoken": Tiktoken, "rustbpe": RustBpe}[sys.argv[1]]()
    texts = []
    for line in sys.stdin:
        print(json.dumps(obey(side, json.loads(line), texts)), flush=True)


if __name__ == "__main__":
    main()
