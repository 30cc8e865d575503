"""What lingua says of texts that Stoa calls `und`; one JSON line. Nothing of a text is printed.

usage: undetermined.py TEXTS

TEXTS holds lines {"lang", "text"}. Of texts in languages lingua knows: how often it is right. Asked with all its
languages; `sure` counts answers of a relative confidence of 0.9 or more.
"""

import json
import sys


def main():
    from lingua import Language, LanguageDetectorBuilder

    with open(sys.argv[1], encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    detector = LanguageDetectorBuilder.from_all_languages().build()
    known = {language.iso_code_639_1.name.lower() for language in Language.all()}
    counts = {"texts": len(rows), "of known languages": 0, "right": 0, "sure": 0, "sure and right": 0}
    for row in rows:
        if row["lang"] not in known:
            continue
        counts["of known languages"] += 1
        best = detector.compute_language_confidence_values(row["text"])[0]
        right = best.language.iso_code_639_1.name.lower() == row["lang"]
        sure = best.value >= 0.9
        counts["right"] += right
        counts["sure"] += sure
        counts["sure and right"] += sure and right
    print(json.dumps(counts))


if __name__ == "__main__":
    main()
