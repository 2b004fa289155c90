"""Questions to ClickHouse that wait for it, on the loop's thread. Used by `run`; inserts wait in
`store.writer`."""

from __future__ import annotations

from collections.abc import Callable, Container

from nrtctl.clickhouse.error_codes import Cause
from nrtctl.clickhouse.patience import Patient
from nrtctl.clickhouse.queries import Storage
from nrtctl.clock import Clock
from nrtctl.clock.stop import Stop

LOOK_SECONDS = 0.5
"""Between two looks whether the run should end."""

OTHER_SERVERS = frozenset({Cause.REPLICAS, Cause.NETWORK})
"""What is waited for while a consumer starts: servers of the cluster that the one that is asked
does not reach. Where that one does not answer, nothing is."""

WHILE_ASSIGNED_SECONDS = 200.0
"""Within a rebalance: Kafka takes a member that has not fetched for `max.poll.interval.ms`, 300
seconds unless it is set, for lost."""


def patient(
    storage: Storage,
    *,
    clock: Clock,
    stop: Stop,
    waiting: Callable[[str, float], None],
    causes: Container[Cause] = tuple(Cause),
    limit: float | None = None,
) -> Patient:
    """As `Patient`. Args: stop: set when the run, and so the wait, should end."""

    def sleep(seconds: float) -> None:
        end = clock.monotonic() + seconds
        while not stop.is_set() and (left := end - clock.monotonic()) > 0:
            clock.sleep(min(left, LOOK_SECONDS))

    return Patient(
        storage,
        waiting=waiting,
        sleep=sleep,
        limit=limit,
        stopped=stop.is_set,
        causes=causes,
        monotonic=clock.monotonic,
    )
