"""Intents that an insert's thread wants declared again, by the loop's thread. Used by `loop`."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Lock

from nrtctl.consumer.writer import IntentRefused
from nrtctl.intents import OffsetRange


@dataclass(slots=True)
class Renewal:
    """One wish; `declared` gets the monotonic time at which the intent was sent."""

    partition: int
    span: OffsetRange
    look: bool
    declared: Future[float] = field(default_factory=Future)
    sent: bool = False
    again_at: float = 0.0

    def refuse(self) -> None:
        if not self.declared.done():
            self.declared.set_exception(IntentRefused())


class Renewals:
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
        wish = Renewal(partition, span, look)
        with self._lock:
            if self._closed:
                raise IntentRefused
            self._open.append(wish)
        return wish.declared.result()

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
