"""A writer that fills gaps, without a group: for `verify --repair` and `dlq replay`."""

from __future__ import annotations

from collections.abc import Callable

from nrtctl.clickhouse.queries import Storage
from nrtctl.clock import Clock
from nrtctl.store.pressure import Pressure
from nrtctl.store.target import Target
from nrtctl.store.throwing import Throwing
from nrtctl.store.writer import Writer


def filling(
    target: Target,
    storage: Storage,
    *,
    clock: Clock,
    waiting: Callable[[str, float], None],
    throwing: Throwing | None = None,
    again: str,
) -> Writer:
    """A writer of batches that no group declares (`Mode.FILL`). Args: as of `Writer`."""
    tables = (target.table, target.dead_letters)
    return Writer(
        target,
        storage,
        clock=clock,
        pressure=Pressure(target.database, tables, clock, cluster=target.cluster),
        waiting=waiting,
        throwing=throwing,
        again=again,
    )
