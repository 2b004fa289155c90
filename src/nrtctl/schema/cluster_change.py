"""What a cluster's tables and views lack of a pipeline, and how they get it. Called by `cluster`.

Columns, expressions, rejects and rollups are added and changed on every server; the type of stored
values and the keys of a table stay. All servers are looked at before: where one is away or has
other tables than the rest, nothing is changed. A view that any server has otherwise is changed on
all. Each server has a chain of its own, so an insert that arrives meanwhile is stored by the old
pipeline or by the new one, whichever its shard has. A view gets its query and its mark at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

from nrtctl.clickhouse.cluster import DDL_SETTINGS, on, replicas
from nrtctl.clickhouse.error_codes import OF_ITS_SQL, Cause, meaning_of
from nrtctl.errors import ConfigError, NrtctlError, QueryError
from nrtctl.pipeline import Pipeline
from nrtctl.schema import cluster_ddl, ddl, existing
from nrtctl.schema.check import Client
from nrtctl.schema.existing import Existing
from nrtctl.schema.steps import mark_of, with_mark


@dataclass(frozen=True, slots=True)
class Cluster:
    """A pipeline on a cluster.

    Attributes:
        there: what the server that is asked has.
        comments: of the views that feed tables, on all servers that answer.
        beside: the views that are read stay those of another table.
    """

    client: Client
    pipeline: Pipeline
    database: str
    name: str
    there: Existing
    column_types: Mapping[str, str]
    beside: bool = False
    comments: Mapping[str, Collection[str]] = field(default_factory=dict)

    @property
    def reading_views(self) -> dict[str, str]:
        """Name to query."""
        return {} if self.beside else ddl.reading_views(self.pipeline, self.database)

    @property
    def behind(self) -> Pipeline:
        return cluster_ddl.on_each_server(self.pipeline, self.name)

    @property
    def feeding_views(self) -> dict[str, str]:
        """Name to query."""
        views = cluster_ddl.feeding_views(self.pipeline, self.database, self.name)
        return {name: query for name, (_, query) in views.items()}

    def command(self, sql: str, **settings: int) -> None:
        self.client.command(sql, {**DDL_SETTINGS, **settings})

    def alter(self, name: str, clause: str, **settings: int) -> None:
        self.command(f"ALTER TABLE {self.database}.{name}{on(self.name)} {clause}", **settings)


def compared(cluster: Cluster) -> Cluster:
    """With what the other servers have. One that has none of the tables has joined, and gets them.

    Raises:
        ConfigError: something is to be changed, and the tables of a server are not those of the one
            that is asked; or that one has none.
        NrtctlError: something is to be changed, and a server is away.
    """
    try:
        here, by_server, comments = _on_all_servers(cluster)
    except QueryError as error:
        if meaning_of(error).cause not in {Cause.REPLICAS, Cause.NETWORK}:
            raise
        if not lacking(cluster):
            return cluster
        raise NrtctlError(
            f"cluster {cluster.name!r}: a server is away, and tables are changed only while "
            f"all servers answer: {error.message}",
            hint="run `nrtctl up` again when it is back",
        ) from error
    cluster = replace(cluster, comments=comments)
    is_there = cluster.behind.table in cluster.there.tables
    if not is_there and (views := _feeding(cluster)):
        raise ConfigError(
            f"cluster {cluster.name!r}: the server that answers has no table "
            f"{cluster.behind.table} yet, and the view {next(iter(views))} of others is to be "
            "changed",
            hint="set clickhouse.url to a server that has them, and run `nrtctl up` again",
        )
    if not is_there or not lacking(cluster):
        return cluster
    for server, found in sorted(by_server.items()):
        if differs := sorted(name for name, _, _ in found ^ here):
            raise ConfigError(
                f"cluster {cluster.name!r}: {cluster.database}.{differs[0]} on {server} differs "
                "from that on the server that answers, so nothing was changed",
                hint="if a change was interrupted, wait until that server has caught up with "
                "system.distributed_ddl_queue, and run `nrtctl up` again",
            )
    return cluster


Shape = set[tuple[str, str, str]]
"""(table, column, type); column and type are empty where the table itself is meant."""


def _on_all_servers(cluster: Cluster) -> tuple[Shape, dict[str, Shape], dict[str, set[str]]]:
    """The tables and views of the server that is asked, those of each by its name, and the comments
    of views. Raises QueryError: a server is away, among others."""
    behind, database = cluster.behind, cluster.database
    names = [each for each in ddl.needed(behind, database) if each != ddl.INCARNATIONS]
    listed = ", ".join(f"'{name}'" for name in [*names, behind.letter_log])
    ours = (
        f"SELECT {{who}}, table, name, type FROM {{columns}} WHERE database = '{database}' "
        f"AND table IN ({listed}) UNION ALL SELECT {{who}}, name, comment, '' FROM {{tables}} "
        f"WHERE database = '{database}' AND name IN ({listed})"
    )
    sources = {"columns": "system.columns", "tables": "system.tables"}
    everywhere = {name: replicas(source, cluster.name) for name, source in sources.items()}
    here: Shape = set()
    by_server: dict[str, Shape] = {}
    comments: dict[str, set[str]] = {}
    for _, table, what, kind in cluster.client.query(ours.format(who="''", **sources)):
        here.add((str(table), str(what) if kind else "", str(kind)))
    for server, table, what, kind in cluster.client.query(
        ours.format(who="hostName()", **everywhere)
    ):
        shape = (str(table), str(what) if kind else "", str(kind))
        by_server.setdefault(str(server), set()).add(shape)
        if not kind:
            comments.setdefault(str(table), set()).add(str(what))
    return here, by_server, comments


def lacking(cluster: Cluster) -> dict[str, str]:
    """Name to what it lacks or has otherwise, of what is there; in words."""
    found = {table: f"+ {', '.join(columns)}" for table, columns in _added_columns(cluster).items()}
    for table, projections in _projections(cluster).items():
        words = [found[table]] if table in found else []
        found[table] = "; ".join([*words, f"projection {', '.join(projections)}"])
    found |= dict.fromkeys(_changed_types(cluster), "other types")
    return found | dict.fromkeys([*_feeding(cluster), *_reading(cluster)], "")


def change_tables(cluster: Cluster) -> None:
    """Those of each server, which all have them. Raises NrtctlError: a server did not carry out a
    statement in time; as the others here."""
    types = _changed_types(cluster)
    mine = cluster_ddl.distributed(cluster.pipeline, cluster.column_types)
    for table, columns in _added_columns(cluster).items():
        if table not in mine:
            _add(cluster, table, columns)
    for table, changed in types.items():
        for name, kind in changed.items():
            cluster.alter(table, f"MODIFY COLUMN `{name}` {kind}")
    for table, projections in _projections(cluster).items():
        for name, sql in projections.items():
            if name in cluster.there.projections(table):
                cluster.alter(table, f"DROP PROJECTION IF EXISTS {name}", mutations_sync=2)
            once = sql.replace("PROJECTION", "PROJECTION IF NOT EXISTS", 1)
            cluster.alter(table, f"ADD {once}")
            cluster.alter(table, f"MATERIALIZE PROJECTION {name}", mutations_sync=0)


def change_distributed(cluster: Cluster) -> None:
    """Those that stand for them, and the views that feed the tables of each server."""
    for name, query in _feeding(cluster).items():
        cluster.alter(name, with_mark(query))
    for table, columns in _added_columns(cluster).items():
        _add(cluster, table, columns)


def change_views(cluster: Cluster) -> None:
    """Those that read rollups, after all that they read."""
    for name, query in _reading(cluster).items():
        cluster.command(
            f"CREATE OR REPLACE VIEW {cluster.database}.{name}{on(cluster.name)} AS {query} "
            f"COMMENT '{mark_of(query)}'"
        )


def _add(cluster: Cluster, table: str, columns: Mapping[str, str]) -> None:
    """A column of the pipeline is its SQL for the rows from before, where the engine allows it."""
    plain = [f"ADD COLUMN IF NOT EXISTS `{name}` {kind}" for name, kind in columns.items()]
    sql = cluster.pipeline.columns
    if table == cluster.behind.table and columns.keys() & sql.keys():
        computed = [
            f"{clause} DEFAULT ({sql[name]})" if name in sql else clause
            for name, clause in zip(columns, plain, strict=True)
        ]
        try:
            cluster.alter(table, ", ".join(computed))
        except QueryError as error:
            if meaning_of(error).cause not in OF_ITS_SQL:
                raise
        else:
            return
    cluster.alter(table, ", ".join(plain))


def _tables(cluster: Cluster) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Those that are there, in the order in which they get a column, with their columns as the
    pipeline has them: before a view fills it, a column is in its target."""
    behind, types = cluster.behind, cluster.column_types
    wanted = {
        behind.table: ddl.table_columns(behind, types),
        behind.dead_letters: ddl.dead_letter_columns(behind),
        behind.letter_log: ddl.letter_log_columns(),
        behind.parsed: ddl.parsed_columns(behind),
        behind.landing: ddl.landing_columns(decoded=behind.is_decoded),
        **cluster_ddl.distributed(cluster.pipeline, types),
    }
    return ((name, columns) for name, columns in wanted.items() if name in cluster.there.tables)


def _added_columns(cluster: Cluster) -> dict[str, dict[str, str]]:
    found = {}
    for table, columns in _tables(cluster):
        known = existing.columns_of(cluster.client, cluster.database, table)
        if added := {name: kind for name, kind in columns.items() if name not in known}:
            found[table] = added
    return found


def _changed_types(cluster: Cluster) -> dict[str, dict[str, str]]:
    """Of the tables that store nothing: their types follow the pipeline's."""
    found = {}
    for table, columns in _tables(cluster):
        if cluster.there.tables[table] == "Null":
            known = existing.columns_of(cluster.client, cluster.database, table)
            wanted = existing.canonical(cluster.client, columns).items()
            if changed := {name: kind for name, kind in wanted if known.get(name, kind) != kind}:
                found[table] = changed
    return found


def _projections(cluster: Cluster) -> dict[str, dict[str, str]]:
    """Those that a table lacks, and those of a rollup whose view is another one."""
    behind, there = cluster.behind, cluster.there
    views = cluster.reading_views
    found = {}
    for table, named in (
        (behind.table, ddl.projections(behind)),
        (behind.dead_letters, ddl.dead_letter_projections()),
    ):
        known = there.projections(table)
        anew = {
            name: sql
            for name, sql in named.items()
            if name not in known
            or (name in views and there.comments.get(name) != mark_of(views[name]))
        }
        if table in there.tables and anew:
            found[table] = anew
    return found


def _feeding(cluster: Cluster) -> dict[str, str]:
    """Those that any server has otherwise."""
    there = {**_only(cluster.there.comments), **cluster.comments}
    return _other(there, cluster.feeding_views)


def _reading(cluster: Cluster) -> dict[str, str]:
    return _other(_only(cluster.there.comments), cluster.reading_views)


def _only(comments: Mapping[str, str]) -> dict[str, Collection[str]]:
    return {name: {comment} for name, comment in comments.items()}


def _other(comments: Mapping[str, Collection[str]], views: Mapping[str, str]) -> dict[str, str]:
    return {
        name: query
        for name, query in views.items()
        if any(comment != mark_of(query) for comment in comments.get(name, ()))
    }
