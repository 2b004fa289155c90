"""The consumer's main loop: fetch, buffer, declare, hand over batches, follow rebalances.

Called by `nrtctl consume` and `nrtctl demo`. Kafka is spoken to on this thread only; ClickHouse on
the threads of a pool, one batch of a partition at a time:

    buffered ─ due ─▶ intent sent ─▶ declared ─▶ insert runs ─▶ stored ─ idle ─▶ committed

Small batches of several partitions run in one insert (`together`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from itertools import groupby
from operator import methodcaller
from typing import Any

from nrtctl.clock import Clock
from nrtctl.config.model import Batch as BatchLimits
from nrtctl.config.model import Consumer as Settings
from nrtctl.consumer.assigned import AssignedPartition, Stored
from nrtctl.consumer.buffer import PartitionBuffer
from nrtctl.consumer.clearance import Clearance
from nrtctl.consumer.declaring import Declaring
from nrtctl.consumer.due import seconds_left, to_take
from nrtctl.consumer.flights import Flights
from nrtctl.consumer.group import Group, Message, Stopping
from nrtctl.consumer.observer import Observer, Summary
from nrtctl.consumer.renewals import Renewals
from nrtctl.consumer.sending import Sending
from nrtctl.consumer.stop import Stop
from nrtctl.consumer.unreadable import Unreadable
from nrtctl.consumer.writer import Writer
from nrtctl.envelope import rows_encoder
from nrtctl.errors import NrtctlError
from nrtctl.faultpoints import reach
from nrtctl.intents import Incarnation, OffsetRange, Position
from nrtctl.intents.delivery import Mode
from nrtctl.kafka_damage import DamagedLog

FETCH = 2000
PARTITION = methodcaller("partition")
FLIGHT_PATIENCE = 0.005
PAUSE_AFTER = 1.0
"""Seconds of a full buffer before fetching is paused, which drops what the client holds."""

CLOSING_SECONDS = 12.0
"""An end waits so long for a batch that does not become stored; then it is left pending."""

CLOSING_MOST = 40.0
"""An end lasts no longer, though batch after batch is stored: `docker stop` is given 60 s."""

LAST_COMMITS_SECONDS = 4.0
THREADS_SECONDS = 4.0
RESTART_SECONDS = 1.0


class Loop:
    """Runs until told to stop, `count` messages are stored, or the log's end is reached.

    Args:
        table: named by the intents.
        writers: makes a `Writer`, one a thread, given what declares an intent again.
        holds_all: whether the tables hold every offset of a range of a partition.
        together: small batches of several partitions may go in one insert.
        stop: set when the run should end.
        until_end: the log end of each partition to stop at; None: go on.
        incarnation: of the topic, whose number the rows carry; None: the broker gives topics no id.
        ask_topic: asks which topic has the name now (`kafka.ask_topic_id`).
        waiting: told (reason, seconds) where Kafka does not answer that.
        broken: what an insert needs and is not there; empty: nothing is known to be lost.
        summary: of a run before this one, to be continued.
    """

    def __init__(
        self,
        topic: str,
        table: str,
        group: Group,
        *,
        settings: Settings,
        limits: BatchLimits,
        writers: Callable[[Callable[[int, OffsetRange, bool], float]], Writer],
        holds_all: Callable[[int, OffsetRange], bool],
        clock: Clock,
        observer: Observer,
        stop: Stop,
        together: bool = True,
        skip_lost: bool = False,
        count: int | None = None,
        until_end: Mapping[int, int] | None = None,
        unreadable: Unreadable | None = None,
        incarnation: Incarnation | None = None,
        ask_topic: Callable[[], Future[Any]] = Future,
        waiting: Callable[[str, float], None] = lambda reason, seconds: None,
        broken: Callable[[], str] = str,
        summary: Summary | None = None,
    ) -> None:
        self._topic = topic
        self._incarnation = incarnation or Incarnation()
        self._group = group
        self._settings = settings
        self._limits = limits
        self._holds_all = holds_all
        self._clock = clock
        self._observer = observer
        self._together = together
        self._skip_lost = skip_lost
        self._count = count
        self._until_end = until_end
        self._intents = settings.delivery == "exactly-once"
        self._partitions: dict[int, AssignedPartition] = {}
        self._looks: list[tuple[Future[dict[int, int]], set[int]]] = []
        self._refused: dict[int, float] = {}
        self._taken = 0
        self._stop = stop
        self._unreadable = unreadable
        if unreadable is not None:
            unreadable.seen = self._seen
        self._broken = broken
        self._renewals = Renewals()
        self._flights = Flights(
            settings.max_inserts, lambda: writers(self._renewals.declare), clock
        )
        self._sending = Sending(
            self._partitions, self._flights, stored=self._landed, given_up=self._give_back
        )
        self._clearance = Clearance(
            topic,
            self._incarnation,
            ask_topic,
            self._sending.send,
            clock=clock,
            waiting=waiting,
        )
        group.recheck = self._clearance.recheck
        self._declaring = Declaring(
            group,
            table,
            self._partitions,
            self._renewals,
            clock=clock,
            intents=self._intents,
            topic=self._incarnation,
            declared=self._clearance.declared,
            refused=self._give_back,
            note=observer.note,
        )
        self._elsewhere_checked = 0.0
        self._full_since: float | None = None
        self._paused = False
        self._closed = False
        self.summary = summary or Summary(topic=self._incarnation)
        if summary is not None:
            summary.topic = None

    def stop(self) -> None:
        """Drain what is buffered, commit offsets, and return from `run`. Safe in a signal."""
        self._stop.set()

    def run(self) -> Summary:
        """Raises NrtctlError: nothing that was not stored is committed.

        Raises:
            DamagedLog: the rest is stored; a partition is stopped at what cannot be read.
        """
        damaged: list[DamagedLog] = []
        try:
            self._group.subscribe(self._assigned, self._revoked, self._lost)
            while not self._stop.is_set():
                self._turn()
                if self._finished():
                    break
            self._drain()
            damaged = list(self._damaged().values())
        except Stopping:
            pass
        finally:
            self._close()
        for damage in damaged:
            raise damage
        return self.summary

    def _seen(self, partition: int) -> int | None:
        state = self._partitions.get(partition)
        return state.buffer.seen if state is not None else None

    def _damaged(self) -> dict[int, DamagedLog]:
        return self._unreadable.stopped if self._unreadable is not None else {}

    def _turn(self) -> None:
        self._fetch()
        self._collect()
        self._leave_range()
        self._restart_refused()
        self._advance(drain=False)

    def _close(self) -> None:
        reach("closing")
        for state in self._partitions.values():
            state.give_up.set()
        self._sending.close()
        self._renewals.close()
        self._flights.close(THREADS_SECONDS)
        self._closed = True
        with suppress(Stopping):
            self._group.close()

    # Fetching.

    def _fetch(self) -> None:
        wanted = FETCH if self._count is None else min(FETCH, self._count - self._taken)
        held = sum(state.bytes() for state in self._partitions.values())
        if wanted > 0 and held < self._settings.max_buffer:
            self._full_since = None
            if self._paused:
                self._group.resume()
                self._paused = False
            self._add(self._group.fetch(wanted, self._patience()))
            return
        now = self._clock.monotonic()
        if self._full_since is None:
            self._full_since = now
        if wanted <= 0 or now - self._full_since > PAUSE_AFTER:
            self._serve()
            return
        flights = self._in_flight()
        if flights:
            wait(flights, timeout=FLIGHT_PATIENCE, return_when="FIRST_COMPLETED")
        self._add(self._group.fetch(1, 0 if flights else FLIGHT_PATIENCE))

    def _serve(self) -> None:
        """Serve rebalances and answers, fetching nothing more."""
        if not self._paused:
            self._group.pause()
            self._paused = True
        self._add(self._group.fetch(1, FLIGHT_PATIENCE))

    def _patience(self) -> float:
        """Seconds to wait for messages."""
        waiting = bool(self._looks or self._in_flight() or self._clearance.pending)
        return seconds_left(
            self._partitions,
            self._limits,
            max_inserts=self._settings.max_inserts,
            now=self._clock.monotonic(),
            most=FLIGHT_PATIENCE if waiting else 0.1,
        )

    def _in_flight(self) -> list[Future[Stored | None]]:
        return [state.flight for state in self._partitions.values() if state.flight is not None]

    def _add(self, messages: list[Message]) -> None:
        now = self._clock.monotonic()
        for number, run in groupby(messages, PARTITION):
            state = self._partitions.get(number)
            if state is not None and not self._enough():
                most = None if self._count is None else self._count - self._taken
                self._taken += state.add(list(run), now, most)

    def _enough(self) -> bool:
        return self._count is not None and self._taken >= self._count

    # From a due batch to a stored one.

    def _collect(self) -> None:
        """Take in what the threads have finished."""
        for look in [each for each in self._looks if each[0].done()]:
            self._looks.remove(look)
            if look[0].cancelled():
                continue
            tops = look[0].result()
            for number in look[1] & self._partitions.keys():
                self._partitions[number].top = tops.get(number, -1)
        self._sending.collect()
        self._clearance.turn()

    def _landed(self, states: Sequence[AssignedPartition], stored: Stored) -> None:
        batches = []
        for state in states:
            if state.batch is not None:
                batches.append(state.batch)
                state.stored = state.batch.span.end
            state.batch, state.flight = None, None
        self.summary.add(batches, stored)
        self._observer.stored(batches, stored.seconds)

    def _advance(self, *, drain: bool) -> None:
        """Take what is due, declare it, and say where nothing is under way."""
        now = self._clock.monotonic()
        intents = [n for n, state in self._partitions.items() if state.to_declare(now)]
        for numbers in to_take(
            self._partitions,
            self._limits,
            max_inserts=self._settings.max_inserts,
            now=now,
            at_once=drain or self._enough(),
            full=self._full_since is not None,
            together=self._together,
        ):
            for number in numbers:
                state = self._partitions[number]
                state.take(self._limits.max_rows, self._limits.max_bytes, intents=self._intents)
                reach("batch-taken")
                state.again_at = now if self._intents else None
            if len(numbers) > 1:
                self._sending.join(numbers)
            self._clearance.taken(numbers)
            if self._intents:
                intents += numbers
            else:
                for number in numbers:
                    self._clearance.declared(number, None)
        self._declaring.declare(intents)
        for state in self._partitions.values():
            state.pass_gap()
        self._declaring.rest([n for n, state in self._partitions.items() if state.idle()])
        self._declaring.renew()
        self._observer.turned(self._partitions, self._group)

    # The end.

    def _finished(self) -> bool:
        if self._enough():
            self.summary.reason = f"{self._count} messages"
            return True
        stopped = self._damaged()
        if stopped and not self._refused and self._partitions.keys() <= stopped.keys():
            return not any(map(self._draining, self._partitions.values()))
        if self._until_end is None or not self._group.joined or self._refused:
            return False
        if self._group.out_of_range:
            return False
        for number, state in self._partitions.items():
            if number in stopped and not self._draining(state):
                continue
            if state.batch is not None or len(state.buffer) or not state.at_limit():
                return False
        elsewhere = {n: end for n, end in self._until_end.items() if n not in self._partitions}
        if elsewhere and not self._done_elsewhere(elsewhere):
            return False
        self.summary.reason = "the log's end"
        return True

    def _done_elsewhere(self, ends: Mapping[int, int]) -> bool:
        now = self._clock.monotonic()
        if now - self._elsewhere_checked < RESTART_SECONDS:
            return False
        self._elsewhere_checked = now
        committed = self._group.committed(list(ends))
        return all((committed[n][0] or 0) >= end for n, end in ends.items())

    def _drain(self) -> None:
        """Store what is buffered, then say so; a range that is not here whole is left pending.

        So is a batch whose intent Kafka, or whose rows ClickHouse does not take within a while.
        """
        began = moved = self._clock.monotonic()
        stored = self.summary.batches
        while True:
            self._collect()
            self._advance(drain=True)
            now = self._clock.monotonic()
            if self.summary.batches > stored:
                stored, moved = self.summary.batches, now
            going = [n for n, state in self._partitions.items() if self._draining(state)]
            if not going:
                break
            if now - moved > CLOSING_SECONDS or now - began > CLOSING_MOST:
                self._leave(going, now - began)
                break
            self._serve()
        deadline = self._clock.monotonic() + LAST_COMMITS_SECONDS
        while self._clock.monotonic() < deadline and any(
            state.idle() or number in self._group.commits
            for number, state in self._partitions.items()
        ):
            self._serve()
            self._advance(drain=True)

    def _leave(self, numbers: Sequence[int], seconds: float) -> None:
        """Say what an end leaves for the next consumer, and give it up."""
        self.summary.failure = self._broken()
        for number in numbers:
            state = self._partitions[number]
            state.give_up.set()
            if state.batch is not None:
                self.summary.left += 1
                self._observer.note(
                    f"partition {number}: {state.batch.span} could not be stored within "
                    f"{seconds:.0f} s and is left pending; the next consumer stores it"
                )

    def _draining(self, state: AssignedPartition) -> bool:
        if state.batch is not None:
            return True
        incomplete = (
            state.buffer.pending is not None and state.buffer.seen < state.buffer.pending.end
        )
        return len(state.buffer) > 0 and not incomplete

    # Rebalances: called by the group, on this thread, from within a fetch.

    def _assigned(self, positions: Mapping[int, Position]) -> None:
        for number, position in positions.items():
            if position.lost is not None:
                self._mind_loss(number, position)
            limit = None
            if self._until_end is not None:  # what was added since has no end to reach
                limit = self._until_end.get(number, position.offset)
            self._partitions[number] = AssignedPartition(
                buffer=PartitionBuffer(
                    number, position.offset, position.epoch, position.pending, position.shared
                ),
                encode=rows_encoder(self._topic, self._incarnation.number, number),
                stored=position.offset,
                committed=-1 if position.unsaid else position.offset,
                first=Mode.LOOK if position.look else Mode.RESUME,
                limit=limit,
                ended=limit is not None and position.offset >= limit,
                top=None if self._intents else -1,
            )
            if position.pending is not None:
                self._observer.note(f"partition {number}: resolving {position.pending}")
        if positions and self._intents:
            self._looks.append((self._flights.look(), set(positions)))

    def _mind_loss(self, number: int, position: Position) -> None:
        lost = position.lost
        if lost is None:
            return
        if self._holds_all(number, lost):
            self._observer.note(f"{self._topic}/{number}: {lost} has left Kafka, and is stored")
        elif self._skip_lost:
            self._observer.note(f"{self._topic}/{number}: {lost} is lost, going on")
        else:
            raise NrtctlError(
                f"{self._topic}/{number}: retention took {lost} before it was stored",
                hint="`nrtctl consume --skip-lost` goes on from "
                f"offset {position.offset}; the rows of that range are gone from Kafka",
            )

    def _revoked(self, numbers: list[int]) -> None:
        """Finish what is under way, within a third of the session timeout; else leave it."""
        self._renewals.refuse(lambda wish: wish.partition in numbers)
        going = {n: self._partitions[n] for n in numbers if n in self._partitions}
        flights = [state.flight for state in going.values() if state.flight is not None]
        flights = [each for each in flights if not each.done()]  # `wait` waits for a cancelled one
        began = self._clock.monotonic()
        while flights and not self._closed and self._clock.monotonic() - began < self._time_left():
            flights = list(wait(flights, timeout=0.1).not_done)
        self._collect()
        self._declaring.rest(
            [n for n in going if n in self._partitions and self._partitions[n].at_rest()]
        )
        self._lost(numbers)

    def _time_left(self) -> float:
        """Seconds that a rebalance waits for inserts: less where we are to end."""
        most = self._settings.session_timeout / 3
        return min(most, THREADS_SECONDS) if self._stop.is_set() else most

    def _lost(self, numbers: list[int]) -> None:
        self._renewals.refuse(lambda wish: wish.partition in numbers)
        for number in numbers:
            state = self._partitions.pop(number, None)
            self._refused.pop(number, None)
            if state is not None:
                state.give_up.set()
        self._sending.left(numbers)
        self._clearance.left(numbers)

    def _give_back(self, number: int) -> None:
        """A batch was given up. If the partition stays ours, begin again where it stands."""
        state = self._partitions.pop(number, None)
        if state is not None:
            state.give_up.set()
            self._refused[number] = self._clock.monotonic()
            self._sending.left([number])
            self._clearance.left([number])

    def _leave_range(self) -> None:
        """Begin again where the log does not hold the offset to read, once what was fetched is
        stored: the log's start may have passed it."""
        for number in sorted(self._group.out_of_range):
            state = self._partitions.get(number)
            if state is None or state.emptied():
                self._group.out_of_range.discard(number)
                if state is not None:
                    self._give_back(number)

    def _restart_refused(self) -> None:
        now = self._clock.monotonic()
        for number, since in list(self._refused.items()):
            if number not in self._group.assigned:
                del self._refused[number]
            elif now - since > RESTART_SECONDS and number not in self._group.commits:
                del self._refused[number]
                positions = self._group.positions([number])
                self._assigned(positions)
                self._group.seek(number, positions[number].offset)
