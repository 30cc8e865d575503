"""What llama.cpp makes of a GGUF file: token ids, logits, and the most likely continuation.

  gguf_llama_cpp.py MODEL.gguf QUESTIONS.json [--float SCRATCH.gguf]

QUESTIONS.json is a list of texts, encoded without special tokens around them, or of lists of ids. The last line of stdout
is one JSON object: `answers`, for each `text` its `ids`, the `logits` after its last token, `greedy`,
24 most likely tokens that follow, and `margins`, how far the best was above the second at each, in
standard deviations of the logits.

With --float the weights are first written to another file as float32: llama.cpp multiplies quantised
weights with activations that it rounds to 8 bits, which no other program does alike.
"""

import argparse
import ctypes
import json
import pathlib

import numpy as np

ANSWER = 24


@ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
def QUIET(level, text, data):
    """Takes llama.cpp's messages and drops them."""


def to_float(model, out):
    import gguf

    reader = gguf.GGUFReader(model)
    name = reader.get_field("general.architecture").contents()
    writer = gguf.GGUFWriter(str(out), name)
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        inner = field.types[-1] if len(field.types) > 1 else None
        writer.add_key_value(field.name, field.contents(), field.types[0], sub_type=inner)
    for tensor in reader.tensors:
        numbers = gguf.dequantize(tensor.data, tensor.tensor_type)
        shape = [int(size) for size in reversed(tensor.shape)]
        writer.add_tensor(tensor.name, numbers.reshape(shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def margin(logits):
    second, best = np.partition(logits, -2)[-2:]
    return float((best - second) / logits.std())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("questions", type=pathlib.Path)
    parser.add_argument("--float", type=pathlib.Path, dest="scratch")
    options = parser.parse_args()
    model_path = options.model
    if options.scratch:
        to_float(options.model, options.scratch)
        model_path = options.scratch

    import llama_cpp as llama

    llama.llama_log_set(QUIET, None)
    llama.llama_backend_init()
    model = llama.llama_model_load_from_file(
        str(model_path).encode(), llama.llama_model_default_params()
    )
    if not model:
        raise SystemExit(f"{model_path}: llama.cpp does not load it")
    vocab = llama.llama_model_get_vocab(model)
    rows = llama.llama_vocab_n_tokens(vocab)
    parameters = llama.llama_context_default_params()
    parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = 512
    parameters.type_k = parameters.type_v = 0  # float32, as the cache that is compared with
    parameters.flash_attn_type = 0
    context = llama.llama_init_from_model(model, parameters)
    if not context:
        raise SystemExit(f"{model_path}: llama.cpp makes no context")

    def encode(text):
        data, most = text.encode(), len(text.encode()) + 8
        ids = (llama.llama_token * most)()
        count = llama.llama_tokenize(vocab, data, len(data), ids, most, False, True)
        return list(ids[:count])

    def feed(tokens):
        ids = (llama.llama_token * len(tokens))(*tokens)
        if llama.llama_decode(context, llama.llama_batch_get_one(ids, len(tokens))):
            raise SystemExit("llama_decode failed")
        return np.ctypeslib.as_array(llama.llama_get_logits_ith(context, -1), shape=(rows,)).copy()

    answers = []
    for text in json.loads(options.questions.read_text()):
        llama.llama_memory_clear(llama.llama_get_memory(context), True)
        ids = encode(text) if isinstance(text, str) else text
        logits = first = feed(ids)
        greedy, margins = [], []
        for _ in range(ANSWER):
            greedy.append(int(logits.argmax()))
            margins.append(margin(logits))
            logits = feed(greedy[-1:])
        answers.append({
            "text": text,
            "ids": ids,
            "logits": first.tolist(),
            "greedy": greedy,
            "margins": margins,
        })
    print(json.dumps({"answers": answers}))


if __name__ == "__main__":
    main()
