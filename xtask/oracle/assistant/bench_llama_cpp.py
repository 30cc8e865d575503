"""Prompt and answer speed of llama.cpp on a model that Stoa saved.

  bench_llama_cpp.py convert DIR OUT.gguf --type TYPE
      DIR: config.json (LlamaForCausalLM) and model.safetensors; matrices as TYPE: f32 and f16 as they are,
      others quantised by llama.cpp itself, all matrices alike
  bench_llama_cpp.py run MODEL.gguf --prompt N --tokens M --threads T [--logits OUT.json]

`run` does what `stoa bench decode` does: the prompt twice (the first time touches memory), M answer
tokens after it one by one, token i being i·7919 mod vocabulary. The last line of stdout is one JSON
object. With --logits those after the last prompt token are written, to be compared.

A GGUF file of the architecture `llama` rotates pairs of neighbouring features, where the Hugging
Face layout rotates the two halves of a head, so the rows of q_proj and k_proj are interleaved on
the way (ggml documentation, "GGUF"; the same is done by llama.cpp's own converter).
"""

import argparse
import ctypes
import json
import pathlib
import statistics
import time

import numpy as np

BLOCK_NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
FILE_TYPES = {
    "q8_0": "LLAMA_FTYPE_MOSTLY_Q8_0",
    "q4_0": "LLAMA_FTYPE_MOSTLY_Q4_0",
    "q4_1": "LLAMA_FTYPE_MOSTLY_Q4_1",
    "q5_0": "LLAMA_FTYPE_MOSTLY_Q5_0",
    "q5_1": "LLAMA_FTYPE_MOSTLY_Q5_1",
    "q4_k": "LLAMA_FTYPE_MOSTLY_Q4_K_S",
    "q5_k": "LLAMA_FTYPE_MOSTLY_Q5_K_S",
    "q6_k": "LLAMA_FTYPE_MOSTLY_Q6_K",
}
NAMES = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def gguf_name(name):
    name = name.removesuffix(".weight")
    if name in NAMES:
        return NAMES[name] + ".weight"
    block, part = name.removeprefix("model.layers.").split(".", 1)
    return f"blk.{block}.{BLOCK_NAMES[part]}.weight"


def interleaved(matrix, heads):
    half = matrix.shape[0] // heads // 2
    rows = matrix.reshape(heads, 2, half, matrix.shape[1]).swapaxes(1, 2)
    return np.ascontiguousarray(rows).reshape(matrix.shape)


def convert(directory, out, dtype):
    if dtype not in ("f32", "f16"):
        plain = out.with_suffix(".f32.gguf")
        convert(directory, plain, "f32")
        quantise(plain, out, dtype)
        plain.unlink()
        return
    import gguf
    from safetensors.numpy import load_file

    config = json.loads((directory / "config.json").read_text())
    if config["architectures"] != ["LlamaForCausalLM"]:
        raise SystemExit(f"{directory}: only LlamaForCausalLM is converted")
    writer = gguf.GGUFWriter(str(out), "llama")
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    theta = config.get("rope_theta") or config["rope_parameters"]["rope_theta"]
    writer.add_rope_freq_base(theta)
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_tokenizer_model("no_vocab")
    for name, tensor in load_file(directory / "model.safetensors").items():
        if name.endswith("q_proj.weight"):
            tensor = interleaved(tensor, config["num_attention_heads"])
        if name.endswith("k_proj.weight"):
            tensor = interleaved(tensor, config["num_key_value_heads"])
        if tensor.ndim == 1:
            tensor = tensor.astype(np.float32)
        writer.add_tensor(gguf_name(name), tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def quantise(plain, out, dtype):
    import gguf
    import llama_cpp as llama

    llama.llama_log_set(QUIET, None)
    parameters = llama.llama_model_quantize_default_params()
    # `pure`: every matrix of the type, the embedding and the head too.
    parameters.ftype = getattr(llama, FILE_TYPES[dtype])
    parameters.pure = True
    of_tensors = int(gguf.GGMLQuantizationType[dtype.upper()])
    parameters.output_tensor_type = parameters.token_embedding_type = of_tensors
    if llama.llama_model_quantize(str(plain).encode(), str(out).encode(), ctypes.byref(parameters)):
        raise SystemExit(f"{plain}: llama.cpp does not quantise it to {dtype}")


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
    parameters.n_batch = parameters.n_ubatch = options.prompt
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
    commands = parser.add_subparsers(dest="command", required=True)
    converting = commands.add_parser("convert")
    converting.add_argument("directory", type=pathlib.Path)
    converting.add_argument("out", type=pathlib.Path)
    converting.add_argument("--type", default="f32")
    running = commands.add_parser("run")
    running.add_argument("model", type=pathlib.Path)
    running.add_argument("--prompt", type=int, required=True)
    running.add_argument("--tokens", type=int, required=True)
    running.add_argument("--threads", type=int, required=True)
    running.add_argument("--logits", type=pathlib.Path)
    options = parser.parse_args()
    if options.command == "convert":
        convert(options.directory, options.out, options.type)
    else:
        run(options)


if __name__ == "__main__":
    main()
