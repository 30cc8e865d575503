"""Other libraries on the same texts: datatrove, datasketch, lingua, ftfy; one thread, one JSON line.

usage: speed.py TEXTS

TEXTS holds JSON strings, one a line. Each library is timed on as many texts as take a few seconds.
Rates are texts a second; nothing of a text is printed.
"""

import json
import sys
import time


def rate(texts, limit, call):
    """Texts a second over the first `limit` of them."""
    some = texts[:limit]
    # Loads models, outside the time.
    call(some[0])
    start = time.perf_counter()
    total = sum(call(text) for text in some)
    seconds = time.perf_counter() - start
    return {"posts_per_second": len(some) / seconds, "posts": len(some), "sum": int(total)}


def datatrove_filters():
    """Gopher's quality and repetition filters and C4's, as datatrove has them."""
    from datatrove.data import Document
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )

    def dropped(answer):
        return answer is not True and not (isinstance(answer, bool) and answer)

    gopher = [GopherQualityFilter(), GopherRepetitionFilter()]
    c4 = [C4QualityFilter()]

    def call(filters):
        def judge(text):
            # A filter may change the document: each gets its own.
            return sum(dropped(f.filter(Document(text=text, id="0"))) for f in filters)

        return judge

    return call(gopher), call(c4)


def near(texts, limit):
    """datasketch: MinHash of 128 hashes over word 3-grams, LSH at 0.8, each text asked, then added."""
    from datasketch import MinHash, MinHashLSH

    some = texts[:limit]
    lsh = MinHashLSH(threshold=0.8, num_perm=128)
    found = 0
    start = time.perf_counter()
    for index, text in enumerate(some):
        words = text.lower().split()
        shingles = {" ".join(words[at : at + 3]) for at in range(max(1, len(words) - 2))}
        minhash = MinHash(num_perm=128)
        minhash.update_batch([shingle.encode() for shingle in shingles])
        if lsh.query(minhash):
            found += 1
        else:
            lsh.insert(str(index), minhash)
    seconds = time.perf_counter() - start
    return {"posts_per_second": len(some) / seconds, "posts": len(some), "sum": found}


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        texts = [json.loads(line) for line in file]
    import ftfy
    from lingua import LanguageDetectorBuilder

    gopher, c4 = datatrove_filters()
    detector = LanguageDetectorBuilder.from_all_languages().with_preloaded_language_models().build()
    result = {
        "datatrove_gopher": rate(texts, 5000, gopher),
        "datatrove_c4": rate(texts, 5000, c4),
        "lingua": rate(texts, 3000, lambda text: detector.detect_language_of(text) is not None),
        "ftfy": rate(texts, 20000, lambda text: len(ftfy.fix_text(text))),
        "datasketch": near(texts, 10000),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
