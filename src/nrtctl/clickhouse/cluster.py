"""Where the rows are when ClickHouse is a cluster: names of tables, sources to read. Pure text.

On a cluster the pipeline's own names are Distributed tables, and each shard keeps the rows in
tables whose names end in `_local`. `cluster` is None everywhere for a single server. Used by
`schema`, the consumer, `stats`, `doctor`; docs/clusters.md has the whole picture.
"""

from __future__ import annotations

from typing import Any

SUFFIX = "_local"

DDL_SETTINGS: dict[str, Any] = {
    "distributed_ddl_task_timeout": 30,
    "distributed_ddl_output_mode": "throw",
}
"""Of a statement ON CLUSTER: how long it waits for every server; one that is late is an error."""


def local(table: str, cluster: str | None) -> str:
    """The table that keeps the rows that are read and written as `table`."""
    return table if cluster is None else f"{table}{SUFFIX}"


def on(cluster: str | None) -> str:
    """What follows the name of what a statement makes."""
    return "" if cluster is None else f" ON CLUSTER '{cluster}'"


def shards(source: str, cluster: str | None) -> str:
    """`source`, a table of each server, read from one replica of every shard."""
    return source if cluster is None else f"cluster('{cluster}', {source})"


def replicas(source: str, cluster: str | None) -> str:
    """`source` read from every server; fails where one does not answer."""
    return source if cluster is None else f"clusterAllReplicas('{cluster}', {source})"


def by_server(cluster: str | None) -> str:
    """Ends a GROUP BY that must not add up what different shards hold."""
    return "" if cluster is None else ", hostName()"


def is_in(cluster: str | None) -> str:
    """IN with a subquery over a table of all shards, where the rows asked for are of one, too."""
    return "IN" if cluster is None else "GLOBAL IN"


def settled(table: str, cluster: str) -> str:
    """A statement that waits until every replica of `table` has what any of them has taken.

    Args:
        table: as it is named on each server.
    """
    return f"SYSTEM SYNC REPLICA{on(cluster)} {table} LIGHTWEIGHT"
