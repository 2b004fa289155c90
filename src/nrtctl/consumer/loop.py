"""The consumer's main loop: fetch, buffer, hand over batches, follow rebalances.

Called by `nrtctl consume` and `nrtctl demo`. Kafka's calls happen on this thread, but for the
intents, which a batch's own thread commits just before it inserts.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from threading import Event
from typing import Protocol

from nrtctl.clock import Clock
from nrtctl.config.model import Batch as BatchLimits
from nrtctl.config.model import Consumer as Settings
from nrtctl.consumer.buffer import Batch, PartitionBuffer
from nrtctl.consumer.group import Group, Message
from nrtctl.consumer.transaction import Abandoned, IntentRefused, Writer
from nrtctl.envelope import Row, row_encoder
from nrtctl.errors import NrtctlError
from nrtctl.intents import Position

FETCH = 10_000
KEEP_ALIVE = 5.0


@dataclass(slots=True)
class Summary:
    """What one run of the consumer did."""

    records: int = 0
    batches: int = 0
    bytes: int = 0
    waits: int = 0
    reason: str = ""
    partitions: set[int] = field(default_factory=set)


class Observer(Protocol):
    """Is told what happens; `cli` shows it."""

    def stored(self, batch: Batch, seconds: float) -> None: ...

    def note(self, text: str) -> None: ...


@dataclass(slots=True)
class _Partition:
    buffer: PartitionBuffer
    encode: Row
    stored: int
    stored_below: int
    committed: int
    limit: int | None
    flight: Future[None] | None = None
    give_up: Event = field(default_factory=Event)
    ended: bool = False


class Loop:
    """Runs until told to stop, `count` messages are stored, or the log's end is reached.

    Args:
        writers: makes a `Writer`; one a thread.
        stored_max: for a partition, the highest offset that the tables hold (-1: none).
        until_end: the log end of each partition to stop at; None: go on.
    """

    def __init__(
        self,
        topic: str,
        group: Group,
        *,
        settings: Settings,
        limits: BatchLimits,
        writers: Callable[[], Writer],
        stored_max: Callable[[int], int],
        clock: Clock,
        observer: Observer,
        skip_lost: bool = False,
        count: int | None = None,
        until_end: Mapping[int, int] | None = None,
    ) -> None:
        self._topic = topic
        self._group = group
        self._settings = settings
        self._limits = limits
        self._stored_max = stored_max
        self._clock = clock
        self._observer = observer
        self._skip_lost = skip_lost
        self._count = count
        self._until_end = until_end
        self._partitions: dict[int, _Partition] = {}
        self._refused: dict[int, float] = {}
        self._taken = 0
        self._stop = Event()
        self._pool = ThreadPoolExecutor(settings.max_inserts, thread_name_prefix="insert")
        self._writers: queue.SimpleQueue[Writer] = queue.SimpleQueue()
        for _ in range(settings.max_inserts):
            self._writers.put(writers())
        self._elsewhere_checked = 0.0
        self._paused = False
        self.summary = Summary()

    def stop(self) -> None:
        """Drain what is buffered, commit offsets, and return from `run`. Safe in a signal."""
        self._stop.set()

    def abandon(self) -> None:
        """Give up batches that wait for ClickHouse; their intents stand. Safe in a signal."""
        self._stop.set()
        for state in self._partitions.values():
            state.give_up.set()

    def run(self) -> Summary:
        """Raises NrtctlError: nothing that was not stored is committed."""
        try:
            self._group.subscribe(self._assigned, self._revoked, self._lost)
            while not self._stop.is_set():
                self._fetch()
                self._collect()
                self._restart_refused()
                self._submit(drain=False)
                if self._finished():
                    break
            self._drain()
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._group.close()
        return self.summary

    def _fetch(self) -> None:
        buffered = sum(state.buffer.bytes for state in self._partitions.values())
        if buffered >= self._settings.max_buffer:
            self._wait_for_room()
            return
        if self._paused:
            self._group.resume()
            self._paused = False
        wanted = FETCH if self._count is None else min(FETCH, self._count - self._taken)
        if wanted <= 0:
            self._group.keep_alive()
            self._wait_for_flights(0.05)
            return
        self._add(self._group.fetch(wanted, self._patience()))

    def _wait_for_room(self) -> None:
        if not self._wait_for_flights(KEEP_ALIVE):
            if not self._paused:
                self._group.pause()
                self._paused = True
            self._add(self._group.keep_alive())

    def _wait_for_flights(self, seconds: float) -> bool:
        flights = [state.flight for state in self._partitions.values() if state.flight is not None]
        if not flights:
            self._clock.sleep(min(seconds, 0.05))
            return True
        return bool(wait(flights, timeout=seconds, return_when="FIRST_COMPLETED").done)

    def _patience(self) -> float:
        """Seconds until a batch becomes due, at most 0.1."""
        now = self._clock.monotonic()
        due = 0.1
        for state in self._partitions.values():
            if state.flight is not None:
                due = min(due, 0.01)
            elif state.buffer.oldest is not None:
                due = min(due, self._limits.max_wait - (now - state.buffer.oldest))
        return max(0.0, due)

    def _add(self, messages: list[Message]) -> None:
        now = self._clock.monotonic()
        for message in messages:
            state = self._partitions.get(message.partition())
            if state is None:
                continue
            offset = message.offset()
            if message.error() is not None:
                state.ended = True
                state.buffer.reached(offset)
                continue
            if state.limit is not None and offset >= state.limit:
                state.ended = True
                continue
            state.ended = False
            row = state.encode(offset, message.timestamp()[1], message.key(), message.value())
            state.buffer.add(offset, row, now)
            self._taken += 1

    def _collect(self) -> None:
        for number, state in list(self._partitions.items()):
            if state.flight is None or not state.flight.done():
                continue
            flight, state.flight = state.flight, None
            try:
                flight.result()
            except (IntentRefused, Abandoned):
                self._partitions.pop(number, None)
                self._refused[number] = self._clock.monotonic()

    def _restart_refused(self) -> None:
        """A batch was given up, but the partition is still ours: begin again where it stands."""
        now = self._clock.monotonic()
        for number, since in list(self._refused.items()):
            if number not in self._group.assigned:
                del self._refused[number]
            elif now - since > 1.0:
                del self._refused[number]
                positions = self._group.positions([number])
                self._assigned(positions)
                self._group.seek(number, positions[number].offset)

    def _submit(self, *, drain: bool) -> None:
        now = self._clock.monotonic()
        idle = []
        for number, state in self._partitions.items():
            if state.flight is not None:
                continue
            buffer = state.buffer
            enough = self._count is not None and self._taken >= self._count
            due = buffer.ready(
                now,
                max_rows=self._limits.max_rows,
                max_bytes=self._limits.max_bytes,
                max_wait=0.0 if drain or enough or self._at_limit(state) else self._limits.max_wait,
            )
            if due:
                batch = buffer.take(
                    max_rows=self._limits.max_rows, max_bytes=self._limits.max_bytes
                )
                state.flight = self._pool.submit(self._write, state, batch)
            elif state.stored > state.committed and not len(buffer):
                idle.append((number, state))
        if idle:
            self._commit_idle(idle)

    def _commit_idle(self, idle: list[tuple[int, _Partition]]) -> None:
        """Nothing more is under way in these partitions: say so, with no intent."""
        if idle and self._group.commit({number: state.stored for number, state in idle}):
            for _, state in idle:
                state.committed = state.stored

    def _write(self, state: _Partition, batch: Batch) -> None:
        writer = self._writers.get()
        try:
            began = self._clock.monotonic()
            doubtful = batch.span.start < state.stored_below
            writer.write(batch, doubtful=doubtful, give_up=state.give_up)
            state.stored = batch.span.end
            self.summary.records += len(batch.rows)
            self.summary.batches += 1
            self.summary.bytes += sum(map(len, batch.rows))
            self.summary.partitions.add(batch.partition)
            self._observer.stored(batch, self._clock.monotonic() - began)
        finally:
            self._writers.put(writer)

    def _at_limit(self, state: _Partition) -> bool:
        return state.limit is not None and (state.ended or state.buffer.seen >= state.limit)

    def _finished(self) -> bool:
        if self._count is not None and self._taken >= self._count:
            self.summary.reason = f"{self._count} messages"
            return True
        if self._until_end is None or not self._group.joined:
            return False
        if self._refused:
            return False
        for state in self._partitions.values():
            if state.flight is not None or len(state.buffer) or not self._at_limit(state):
                return False
        elsewhere = {n: end for n, end in self._until_end.items() if n not in self._partitions}
        if elsewhere and not self._done_elsewhere(elsewhere):
            return False
        self.summary.reason = "the log's end"
        return True

    def _done_elsewhere(self, ends: Mapping[int, int]) -> bool:
        now = self._clock.monotonic()
        if now - self._elsewhere_checked < 1.0:
            return False
        self._elsewhere_checked = now
        committed = self._group.committed(list(ends))
        return all(committed[n][0] is not None and committed[n][0] >= ends[n] for n in ends)  # type: ignore[operator]

    def _drain(self) -> None:
        """Store what is buffered, then commit every end."""
        while True:
            self._collect()
            waiting = [
                s for s in self._partitions.values() if len(s.buffer) and not s.give_up.is_set()
            ]
            pending = [s for s in waiting if s.buffer.pending is not None and not s.flight]
            flights = [s.flight for s in self._partitions.values() if s.flight is not None]
            if not flights and len(waiting) == len(pending):
                break
            self._submit(drain=True)
            self._group.keep_alive()
            self._wait_for_flights(0.1)
        self._commit_idle(
            [(n, s) for n, s in self._partitions.items() if s.stored > s.committed and not s.flight]
        )

    # Rebalances: called by the group, on this thread, from within a fetch.

    def _assigned(self, positions: Mapping[int, Position]) -> None:
        for number, position in positions.items():
            if position.lost is not None and self._skip_lost:
                self._observer.note(f"{self._topic}/{number}: {position.lost} is lost, going on")
            elif position.lost is not None:
                raise NrtctlError(
                    f"{self._topic}/{number}: retention took {position.lost} before it was stored",
                    hint="`nrtctl consume --skip-lost` goes on from "
                    f"offset {position.offset}; the rows of that range are gone from Kafka",
                )
            limit = self._until_end.get(number) if self._until_end is not None else None
            below = self._stored_max(number) + 1
            if position.pending is not None:
                below = max(below, position.pending.end)
            self._partitions[number] = _Partition(
                buffer=PartitionBuffer(number, position.offset, position.pending),
                encode=row_encoder(self._topic, number),
                stored=position.offset,
                stored_below=below,
                committed=position.offset,
                limit=limit,
                ended=limit is not None and position.offset >= limit,
            )
            if position.pending is not None:
                self._observer.note(f"partition {number}: resolving {position.pending}")

    def _revoked(self, numbers: list[int]) -> None:
        """Finish what is under way, within a third of the session timeout; else leave it."""
        going = {n: self._partitions[n] for n in numbers if n in self._partitions}
        flights = [state.flight for state in going.values() if state.flight is not None]
        if flights:
            wait(flights, timeout=self._settings.session_timeout / 3)
        for state in going.values():
            state.give_up.set()
        done = {
            n: state.stored
            for n, state in going.items()
            if (state.flight is None or state.flight.done()) and state.stored > state.committed
        }
        if done:
            self._group.commit(done)
        for number in going:
            del self._partitions[number]

    def _lost(self, numbers: list[int]) -> None:
        for number in numbers:
            state = self._partitions.pop(number, None)
            if state is not None:
                state.give_up.set()
