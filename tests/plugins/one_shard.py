"""A cluster of one shard in a process of its own: the embedded engine, which knows `one` in
remote_servers and has the macros, but no Keeper and no port.

So what is made ON CLUSTER is made here, and what is replicated becomes plain: `standing_in` is all
that is changed of a statement. Distributed tables are the real ones, over the engine itself.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from nrtctl.clickhouse.client import Answer, QueryError
from nrtctl.clickhouse.queries import Rows, pieces_of

CLUSTER = "one"
CONFIGURATION = """<clickhouse>
<remote_servers><one><shard><internal_replication>true</internal_replication>
<replica><host>127.0.0.1</host><port>9000</port></replica></shard></one></remote_servers>
<macros><shard>1</shard><replica>r1</replica></macros><tcp_port>9000</tcp_port>
</clickhouse>
"""


def standing_in(sql: str, cluster: str = CLUSTER) -> str:
    """The statement as a server without Keeper takes it."""
    sql = sql.replace(f" ON CLUSTER '{cluster}'", "")
    sql = re.sub(r"Replicated(\w*)MergeTree\('[^']*', '[^']*'(?:, )?", r"\1MergeTree(", sql)
    window = (
        r"replicated_deduplication_window = (\d+), replicated_deduplication_window_seconds = \d+"
    )
    return re.sub(window, r"non_replicated_deduplication_window = \1", sql)


class OneShard:
    """As much of `ClickHouseClient` as storing and applying need. `sent`: commands, as sent."""

    def __init__(self, directory: Path) -> None:
        configuration = directory / "config.xml"
        configuration.write_text(CONFIGURATION)
        self._directory = directory
        self._process = subprocess.Popen(
            [sys.executable, __file__, f"{directory / 'data'}?config-file={configuration}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.sent: list[str] = []

    def _ask(self, sql: str) -> list[list[Any]]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{json.dumps(sql)}\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "error" in answer:
            found = re.search(r"Code: (\d+)", answer["error"])
            raise QueryError(answer["error"], int(found[1]) if found else None)
        text = base64.b64decode(answer["rows"]).decode()
        return [json.loads(line) for line in text.splitlines()]

    def query(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> list[tuple[Any, ...]]:
        for name, value in (parameters or {}).items():
            sql = re.sub(rf"\{{{name}:\w+\}}", f"'{value}'", sql)
        return [tuple(row) for row in self._ask(sql)]

    def ask(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> Answer:
        return Answer((), self.query(sql, parameters), 0, 0.0)

    def command(self, sql: str, settings: Mapping[str, Any] | None = None) -> None:
        self.sent.append(sql)
        if not sql.startswith("SYSTEM SYNC REPLICA"):
            self._ask(standing_in(sql))

    def insert(
        self, table: str, columns: Sequence[str], body: Rows, settings: Mapping[str, Any]
    ) -> None:
        with tempfile.NamedTemporaryFile(dir=self._directory) as file:
            file.writelines(pieces_of(body))
            file.flush()
            given = ", ".join(f"{name} = '{value}'" for name, value in settings.items())
            self._ask(
                f"INSERT INTO {table} ({', '.join(columns)}) FROM INFILE '{file.name}' "
                f"SETTINGS {given} FORMAT RowBinary"
            )

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()


@pytest.fixture(scope="session")
def one_shard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OneShard]:
    made = OneShard(tmp_path_factory.mktemp("one-shard"))
    yield made
    made.close()


def main() -> None:
    """Answer a statement a line, until there are no more."""
    import chdb

    connection = chdb.connect(sys.argv[1])  # type: ignore[no-untyped-call]
    connection.query("SET output_format_json_quote_64bit_integers = 0")
    for line in sys.stdin:
        try:
            rows = connection.query(json.loads(line), "JSONCompactEachRow").bytes() or b""
            answer = {"rows": base64.b64encode(rows).decode()}
        except Exception as error:  # noqa: BLE001
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
