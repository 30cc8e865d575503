"""Writes made-up posts of about 116 characters, as JSON strings, one a line.

usage: made_up_posts.py FILE

For `cargo xtask bench tokens` where there is no test data. Words are syllables put together and
drawn by Zipf's law; figures on them are close to those on real posts but not the same, because
real posts have more rare names. The same file every time.
"""

import itertools
import json
import random
import sys

POSTS = 40_000
WORDS = 30_000
POST_CHARACTERS = 116


def words(rng):
    """Distinct words, the commonest first and shortest."""
    onsets = ["b", "c", "d", "f", "g", "h", "l", "m", "n", "p", "r", "s", "t", "v", "st", "tr"]
    vowels = ["a", "e", "i", "o", "u", "ai", "ou", "é"]
    codas = ["", "", "", "n", "r", "s", "t", "ll"]
    seen = {}
    for index in itertools.count():
        syllables = min(1 + index // 4000, 4)
        word = "".join(
            rng.choice(onsets) + rng.choice(vowels) + rng.choice(codas) for _ in range(syllables)
        )
        seen.setdefault(word)
        if len(seen) == WORDS:
            return list(seen)


def post(rng, vocabulary, weights):
    """One post: words, some with a capital, a number, a mention, a tag or a link."""
    parts = []
    length = 0
    while length < POST_CHARACTERS:
        word = rng.choices(vocabulary, cum_weights=weights)[0]
        kind = rng.random()
        if kind < 0.02:
            word = f"@{word}{rng.randrange(1000)}"
        elif kind < 0.04:
            word = f"#{word.capitalize()}"
        elif kind < 0.05:
            word = "https://t.co/" + "".join(rng.choices("abcdefgHIJKLMN0123456789", k=10))
        elif kind < 0.07:
            word = str(rng.randrange(3000))
        elif kind < 0.15:
            word = word.capitalize()
        if rng.random() < 0.1:
            word += rng.choice(",.!?…") + rng.choice(["", "", " 😀"])
        parts.append(word)
        length += len(word) + 1
    return " ".join(parts)


def main():
    rng = random.Random(1)
    vocabulary = words(rng)
    weights = list(itertools.accumulate(1 / (rank + 2) for rank in range(WORDS)))
    size = 0
    with open(sys.argv[1], "w", encoding="utf-8") as out:
        for _ in range(POSTS):
            text = post(rng, vocabulary, weights)
            size += len(text.encode())
            out.write(json.dumps(text) + "\n")
    print(json.dumps({"texts": POSTS, "bytes": size}))


if __name__ == "__main__":
    main()
