"""Statements that are tried again while ClickHouse fails in a way that passes.

Used by what repairs and replays; `consumer.writer` waits in the same way, by the same table of
`insert_errors`, between the steps of a delivery.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from nrtctl.clickhouse import ClickHouseGone, QueryError
from nrtctl.insert_errors import UNKNOWN, Failure, Meaning, explain

T = TypeVar("T")

GONE = Meaning(Failure.WAIT, "it ends when it answers")


def meaning(error: QueryError | ClickHouseGone) -> Meaning:
    """What a failure is."""
    return GONE if isinstance(error, ClickHouseGone) else explain(error.code, error.message)


@dataclass(slots=True)
class Backoff:
    """Waits between tries: doubling from 0.1 s to 10 s, with jitter of ±50 %."""

    attempt: int = 0

    def next(self) -> float:
        self.attempt += 1
        return float(min(10.0, 0.05 * 2 ** min(self.attempt, 10)) * random.uniform(0.5, 1.5))  # noqa: S311


class Storage(Protocol):
    """The part of `ClickHouseClient` that is made patient."""

    def query(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> list[tuple[Any, ...]]: ...

    def command(self, sql: str, settings: Mapping[str, Any] | None = None) -> Any: ...

    def insert(
        self, table: str, columns: Sequence[str], body: bytes, settings: Mapping[str, Any]
    ) -> int | None: ...


class Patient:
    """A client whose statements wait out what passes. They may be carried out more than once, where
    an answer is missed: inserts go under a token, and deletions name what they delete.

    Args:
        waiting: told (reason, seconds) before each wait.
        sleep: waits some seconds.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        waiting: Callable[[str, float], None],
        sleep: Callable[[float], None],
    ) -> None:
        self._storage = storage
        self._waiting = waiting
        self._sleep = sleep

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
        self, table: str, columns: Sequence[str], body: bytes, settings: Mapping[str, Any]
    ) -> None:
        """Raises QueryError, AccessRefused: what does not pass."""
        self._answered(
            lambda: self._storage.insert(table, columns, body, settings), unknown_passes=True
        )

    def _answered(self, call: Callable[[], T], *, unknown_passes: bool = False) -> T:
        backoff = Backoff()
        while True:
            try:
                return call()
            except (QueryError, ClickHouseGone) as error:
                found = meaning(error)
                passes = found is not UNKNOWN or unknown_passes
                if found.failure is not Failure.WAIT or not passes:
                    raise
                seconds = backoff.next()
                self._waiting(f"{error.message}; {found.advice}", seconds)
            self._sleep(seconds)
