"""Makes Parquet files as pyarrow writes them, and what they hold: OUT/*.parquet and OUT/parquet.json.

A file for each codec and page version, and one for each unit of time, with and without a zone. All
hold the same posts in three row groups: dictionary and large strings, lists, lists of structs,
structs, floats, decimals, dates, and nulls in every column that may have them.

parquet.json has the posts (id, author, text, created_at in Unix seconds, in_reply_to) and, for each
row, the other columns as text, null where there is nothing.
"""

import datetime
import decimal
import json
import pathlib
import sys

import pyarrow as pa
import pyarrow.parquet as pq

CODECS = ["none", "snappy", "gzip", "brotli", "zstd", "lz4"]
UNITS = ["s", "ms", "us", "ns"]
START = 1_667_901_600
COUNT = 8


def posts():
    rows = []
    for n in range(COUNT):
        rows.append(
            {
                "id": str(1_590_000_000_000_000_000 + n),
                "author": f"author{n % 3}",
                "text": f"Post number {n} says: the bridge opens at {n + 7} o'clock, été, 東京.",
                "created_at": START + 300 * n if n != 4 else None,
                "in_reply_to": str(1_590_000_000_000_000_000 + n - 1) if n in (2, 5) else None,
            }
        )
    return rows


def table(unit, zone):
    rows = posts()
    ticks = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    times = [None if r["created_at"] is None else r["created_at"] * ticks + ticks // 2 for r in rows]
    some = lambda values: [None if n % 4 == 3 else v for n, v in enumerate(values)]
    columns = {
        "id": pa.array([r["id"] for r in rows], pa.string()),
        "author": pa.array([r["author"] for r in rows]).dictionary_encode(),
        "text": pa.array([r["text"] for r in rows], pa.large_string()),
        "created_at": pa.array(times, pa.timestamp(unit, tz="UTC" if zone else None)),
        "in_reply_to": pa.array([r["in_reply_to"] for r in rows], pa.string()),
        "party": pa.array(some(["left", "right"] * 4)).dictionary_encode(),
        "likes": pa.array(some(range(COUNT)), pa.int32()),
        "views": pa.array(some([n * 1.5 for n in range(COUNT)]), pa.float64()),
        "share": pa.array(some([n / 8 for n in range(COUNT)]), pa.float32()),
        "verified": pa.array(some([n % 2 == 0 for n in range(COUNT)]), pa.bool_()),
        "price": pa.array(some([decimal.Decimal(n) / 4 for n in range(COUNT)]), pa.decimal128(9, 2)),
        "day": pa.array(some([datetime.date(2022, 11, 8 + n) for n in range(COUNT)]), pa.date32()),
        "raw": pa.array(some([f"bytes {n}".encode() for n in range(COUNT)]), pa.binary()),
        "tags": pa.array(some([["a", None], [], ["b"], ["c"]] * 2), pa.list_(pa.string())),
        "seen": pa.array(
            some([[{"by": f"r{n}", "at": START * ticks}] for n in range(COUNT)]),
            pa.list_(pa.struct([("by", pa.string()), ("at", pa.timestamp(unit))])),
        ),
        "user": pa.array(
            some([{"lang": "fr", "joined": (START - n) * ticks} for n in range(COUNT)]),
            pa.struct([("lang", pa.string()), ("joined", pa.timestamp(unit))]),
        ),
    }
    return pa.table(columns)


def others():
    """The other columns as rows give them: text, or null."""
    rows = []
    for n in range(COUNT):
        empty = n % 4 == 3
        whole = n * 1.5 == int(n * 1.5)
        rows.append(
            {
                "party": ["left", "right"][n % 2],
                "likes": str(n),
                "views": str(int(n * 1.5)) if whole else str(n * 1.5),
                "share": str(int(n / 8)) if n % 8 == 0 else str(n / 8),
                "verified": "true" if n % 2 == 0 else "false",
                "price": f"{n / 4:.2f}",
                "day": f"2022-11-{8 + n:02}",
                "raw": f"bytes {n}",
                "user.lang": "fr",
                "user.joined": str(START - n),
            }
            if not empty
            else dict.fromkeys(
                "party likes views share verified price day raw user.lang user.joined".split()
            )
        )
    return rows


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for codec in CODECS:
        for version in ["1.0", "2.0"]:
            pq.write_table(
                table("us", True),
                out / f"{codec}-{version[0]}.parquet",
                compression=codec,
                data_page_version=version,
                row_group_size=3,
            )
    for unit in UNITS:
        for zone in [True, False]:
            name = f"time-{unit}-{'utc' if zone else 'local'}.parquet"
            pq.write_table(table(unit, zone), out / name, compression="snappy", row_group_size=3)
    # Spark's form of times.
    pq.write_table(
        table("ns", False), out / "time-int96.parquet", use_deprecated_int96_timestamps=True
    )
    expected = {"pyarrow": pa.__version__, "posts": posts(), "others": others()}
    (out / "parquet.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n")


main()
