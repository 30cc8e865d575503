"""Tokens and loss masks of Hugging Face's `apply_chat_template` with assistant masks.

Usage: golden_masks.py GOLDEN_DIRECTORY CHATML_TEMPLATE

Reads GOLDEN_DIRECTORY/marked/*.jinja, dialogues.json and tokenizer.json, encodes each pair with
`return_assistant_tokens_mask`, and writes masks.json: ids, and 1 for each that is learned. Needs
transformers and jinja2; not torch.
"""

import datetime
import json
import pathlib
import sys

from transformers import PreTrainedTokenizerFast
from transformers.utils import chat_template_utils

# The clock that templates see, also written into the tests.
NOW = datetime.datetime(2026, 7, 4, 9, 5, 7)
# Beginning of text of each style, also written into the tests.
BEGIN = {"llama_style": "<|begin_of_text|>", "gemma_style": "<bos>", "chatml": "<|endoftext|>"}


class FixedClock(datetime.datetime):
    """A datetime whose now() stands still."""

    @classmethod
    def now(cls, tz=None):
        return NOW


def main():
    golden, chatml = map(pathlib.Path, sys.argv[1:])
    chat_template_utils.datetime = FixedClock
    dialogues = json.loads((golden / "dialogues.json").read_text())
    masks = {}
    for path in [*sorted((golden / "marked").glob("*.jinja")), chatml]:
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_file=str(golden / "tokenizer.json"), bos_token=BEGIN[path.stem]
        )
        masks[path.stem] = {}
        for name, messages in dialogues.items():
            encoded = tokenizer.apply_chat_template(
                messages,
                chat_template=path.read_text(),
                return_dict=True,
                return_assistant_tokens_mask=True,
            )
            masks[path.stem][name] = {
                "ids": encoded["input_ids"],
                "mask": encoded["assistant_masks"],
            }
    (golden / "masks.json").write_text(json.dumps(masks) + "\n")


if __name__ == "__main__":
    main()
