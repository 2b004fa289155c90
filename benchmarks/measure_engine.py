"""What the engine's CPU goes into, stage by stage, and what other ways of parsing would cost it.

`python -m benchmarks.measure_engine [ROUNDS] [ROWS]`: inserts of ROWS reference events (30,000, as
a backlog has them) into the engine behind the front, in turns, without merges; CPU-seconds of the
front a million rows. The other ways do less than the chain does, so they are bounds, not offers:
none of them gives a verdict, and none but the chain keeps keys and headers. Last, what merges add.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measure_chain import cpu_of, events
from nrtctl.clickhouse.client import ClickHouseClient
from nrtctl.config.load import load_config
from nrtctl.pipeline import Pipeline
from nrtctl.schema import INSERT_SETTINGS, check, ddl
from nrtctl.schema.apply import apply
from nrtctl.schema.columns import field_types
from nrtctl.schema.parsing import parse_query
from nrtctl.store.envelope import COLUMNS, row_encoder
from tests.plugins.clickhouse_front import ClickHouseFront

TOGETHER = 3
"""Inserts that are measured together: the clock of CPU time is coarse."""
MERGED = 40
"""Inserts into the table that is merged."""
Way = Callable[[dict[str, str]], object]


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 6
    rows = int(sys.argv[2]) if len(sys.argv) > 2 else 30_000
    with tempfile.TemporaryDirectory() as directory:
        front = ClickHouseFront(Path(directory) / "data")
        front.start()
        try:
            Measured(front, rows).run(rounds)
        finally:
            front.kill()


class Measured:
    """The tables of each way, in the reference pipeline's database."""

    def __init__(self, front: ClickHouseFront, rows: int) -> None:
        config = load_config(file=Path("src/nrtctl/config/templates/nrtctl.toml")).config
        self.front, self.rows = front, rows
        self.pipeline, self.database = config.pipeline, config.clickhouse.database
        self.client = ClickHouseClient(config.clickhouse, url=front.url, password=front.password)
        apply(self.client, self.pipeline, self.database)
        self.types = check.pipeline_types(self.client, self.pipeline)
        self.tables: list[str] = []
        encode = row_encoder(self.pipeline.topic, 1, 0)
        values = [event[1] or b"" for event in events(rows)]
        started = 1_800_000_000_000
        self.body = b"".join(encode(at, started + at, None, v) for at, v in enumerate(values))
        self.lines = b"\n".join(values)

    def run(self, rounds: int) -> None:
        ways = self._ways()
        spent: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(rounds):
            for name in sorted(ways, reverse=bool(number % 2)):
                for table in self.tables:
                    self.client.command(f"TRUNCATE TABLE {self.database}.{table}")
                before = cpu_of(self.front)
                for part in range(TOGETHER):
                    ways[name]({"insert_deduplication_token": f"{number}-{part}"})
                spent[name].append((cpu_of(self.front) - before) / TOGETHER / self.rows * 1e6)
        for name in ways:
            low, high = min(spent[name]), max(spent[name])
            median = statistics.median(spent[name])
            print(f"{name}: {median:.2f} ({low:.2f} to {high:.2f}) CPU s a million")
        print(f"{MERGED} inserts of the chain, and their merges: {self._merged():.2f}")
        self.client.close()

    def _ways(self) -> dict[str, Way]:
        chained, typed = self._table("chained"), self._table("typed")
        ways = {
            "1. envelope into the landing table": self._chain("landing", None),
            "2. parsed, with the verdict": self._chain("parsed", ""),
            "3. the whole chain": self._chain("whole", chained),
            "4. JSONEachRow into the table": self._sent(
                self._table("plain", defaults=True), "JSONEachRow", self.lines
            ),
            "5. (a) JSONEachRow, and one view that adds the offsets": self._numbered(),
        }
        ways["3. the whole chain"]({"insert_deduplication_token": "first"})
        for letter, kind in (("6.", "Native"), ("7.", "ArrowStream")):
            selected = f"SELECT * FROM {self.database}.{chained} FORMAT {kind}"
            ways[f"{letter} (b) typed columns as {kind} into the table"] = self._sent(
                typed, kind, self.front.request(query=selected).body
            )
        for way in ways.values():
            way({"insert_deduplication_token": "again"})
        return ways

    def _named(self, table: str) -> Pipeline:
        return self.pipeline.model_copy(update={"table": table})

    def _table(self, name: str, *, defaults: bool = False) -> str:
        types = dict(self.types)
        if defaults:
            types = {n: f"{t} DEFAULT {self.pipeline.columns[n]}" for n, t in types.items()}
        self.client.command(ddl.table(self._named(name), self.database, types))
        self.client.command(f"SYSTEM STOP MERGES {self.database}.{name}")
        self.tables.append(name)
        return name

    def _chain(self, name: str, table: str | None) -> Way:
        """As far as to the landing table (None), to the parsed one (empty), or to `table`."""
        named, database = self._named(name), self.database
        self.client.command(ddl.landing(named, database))
        if table is not None:
            self.client.command(ddl.parsed(named, database))
            views = {named.parsed: parse_query(named, f"{database}.{named.landing}")}
            if table:
                parsed = f"{database}.{named.parsed}"
                rejected = ddl.rejected_query(self.pipeline, parsed)
                views = {
                    self.pipeline.dead_letters: rejected,
                    table: ddl.accepted_query(named, parsed),
                    **views,
                }
            for number, (target, query) in enumerate(views.items()):
                self.client.command(
                    f"CREATE MATERIALIZED VIEW {database}.{name}_{number} TO {database}.{target} "
                    f"AS {query}"
                )
        landing = f"{database}.{named.landing}"
        return lambda token: self.client.insert(
            landing, COLUMNS, self.body, {**INSERT_SETTINGS, **token}
        )

    def _sent(self, table: str, kind: str, body: bytes) -> Way:
        query = f"INSERT INTO {self.database}.{table} FORMAT {kind}"
        return lambda token: self.front.request(body, query=query, **(_settings() | token))

    def _numbered(self) -> Way:
        """JSON into a Null table with the fields' types; a view gives the offsets."""
        table, database = self._table("numbered"), self.database
        fields = {name: kind.text for name, kind in field_types(self.pipeline).items()}
        self.client.command(
            f"CREATE TABLE {database}.numbered_lines ({ddl.structure(fields)}) ENGINE = Null"
        )
        columns = ", ".join(f"({sql}) AS {name}" for name, sql in self.pipeline.columns.items())
        self.client.command(
            f"CREATE MATERIALIZED VIEW {database}.numbered_view TO {database}.{table} AS SELECT "
            f"'{self.pipeline.topic}' AS _topic, 1 AS _incarnation, 0 AS _partition, "
            "toInt64(rowNumberInAllBlocks()) AS _offset, now64(3) AS _timestamp, *, "
            f"{columns} FROM {database}.numbered_lines"
        )
        return self._sent("numbered_lines", "JSONEachRow", self.lines)

    def _merged(self) -> float:
        """CPU-seconds a million of many inserts into one table, until it is merged."""
        landing = f"{self.database}.{self.pipeline.landing}"
        before = cpu_of(self.front)
        for number in range(MERGED):
            token = {"insert_deduplication_token": f"merged-{number}"}
            self.client.insert(landing, COLUMNS, self.body, {**INSERT_SETTINGS, **token})
        quiet = 0
        while quiet < 5:
            time.sleep(0.2)
            ((merges,),) = self.client.query("SELECT count() FROM system.merges")
            quiet = 0 if merges else quiet + 1
        return (cpu_of(self.front) - before) / MERGED / self.rows * 1e6


def _settings() -> dict[str, Any]:
    return {name: str(value) for name, value in INSERT_SETTINGS.items()}


if __name__ == "__main__":
    main()
