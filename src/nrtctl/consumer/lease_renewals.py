"""Intents that an insert's thread wants declared again: their lease is over."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Lock

from nrtctl.store.intents import OffsetRange
from nrtctl.store.writer import IntentRefused


@dataclass(slots=True)
class Renewal:
    """One request; `declared` gets the monotonic time at which the intent was sent."""

    partition: int
    span: OffsetRange
    look: bool
    declared: Future[float] = field(default_factory=Future)
    sent: bool = False
    again_at: float = 0.0

    def refuse(self) -> None:
        if not self.declared.done():
            self.declared.set_exception(IntentRefused())


class LeaseRenewals:
    """Asked from any thread, served by the loop's."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._open: list[Renewal] = []
        self._closed = False

    def declare(self, partition: int, span: OffsetRange, look: bool) -> float:
        """Wait until the intent is declared; when that was begun.

        Raises:
            IntentRefused: the partition is not ours any more, or we are closing.
        """
        return self.ask(partition, span, look).result()

    def ask(self, partition: int, span: OffsetRange, look: bool) -> Future[float]:
        """As `declare`, without waiting. Raises IntentRefused: we are closing."""
        renewal = Renewal(partition, span, look)
        with self._lock:
            if self._closed:
                raise IntentRefused
            self._open.append(renewal)
        return renewal.declared

    def due(self, now: float) -> list[Renewal]:
        """Those that are to be sent now."""
        with self._lock:
            self._open = [each for each in self._open if not each.declared.done()]
            return [each for each in self._open if not each.sent and each.again_at <= now]

    def refuse(self, where: Callable[[Renewal], bool]) -> None:
        with self._lock:
            for each in filter(where, self._open):
                each.refuse()

    def close(self) -> None:
        with self._lock:
            self._closed = True
        self.refuse(lambda each: True)
