"""What has become of a pipeline's tables and views since `up` made them.

A Null table takes every row, also where the view behind it was dropped, and a view leaves out the
values of a column that its target has lost. Neither is an error to ClickHouse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from nrtctl.cluster import local
from nrtctl.pipeline import Pipeline
from nrtctl.schema.cluster_ddl import feeding_views, needed
from nrtctl.schema.steps import MARK, mark_of

MAX_NAMED = 5


class Queries(Protocol):
    def query(
        self, sql: str, parameters: Mapping[str, Any] | None = None
    ) -> list[tuple[Any, ...]]: ...


def lost(
    client: Queries, pipeline: Pipeline, database: str, cluster: str | None = None
) -> list[str]:
    """Sentences about what an insert needs and ClickHouse no longer has; empty: nothing is lost.

    One query, of system tables only. Raises as `client`.
    """
    names = needed(pipeline, database, cluster)
    listed = ", ".join(f"'{name}'" for name in names)
    columns: dict[str, set[str]] = {}
    for table, column in client.query(
        f"SELECT name, '' FROM system.tables WHERE database = '{database}' AND name IN ({listed}) "
        f"UNION ALL SELECT table, name FROM system.columns WHERE database = '{database}' "
        f"AND table IN ({listed})"
    ):
        columns.setdefault(str(table), set()).update([str(column)] if column else ())
    absent = [name for name in names if name not in columns]
    found = [f"{database}.{name} does not exist: nothing could be stored" for name in absent]
    for view, (target, _) in feeding_views(pipeline, database, cluster).items():
        table = target.removeprefix(f"{database}.")
        without = sorted(columns.get(view, set()) - columns.get(table, columns.get(view, set())))
        if without:
            found.append(
                f"{database}.{table} has lost the column {_named(without)}: its values would be "
                "stored nowhere"
            )
    return found


def differences(
    client: Queries, pipeline: Pipeline, database: str, cluster: str | None = None
) -> list[str]:
    """`lost`, and what ClickHouse has otherwise than the configuration says."""
    found = lost(client, pipeline, database, cluster)
    views = feeding_views(pipeline, database, cluster)
    comments = {
        str(name): str(comment)
        for name, comment in client.query(
            f"SELECT name, comment FROM system.tables WHERE database = '{database}'"
        )
    }
    stale = [
        name
        for name, (_, query) in views.items()
        if name in comments and comments[name] != mark_of(query)
    ]
    changed = [name for name in stale if comments[name].startswith(MARK)]
    if stale:
        why = "are of another configuration" if changed else "were changed by hand"
        found.append(f"the views {_named(stale)} {why}: messages are stored by what they say")
    fields = set(pipeline.fields) | set(pipeline.columns)
    table = local(pipeline.table, cluster)
    there = {
        str(name)
        for (name,) in client.query(
            f"SELECT name FROM system.columns WHERE database = '{database}' AND table = '{table}'"
        )
    }
    if there and (missing := sorted(fields - there)) and not stale and not found:
        found.append(f"{database}.{table} lacks the column {_named(missing)}")
    return found


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more
