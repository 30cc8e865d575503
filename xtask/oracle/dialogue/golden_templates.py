"""What Hugging Face's own template code makes of the test templates and conversations.

Usage: golden_templates.py GOLDEN_DIRECTORY CHATML_TEMPLATE

Reads GOLDEN_DIRECTORY/templates/*.jinja and conversations.json, renders each pair with and without
the generation prompt, and writes rendered.json: the text, or what the template raised. Needs
transformers and jinja2; not torch.
"""

import datetime
import json
import pathlib
import sys

import jinja2
from transformers.utils import chat_template_utils

# The clock that templates see, also written into the tests.
NOW = datetime.datetime(2026, 7, 4, 9, 5, 7)
SPECIAL_TOKENS = {"bos_token": "<|begin_of_text|>", "eos_token": "</s>"}


class FixedClock(datetime.datetime):
    """A datetime whose now() stands still."""

    @classmethod
    def now(cls, tz=None):
        return NOW


def render(template, conversation, add_generation_prompt):
    """One rendering, or the error."""
    try:
        texts, _ = chat_template_utils.render_jinja_template(
            [conversation["messages"]],
            tools=conversation.get("tools"),
            chat_template=template,
            add_generation_prompt=add_generation_prompt,
            **SPECIAL_TOKENS,
            **conversation.get("variables", {}),
        )
    except jinja2.exceptions.TemplateError as error:
        if type(error) is jinja2.exceptions.TemplateError:
            return {"refused": error.message}
        return {"error": str(error)}
    except TypeError as error:
        return {"error": str(error)}
    return {"text": texts[0]}


def main():
    golden, chatml = map(pathlib.Path, sys.argv[1:])
    chat_template_utils.datetime = FixedClock
    conversations = json.loads((golden / "conversations.json").read_text())
    rendered = {}
    for path in [*sorted((golden / "templates").glob("*.jinja")), chatml]:
        template = path.read_text()
        rendered[path.stem] = {
            name: {
                "answer begins": render(template, conversation, True),
                "as it stands": render(template, conversation, False),
            }
            for name, conversation in conversations.items()
        }
    text = json.dumps(rendered, indent=1, ensure_ascii=False) + "\n"
    (golden / "rendered.json").write_text(text)


if __name__ == "__main__":
    main()
