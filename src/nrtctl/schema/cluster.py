"""Make a cluster hold what a pipeline describes. Called by `up` where `clickhouse.cluster` is set,
and by `replay load --into`, whose table is beside that of the pipeline.

It makes what is not there, on every server, and changes what may be changed (`cluster_change`).
Everything is checked before. Run again, it makes the tables on servers that joined meanwhile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby

from nrtctl.clickhouse.cluster import DDL_SETTINGS, on
from nrtctl.clock import SystemClock
from nrtctl.errors import ConfigError
from nrtctl.pipeline import Pipeline
from nrtctl.schema import check, cluster_change, cluster_ddl, ddl, existing, keeping_latest
from nrtctl.schema.allowing import allowing
from nrtctl.schema.check import Client
from nrtctl.schema.cluster_change import Cluster
from nrtctl.schema.cluster_ddl import Made
from nrtctl.schema.existing import Existing
from nrtctl.schema.steps import Step

MACROS = ("shard", "replica")


def check_all(
    client: Client, pipeline: Pipeline, database: str, cluster: str, *, beside: bool = False
) -> tuple[list[Made], Cluster]:
    """What is to be made on every server of `cluster`, and what is there.

    Args:
        beside: the views that are read stay those of another table.

    Raises:
        ConfigError: the cluster is not as it must be, the pipeline is wrong, or what is there
            differs from it and cannot be changed, or not now.
        ConnectError: from `client`.
        NrtctlError: a server refuses a statement.
    """
    client = allowing(client, pipeline)
    _check_servers(client, cluster, database)
    column_types = check.pipeline_types(client, pipeline)
    wanted = cluster_ddl.statements(pipeline, database, cluster, column_types)
    _check_names(wanted)
    behind = cluster_ddl.on_each_server(pipeline, cluster)
    there = Existing(client, database)
    _check_distributed(client, pipeline, database, cluster, there, column_types)
    existing.tables(client, behind, database, there.tables)
    existing.views(pipeline, there, beside=beside, cluster=cluster)
    feeding = cluster_ddl.feeding_views(pipeline, database, cluster)
    existing.targets(pipeline, feeding, there.targets)
    keeping_latest.refuse(pipeline, database, there, beside=beside, cluster=cluster)
    if there.database:
        keeping_latest.try_out(client, pipeline, database, there, column_types)
    if behind.table in there.tables:
        existing.unchanged(client, behind, database, there.tables, column_types)
    found = Cluster(client, pipeline, database, cluster, there, column_types, beside)
    if beside:
        reading = ddl.reading_views(pipeline, database)
        wanted = [each for each in wanted if each.name not in reading]
    return wanted, cluster_change.compared(found)


def apply(
    client: Client, pipeline: Pipeline, database: str, cluster: str, *, beside: bool = False
) -> list[Step]:
    """Create what is not there, and change what is otherwise, on every server of `cluster`.

    Args:
        beside: as of `check_all`.

    Raises:
        As `check_all`; nothing was made then.
        NrtctlError: a server did not carry out a statement in time.
    """
    wanted, found = check_all(client, pipeline, database, cluster, beside=beside)
    telling = allowing(client, pipeline)
    changed = cluster_change.lacking(found)
    keeping_latest.unmark(telling, pipeline, database, cluster)
    # A server that has joined gets each kind of object before it is changed on the others.
    then = iter((None, cluster_change.change_tables, None, cluster_change.change_distributed))
    for _, alike in groupby(wanted, key=lambda each: each.kind):
        for each in alike:
            telling.command(each.sql, DDL_SETTINGS)
        if change := next(then, None):
            change(found)
    cluster_change.change_views(found)
    known = {*found.there.tables, *([database] if found.there.database else [])}
    steps = [Step(each.kind, each.name, _action(each, known, changed)) for each in wanted]
    copied = keeping_latest.fill(telling, pipeline, database, SystemClock(), cluster)
    if beside:
        return steps
    there = found.there
    steps += keeping_latest.views(telling, pipeline, database, there, copied, cluster)
    return steps + keeping_latest.drop_others(telling, pipeline, database, there, cluster)


def drop_beside(client: Client, pipeline: Pipeline, database: str, cluster: str) -> None:
    """Drop the table, with what feeds it, on every server; the dead letters stay.

    Raises:
        NrtctlError: a server did not carry out a statement in time.
    """
    views = reversed(cluster_ddl.feeding_targets(pipeline, database, cluster))
    drops = [*(("VIEW", name, "") for name in views)]
    # Only then is the path in Keeper free for another table of the name.
    drops += [("TABLE", name, " SYNC") for name in cluster_ddl.own_tables(pipeline, cluster)]
    for kind, name, how in drops:
        sql = f"DROP {kind} IF EXISTS {database}.{name}{on(cluster)}{how}"
        client.command(sql, DDL_SETTINGS)


def _action(made: Made, known: set[str], changed: Mapping[str, str]) -> str:
    if made.name not in known:
        return "made"
    if made.name not in changed:
        return "kept"
    return f"changed: {changed[made.name]}" if changed[made.name] else "changed"


def _check_servers(client: Client, cluster: str, database: str) -> None:
    """Raises ConfigError: the server that answers is not set up as one of this cluster."""
    shards = client.query(
        "SELECT cluster, shard_num, count(), min(internal_replication) FROM system.clusters "
        "GROUP BY cluster, shard_num ORDER BY cluster, shard_num"
    )
    known = sorted({str(row[0]) for row in shards})
    if cluster not in known:
        raise ConfigError(
            f"clickhouse.cluster: the server does not know the cluster {cluster!r}",
            hint=f"it knows {', '.join(known)}"
            if known
            else "define it in the servers' configuration, under remote_servers",
        )
    for name, shard, servers, internal in shards:
        if name == cluster and servers > 1 and not internal:
            raise ConfigError(
                f"clickhouse.cluster: shard {shard} of {cluster!r} has {servers} replicas "
                "without internal_replication, so that every row would be sent to each of them",
                hint="set internal_replication to true under remote_servers",
            )
    macros = {str(row[0]) for row in client.query("SELECT macro FROM system.macros")}
    if absent := [name for name in MACROS if name not in macros]:
        raise ConfigError(
            f"clickhouse.cluster: the server has no macro {absent[0]!r}, which distinguishes its "
            "tables from those of other servers",
            hint="define shard and replica under macros in each server's configuration",
        )
    engine = client.query(
        "SELECT engine FROM system.databases WHERE name = {n:String}", {"n": database}
    )
    if engine and engine[0][0] == "Replicated":
        raise ConfigError(
            f"the database {database} has the engine Replicated, which does not support ON CLUSTER",
            hint="set clickhouse.database to another one; `nrtctl up` creates it",
        )


def _check_names(wanted: Sequence[Made]) -> None:
    twice = [name for name, n in Counter(each.name for each in wanted[1:]).items() if n > 1]
    if twice:
        raise ConfigError(
            f"the name {twice[0]!r} is used for two tables or views; on a cluster, names that end "
            "in _local are those on each server"
        )


def _check_distributed(
    client: Client,
    pipeline: Pipeline,
    database: str,
    cluster: str,
    there: Existing,
    column_types: Mapping[str, str],
) -> None:
    names = cluster_ddl.distributed(pipeline, column_types)
    for name in names:
        engine = there.tables.get(name, "Distributed")
        if engine != "Distributed":
            raise ConfigError(
                f"{database}.{name} exists but is not a Distributed table (engine {engine}): "
                "nrtctl does not move rows from a single server to a cluster",
                hint="set clickhouse.database to a new database, and read the topic from the start",
            )
    for name, engine in client.query(
        "SELECT name, engine_full FROM system.tables "
        "WHERE database = {d:String} AND engine = 'Distributed' ORDER BY name",
        {"d": database},
    ):
        if name in names and not str(engine).startswith(f"Distributed('{cluster}', "):
            raise ConfigError(
                f"the table {database}.{name} is of another cluster than clickhouse.cluster = "
                f"{cluster!r}: {engine}",
                hint="set clickhouse.cluster as it was; if the same servers have another name now, "
                f"drop the Distributed tables {', '.join(names)}, which keep no rows, on each of "
                "them, and run `nrtctl up` again",
            )
