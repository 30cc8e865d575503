"""datatrove's pipeline on JSON lines of posts, in one process; one JSON line with its times.

usage: pipeline.py POSTS FOLDER RULES

Reads POSTS, asks Gopher's quality and repetition filters (RULES `gopher`; `none` asks no rule), masks
e-mail and IP addresses, finds near-copies (MinHash of word 3-grams, 14 buckets of 8 hashes, as datatrove
has it), and writes what is left as JSON lines. Everything lies in FOLDER.
"""

import json
import os
import resource
import sys
import time


def run(name, steps, folder, tasks=1):
    """One stage in this process."""
    from datatrove.executor import LocalPipelineExecutor

    LocalPipelineExecutor(
        pipeline=steps, tasks=tasks, workers=1, logging_dir=os.path.join(folder, "logs", name)
    ).run()


def main():
    posts, folder, rules = sys.argv[1:4]
    from loguru import logger

    logger.remove()
    from datatrove.pipeline.dedup import (
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.pipeline.filters import GopherQualityFilter, GopherRepetitionFilter
    from datatrove.pipeline.formatters import PIIFormatter
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter

    config = MinhashConfig(n_grams=3)
    place = lambda name: os.path.join(folder, name)
    filters = [GopherQualityFilter(), GopherRepetitionFilter()] if rules == "gopher" else []
    reader = JsonlReader(os.path.dirname(posts), glob_pattern=os.path.basename(posts))
    clean = JsonlReader(place("clean"))
    written = JsonlWriter(place("clean"), compression=None)
    started = time.perf_counter()
    run("clean", [reader, *filters, PIIFormatter(), written], folder)
    signatures = MinhashDedupSignature(output_folder=place("signatures"), config=config)
    run("signatures", [clean, signatures], folder)
    buckets = MinhashDedupBuckets(
        input_folder=place("signatures"), output_folder=place("buckets"), config=config
    )
    run("buckets", [buckets], folder, tasks=config.num_buckets)
    cluster = MinhashDedupCluster(
        input_folder=place("buckets"), output_folder=place("remove"), config=config
    )
    run("cluster", [cluster], folder)
    last = JsonlWriter(place("last"), compression=None)
    run("filter", [clean, MinhashDedupFilter(input_folder=place("remove")), last], folder)
    seconds = time.perf_counter() - started
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    processor = sum(usage.ru_utime + usage.ru_stime for usage in used)
    lines = 0
    for name in sorted(os.listdir(place("last"))):
        with open(os.path.join(place("last"), name), encoding="utf-8") as file:
            lines += sum(1 for _ in file)
    print(json.dumps({"seconds": seconds, "processor_seconds": processor, "kept": lines}))


if __name__ == "__main__":
    main()
