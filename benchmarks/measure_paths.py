"""What a field two keys deep costs, against the same field at the top of the message.

`python -m benchmarks.measure_paths [ROUNDS]`: batches of 50,000 messages through the whole chain
into the engine behind the front, in turns. The same eight values stand at the top, and in two
objects of a message; with as many keys that the pipeline does not name in both, and without. The
CPU time is the front's.
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
TYPES = {
    "payload": {
        "id": "UUID", "amount": "Decimal(18, 2)", "currency": "LowCardinality(String)",
        "count": "UInt32",
    },
    "context": {
        "host": "String", "code": "Nullable(UInt16)", "millis": "Int64", "ok": "Bool",
    },
}  # fmt: skip
FLAT: dict[str, Any] = {name: kind for each in TYPES.values() for name, kind in each.items()}
NESTED: dict[str, Any] = {
    name: {"type": kind, "from": [parent, name]}
    for parent, each in TYPES.items()
    for name, kind in each.items()
}


def _value(rng: random.Random, *, nested: bool, more: int) -> bytes:
    values: dict[str, Any] = {
        "payload": {
            "id": f"{rng.getrandbits(128):032x}", "amount": f"{rng.randrange(10**6) / 100:.2f}",
            "currency": rng.choice(["EUR", "USD"]), "count": rng.randrange(10**6),
        },
        "context": {
            "host": f"host-{rng.randrange(1000)}", "code": rng.choice([None, 500]),
            "millis": 1_800_000_000_000 + rng.randrange(10**9), "ok": True,
        },
    }  # fmt: skip
    unknown = [{f"more_{place}_{at}": "unknown" for at in range(more)} for place in range(3)]
    if nested:
        of_each = zip(values.items(), unknown, strict=False)
        return orjson.dumps({parent: each | by for (parent, each), by in of_each} | unknown[2])
    return orjson.dumps(
        values["payload"] | values["context"] | unknown[0] | unknown[1] | unknown[2]
    )


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
    database, bodies, pipelines = f"more_{more}", {}, {}
    for name, fields in {"flat": FLAT, "nested": NESTED}.items():
        pipelines[name] = Pipeline(table=name, dead_letters=f"{name}_dead", fields=fields)
        apply(client, pipelines[name], database)
        rng, encode = random.Random(1), row_encoder("t", 1, 0)
        bodies[name] = b"".join(
            encode(at, 1, None, _value(rng, nested=name == "nested", more=more))
            for at in range(ROWS)
        )
    spent: dict[str, list[float]] = {name: [] for name in pipelines}
    for number in range(rounds + 1):
        for name in sorted(pipelines, reverse=bool(number % 2)):
            client.command(f"TRUNCATE TABLE {database}.{name}")
            before = cpu_of(front)
            settings = {**INSERT_SETTINGS, "insert_deduplication_token": f"{name} {number}"}
            landing = f"{database}.{pipelines[name].landing}"
            client.insert(landing, COLUMNS, bodies[name], settings)
            if number:
                spent[name].append(cpu_of(front) - before)
            ((count,),) = client.query(f"SELECT count() FROM {database}.{name}")
            if count != ROWS:
                raise SystemExit(f"{name}: {count} rows")
    client.close()
    flat, nested = (statistics.median(spent[name]) for name in ("flat", "nested"))
    print(
        f"{more} more keys an object: flat {ROWS / flat:,.0f} rows per CPU-second, nested "
        f"{ROWS / nested:,.0f}: {nested / flat:.2f} times the CPU "
        f"({rounds} rounds of {ROWS:,} rows)"
    )


if __name__ == "__main__":
    main()
