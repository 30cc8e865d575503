"""What transformers makes of a model directory: token ids, logits, and the most likely continuation.

  answers_transformers.py DIR QUESTIONS.json

QUESTIONS.json is a list. A text is encoded without special tokens around it; {"ask": TEXT} is a message of a
user, rendered by the model's template where it has one. Computes in float32. The last line of stdout is one
JSON object: `answers`, for each question its `text` as rendered, its `ids`, the `logits` after the last of
them, `greedy`, 24 most likely tokens that follow, `margins`, how far the best was above the second at
each, in standard deviations of the logits, and `answer`, the text of these tokens up to the end.
"""

import argparse
import json
import pathlib

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

ANSWER = 24


def margin(logits):
    best = logits.topk(2).values
    return float((best[0] - best[1]) / logits.std())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("questions", type=pathlib.Path)
    options = parser.parse_args()

    torch.set_num_threads(2)
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    model, loading = AutoModelForCausalLM.from_pretrained(
        options.model, dtype=torch.float32, output_loading_info=True)
    problems = {kind: sorted(map(str, names)) for kind, names in loading.items() if names}
    if problems:
        raise SystemExit(f"{options.model}: tensors do not match the configuration: {problems}")
    model.eval()
    ends = model.generation_config.eos_token_id
    ends = set(ends if isinstance(ends, list) else [ends])

    answers = []
    for question in json.loads(options.questions.read_text()):
        text = question if isinstance(question, str) else question["ask"]
        if isinstance(question, dict) and tokenizer.chat_template:
            messages = [{"role": "user", "content": text}]
            text = tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True)
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            result = model(torch.tensor([ids]), use_cache=True)
            logits = first = result.logits[0, -1]
            greedy, margins = [], []
            for _ in range(ANSWER):
                greedy.append(int(logits.argmax()))
                margins.append(margin(logits))
                step = torch.tensor([greedy[-1:]])
                result = model(step, past_key_values=result.past_key_values, use_cache=True)
                logits = result.logits[0, -1]
        end = next((at for at, token in enumerate(greedy) if token in ends), len(greedy))
        answer = tokenizer.decode(
            greedy[:end], skip_special_tokens=True, clean_up_tokenization_spaces=False)
        answers.append({
            "text": text,
            "ids": ids,
            "logits": first.tolist(),
            "greedy": greedy,
            "margins": margins,
            # A character whose last bytes are beyond the answer.
            "answer": answer.rstrip("\N{REPLACEMENT CHARACTER}"),
        })
    print(json.dumps({"answers": answers}))


if __name__ == "__main__":
    main()
