"""The threads that speak to ClickHouse: one insert or one look-up at a time each."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from contextlib import suppress
from threading import Event, Lock, Thread
from typing import Any, TypeVar

from nrtctl.clock import Clock
from nrtctl.consumer.effects import StartInsert
from nrtctl.consumer.insert import Stored
from nrtctl.store.chain import EVERY
from nrtctl.store.intents.delivery import Mode
from nrtctl.store.writer import Writer

T = TypeVar("T")
SENT_BEFORE = frozenset({Mode.RESUME, Mode.LOOK})


class InsertPool:
    """`threads` of them, each with a writer of its own. None of them keeps the process alive: one
    may wait for an answer of ClickHouse for longer than an end may take.

    Args:
        ended: told once the last of them has ended, which may be after `close`.
        unproven: whether what was stored is still to be looked at.
        prove: looks at it, where nothing has been begun for a while, and at the end.
    """

    def __init__(
        self,
        threads: int,
        make_writer: Callable[[], Writer],
        clock: Clock,
        *,
        ended: Callable[[], None] = lambda: None,
        unproven: Callable[[], bool] = lambda: False,
        prove: Callable[[], None] = lambda: None,
    ) -> None:
        self._clock = clock
        self._ended = ended
        self._unproven = unproven
        self._prove = prove
        self._at_work = threads
        self._lock = Lock()
        self._give_up = Event()
        self._work: queue.SimpleQueue[tuple[Future[Any], Callable[[Writer], Any]] | None]
        self._work = queue.SimpleQueue()
        writers = [make_writer() for _ in range(threads)]
        self._threads = [
            Thread(target=self._run, args=(writer,), name=f"insert-{number}", daemon=True)
            for number, writer in enumerate(writers)
        ]
        for thread in self._threads:
            thread.start()

    def _run(self, writer: Writer) -> None:
        try:
            self._serve(writer)
            self._prove()
        finally:
            with self._lock:
                self._at_work -= 1
                last = not self._at_work
            if last:
                self._ended()

    def _serve(self, writer: Writer) -> None:
        while (task := self._next()) is not None:
            future, work = task
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = work(writer)
            except BaseException as error:  # noqa: BLE001
                future.set_exception(error)
            else:
                future.set_result(result)

    def _next(self) -> tuple[Future[Any], Callable[[Writer], Any]] | None:
        while True:
            try:
                return self._work.get(timeout=EVERY if self._unproven() else None)
            except queue.Empty:
                self._prove()

    def start(self, asked: StartInsert) -> Future[Stored | None]:
        """Store the batches; errors as `Writer.write`'s. None: `Writer.write_together` says no."""

        def work(writer: Writer) -> Stored | None:
            began = self._clock.monotonic()
            if asked.mode is None:
                stored = writer.write_together(asked.batches, asked.declared, asked.give_up)
                return Stored(self._clock.monotonic() - began) if stored else None
            (batch,) = asked.batches
            before = writer.held(batch, asked.give_up) if asked.mode in SENT_BEFORE else 0
            letters = writer.write(batch, asked.mode, asked.declared, asked.give_up)
            return Stored(self._clock.monotonic() - began, letters, before)

        return self._begin(work)

    def look_up(self) -> Future[dict[int, int]]:
        """The highest stored offset of each partition."""
        return self._begin(lambda writer: writer.highest(self._give_up))

    def _begin(self, work: Callable[[Writer], T]) -> Future[T]:
        """Cancelled where we are closing: the client serves a last rebalance after that."""
        future: Future[T] = Future()
        if self._give_up.is_set():
            future.cancel()
        else:
            self._work.put((future, work))
        return future

    def wait_for_one(self, inserts: Iterable[Future[Any]], seconds: float) -> None:
        """Wait until one of them has ended, or for so long."""
        wait(inserts, timeout=seconds, return_when="FIRST_COMPLETED")

    def close(self, seconds: float) -> None:
        """Begin nothing more, give up look-ups, and wait for what is under way, that long at
        most."""
        self._give_up.set()
        with suppress(queue.Empty):
            while (task := self._work.get_nowait()) is not None:
                task[0].cancel()
        for _ in self._threads:
            self._work.put(None)
        deadline = self._clock.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - self._clock.monotonic()))
