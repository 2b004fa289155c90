"""Statements that are tried again while ClickHouse fails in a way that passes.

Used by what repairs and replays; `store.writer` waits in the same way, by the same table of
`clickhouse.error_codes`, between the steps of a delivery.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from nrtctl.clickhouse.client import ClickHouseGone, QueryError
from nrtctl.clickhouse.error_codes import GONE, UNKNOWN, Cause, Failure, Meaning, meaning_of
from nrtctl.clickhouse.queries import Rows, Storage

T = TypeVar("T")


def meaning(error: QueryError | ClickHouseGone) -> Meaning:
    """What a failure is."""
    return GONE if isinstance(error, ClickHouseGone) else meaning_of(error)


@dataclass(slots=True)
class Backoff:
    """Waits between tries: doubling from 0.1 s to 10 s, with jitter of ±50 %."""

    attempt: int = 0

    def next(self) -> float:
        self.attempt += 1
        return float(min(10.0, 0.05 * 2 ** min(self.attempt, 10)) * random.uniform(0.5, 1.5))  # noqa: S311


class Patient:
    """A client whose statements wait out what passes. They may be carried out more than once, where
    an answer is missed: inserts go under a token, and deletions name what they delete.

    Args:
        waiting: told (reason, seconds) before each wait.
        sleep: waits some seconds.
        limit: seconds that one statement may wait, for its answers too; then its error is raised.
            None: for ever.
        stopped: whether the wait is to end so now.
        causes: those that are waited for; else every one that passes.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        waiting: Callable[[str, float], None],
        sleep: Callable[[float], None],
        limit: float | None = None,
        stopped: Callable[[], bool] = lambda: False,
        causes: Container[Cause] = tuple(Cause),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._storage = storage
        self._waiting = waiting
        self._sleep = sleep
        self._limit = limit
        self._stopped = stopped
        self._causes = causes
        self._monotonic = monotonic

    def query(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> list[tuple[Any, ...]]:
        """Raises QueryError, AccessRefused: what does not pass, or is not known to."""
        return self._answered(lambda: self._storage.query(sql, parameters, settings))

    def command(self, sql: str, settings: Mapping[str, Any] | None = None) -> Any:
        """Raises as `query`."""
        return self._answered(lambda: self._storage.command(sql, settings))

    def insert(
        self, table: str, columns: Sequence[str], body: Rows, settings: Mapping[str, Any]
    ) -> None:
        """Raises QueryError, AccessRefused: what does not pass."""
        self._answered(
            lambda: self._storage.insert(table, columns, body, settings), unknown_passes=True
        )

    def _answered(self, call: Callable[[], T], *, unknown_passes: bool = False) -> T:
        backoff, waited = Backoff(), 0.0
        while True:
            began = self._monotonic()
            try:
                return call()
            except (QueryError, ClickHouseGone) as error:
                found = meaning(error)
                passes = found is not UNKNOWN or unknown_passes
                passes = passes and found.cause in self._causes
                if found.failure is not Failure.WAIT or not passes or self._stopped():
                    raise
                seconds = backoff.next()
                waited += self._monotonic() - began
                if self._limit is not None and waited + seconds > self._limit:
                    raise
                waited += seconds
                self._waiting(f"{error.message}; {found.advice}", seconds)
            self._sleep(seconds)
