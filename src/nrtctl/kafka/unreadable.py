"""Partitions whose next batch cannot be read: stopped and said, or passed when that was asked for.

One for each consumer, used on the loop's thread; only looking at a batch has a thread of its own,
since it takes seconds. A stopped partition stays stopped until it is assigned again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import Thread
from typing import Protocol

from nrtctl.clock import Clock
from nrtctl.kafka.damage import STALLED_SECONDS, DamagedLog
from nrtctl.kafka.error_codes import RESTORE
from nrtctl.store.intents import OffsetRange

TURN_SECONDS = 0.5
MAX_SECONDS = 60.0
SAY_AGAIN = 30.0
SKIP = "`nrtctl consume --skip-damaged` continues after it and counts it as lost"


class Finder(Protocol):
    """The part of `kafka.damage.Finder` that is used."""

    def reason(self, partition: int, offset: int) -> str | None: ...

    def damaged(self, partition: int, offset: int) -> OffsetRange | None: ...


@dataclass(slots=True)
class _Look:
    """A thread's question, and its answer: why `offset` cannot be read, and how far, if skipped."""

    offset: int
    done: bool = False
    reason: str | None = None
    span: OffsetRange | None = None
    failed: str | None = None


@dataclass(slots=True)
class _Still:
    """Where a partition has stood since when, and how long is too long."""

    offset: int
    since: float
    patience: float = STALLED_SECONDS


class Unreadable:
    """Args:
    skip: go on after what cannot be read.
    waiting: told (reason, seconds) about a stopped partition, again and again.
    note: told what was passed.
    """

    def __init__(
        self,
        topic: str,
        finder: Finder,
        *,
        clock: Clock,
        skip: bool,
        waiting: Callable[[str, float], None],
        note: Callable[[str], None],
    ) -> None:
        self._topic = topic
        self._finder = finder
        self._clock = clock
        self._skip = skip
        self._waiting = waiting
        self._note = note
        self._looks: dict[int, _Look] = {}
        self._still: dict[int, _Still] = {}
        self._passed: dict[int, int] = {}
        self._turn_at = 0.0
        self._say_at = 0.0
        self.stopped: dict[int, DamagedLog] = {}
        self.seen: Callable[[int], int | None] = lambda partition: None
        """The offset after the last message that was taken; None: not assigned. Set by the loop."""

    @property
    def is_holding(self) -> bool:
        return bool(self.stopped or self._looks)

    def holds(self, partition: int) -> bool:
        """Whether nothing of the partition is to be taken now."""
        look = self._looks.get(partition)
        return partition in self.stopped or (look is not None and look.reason is not None)

    def found(self, partition: int, offset: int, reason: str) -> None:
        """Kafka or its client says that the batch at `offset` cannot be read."""
        if self.holds(partition):
            return
        offset = max(offset, self._passed.get(partition, 0))
        if self._skip:
            self._look(partition, offset, reason)
        else:
            self._stop(partition, offset, reason)

    def _stop(self, partition: int, offset: int, reason: str) -> None:
        hint = f"{SKIP}; or {RESTORE}"
        self.stopped[partition] = DamagedLog(self._topic, partition, offset, reason, hint=hint)
        self._say_at = 0.0

    def forget(self, partitions: Iterable[int]) -> None:
        for partition in partitions:
            for known in (self.stopped, self._looks, self._still, self._passed):
                known.pop(partition, None)

    def turn(
        self, assigned: Iterable[int], log_end: Callable[[int], int | None]
    ) -> dict[int, int | None]:
        """What is to be done now: the partitions to stop (None) and those to read on from an
        offset. Called often; looks at nothing more than twice a second."""
        now = self._clock.monotonic()
        if now < self._turn_at:
            return {}
        self._turn_at = now + TURN_SECONDS
        self._watch(now, assigned, log_end)
        moves: dict[int, int | None] = {}
        for partition, look in list(self._looks.items()):
            if not look.done:
                continue
            del self._looks[partition]
            if look.span is not None:
                self._note(
                    f"{self._topic}/{partition}: {look.span} is damaged and skipped: its messages "
                    f"are lost ({look.reason})"
                )
                moves[partition] = self._passed[partition] = look.span.end
            elif look.reason is not None and self._skip and look.failed is None:
                moves[partition] = look.offset
            elif look.reason is not None:
                self._stop(partition, look.offset, look.failed or look.reason)
                moves[partition] = None
        self._say(now)
        return moves

    def _say(self, now: float) -> None:
        if self.stopped and now >= self._say_at:
            self._say_at = now + SAY_AGAIN
            for error in self.stopped.values():
                self._waiting(f"{error.message}; {error.hint}", SAY_AGAIN)

    def _watch(
        self, now: float, assigned: Iterable[int], log_end: Callable[[int], int | None]
    ) -> None:
        """Look at partitions that stand still although their log goes on."""
        for partition in assigned:
            at = self.seen(partition)
            if at is None or partition in self._looks or partition in self.stopped:
                continue
            still = self._still.get(partition)
            at = max(at, self._passed.get(partition, 0))
            if still is None or still.offset != at or (log_end(partition) or 0) <= at:
                self._still[partition] = _Still(at, now)
            elif now - still.since >= still.patience:
                still.since, still.patience = now, min(MAX_SECONDS, 2 * still.patience)
                self._look(partition, at, None)

    def rested(self) -> None:
        """Nothing was fetched on purpose: no partition is late."""
        self._still.clear()

    def _look(self, partition: int, offset: int, reason: str | None) -> None:
        look = self._looks[partition] = _Look(offset, reason=reason)

        def run() -> None:
            try:
                why = reason or self._finder.reason(partition, offset)
                if why is not None and self._skip:
                    look.span = self._finder.damaged(partition, offset)
                look.reason = why
            except Exception as error:  # noqa: BLE001 — of a thread: it is said where it is read
                look.failed = f"{reason or 'Kafka sends nothing'}; inspecting it failed: {error}"
            finally:
                look.done = True

        Thread(target=run, name="damage", daemon=True).start()
