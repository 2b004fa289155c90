"""What has become of a pipeline's tables and views since `up` made them.

A Null table takes every row, also where the view behind it was dropped; a view leaves out the
values of a column that its target has lost, and fits the others to the types that the target has.
None of it is an error to ClickHouse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from nrtctl.clickhouse.cluster import local, on, replicas
from nrtctl.pipeline import Pipeline
from nrtctl.pipeline.keeping import keeps
from nrtctl.pipeline.message_format import DECODED
from nrtctl.schema.cluster_ddl import feeding_targets, feeding_views, needed, on_each_server
from nrtctl.schema.ddl import landing_columns, latest_views
from nrtctl.schema.existing import MADE_BY, mending_target, stores_into
from nrtctl.schema.latest import feed_of, filled, states
from nrtctl.schema.steps import MARK, mark_of

MAX_NAMED = 5


class Queries(Protocol):
    def query(
        self, sql: str, parameters: Mapping[str, Any] | None = None
    ) -> list[tuple[Any, ...]]: ...


class Loss(NamedTuple):
    """What has become of a table or view, and the one clause that mends it.

    `counted`: messages are stored nowhere meanwhile, which shows in the number of rows written.
    """

    what: str
    fix: str
    counted: bool = False

    def __str__(self) -> str:
        return f"{self.what}; {self.fix}"


UP = "`nrtctl up` creates it again"
AS_CONFIGURED = "`nrtctl up` creates them as configured"


def lost(
    client: Queries,
    pipeline: Pipeline,
    database: str,
    cluster: str | None = None,
    *,
    everywhere: bool = True,
) -> list[Loss]:
    """What an insert needs and ClickHouse no longer has; empty: nothing is lost.

    One query, of system tables only, and two for each view whose target seems to have other types.
    Raises as `client`.

    Args:
        everywhere: ask all servers of the cluster, not only the one that answers.
    """
    names = needed(pipeline, database, cluster)
    behind = on_each_server(pipeline, cluster)
    fed = {feed_of(state): state for state in states(behind).values()}
    listed = ", ".join(f"'{name}'" for name in [*names, *fed, *fed.values()])
    columns: dict[str, dict[str, str]] = {}
    targets: dict[str, str] = {}
    for table, column, kind in client.query(
        f"SELECT name, '', {MADE_BY} FROM system.tables WHERE database = '{database}' "
        f"AND name IN ({listed}) UNION ALL SELECT table, name, type FROM system.columns "
        f"WHERE database = '{database}' AND table IN ({listed})"
    ):
        columns.setdefault(str(table), {}).update({str(column): str(kind)} if column else {})
        if not column:
            targets[str(table)] = stores_into(str(kind))
    found = [
        Loss(f"{database}.{name} does not exist: nothing could be stored", UP, counted=True)
        for name in [*names, *(state for feed, state in fed.items() if feed in columns)]
        if name not in columns
    ]
    if cluster is not None and everywhere and not found:
        found = _lost_elsewhere(client, pipeline, database, cluster)
    stored = columns.get(local(pipeline.table, cluster), {})
    found += _rows_of_others(pipeline, database, stored)
    landed = landing_columns(decoded=pipeline.is_decoded)
    sent = {name: kind.partition(" DEFAULT ")[0] for name, kind in landed.items()}
    landing = columns.get(behind.landing, sent)
    other = _not_kept(landing, sent, exactly=True)
    if DECODED in sent.keys() - landing.keys():
        found.append(
            Loss(
                f"{database}.{pipeline.landing} has no column {DECODED}, which pipeline.format "
                f"= {pipeline.format!r} needs",
                UP,
            )
        )
    found += [
        Loss(f"{database}.{pipeline.landing} has another type for {_named(other)}", UP)
        for _ in other[:1]
    ]
    for view, target in feeding_targets(pipeline, database, cluster).items():
        given, table = columns.get(view, {}), target.removeprefix(f"{database}.")
        if (into := targets.get(view)) and into != target:
            what = f"{database}.{view} stores into {into}, and not into {target}"
            found.append(Loss(what, mending_target(pipeline, into, target)))
        kept = columns.get(table, given)
        if without := sorted(given.keys() - kept.keys()):
            found.append(
                Loss(
                    f"{database}.{table} has lost the column {_named(without)}: its values would "
                    "not be stored",
                    UP,
                )
            )
        if _not_kept(kept, given):
            found += _changed(client, pipeline, database, cluster, view, table, kept)
    return found


def _lost_elsewhere(client: Queries, pipeline: Pipeline, database: str, cluster: str) -> list[Loss]:
    """What servers lack that have some of it; those that are away are not asked. One that has none
    has joined: ClickHouse sends rows to the other servers of its shard."""
    names = needed(on_each_server(pipeline, cluster), database, None)
    listed = ", ".join(f"'{name}'" for name in names)
    by_server = client.query(
        f"SELECT hostName(), groupArray(name) FROM {replicas('system.tables', cluster)} "
        f"WHERE database = '{database}' AND name IN ({listed}) GROUP BY hostName() "
        "ORDER BY hostName() SETTINGS skip_unavailable_shards = 1"
    )
    return [
        Loss(f"{database}.{name} does not exist on {server}: nothing could be stored there", UP)
        for server, there in by_server
        for name in names
        if name not in there
    ]


def _differs_elsewhere(
    client: Queries, pipeline: Pipeline, database: str, cluster: str
) -> list[Loss]:
    """Servers that have joined and have nothing yet, and those whose views are not those of this
    pipeline; those that are away are not asked."""
    views = feeding_views(pipeline, database, cluster)
    marks = {name: mark_of(query) for name, (_, query) in views.items()}
    listed = ", ".join(f"'{name}'" for name in marks)
    by_server: dict[str, dict[str, str]] = {}
    for server, name, comment in client.query(
        "SELECT server, name, comment FROM (SELECT hostName() AS server, '' AS name, '' AS comment "
        f"FROM {replicas('system.one', cluster)} UNION ALL SELECT hostName(), name, comment "
        f"FROM {replicas('system.tables', cluster)} WHERE database = '{database}' "
        f"AND name IN ({listed})) ORDER BY server, name SETTINGS skip_unavailable_shards = 1"
    ):
        there = by_server.setdefault(str(server), {})
        if name:
            there[str(name)] = str(comment)
    found = []
    for server, there in by_server.items():
        if not there:
            found.append(Loss(f"{server} has none of the views and stores nothing", UP))
        elif stale := [name for name, comment in there.items() if comment != marks[name]]:
            what = f"the views {_named(stale)} on {server} belong to another configuration"
            found.append(Loss(f"{what}: messages are stored as these views say", AS_CONFIGURED))
    return found


def _rows_of_others(pipeline: Pipeline, database: str, stored: Mapping[str, str]) -> list[Loss]:
    """Messages of several rows each, or of one, would be taken for what they are not."""
    table = f"{database}.{pipeline.table}"
    if pipeline.rows is None and {"_row", "_rows"} <= stored.keys():
        return [
            Loss(
                f"a message may be several rows of {table}, and pipeline.rows is not set",
                "set it again, or set pipeline.table to a new table",
            )
        ]
    if pipeline.rows is not None and stored and "_rows" not in stored:
        return [Loss(f"{table} has no column _rows, which pipeline.rows needs", UP)]
    return []


def _not_kept(
    stored: Mapping[str, str], given: Mapping[str, str], *, exactly: bool = False
) -> list[str]:
    """The columns whose values would not all be as they are given. Args: exactly: as bytes, too."""
    return [
        name
        for name, kind in given.items()
        if name in stored
        and not (keeps(stored[name], kind) and (not exactly or keeps(kind, stored[name])))
    ]


def _changed(
    client: Queries,
    pipeline: Pipeline,
    database: str,
    cluster: str | None,
    view: str,
    table: str,
    stored: Mapping[str, str],
) -> list[Loss]:
    """What the view's query gives now: its own columns may be of the time when it was made."""
    query = client.query(
        f"SELECT as_select FROM system.tables WHERE database = '{database}' AND name = '{view}'"
    )
    if not query or not query[0][0]:
        return []
    given = {
        str(name): str(kind)
        for name, kind, *_ in client.query(
            f"DESCRIBE ({query[0][0]}) SETTINGS print_pretty_type_names = 0"
        )
    }
    return [
        Loss(
            f"{database}.{table} stores the column {name} as {stored[name]}, but its view "
            f"returns {given[name]}: values would be changed or refused",
            f"`ALTER TABLE {database}.{table}{on(cluster)} MODIFY COLUMN {name} {given[name]}` "
            f"restores its type{_instead(pipeline, name, cluster)}",
        )
        for name in _not_kept(stored, given)
    ]


def _instead(pipeline: Pipeline, name: str, cluster: str | None) -> str:
    section = next((each for each in ("fields", "columns") if name in getattr(pipeline, each)), "")
    if cluster is not None or not section:
        return ""
    return f", or change the type of pipeline.{section}.{name} and run `nrtctl up`"


def differences(
    client: Queries, pipeline: Pipeline, database: str, cluster: str | None = None
) -> list[Loss]:
    """`lost`, and what ClickHouse has otherwise than the configuration says."""
    found = lost(client, pipeline, database, cluster)
    stale = other_views(client, pipeline, database, cluster)
    changed = [name for name, comment in stale.items() if comment.startswith(MARK)]
    if stale:
        why = "belong to another configuration" if changed else "were changed by hand"
        what = f"the views {_named(list(stale))} {why}: messages are stored as these views say"
        found.append(Loss(what, AS_CONFIGURED))
    elif cluster is not None:
        found += _differs_elsewhere(client, pipeline, database, cluster)
    found += _unfilled(client, pipeline, database, cluster)
    fields = set(pipeline.fields) | set(pipeline.columns)
    table = local(pipeline.table, cluster)
    there = {
        str(name)
        for (name,) in client.query(
            f"SELECT name FROM system.columns WHERE database = '{database}' AND table = '{table}'"
        )
    }
    if there and (missing := sorted(fields - there)) and not stale and not found:
        what = f"{database}.{table} lacks the column {_named(missing)}"
        found.append(Loss(what, AS_CONFIGURED))
    return found


def _unfilled(
    client: Queries, pipeline: Pipeline, database: str, cluster: str | None
) -> list[Loss]:
    """Current states that lack rows from before, or whose view is absent or reads another."""
    if not pipeline.latest:
        return []
    comments = _comments(client, database)
    views = latest_views(pipeline, database, cluster)
    fed = states(on_each_server(pipeline, cluster))
    found = []
    for name, state in states(pipeline).items():
        whole = comments.get(state) == filled(pipeline.table) and feed_of(fed[name]) in comments
        if not whole or comments.get(name) != mark_of(views[name]):
            what = f"{database}.{name} does not show the current state, or does not exist"
            found.append(Loss(what, "`nrtctl up` creates it again from the table"))
    return found


def other_views(
    client: Queries, pipeline: Pipeline, database: str, cluster: str | None = None
) -> dict[str, str]:
    """Name to comment of the feeding views that are there and not those of this pipeline."""
    comments = _comments(client, database)
    return {
        name: comments[name]
        for name, (_, query) in feeding_views(pipeline, database, cluster).items()
        if name in comments and comments[name] != mark_of(query)
    }


def _comments(client: Queries, database: str) -> dict[str, str]:
    """Of all tables and views."""
    rows = client.query(f"SELECT name, comment FROM system.tables WHERE database = '{database}'")
    return {str(name): str(comment) for name, comment in rows}


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more
