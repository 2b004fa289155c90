"""The consumer's main loop. It decides nothing about batches: `flush_policy` says what to fetch and
which batches begin, `assignment` what follows from each thing that happens, and the loop carries
it out. Kafka is spoken to on this thread only; ClickHouse on the threads of a pool.

The way of a message, place by place: docs/architecture.md.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import Any, Protocol

from nrtctl.clock import Clock
from nrtctl.clock.stop import Stop
from nrtctl.config.counted import counted
from nrtctl.config.model import Consumer as Settings
from nrtctl.consumer.assignment import Assignment
from nrtctl.consumer.effects import (
    AskTopic,
    CommitIntents,
    CommitOffsets,
    Effect,
    LookUp,
    ReportStored,
    Say,
    StartInsert,
)
from nrtctl.consumer.flush_policy import Fetch, FlushPolicy
from nrtctl.consumer.insert import Insert, Stored
from nrtctl.consumer.intent_commits import IntentCommits
from nrtctl.consumer.lease_renewals import LeaseRenewals
from nrtctl.consumer.observer import Observer, Summary
from nrtctl.consumer.partition import Partition
from nrtctl.consumer.topic_check import ASK_AGAIN, TopicCheck
from nrtctl.consumer.undecoded import Undecoded
from nrtctl.errors import ConnectError, NrtctlError
from nrtctl.kafka.damage import DamagedLog
from nrtctl.kafka.fetched import Run
from nrtctl.kafka.membership import Group
from nrtctl.kafka.starting_positions import Stopping
from nrtctl.kafka.topic_identity import TopicIdentity
from nrtctl.kafka.unreadable import Unreadable
from nrtctl.store.envelope import Decode, RowsEncoder
from nrtctl.store.evidence import LostEnd, beyond
from nrtctl.store.faultpoints import reach
from nrtctl.store.intents import Incarnation, OffsetRange, Position, of_this_topic
from nrtctl.store.intents.passed import passed, told
from nrtctl.store.writer import Abandoned, IntentRefused

CLOSING_SECONDS = 12.0
"""An end waits so long for a batch that does not become stored; then it is left pending."""

CLOSING_MOST = 40.0
"""An end lasts no longer, though batch after batch is stored: `docker stop` is given 60 s."""

LAST_COMMITS_SECONDS = 4.0
THREADS_SECONDS = 4.0
ELSEWHERE_SECONDS = 1.0
"""Between two looks how far the other members are."""


class Inserts(Protocol):
    """What sends batches to ClickHouse meanwhile: `InsertPool`."""

    def start(self, asked: StartInsert) -> Future[Stored | None]: ...

    def look_up(self) -> Future[dict[int, int]]: ...

    def wait_for_one(self, inserts: Iterable[Future[Any]], seconds: float) -> None: ...

    def close(self, seconds: float) -> None: ...


class Loop:
    """Runs until told to stop, `count` messages are stored, or the log's end is reached.

    Args:
        table: named by the intents.
        inserts: makes what sends batches, given what declares an intent again.
        holds_all: whether the tables hold every offset of a range of a partition.
        log_ends: asks Kafka where each log ends.
        stop: set when the run should end.
        until_end: the log end of each partition to stop at; None: go on.
        incarnation: of the topic, whose number the rows carry; None: the broker gives topics no id.
        ask_topic: asks which topic has the name now (`topics.ask_topic_id`).
        waiting: told (reason, seconds) where Kafka does not answer that.
        broken: what an insert needs and is not there; empty: nothing is known to be lost.
        doubted: what may have been stored without all of its values; empty: nothing is known.
        rests: whether the pipeline is paused: what is buffered is stored, and nothing is fetched.
        summary: of a run before this one, to be continued.
        decode: of messages that are no JSON (`kafka.formats.opening`).
    """

    _elsewhere_checked = 0.0
    _paused = False
    _closed = False

    def __init__(
        self,
        topic: str,
        table: str,
        group: Group,
        *,
        settings: Settings,
        flush_policy: FlushPolicy,
        inserts: Callable[[LeaseRenewals], Inserts],
        holds_all: Callable[[int, OffsetRange], bool],
        log_ends: Callable[[], Mapping[int, int]] = dict,
        clock: Clock,
        observer: Observer,
        stop: Stop,
        skip_lost: bool = False,
        until_end: Mapping[int, int] | None = None,
        unreadable: Unreadable | None = None,
        incarnation: Incarnation | None = None,
        ask_topic: Callable[[], Future[Any]] = Future,
        waiting: Callable[[str, float], None] = lambda reason, seconds: None,
        broken: Callable[[], str] = str,
        doubted: Callable[[], str] = str,
        rests: Callable[[], bool] = bool,
        summary: Summary | None = None,
        decode: Decode | None = None,
    ) -> None:
        self._topic = topic
        self._incarnation = incarnation or Incarnation()
        self._group = group
        self._settings = settings
        self._holds_all = holds_all
        self._log_ends = log_ends
        self._clock = clock
        self._observer = observer
        self._skip_lost = skip_lost
        self._until_end = until_end
        self._stop = stop
        self._unreadable = unreadable
        self._waiting = waiting
        self._broken = broken
        self._doubted = doubted
        self._rests = rests
        self._decode = decode
        self._undecoded = Undecoded(clock, waiting, observer.note)
        intents = settings.delivery == "exactly-once"
        self._flush_policy = flush_policy
        self._identity = TopicIdentity(topic, self._incarnation, ask_topic, clock=clock)
        self._assignment = Assignment(
            flush_policy.limits,
            intents=intents,
            topic_check=TopicCheck(has_id=self._identity.has_id, now=clock.monotonic()),
            fresh=lambda: secrets.token_hex(8),
        )
        self._partitions = self._assignment.partitions
        self._renewals = LeaseRenewals()
        self._inserts = inserts(self._renewals)
        self._running: dict[Insert, Future[Stored | None]] = {}
        self._moved: dict[int, tuple[int, int]] = {}
        """By partition: an offset that another program has committed, and the log's start."""
        self._look_ups: list[tuple[Future[dict[int, int]], LookUp]] = []
        self._commits = IntentCommits(
            group,
            table,
            self._assignment,
            self._renewals,
            self._carry_out,
            clock=clock,
            intents=intents,
            topic=self._incarnation,
        )
        self.summary = _continued(summary, self._incarnation)

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
            self.join()
            while not self._stop.is_set():
                self.turn()
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

    def join(self) -> None:
        self._group.recheck = self._identity.recheck
        if self._unreadable is not None:
            self._unreadable.seen = self._seen
        self._group.subscribe(self._assigned, self._revoked, self._lost)

    def turn(self) -> None:
        """Fetch once, take in what has happened, and begin what is due."""
        rests = self._group.rests = self._rests()
        self._fetch(self._next_fetch(rests))
        now = self._clock.monotonic()
        self._collect(now)
        self._leave_range(now)
        self._restart(now)
        self._begin_batches(now, drain=rests)

    def _next_fetch(self, rests: bool) -> Fetch:
        if rests:
            awake = self._assignment.awake.values()
            busy = any(each.has_work() or each.at_rest() for each in awake)
            return self._flush_policy.rest(busy=busy)
        return self._flush_policy.next_fetch(
            self._assignment.gathering,
            self._clock.monotonic(),
            held=self._assignment.held(),
            inserts=self._assignment.inserts(),
            next_intent=self._assignment.next_intent(),
            inserting=any(insert.ready for insert in self._running),
            asking=bool(self._look_ups) or self._assignment.waits_for_topic(),
        )

    # Effects.

    def _carry_out(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case CommitIntents():
                    self._commits.commit_intents(effect)
                case CommitOffsets():
                    self._commits.commit_offsets(effect)
                case AskTopic():
                    self._identity.ask()
                case StartInsert():
                    self._running[effect.insert] = self._inserts.start(effect)
                case ReportStored(batches, stored):
                    self._flush_policy.inserted(stored.seconds)
                    self.summary.add(batches, stored)
                    self._observer.stored(batches, stored)
                case LookUp():
                    self._look_ups.append((self._inserts.look_up(), effect))
                case Say(text):
                    self._observer.note(text)

    # Events.

    def _fetch(self, fetch: Fetch) -> None:
        paused = fetch.paused or bool(self._undecoded)
        if paused is not self._paused:
            self._paused = paused
            (self._group.pause if paused else self._group.resume)()
        if fetch.insert_first:
            self._inserts.wait_for_one(self._in_flight(self._partitions), fetch.insert_first)
        runs = self._group.fetch(fetch.messages, fetch.seconds)
        self._undecoded.again(self._take)
        for run in runs:
            self._take(run)

    def _take(self, run: Run) -> None:
        partition = self._partitions.get(run.partition)
        if partition is None or self._flush_policy.has_enough() or not partition.is_news(run):
            return
        now, wanted, before = self._clock.monotonic(), self._flush_policy.wanted(), partition.size()
        buffer = partial(partition.fetched, run, now, wanted)
        self._flush_policy.taken(self._undecoded.take(run, buffer))
        self._assignment.buffered(run.partition, partition.size() - before)

    def _in_flight(self, partitions: Iterable[int]) -> list[Future[Stored | None]]:
        """Inserts that are being sent for one of these partitions."""
        if not self._running:
            return []
        among = set(partitions)
        return [future for insert, future in self._running.items() if insert.ready.keys() & among]

    def _collect(self, now: float) -> None:
        """Take in what has ended."""
        for answer in [each for each in self._look_ups if each[0].done()]:
            self._look_ups.remove(answer)
            with suppress(Abandoned, CancelledError):
                highest = answer[0].result()
                self._refuse_lost_end(highest)
                self._tell_passed(answer[1].partitions, highest)
                self._assignment.looked_up(answer[1].partitions, highest)
        for insert, future in [each for each in self._running.items() if each[1].done()]:
            del self._running[insert]
            if insert.ready:  # else all its partitions have left
                self._carry_out(self._ended(insert, future, now))
        self._carry_out(check_topic(self._identity, self._assignment, self._waiting, now))

    def _tell_passed(self, numbers: Iterable[int], highest: Mapping[int, int]) -> None:
        """Say what another program's commit in the group has passed."""
        moved = {n: self._moved.pop(n) for n in numbers if n in self._moved}
        spans = {
            number: span
            for number, (offset, above) in moved.items()
            if (span := passed(offset, above, highest.get(number, -1))) is not None
        }
        if spans:
            self._observer.note(told(self._topic, spans))

    def _refuse_lost_end(self, highest: Mapping[int, int]) -> None:
        """Raises LostEnd: messages to come would be taken for others that are stored."""
        then = {
            number: partition.log_end
            for number, partition in self._partitions.items()
            if partition.log_end is not None
        }
        if found := beyond(highest, then):  # or the log has grown, and somebody stored that
            ends = self._log_ends()
            if found := beyond({number: highest[number] for number in found}, ends):
                raise LostEnd(self._topic, found)

    def _ended(self, insert: Insert, future: Future[Stored | None], now: float) -> list[Effect]:
        try:
            stored = future.result()
        except (IntentRefused, Abandoned, CancelledError):
            return self._assignment.abandoned(insert, now)
        return self._assignment.stored(insert, stored)

    def _begin_batches(self, now: float, *, drain: bool) -> None:
        """Begin what is due, declare it, and say where nothing is under way."""
        groups = self._flush_policy.next_batches(
            self._assignment.gathering,
            now,
            inserts=self._assignment.inserts(),
            at_once=drain,
        )
        if groups:
            effects = self._assignment.begin(groups, now)
            for _ in chain.from_iterable(groups):
                reach("batch-taken")
            self._carry_out(effects)
        self._carry_out(self._assignment.turn(now, self._group.commits))
        self._commits.renew(now)
        self._observer.turned(self._partitions, self._group)

    # Damage.

    def _seen(self, number: int) -> int | None:
        partition = self._partitions.get(number)
        return partition.buffer.seen if partition is not None else None

    def _damaged(self) -> dict[int, DamagedLog]:
        return self._unreadable.stopped if self._unreadable is not None else {}

    # The end.

    def _finished(self) -> bool:
        if self._flush_policy.has_enough():
            self.summary.reason = counted(self._flush_policy.count or 0, "message")
            return True
        stopped = self._damaged()
        if (
            stopped
            and not self._assignment.restarting
            and self._partitions.keys() <= stopped.keys()
        ):
            return not self._has_work()
        if self._until_end is None or not self._group.joined or self._assignment.restarting:
            return False
        if self._group.out_of_range or self._has_work():
            return False
        if self._moved and self._look_ups:  # it is not known yet what another program has passed
            return False
        for number, partition in self._partitions.items():
            if number in stopped and not partition.has_work():
                continue
            if not partition.finished():
                return False
        elsewhere = {n: end for n, end in self._until_end.items() if n not in self._partitions}
        if elsewhere and not self._done_elsewhere(elsewhere):
            return False
        self.summary.reason = "the log's end"
        return True

    def _has_work(self) -> bool:
        return any(each.has_work() for each in self._assignment.awake.values())

    def _done_elsewhere(self, ends: Mapping[int, int]) -> bool:
        now = self._clock.monotonic()
        if now - self._elsewhere_checked < ELSEWHERE_SECONDS:
            return False
        self._elsewhere_checked = now
        here = {
            number: offset or 0
            for number, (offset, metadata) in self._group.committed(list(ends)).items()
            if of_this_topic(metadata, self._incarnation)
        }
        return all(here.get(number, 0) >= end for number, end in ends.items())

    def _drain(self) -> None:
        """Store what is buffered, then say so; a range that is not here whole is left pending.

        So is a batch whose intent Kafka, or whose rows ClickHouse does not take within a while.
        """
        began = moved = self._clock.monotonic()
        stored = self.summary.batches
        while True:
            now = self._clock.monotonic()
            self._collect(now)
            self._begin_batches(now, drain=True)
            if self.summary.batches > stored:
                stored, moved = self.summary.batches, now
            going = [n for n, partition in self._partitions.items() if partition.has_work()]
            if not going:
                break
            if now - moved > CLOSING_SECONDS or now - began > CLOSING_MOST:
                self._leave(going, now - began)
                break
            self._fetch(self._flush_policy.serve())
        deadline = self._clock.monotonic() + LAST_COMMITS_SECONDS
        while self._clock.monotonic() < deadline and any(
            partition.idle() or number in self._group.commits
            for number, partition in self._partitions.items()
        ):
            self._fetch(self._flush_policy.serve())
            self._begin_batches(self._clock.monotonic(), drain=True)

    def _leave(self, numbers: Sequence[int], seconds: float) -> None:
        """Say what an end leaves for the next consumer, and give it up."""
        self.summary.failure = self._broken()
        for number in numbers:
            partition = self._partitions[number]
            partition.give_up.set()
            if partition.batch is not None:
                self.summary.left += 1
                self._observer.note(
                    f"partition {number}: {partition.batch.span} could not be stored within "
                    f"{seconds:.0f} s and is left pending; the next consumer stores it"
                )

    def _close(self) -> None:
        reach("closing")
        self._assignment.close()
        self._renewals.close()
        self._inserts.close(THREADS_SECONDS)
        self.summary.doubted = self._doubted() or self.summary.doubted
        self._closed = True
        with suppress(Stopping):
            self._group.close()
        self._identity.close()
        self._log_ends = dict  # what it was has a client

    # Rebalances: called by the group, on this thread, from within a fetch.

    def _assigned(self, positions: Mapping[int, Position]) -> None:
        partitions = {}
        self._undecoded.forget(positions)
        for number, position in positions.items():
            if position.lost is not None:
                self._mind_loss(number, position.lost, position.offset)
            if position.moved_above is not None:
                self._moved[number] = (position.offset, position.moved_above)
            limit = None
            if self._until_end is not None:  # what was added since has no end to reach
                limit = self._until_end.get(number, position.offset)
            encode = RowsEncoder(self._topic, self._incarnation.number, number, self._decode)
            partitions[number] = Partition.at(number, position, encode, limit)
            if position.pending is not None:
                self._observer.note(f"partition {number}: resolving {position.pending}")
        self._carry_out(self._assignment.assigned(partitions))

    def _mind_loss(self, number: int, lost: OffsetRange, offset: int) -> None:
        try:
            is_stored = self._holds_all(number, lost)
        except ConnectError:
            if self._stop.is_set():
                raise Stopping from None
            raise
        if is_stored:
            self._observer.note(
                f"{self._topic}/{number}: {lost} is no longer in Kafka, but it is stored"
            )
        elif self._skip_lost:
            self._observer.note(f"{self._topic}/{number}: {lost} is lost; continuing after it")
        else:
            raise NrtctlError(
                f"{self._topic}/{number}: retention deleted {lost} before it was stored",
                hint=f"`nrtctl consume --skip-lost` continues at offset {offset}; the "
                "messages of that range are lost",
            )

    def _revoked(self, numbers: list[int]) -> None:
        """Finish what is under way, within a third of the session timeout; else leave it."""
        self._renewals.refuse(lambda renewal: renewal.partition in numbers)
        began = self._clock.monotonic()
        while not self._closed and self._clock.monotonic() - began < self._time_left():
            going = [each for each in self._in_flight(numbers) if not each.done()]
            if not going:
                break
            self._inserts.wait_for_one(going, 0.1)
        self._collect(self._clock.monotonic())
        ours = [number for number in numbers if number in self._partitions]
        self._carry_out(self._assignment.at_rest(ours, self._group.commits))
        self._lost(numbers)

    def _time_left(self) -> float:
        """Seconds that a rebalance waits for inserts: less where we are to end."""
        most = self._settings.session_timeout / 3
        return min(most, THREADS_SECONDS) if self._stop.is_set() else most

    def _lost(self, numbers: list[int]) -> None:
        self._renewals.refuse(lambda renewal: renewal.partition in numbers)
        for number in numbers:
            self._moved.pop(number, None)
        self._undecoded.forget(numbers)
        self._carry_out(self._assignment.left(numbers))

    def _leave_range(self, now: float) -> None:
        """Begin again where the log does not hold the offset to read, once what was fetched is
        stored: the log's start may have passed it."""
        for number in sorted(self._group.out_of_range):
            partition = self._partitions.get(number)
            if partition is None or partition.emptied():
                self._group.out_of_range.discard(number)
                self._carry_out(self._assignment.given_up(number, now))

    def _restart(self, now: float) -> None:
        """Begin again with partitions whose batch was given up."""
        ours, committing = self._group.assigned, self._group.commits
        for number in self._assignment.to_restart(now, ours, committing):
            positions = self._group.positions([number])
            self._assigned(positions)
            self._group.seek(number, positions[number].offset)


def _continued(summary: Summary | None, topic: Incarnation) -> Summary:
    if summary is None:
        return Summary(topic=topic)
    if summary.topic != topic:
        summary.topic = None
    return summary


def check_topic(
    identity: TopicIdentity,
    assignment: Assignment,
    waiting: Callable[[str, float], None],
    now: float,
) -> list[Effect]:
    """Take in which topic has the name, and ask again where that is to be known.

    Raises:
        TopicMadeAgain, TopicGone
    """
    effects: list[Effect] = []
    answer = identity.answer()
    if answer is not None and answer.why:
        assignment.topic_not_confirmed(now)
        waiting(answer.why, ASK_AGAIN)
    elif answer is not None:
        effects = assignment.topic_confirmed()
    return effects + assignment.asks_topic(now)
