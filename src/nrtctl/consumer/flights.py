"""The threads that speak to ClickHouse: one insert or one look at a time each. Used by `sending`
and `loop`.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import TypeVar

from nrtctl.clock import Clock
from nrtctl.consumer.assigned import Stored
from nrtctl.consumer.buffer import Batch
from nrtctl.consumer.writer import Writer
from nrtctl.intents.delivery import Mode

T = TypeVar("T")


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

        def work(writer: Writer) -> Stored:
            began = self._clock.monotonic()
            letters = writer.write(batch, mode, declared, give_up)
            return Stored(self._clock.monotonic() - began, letters)

        return self._begin(work)

    def store_together(
        self, batches: Sequence[Batch], declared: float | None, give_up: Event
    ) -> Future[Stored | None]:
        """As `Writer.write_together`; None: that says no."""

        def work(writer: Writer) -> Stored | None:
            began = self._clock.monotonic()
            stored = writer.write_together(batches, declared, give_up)
            return Stored(self._clock.monotonic() - began) if stored else None

        return self._begin(work)

    def look(self) -> Future[dict[int, int]]:
        """The highest stored offset of each partition."""
        return self._begin(lambda writer: writer.highest(self._give_up))

    def _begin(self, work: Callable[[Writer], T]) -> Future[T]:
        """Cancelled where we are closing: the client serves a last rebalance after that."""
        if self._give_up.is_set():
            never: Future[T] = Future()
            never.cancel()
            return never
        return self._pool.submit(self._with_writer, work)

    def _with_writer(self, work: Callable[[Writer], T]) -> T:
        writer = self._writers.get()
        try:
            return work(writer)
        finally:
            self._writers.put(writer)

    def close(self) -> None:
        """Give up looks, and wait for the batches that are under way; nothing is begun any more."""
        self._give_up.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
