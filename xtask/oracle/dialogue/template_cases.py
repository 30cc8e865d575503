"""Cases for our chat templates, rendered by Jinja2 as `transformers` sets it up.

Usage: template_cases.py OUT --random N [--seed S]
       template_cases.py OUT --templates DIRECTORY

Writes lines of JSON. The first holds what the cases share: `conversations` by name, `tools`,
`documents`, `variables`. Each other line is a case: `template` (left out if it is that of the line
before), the name of its `conversation`, how many of the tools and documents it has, variables of
its own, `add_generation_prompt`, and the `text`, or no text and the `error` that was raised.

With --random, templates are made of random statements and expressions over all tests, filters and
methods; with --templates, every *.jinja of a directory renders all conversations. Needs
transformers and jinja2; not torch.
"""

import argparse
import datetime
import json
import pathlib
import random
import re
import signal
import sys

from transformers.utils import chat_template_utils

import template_grammar

# The clock that templates see, also written into the example that compares.
NOW = datetime.datetime(2026, 7, 4, 9, 5, 7)
# Seconds after which a template counts as refused.
PATIENCE = 5
# An object's address in a text, whatever filters made of it.
ADDRESS = re.compile("OBJECT [AB]T 0X", re.IGNORECASE)


class FixedClock(datetime.datetime):
    """A datetime whose now() stands still."""

    @classmethod
    def now(cls, tz=None):
        return NOW


class TooLong(Exception):
    """A template that does not end."""


def stop(signum, frame):
    raise TooLong


def render(case):
    """The text of a case, or why there is none."""
    signal.alarm(PATIENCE)
    try:
        texts, _ = chat_template_utils.render_jinja_template(
            [CONVERSATIONS[case["conversation"]]],
            tools=TOOLS[: case["tools"]] or None,
            documents=DOCUMENTS[: case["documents"]] or None,
            chat_template=case["template"],
            add_generation_prompt=case["add_generation_prompt"],
            **{**SHARED, **case["variables"]},
        )
    except Exception as error:  # Whatever is raised, the conversation is refused.
        return {"error": f"{type(error).__name__}: {error}"}
    finally:
        signal.alarm(0)
    return {"text": texts[0]}


def call(name, arguments, identifier="call00001"):
    """A tool call."""
    return {"type": "function", "id": identifier, "function": {"name": name, "arguments": arguments}}


WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather at a place.",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string", "description": "A town."},
                "days": {"type": "integer", "enum": [1, 3, 7]},
                "units": {"type": ["string", "null"], "default": None},
                "tags": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["place"],
        },
    },
}
CLOCK = {
    "type": "function",
    "function": {
        "name": "clock",
        "description": "The time.",
        "parameters": {"type": "object", "properties": {}},
    },
}


def said(role, content, **fields):
    return {"role": role, "content": content, **fields}


CONVERSATIONS = {
    "one question": [said("user", "Hello?")],
    "rules": [said("system", "Be brief.\n"), said("user", " Où ? ")],
    "turns": [
        said("system", "Be kind."),
        said("user", "One"),
        said("assistant", "Two\n"),
        said("user", "Three 'quoted' \"<b>\" & more"),
    ],
    "answered": [said("user", "Hi"), said("assistant", "Hello.")],
    "thoughts": [
        said("user", "2+2?"),
        said("assistant", "4", reasoning_content="Two and two\nare four."),
        said("user", "3+3?"),
        said("assistant", "<think>\nhm\n</think>\n\n6"),
    ],
    "tools": [
        said("system", "Use tools."),
        said("user", "Weather in Oslo?"),
        said(
            "assistant",
            None,
            tool_calls=[call("weather", {"place": "Oslo", "days": 3, "tags": ["a", "é"]})],
        ),
        said("tool", '{"sky": "clear"}', name="weather", tool_call_id="call00001"),
        said("assistant", "It is clear."),
        said("user", "And now?"),
    ],
    "two calls": [
        said("user", "Weather and time?"),
        said(
            "assistant",
            "I look.",
            reasoning_content="Both tools.",
            tool_calls=[
                call("weather", {"place": "Rome", "units": None, "ok": True, "x": 1.5}),
                call("clock", {}, "call00002"),
            ],
        ),
        said("tool", "sun", name="weather", tool_call_id="call00001"),
        said("tool", "noon", name="clock", tool_call_id="call00002"),
    ],
    "calls as text": [
        said("user", "Time?"),
        said("assistant", "", tool_calls=[call("clock", '{"zone": "UTC"}')]),
        said("tool", "noon", name="clock", tool_call_id="call00001"),
    ],
    "developer": [said("developer", "Only facts."), said("user", "Why?")],
    "answer first": [said("assistant", "Welcome."), said("user", "Thanks")],
    "two users": [said("user", "a"), said("user", "b")],
    "empty": [],
}
VARIABLES = [
    {},
    {"enable_thinking": False},
    {"enable_thinking": True, "thinking": True, "reasoning_effort": "high"},
    {"date_string": "26 Jul 2024", "tools_in_user_message": False, "thinking_mode": "disabled"},
]
TOOLS = [WEATHER, CLOCK]
DOCUMENTS = [{"title": "t", "text": "One."}]
SHARED = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
SHARED.update(template_grammar.VARIABLES)


def real_cases(directory):
    for path in sorted(pathlib.Path(directory).glob("*.jinja")):
        for name in CONVERSATIONS:
            for begins in (False, True):
                for variables in VARIABLES:
                    for tools in (0, len(TOOLS)):
                        yield {
                            "name": f"{path.stem}, {name}",
                            "template": path.read_text(),
                            "conversation": name,
                            "tools": tools,
                            "documents": 0,
                            "variables": variables,
                            "add_generation_prompt": begins,
                        }


def random_cases(count, seed):
    for number in range(count):
        choose = random.Random(f"{seed}.{number}")
        yield {
            "name": f"random {seed}.{number}",
            "template": template_grammar.Grammar(choose).template(),
            "conversation": choose.choice(sorted(CONVERSATIONS)),
            "tools": choose.randrange(len(TOOLS) + 1),
            "documents": choose.randrange(len(DOCUMENTS) + 1),
            "variables": {},
            "add_generation_prompt": choose.random() < 0.5,
        }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--random", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--templates")
    arguments = parser.parse_args()
    chat_template_utils.datetime = FixedClock
    signal.signal(signal.SIGALRM, stop)
    if arguments.templates:
        cases = real_cases(arguments.templates)
    else:
        # Addresses of objects differ from run to run: such cases compare nothing.
        cases = random_cases(arguments.random + arguments.random // 20, arguments.seed)
    written, before = 0, None
    shared = {"conversations": CONVERSATIONS, "tools": TOOLS, "documents": DOCUMENTS, "variables": SHARED}
    with arguments.out.open("w") as out:
        out.write(json.dumps(shared) + "\n")
        for case in cases:
            case.update(render(case))
            if ADDRESS.search(case.get("text", "")):
                continue
            template = case["template"]
            if template == before:
                del case["template"]
            before = template
            out.write(json.dumps(case) + "\n")
            written += 1
            if not arguments.templates and written == arguments.random:
                break
    print(f"{written} cases", file=sys.stderr)


if __name__ == "__main__":
    main()
