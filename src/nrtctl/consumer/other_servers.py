"""The other servers of a cluster, which are waited for while a consumer starts. Used by `run`."""

from __future__ import annotations

from collections.abc import Callable

from nrtctl.clickhouse.error_codes import Cause
from nrtctl.clickhouse.patience import Patient
from nrtctl.clickhouse.queries import Statements, Storage
from nrtctl.clock import Clock
from nrtctl.clock.stop import Stop
from nrtctl.config.model import Config

LOOK_SECONDS = 0.5
"""Between two looks whether the run should end."""


def waiting_for_servers(
    storage: Storage,
    config: Config,
    *,
    clock: Clock,
    stop: Stop,
    waiting: Callable[[str, float], None],
) -> Statements:
    """`storage`, whose statements wait for servers of the cluster that the one that is asked does
    not reach. Where that one does not answer, or there is no cluster, nothing is waited for."""
    if config.clickhouse.cluster is None:
        return storage

    def sleep(seconds: float) -> None:
        end = clock.monotonic() + seconds
        while not stop.is_set() and (left := end - clock.monotonic()) > 0:
            clock.sleep(min(left, LOOK_SECONDS))

    return Patient(
        storage,
        waiting=waiting,
        sleep=sleep,
        stopped=stop.is_set,
        causes={Cause.REPLICAS, Cause.NETWORK},
    )
