"""Columns that a pipeline's tables were without for a time, from `system.mutations`.

ClickHouse drops, renames and converts the columns of a MergeTree table by mutations, of which it
keeps the last hundred (`finished_mutations_to_keep`). So a column that has gone and come back
between two looks at the tables leaves a mutation behind that the first of them did not see.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from nrtctl.clickhouse.cluster import local, replicas
from nrtctl.pipeline import Pipeline
from nrtctl.pipeline.keeping import keeps
from nrtctl.schema.cluster_ddl import feeding_targets
from nrtctl.schema.drift import Queries

_NAME = r"(?:`((?:[^`\\]|\\.|``)+)`|(\w+))"
_GONE = re.compile(rf"\(?(?:DROP|RENAME) COLUMN (?:IF EXISTS )?{_NAME}")
_CONVERTED = re.compile(rf"\(?MODIFY COLUMN (?:IF EXISTS )?{_NAME} (.*?)\)?\Z", re.DOTALL)
_BEHIND_THE_TYPE = re.compile(
    r" (?:DEFAULT|MATERIALIZED|EPHEMERAL|ALIAS|COMMENT|CODEC|STATISTICS|TTL|PRIMARY KEY|SETTINGS)\b"
)


class Mutation(NamedTuple):
    """A command of one. `time`: as ClickHouse writes it, in the server's time zone."""

    server: str
    table: str
    number: str
    time: str
    command: str


class Alterations:
    """What has been altered since the last look.

    A server that is seen for the first time has altered nothing: what was stored before is of
    others who looked.
    """

    def __init__(self, pipeline: Pipeline, database: str, cluster: str | None = None) -> None:
        self._database = database
        self._cluster = cluster
        self._views: dict[str, list[str]] = {}
        for view, target in feeding_targets(pipeline, database, cluster).items():
            self._views.setdefault(target.removeprefix(f"{database}."), []).append(view)
        dead_letters = local(pipeline.dead_letters, cluster)
        self._tables = [local(pipeline.table, cluster), dead_letters]
        self._known: dict[str, set[Mutation]] = {}

    def look(self, queries: Queries) -> list[str]:
        """Columns whose values were not stored for a time since the last look, as sentences.

        Raises as `queries`. What was seen is known from then on, unless this raises.
        """
        seen = self._mutations(queries)
        new = [
            each
            for server, there in seen.items()
            for each in sorted(there - self._known.get(server, there))
        ]
        found = self._without(queries, new) if new else []
        self._known.update(seen)
        return found

    def _mutations(self, queries: Queries) -> dict[str, set[Mutation]]:
        tables = ", ".join(f"'{name}'" for name in self._tables)
        seen: dict[str, set[Mutation]] = {}
        for server, *mutation in queries.query(
            "SELECT server, table, mutation_id, time, command FROM ("
            "SELECT hostName() AS server, table, mutation_id, toString(create_time) AS time, "
            f"command FROM {replicas('system.mutations', self._cluster)} "
            f"WHERE database = '{self._database}' AND table IN ({tables}) "
            "AND match(command, '^.?(DROP|RENAME|MODIFY) COLUMN') UNION ALL "
            f"SELECT hostName(), '', '', '', '' FROM {replicas('system.one', self._cluster)}) "
            "SETTINGS skip_unavailable_shards = 1"
        ):
            there = seen.setdefault(str(server), set())
            if mutation[0]:
                there.add(Mutation(str(server), *map(str, mutation)))
        return seen

    def _without(self, queries: Queries, new: Sequence[Mutation]) -> list[str]:
        """Those that kept values of the views of their table from being stored as they are."""
        views = ", ".join(f"'{view}'" for each in self._views.values() for view in each)
        given: dict[str, dict[str, str]] = {}
        for view, column, kind in queries.query(
            f"SELECT table, name, type FROM system.columns WHERE database = '{self._database}' "
            f"AND table IN ({views})"
        ):
            given.setdefault(str(view), {})[str(column)] = str(kind)
        return [
            f"{self._database}.{each.table} was for a time {what} "
            f"(`{each.command.strip('()')}` at {each.time}"
            + (f" on {each.server})" if self._cluster else ")")
            for each in new
            if (what := _lacking(each.command, self._given(each.table, given)))
        ]

    def _given(self, table: str, columns: dict[str, dict[str, str]]) -> dict[str, str]:
        found: dict[str, str] = {}
        for view in self._views.get(table, ()):
            found.update(columns.get(view, {}))
        return found


def _lacking(command: str, given: dict[str, str]) -> str:
    """What a table was that took the columns `given`; empty: nothing was lost by it."""
    if gone := _GONE.match(command):
        name = _unquoted(gone)
        return f"without the column {name}" if name in given else ""
    if converted := _CONVERTED.match(command):
        name = _unquoted(converted)
        kind = _BEHIND_THE_TYPE.split(converted[3], maxsplit=1)[0]
        if name in given and not keeps(kind, given[name]):
            return f"storing the column {name} as {kind}, which does not keep every {given[name]}"
    return ""


def _unquoted(match: re.Match[str]) -> str:
    quoted = match[1]
    return match[2] if quoted is None else re.sub(r"\\(.)|`(`)", r"\1\2", quoted)
