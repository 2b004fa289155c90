"""Rows per CPU-second of the whole chain, against a plain insert of the same rows.

`python -m benchmarks.measure_chain [ROUNDS]`: batches of 100,000 reference events into the engine
behind the front, in turns: the envelope through landing, parsing and rules into the table; and
JSONEachRow straight into a table with the same columns, order and projections. The CPU time is the
front's.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nrtctl.clickhouse.client import ClickHouseClient
from nrtctl.clock import SystemClock
from nrtctl.config.load import load_config
from nrtctl.producer.sources import Record
from nrtctl.producer.sources.reference_events import ReferenceEvents
from nrtctl.schema import INSERT_SETTINGS, check, ddl
from nrtctl.schema.apply import apply
from nrtctl.store.envelope import COLUMNS, row_encoder
from tests.plugins.clickhouse_front import ClickHouseFront

ROWS = 100_000


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    with tempfile.TemporaryDirectory() as directory:
        front = ClickHouseFront(Path(directory) / "data")
        front.start()
        try:
            _measure(front, rounds)
        finally:
            front.kill()


def _measure(front: ClickHouseFront, rounds: int) -> None:
    config = load_config(file=Path("src/nrtctl/config/templates/nrtctl.toml")).config
    pipeline, database = config.pipeline, config.clickhouse.database
    client = ClickHouseClient(config.clickhouse, url=front.url, password=front.password)
    apply(client, pipeline, database)
    types = check.pipeline_types(client, pipeline)
    defaults = {name: f"{kind} DEFAULT {pipeline.columns[name]}" for name, kind in types.items()}
    plain = pipeline.model_copy(update={"table": "plain"})
    client.command(ddl.table(plain, database, defaults))
    values = [event[1] or b"" for event in events(ROWS)]
    encode = row_encoder(pipeline.topic, 1, 0)
    body = b"".join(encode(at, 1, None, value) for at, value in enumerate(values))
    lines = b"\n".join(values)
    settings: dict[str, Any] = {**INSERT_SETTINGS}
    ways: dict[str, Callable[[dict[str, str]], object]] = {
        "chain": lambda token: client.insert(
            f"{database}.{pipeline.landing}", COLUMNS, body, {**settings, **token}
        ),
        "plain": lambda token: front.request(
            lines,
            query=f"INSERT INTO {database}.plain FORMAT JSONEachRow",
            **(settings | token),
        ),
    }
    for way in ways.values():
        way({"insert_deduplication_token": "first"})
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name in sorted(ways, reverse=bool(number % 2)):
            for table in (pipeline.table, "plain"):
                client.command(f"TRUNCATE TABLE {database}.{table}")
            before = cpu_of(front)
            ways[name]({"insert_deduplication_token": str(number)})
            speeds[name].append(ROWS / (cpu_of(front) - before))
            table = pipeline.table if name == "chain" else "plain"
            ((count,),) = client.query(f"SELECT count() FROM {database}.{table}")
            if count != ROWS:
                raise SystemExit(f"{name}: {count} rows")
    client.close()
    for name, found in speeds.items():
        print(f"{name}: median {statistics.median(found):,.0f} rows per CPU-second")
    ratio = statistics.median(speeds["chain"]) / statistics.median(speeds["plain"])
    print(f"chain / plain: {ratio:.2f} ({rounds} rounds of {ROWS:,} rows, {len(body):,} bytes)")


def events(count: int) -> list[Record]:
    """So many reference events."""
    source = ReferenceEvents(1, clock=SystemClock(), start_ms=1_800_000_000_000)
    found: list[Record] = []
    while len(found) < count:
        found += source.take(count - len(found))
    return found


def cpu_of(front: ClickHouseFront) -> float:
    """Seconds of CPU that the front has used."""
    assert front.process is not None
    fields = Path(f"/proc/{front.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
