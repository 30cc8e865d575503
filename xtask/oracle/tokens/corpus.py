"""Takes every text out of a directory of data files, as JSON strings, one a line.

usage: corpus.py --out FILE [--posts N | --strings] DIRECTORY

Every file ending in .gz is read, archives member by member. Its text goes in twice: as it stands,
in blocks of 16 lines, and as every string inside it where it is JSON, JSON lines or CSV. With
--strings a file that has such strings does not go in as it stands, which saves two thirds. With
--posts N only N strings of 106 to 126 characters are kept, evenly spread: posts of about 116
characters, the length that published figures of tokenizer speed use. Nothing is printed but
counts.
"""

import argparse
import csv
import gzip
import io
import json
import os
import sys
import tarfile

LINES_IN_A_BLOCK = 16


def members(path):
    """Name and bytes of each file that a compressed file holds."""
    if path.endswith(".tar.gz"):
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isfile():
                    yield member.name, archive.extractfile(member).read()
    else:
        with gzip.open(path) as file:
            yield path[: -len(".gz")], file.read()


def strings(value):
    """Every string inside a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)


def fields(name, text):
    """Every string of a structured file; nothing for other files."""
    if name.endswith(".csv"):
        for row in csv.reader(io.StringIO(text)):
            yield from row
        return
    try:
        yield from strings(json.loads(text))
        return
    except ValueError:
        pass
    for line in text.splitlines():
        try:
            yield from strings(json.loads(line))
        except ValueError:
            continue


def blocks(text):
    """The text itself, some lines at a time."""
    lines = text.splitlines(keepends=True)
    for start in range(0, len(lines), LINES_IN_A_BLOCK):
        yield "".join(lines[start : start + LINES_IN_A_BLOCK])


def whole(text):
    """The text with what cannot be UTF-8 (lone surrogates) replaced."""
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--posts", type=int)
    kind.add_argument("--strings", action="store_true")
    parser.add_argument("directory")
    args = parser.parse_args()
    csv.field_size_limit(1 << 30)
    paths = sorted(
        os.path.join(directory, name)
        for directory, _, names in os.walk(args.directory)
        for name in names
        if name.endswith(".gz")
    )
    kept = []
    count = size = 0
    with open(args.out, "w", encoding="utf-8") as out:
        for path in paths:
            for name, content in members(path):
                text = content.decode("utf-8", "replace")
                if args.posts:
                    kept += [t for t in map(whole, fields(name, text)) if 106 <= len(t) <= 126]
                    continue
                inside = list(fields(name, text))
                as_it_stands = [] if args.strings and inside else blocks(text)
                for texts in (as_it_stands, inside):
                    for item in map(whole, texts):
                        out.write(json.dumps(item) + "\n")
                        count += 1
                        size += len(item.encode())
        if args.posts:
            stride = max(1, len(kept) // args.posts)
            for item in kept[::stride][: args.posts]:
                out.write(json.dumps(item) + "\n")
                count += 1
                size += len(item.encode())
    if not count:
        return f"corpus.py: no such text in the {len(paths)} .gz files under {args.directory}"
    print(json.dumps({"files": len(paths), "texts": count, "bytes": size}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
