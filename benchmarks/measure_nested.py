"""What a leaf of nested data costs, against the same leaf as a field of its own.

`python -m benchmarks.measure_nested [ROUNDS]`: batches of 50,000 messages through the whole chain
into the engine behind the front, in turns. The same ten values stand in ten fields, in one object,
and in an array of two objects; with keys that the pipeline does not name, and without. The CPU time
is the front's.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import orjson

from benchmarks.measure_chain import cpu_of
from nrtctl.clickhouse.client import ClickHouseClient
from nrtctl.config.servers import ClickHouse
from nrtctl.pipeline import Pipeline
from nrtctl.schema import INSERT_SETTINGS
from nrtctl.schema.apply import apply
from nrtctl.store.envelope import COLUMNS, row_encoder
from tests.plugins.clickhouse_front import ClickHouseFront

ROWS = 50_000
INSERTS = 4
"""That are measured together: the clock of CPU time is coarse."""

HALF = {
    "sku": "String", "qty": "UInt32", "price": "Decimal(10, 2)", "at": "DateTime64(3, 'UTC')",
    "note": "Nullable(String)",
}  # fmt: skip
ITEM = f"Tuple({', '.join(f'{name} {kind}' for name, kind in HALF.items())})"
TWICE = {f"{name}{half}": kind for half in (1, 2) for name, kind in HALF.items()}
OBJECT = f"Tuple({', '.join(f'{name} {kind}' for name, kind in TWICE.items())})"
FIELDS: dict[str, dict[str, str]] = {
    "ten fields": TWICE, "one object": {"o": OBJECT}, "array of two": {"o": f"Array({ITEM})"},
}  # fmt: skip


def _value(rng: random.Random, shape: str, more: int) -> bytes:
    halves = [
        {
            "sku": f"sku-{rng.randrange(10**6)}",
            "qty": rng.randrange(100),
            "price": f"{rng.randrange(10**5) / 100:.2f}",
            "at": f"2026-01-02T03:04:{rng.randrange(60):02}.{rng.randrange(1000):03}Z",
            "note": rng.choice(["fine", "to be sent again"]),
        }
        for _ in range(2)
    ]
    unknown = {f"more_{at}": "unknown" for at in range(more)}
    value: Any = {f"{k}{n}": v for n, each in enumerate(halves, 1) for k, v in each.items()}
    value |= unknown
    if shape == "array of two":
        value = {"o": [each | unknown for each in halves]}
    return orjson.dumps({"o": value} if shape == "one object" else value)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    with tempfile.TemporaryDirectory() as directory:
        front = ClickHouseFront(Path(directory) / "data")
        front.start()
        try:
            for more in (0, 2):
                _measure(front, rounds, more)
        finally:
            front.kill()


def _measure(front: ClickHouseFront, rounds: int, more: int) -> None:
    client = ClickHouseClient(ClickHouse(), url=front.url, password=front.password)
    bodies, pipelines = {}, {}
    for number, (shape, fields) in enumerate(FIELDS.items()):
        pipelines[shape] = Pipeline(table=f"t{number}", dead_letters=f"d{number}", fields=fields)
        apply(client, pipelines[shape], f"more_{more}")
        rng = random.Random(1)
        encode = row_encoder("t", 1, 0)
        bodies[shape] = b"".join(
            encode(at, 1, None, _value(rng, shape, more)) for at in range(ROWS)
        )
    spent: dict[str, list[float]] = {shape: [] for shape in FIELDS}
    for number in range(rounds + 1):
        for shape in sorted(FIELDS, reverse=bool(number % 2)):
            table = f"more_{more}.{pipelines[shape].table}"
            client.command(f"TRUNCATE TABLE {table}")
            before = cpu_of(front)
            landing = f"more_{more}.{pipelines[shape].landing}"
            for turn in range(INSERTS):
                token = {"insert_deduplication_token": f"{number}-{turn}"}
                client.insert(landing, COLUMNS, bodies[shape], {**INSERT_SETTINGS, **token})
            if number:
                spent[shape].append((cpu_of(front) - before) / INSERTS)
            ((count,),) = client.query(f"SELECT count() FROM {table}")
            if count != ROWS * INSERTS:
                raise SystemExit(f"{shape}: {count} rows")
    client.close()
    flat = statistics.median(spent["ten fields"])
    for shape, found in spent.items():
        median = statistics.median(found)
        print(
            f"{more} unknown keys, {shape}: {median / ROWS * 1e6:.2f} µs a message, "
            f"{median / flat:.2f} times the fields ({len(bodies[shape]) // ROWS} bytes)"
        )


if __name__ == "__main__":
    main()
