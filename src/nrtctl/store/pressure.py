"""Slow down before ClickHouse has to refuse: how many parts are waiting to be merged. Used by
`writer`.

The limits are those of MergeTree, per partition of the table:
https://clickhouse.com/docs/operations/settings/merge-tree-settings (parts_to_delay_insert,
parts_to_throw_insert). The server itself slows inserts from the first one on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from threading import Lock
from typing import Any, Protocol

from nrtctl.clickhouse.client import ClickHouseGone, QueryError
from nrtctl.clickhouse.cluster import by_server, local, shards
from nrtctl.clock import Clock
from nrtctl.config.counted import counted

EVERY = 2.0
"""Seconds between two looks."""

LONGEST = 5.0
"""Seconds that one insert waits at most."""

_SETTING = r"\b{}\s*=\s*(\d+)"


class Queries(Protocol):
    def query(
        self, sql: str, parameters: Mapping[str, Any] | None = None
    ) -> list[tuple[Any, ...]]: ...


def delay_for(parts: int, delay_at: int, throw_at: int) -> float:
    """Seconds to wait before an insert.

    Nothing up to half of `delay_at`, then more with every part, `LONGEST` from a point halfway
    between the two limits on.
    """
    begin = delay_at / 2
    full = max(begin + 1, (delay_at + throw_at) / 2)
    if parts <= begin:
        return 0.0
    return LONGEST * min(1.0, (parts - begin) / (full - begin))


class Pressure:
    """What several writers of one table share.

    Args:
        tables: those of `database` that an insert writes to.
    """

    def __init__(
        self, database: str, tables: tuple[str, ...], clock: Clock, *, cluster: str | None = None
    ) -> None:
        self._database = database
        self._names = ", ".join(f"'{local(table, cluster)}'" for table in tables)
        self._cluster = cluster
        self._clock = clock
        self._lock = Lock()
        self._looked = clock.monotonic()
        self._delay = 0.0
        self._limits: tuple[int, int] | None = None
        self.reason = ""

    def delay(self, queries: Queries) -> float:
        """Seconds to wait now. A look that fails says nothing; the insert will."""
        if self._clock.monotonic() - self._looked < EVERY or not self._lock.acquire(blocking=False):
            return self._delay
        try:
            self._looked = self._clock.monotonic()
            self._delay = self._look(queries)
        except (QueryError, ClickHouseGone):
            self._delay = 0.0
        finally:
            self._lock.release()
        return self._delay

    def _look(self, queries: Queries) -> float:
        if self._limits is None:
            self._limits = self._ask_limits(queries)
        delay_at, throw_at = self._limits
        parts = int(
            queries.query(
                "SELECT max(n) FROM (SELECT count() AS n "
                f"FROM {shards('system.parts', self._cluster)} WHERE active AND "
                f"database = '{self._database}' AND table IN ({self._names}) "
                f"GROUP BY table, partition_id{by_server(self._cluster)})"
            )[0][0]
        )
        self.reason = (
            f"{counted(parts, 'part waits', 'parts wait')} to be merged "
            f"(inserts are refused at {throw_at:,})"
        )
        return delay_for(parts, delay_at, throw_at)

    def _ask_limits(self, queries: Queries) -> tuple[int, int]:
        known = dict(
            queries.query(
                "SELECT name, toUInt64(value) FROM system.merge_tree_settings WHERE name IN "
                "('parts_to_delay_insert', 'parts_to_throw_insert')"
            )
        )
        tables = queries.query(
            "SELECT engine_full FROM system.tables WHERE "
            f"database = '{self._database}' AND name IN ({self._names})"
        )
        found = []
        for name, default in (("parts_to_delay_insert", 1000), ("parts_to_throw_insert", 3000)):
            own = [
                int(match[1])
                for (text,) in tables
                if (match := re.search(_SETTING.format(name), str(text)))
            ]
            found.append(min(own, default=int(known.get(name, default))))
        return found[0], found[1]
