"""A table without rows is renamed, created again and altered beside inserts that are under way."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from nrtctl.clock import ManualClock
from nrtctl.errors import NrtctlError, QueryError
from nrtctl.schema import empty_table
from nrtctl.schema.empty_table import alter_without_rows, make_again, set_aside_name, take_back

ASIDE = set_aside_name("events")


@dataclass
class Insert:
    """One that has begun: it stores its row where its table is then, after so many looks."""

    into: list[int]
    looks: int
    user: str = "default"
    sql: str = "INSERT INTO db.events_landing FORMAT RowBinary"


@dataclass
class Server:
    """Tables with their rows; each look at the processes brings the inserts nearer to their end."""

    tables: dict[str, list[int]] = field(default_factory=lambda: {"events": []})
    inserts: list[Insert] = field(default_factory=list)
    dropped: list[list[int]] = field(default_factory=list)
    altered: list[str] = field(default_factory=list)

    def insert(self, looks: int, **named: str) -> None:
        self.inserts.append(Insert(self.tables["events"], looks, **named))

    def query(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> list[tuple[Any, ...]]:
        if "system.processes" not in sql:
            (name,) = re.findall(r"FROM db\.(\w+)", sql)
            if name not in self.tables:
                raise QueryError(f"Unknown table {name}", 60)
            return [(1,)] if self.tables[name] else []
        for each in list(self.inserts):
            each.looks -= 1
            if each.looks < 0:
                each.into.append(1)
                self.inserts.remove(each)
        word = dict(parameters or {})["t"]
        assert "user = currentUser() OR position(query" in sql
        return [
            (str(id(each)),) for each in self.inserts if each.user == "default" or word in each.sql
        ]

    def command(self, sql: str, settings: Mapping[str, Any] | None = None) -> None:
        words = sql.replace("db.", "").split()
        if words[0] == "RENAME":
            if words[2] not in self.tables:
                raise QueryError(f"Unknown table {words[2]}", 60)
            self.tables[words[4]] = self.tables.pop(words[2])
        elif words[0] == "DROP":
            self.dropped.append(self.tables.pop(words[-1], []))
        elif words[0] == "ALTER":
            self.altered.append(words[2])

    def make(self) -> None:
        self.tables["events"] = []

    def rows(self) -> int:
        return sum(map(len, self.tables.values())) + sum(map(len, self.dropped))


def again(server: Server) -> bool:
    return make_again(server, "db", "events", server.make, ManualClock())


def altered(server: Server) -> bool:
    return alter_without_rows(server, "db", "events", "MODIFY COLUMN n UInt8", ManualClock())


@pytest.mark.parametrize("change", [again, altered])
@pytest.mark.parametrize("looks", [0, 1, 7, 100])
def test_an_insert_under_way_keeps_its_rows(change: Any, looks: int) -> None:
    server = Server()
    server.insert(looks)
    assert not change(server)
    assert server.tables == {"events": [1]}
    assert not server.dropped
    assert not server.altered


@pytest.mark.parametrize("change", [again, altered])
def test_the_insert_of_another_user_is_waited_for_where_it_names_the_table(change: Any) -> None:
    server = Server()
    server.insert(9, user="consumer")
    assert not change(server)
    assert server.tables == {"events": [1]}
    server = Server()
    server.insert(10_000, user="other", sql="INSERT INTO db.visits VALUES")
    assert change(server)


@pytest.mark.parametrize("change", [again, altered])
def test_an_insert_that_does_not_end_leaves_the_table_where_it_was(change: Any) -> None:
    server = Server()
    server.insert(10_000)
    with pytest.raises(NrtctlError, match="1 insert under way did not end"):
        change(server)
    assert server.tables == {"events": []}
    assert not server.dropped


def test_what_was_interrupted_loses_no_rows_either() -> None:
    for made in (False, True):
        server = Server()
        server.insert(5)
        server.command(f"RENAME TABLE db.events TO db.{ASIDE}")
        tables = {ASIDE: "MergeTree"}
        if made:
            server.make()
            tables["events"] = "MergeTree"
            with pytest.raises(NrtctlError, match=r"rows were stored in db\.events_set_aside"):
                take_back(server, "db", "events", tables, ManualClock())
        else:
            assert take_back(server, "db", "events", tables, ManualClock())
            assert tables == {"events": "MergeTree"}
        for each in server.inserts:
            each.into.append(1)
        assert server.rows() == 1
        assert not any(server.dropped)


def test_a_table_is_altered_under_the_other_name_and_put_back() -> None:
    server = Server()
    assert altered(server)
    assert server.altered == [ASIDE]
    assert list(server.tables) == ["events"]
    assert again(server)
    assert list(server.tables) == ["events"]
    assert server.dropped == [[]]
    assert empty_table.LOOKS < 1_000
