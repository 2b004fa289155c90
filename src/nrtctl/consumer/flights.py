"""The threads that speak to ClickHouse: one batch or one look at a time each. Used by `loop`."""

from __future__ import annotations

import queue
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event

from nrtctl.clock import Clock
from nrtctl.consumer.buffer import Batch
from nrtctl.consumer.writer import Writer
from nrtctl.intents.delivery import Mode


@dataclass(frozen=True, slots=True)
class Stored:
    """What an insert took, and how many dead letters only bisecting could find."""

    seconds: float
    letters: int = 0


class Flights:
    """`threads` of them, each with a writer of its own."""

    def __init__(self, threads: int, make_writer: Callable[[], Writer], clock: Clock) -> None:
        self._clock = clock
        self._give_up = Event()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="insert")
        self._writers: queue.SimpleQueue[Writer] = queue.SimpleQueue()
        for _ in range(threads):
            self._writers.put(make_writer())

    def store(
        self, batch: Batch, mode: Mode, declared: float | None, give_up: Event
    ) -> Future[Stored | None]:
        """Store a batch; arguments and errors as `Writer.write`'s."""

        def work() -> Stored:
            writer = self._writers.get()
            try:
                began = self._clock.monotonic()
                letters = writer.write(batch, mode, declared, give_up)
                return Stored(self._clock.monotonic() - began, letters)
            finally:
                self._writers.put(writer)

        return self._begin(work)

    def store_together(
        self, batches: Sequence[Batch], declared: float | None, give_up: Event
    ) -> Future[Stored | None]:
        """As `Writer.write_together`; None: it was not acknowledged."""

        def work() -> Stored | None:
            writer = self._writers.get()
            try:
                began = self._clock.monotonic()
                if not writer.write_together(batches, declared, give_up):
                    return None
                return Stored(self._clock.monotonic() - began)
            finally:
                self._writers.put(writer)

        return self._begin(work)

    def look(self) -> Future[dict[int, int]]:
        """The highest stored offset of each partition."""

        def work() -> dict[int, int]:
            writer = self._writers.get()
            try:
                return writer.highest(self._give_up)
            finally:
                self._writers.put(writer)

        return self._pool.submit(work)

    def _begin(self, work: Callable[[], Stored | None]) -> Future[Stored | None]:
        """Cancelled where we are closing: the client serves a last rebalance after that."""
        if self._give_up.is_set():
            never: Future[Stored | None] = Future()
            never.cancel()
            return never
        return self._pool.submit(work)

    def close(self) -> None:
        """Give up looks, and wait for the batches that are under way; nothing is begun any more."""
        self._give_up.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
