"""Current states are exchanged along with their table, whatever the server carries out twice."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from nrtctl.pipeline import Pipeline
from nrtctl.schema import latest
from nrtctl.schema.keeping_latest import exchange

PIPELINE = Pipeline(fields={"id": "UInt32"}, latest={"users": {"key": "id"}})
OTHER = PIPELINE.model_copy(update={"table": "events_2"})
STATE, BESIDE = latest.state_of(PIPELINE, "users"), latest.state_of(OTHER, "users")
OLD, NEW = latest.filled("events"), latest.filled("events_2")


class Server:
    """Tables, as their comments, which go with them. `times`: how often an exchange is carried out,
    of one after the other, since its answers were missed."""

    def __init__(self, tables: dict[str, str], times: list[int]) -> None:
        self.tables = {name: [comment, comment] for name, comment in tables.items()}
        self.times = times

    def query(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> list[tuple[Any, ...]]:
        if "system.databases" in sql:
            return [(1,)]
        if "system.projections" in sql:
            return []
        engine = "ReplacingMergeTree"
        return [(name, engine, comment, "", "") for name, (comment, _) in self.tables.items()]

    def command(self, sql: str, settings: Mapping[str, Any] | None = None) -> None:
        names = re.findall(r"db\.(\w+)", sql)
        if sql.startswith("EXCHANGE"):
            one, two = names
            for _ in range(self.times.pop(0)):
                self.tables[one], self.tables[two] = self.tables[two], self.tables[one]
        elif sql.startswith("RENAME"):
            self.tables[names[1]] = self.tables.pop(names[0])
        else:
            self.tables[names[0]][0] = sql.split("'")[1]

    def content(self, name: str) -> str:
        return self.tables[name][1]


@pytest.mark.parametrize("times", [[1], [2, 1], [2, 2, 3], [3]])
def test_the_state_that_was_filled_is_there_in_the_end(times: list[int]) -> None:
    server = Server({STATE: OLD, BESIDE: NEW}, times)
    exchange(server, PIPELINE, OTHER, "db")
    assert server.tables[STATE] == [OLD, NEW]
    assert server.content(BESIDE) == OLD
    exchange(server, PIPELINE, OTHER, "db")
    assert server.content(STATE) == NEW


def test_one_that_was_not_there_is_renamed_and_what_was_interrupted_is_marked() -> None:
    server = Server({BESIDE: NEW}, [])
    exchange(server, PIPELINE, OTHER, "db")
    assert server.tables == {STATE: [OLD, NEW]}
    server = Server({STATE: NEW, BESIDE: OLD}, [])
    exchange(server, PIPELINE, OTHER, "db")
    assert server.tables[STATE] == [OLD, NEW]
    server = Server({STATE: latest.unfilled("events")}, [])
    exchange(server, PIPELINE, OTHER, "db")
    assert server.tables[STATE][0] == latest.unfilled("events")
