"""What flat pipelines cost the engine, against the SQL of another version of this source.

`python -m benchmarks.measure_flat SOURCE [ROUNDS]`: SOURCE is a directory with that version's
`nrtctl` package, as from `git archive VERSION src | tar -x`. Batches through the whole chain into
the engine behind the front, in turns: the first view has the SQL of this version, or of the other.
The CPU time is the front's.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import orjson

from benchmarks.measure_chain import cpu_of
from nrtctl.clickhouse.client import ClickHouseClient
from nrtctl.config.servers import ClickHouse
from nrtctl.pipeline import Pipeline
from nrtctl.schema import INSERT_SETTINGS
from nrtctl.schema.apply import apply
from nrtctl.store.envelope import COLUMNS, row_encoder
from tests.plugins.clickhouse_front import ClickHouseFront

TEXT = {"a": "String", "b": "Nullable(String)", "c": "LowCardinality(String)", "d": "UUID"}
NUMBERS = {"a": "UInt32", "b": "Int64", "c": "Float64", "d": "Decimal(10, 2)"}
UTC = {"a": "DateTime('UTC')", "b": "DateTime64(3, 'UTC')", "c": "Date", "d": "UInt8"}
LOCAL = {"a": "DateTime('Europe/Berlin')", "b": "DateTime64(3, 'America/New_York')"}
FIELDS = {"text": TEXT, "numbers": NUMBERS, "times in UTC": UTC, "local times": LOCAL}
INSERTS = {50_000: 4, 100: 40}
"""Rows to how many inserts are measured together: the clock of CPU time is coarse."""

NUMBERED = "_topic, _incarnation, _partition"
DUMP = """
import sys, orjson
from nrtctl.pipeline import Pipeline
from nrtctl.schema.parsing import parse_query
given = orjson.loads(sys.stdin.read())
print(parse_query(Pipeline(**given["pipeline"]), given["source"]))
"""


def value(rng: random.Random, fields: dict[str, str]) -> bytes:
    clock = f"2026-01-02T03:04:{rng.randrange(60):02}"
    number = rng.randrange(10**5)
    made = {
        "String": f"text {number}", "Nullable(String)": rng.choice(["one", None]),
        "LowCardinality(String)": f"k{number % 7}",
        "UUID": str(rng.getrandbits(128)).zfill(32)[:32],
        "UInt32": number, "Int64": -number, "Float64": number / 8, "UInt8": number % 256,
        "Decimal(10, 2)": f"{number / 100:.2f}", "Date": "2026-01-02",
    }  # fmt: skip
    times = {"DateTime(": f"{clock}Z", "DateTime64": f"{clock}.{rng.randrange(1000):03}Z"}
    zoned = {"DateTime(": clock, "DateTime64": f"{clock}.5"}
    found = {}
    for name, kind in fields.items():
        of = times if "UTC" in kind else zoned
        found[name] = made[kind] if kind in made else of[kind[:10] if "64" in kind else kind[:9]]
    return orjson.dumps(found)


def sql_of(source: str, pipeline: Pipeline, landing: str) -> str:
    """The first view's query, of another version."""
    given = {"pipeline": pipeline.model_dump(by_alias=True, exclude_unset=True), "source": landing}
    done = subprocess.run(
        [sys.executable, "-c", DUMP],
        env={**os.environ, "PYTHONPATH": source},
        input=orjson.dumps(given),
        capture_output=True,
        check=True,
    )
    sql = done.stdout.decode().strip()
    return sql if "_incarnation" in sql else sql.replace("_topic, _partition", NUMBERED)


def main() -> None:
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 8
    with tempfile.TemporaryDirectory() as directory:
        front = ClickHouseFront(Path(directory) / "data")
        front.start()
        try:
            for name, fields in FIELDS.items():
                _measure(front, name, fields, sys.argv[1], rounds)
        finally:
            front.kill()


def _measure(
    front: ClickHouseFront, name: str, fields: dict[str, str], source: str, rounds: int
) -> None:
    client = ClickHouseClient(ClickHouse(), url=front.url, password=front.password)
    pipeline = Pipeline(fields=fields)
    databases = [f"{which}_{list(FIELDS).index(name)}" for which in ("before", "now")]
    for database in databases:
        apply(client, pipeline, database)
    view, landing = f"{databases[0]}.{pipeline.landing}_view", f"{databases[0]}.{pipeline.landing}"
    client.command(f"DROP VIEW {view}")
    sql = sql_of(source, pipeline, landing)
    client.command(f"CREATE MATERIALIZED VIEW {view} TO {databases[0]}.{pipeline.parsed} AS {sql}")
    for rows in INSERTS:
        _turns(front, client, f"{name}, {rows:,} rows an insert", databases, pipeline, rows, rounds)
    client.close()


def _turns(
    front: ClickHouseFront, client: ClickHouseClient, name: str, databases: list[str],
    pipeline: Pipeline, rows: int, rounds: int,
) -> None:  # fmt: skip
    rng, encode = random.Random(1), row_encoder("t", 1, 0)
    kinds = {field: spec.type for field, spec in pipeline.fields.items()}
    body = b"".join(encode(at, 1, None, value(rng, kinds)) for at in range(rows))
    spent: dict[str, list[float]] = {database: [] for database in databases}
    for number in range(rounds + 1):
        for database in sorted(databases, reverse=bool(number % 2)):
            client.command(f"TRUNCATE TABLE {database}.{pipeline.table}")
            before, times = cpu_of(front), INSERTS[rows]
            for turn in range(times):
                token = {"insert_deduplication_token": f"{rows}-{number}-{turn}"}
                landing = f"{database}.{pipeline.landing}"
                client.insert(landing, COLUMNS, body, {**INSERT_SETTINGS, **token})
            if number:
                spent[database].append((cpu_of(front) - before) / times)
            ((count,),) = client.query(f"SELECT count() FROM {database}.{pipeline.table}")
            if count != rows * times:
                raise SystemExit(f"{name}, {database}: {count} rows")
    was, now = (statistics.median(spent[database]) for database in databases)
    best = min(spent[databases[1]]) / min(spent[databases[0]])
    print(
        f"{name}: {was * 1000:.1f} ms before, {now * 1000:.1f} ms now: {now / was:.3f} "
        f"(of the least: {best:.3f})",
        flush=True,
    )


if __name__ == "__main__":
    main()
