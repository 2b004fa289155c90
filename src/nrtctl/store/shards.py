"""Which shard of a cluster has the rows of a partition. Used by `consumer`.

A Distributed table cuts the sharding key, the partition's number, modulo the sum of the weights,
and each shard has as many of the numbers as it weighs, in the order of the shards.
Source: https://clickhouse.com/docs/engines/table-engines/special/distributed
"""

from __future__ import annotations

from itertools import chain, repeat

from nrtctl.clickhouse.queries import Queries


class Shards:
    """Args: weights: of the shards, in their order. None that weighs anything: all are one."""

    def __init__(self, weights: list[int]) -> None:
        self._slots = list(chain.from_iterable(map(repeat, range(len(weights)), weights)))

    def of(self, partition: int) -> int:
        """The shard of a partition, counted from 0."""
        return self._slots[partition % len(self._slots)] if self._slots else 0


def shards_of(queries: Queries, cluster: str | None) -> Shards:
    """As the server that is asked knows them; one that does not know the cluster refuses inserts.

    Raises QueryError, ClickHouseGone.
    """
    if cluster is None:
        return Shards([1])
    rows = queries.query(
        "SELECT shard_num, any(shard_weight) FROM system.clusters WHERE cluster = {c:String} "
        "GROUP BY shard_num ORDER BY shard_num",
        {"c": cluster},
    )
    return Shards([int(weight) for _, weight in rows])
