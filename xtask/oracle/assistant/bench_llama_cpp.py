"""Prompt and answer speed of llama.cpp on a GGUF file.

  bench_llama_cpp.py MODEL.gguf --prompt N --tokens M --threads T [--logits OUT.json]

Does what `stoa bench decode` does: the prompt twice (the first time touches memory), M answer tokens
after it one by one, token i being i·7919 mod vocabulary. The last line of stdout is one JSON object.
With --logits those after the last prompt token are written, to be compared.
"""

import argparse
import ctypes
import json
import pathlib
import statistics
import time

import numpy as np

# Tokens that go through the model at once, at most: llama.cpp's default.
CHUNK = 512


def run(options):
    import llama_cpp as llama

    llama.llama_log_set(QUIET, None)
    llama.llama_backend_init()
    parameters = llama.llama_model_default_params()
    model = llama.llama_model_load_from_file(str(options.model).encode(), parameters)
    if not model:
        raise SystemExit(f"{options.model}: llama.cpp does not load it")
    vocab = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model))
    parameters = llama.llama_context_default_params()
    parameters.n_ctx = options.prompt + options.tokens
    parameters.n_batch = options.prompt
    parameters.n_ubatch = min(options.prompt, CHUNK)
    parameters.n_threads = parameters.n_threads_batch = options.threads
    context = llama.llama_init_from_model(model, parameters)
    if not context:
        raise SystemExit(f"{options.model}: llama.cpp makes no context")

    def feed(at, tokens):
        ids = (llama.llama_token * tokens)(*((at + i) * 7919 % vocab for i in range(tokens)))
        began = time.perf_counter()
        if llama.llama_decode(context, llama.llama_batch_get_one(ids, tokens)):
            raise SystemExit("llama_decode failed")
        llama.llama_synchronize(context)
        return time.perf_counter() - began

    feed(0, options.prompt)
    llama.llama_memory_clear(llama.llama_get_memory(context), True)
    prompt_seconds = feed(0, options.prompt)
    if options.logits:
        last = llama.llama_get_logits_ith(context, -1)
        values = np.ctypeslib.as_array(last, shape=(vocab,)).tolist()
        options.logits.write_text(json.dumps({"logits": values}))
    steps = [feed(options.prompt + i, 1) for i in range(options.tokens)]
    print(json.dumps({
        "prompt_tokens_per_second": options.prompt / prompt_seconds,
        "answer_tokens_per_second": 1 / statistics.median(steps),
    }))


@ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
def QUIET(level, text, data):
    """Takes llama.cpp's messages and drops them."""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--prompt", type=int, required=True)
    parser.add_argument("--tokens", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--logits", type=pathlib.Path)
    run(parser.parse_args())


if __name__ == "__main__":
    main()
