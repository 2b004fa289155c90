"""Make a cluster hold what a pipeline describes. Called by `up` where `clickhouse.cluster` is set.

It makes what is not there, on every server, and changes nothing: what differs from the pipeline is
refused before anything is made. Run again, it makes the tables on servers that joined meanwhile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from nrtctl.clickhouse.cluster import DDL_SETTINGS
from nrtctl.errors import ConfigError
from nrtctl.pipeline import Pipeline
from nrtctl.schema import check, cluster_ddl, ddl, existing
from nrtctl.schema.allowing import allowing
from nrtctl.schema.check import Client
from nrtctl.schema.cluster_ddl import Made
from nrtctl.schema.existing import Existing
from nrtctl.schema.steps import Step

MACROS = ("shard", "replica")


def check_all(
    client: Client, pipeline: Pipeline, database: str, cluster: str
) -> tuple[list[Made], set[str]]:
    """What is to be made on every server of `cluster`, and the names of what is there.

    Raises:
        ConfigError: the cluster is not as it must be, the pipeline is wrong, or what is there
            differs from it.
        ConnectError: from `client`.
        NrtctlError: a server refuses a statement.
    """
    if pipeline.latest:
        raise ConfigError(
            f"pipeline.latest.{next(iter(pipeline.latest))}: on a cluster there are no current "
            "states, since the rows of a key may be on several shards",
            hint="make a view of your own: the newest row of each key is that of "
            f"SELECT * FROM {database}.{pipeline.table} ORDER BY … DESC LIMIT 1 BY …",
        )
    client = allowing(client, pipeline)
    _check_servers(client, cluster, database)
    column_types = check.pipeline_types(client, pipeline)
    wanted = cluster_ddl.statements(pipeline, database, cluster, column_types)
    _check_names(wanted)
    behind = cluster_ddl.on_each_server(pipeline, cluster)
    there = Existing(client, database)
    _check_distributed(pipeline, database, there, column_types)
    existing.tables(client, behind, database, there.tables)
    if behind.table in there.tables:
        existing.unchanged(client, behind, database, there.tables, column_types)
    if different := _different(client, behind, database, there, wanted, column_types):
        raise ConfigError(
            f"cluster {cluster!r}: {', '.join(different)} would have to be changed, but on a "
            "cluster nrtctl creates tables and views and never changes them",
            hint="set pipeline.table (and pipeline.dead_letters) to new tables; docs/clusters.md "
            "says what else can be done",
        )
    return wanted, {*there.tables, *([database] if there.database else [])}


def apply(client: Client, pipeline: Pipeline, database: str, cluster: str) -> list[Step]:
    """Create what is not there, on every server of `cluster`.

    Raises:
        As `check_all`; nothing was made then.
        NrtctlError: a server did not carry out a statement in time.
    """
    wanted, known = check_all(client, pipeline, database, cluster)
    telling = allowing(client, pipeline)
    for each in wanted:
        telling.command(each.sql, DDL_SETTINGS)
    return [Step(each.kind, each.name, _action(each, known)) for each in wanted]


def _action(made: Made, known: set[str]) -> str:
    return "kept" if made.name in known else "made"


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
            hint=f"it knows these: {', '.join(known)}"
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
    pipeline: Pipeline, database: str, there: Existing, column_types: Mapping[str, str]
) -> None:
    for name in cluster_ddl.distributed(pipeline, column_types):
        engine = there.tables.get(name, "Distributed")
        if engine != "Distributed":
            raise ConfigError(
                f"{database}.{name} exists but is not a Distributed table (engine {engine}): "
                "nrtctl does not move rows of a single server to a cluster",
                hint="set clickhouse.database to a new database, and read the topic again",
            )


def _different(
    client: Client,
    behind: Pipeline,
    database: str,
    there: Existing,
    wanted: Sequence[Made],
    column_types: Mapping[str, str],
) -> list[str]:
    """What is there and is not as the pipeline says, by name."""
    found = []
    if behind.table in there.tables:
        known = existing.columns_of(client, database, behind.table)
        columns = ddl.table_columns(behind, column_types)
        found += [f"column {name}" for name in columns if name not in known]
    for table, named in (
        (behind.table, ddl.projections(behind)),
        (behind.dead_letters, ddl.dead_letter_projections()),
    ):
        if table in there.tables:
            absent = (name for name in named if name not in there.projections(table))
            found += [f"projection {name}" for name in absent]
    found += [
        f"view {each.name}"
        for each in wanted
        if each.mark is not None and there.comments.get(each.name, each.mark) != each.mark
    ]
    return found
