"""The consumer group, Kafka's side of `consumer.loop`: assignment, fetching, offset commits.

One thread only: confluent-kafka serves one call on a consumer at a time, so a second thread would
wait for as long as the first one polls. Commits are sent, and answered from within `fetch`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from threading import Thread
from typing import Literal, cast

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)

from nrtctl.clock import Clock
from nrtctl.clock.pace import Pace
from nrtctl.clock.stop import Stop
from nrtctl.errors import NrtctlError
from nrtctl.kafka.commits import Answered, Commit, Commits, Verdict
from nrtctl.kafka.error_codes import (
    DAMAGE,
    LASTING,
    Fenced,
    Meaning,
    meaning_of,
    refused,
    row_of,
)
from nrtctl.kafka.fetched import End, Failure, Fetched, Run, size, taken_apart
from nrtctl.kafka.native_fetch import FetchQueue, queue_of
from nrtctl.kafka.rebalance_wait import RebalanceWait
from nrtctl.kafka.silence import Silence, why_silent
from nrtctl.kafka.starting_positions import ASK_AGAIN, StartingPositions
from nrtctl.kafka.topic_identity import TopicGone
from nrtctl.kafka.unreadable import Unreadable
from nrtctl.store.faultpoints import reach
from nrtctl.store.intents import Incarnation, Position

log = logging.getLogger(__name__)

GATHER_SECONDS = 0.002
"""How long more messages are waited for behind the first, so that a trickle is not fetched one by
one; much shorter than any insert."""

LOST = frozenset({
    Meaning.FENCED, Meaning.FENCED_INSTANCE, Meaning.NOT_ASSIGNED, Meaning.CLOSED
})  # fmt: skip
"""Answers to an offset commit that mean: the partition is not ours any more."""

CLOSE_SECONDS = 5.0
FORWARD_SECONDS, FORWARD_MOST = 0.5, 15.0
"""The client forgets where a partition's messages go when it stops fetching it, which it does some
time after it was told. So it is told again, for so long. What has come meanwhile waits."""
PACE_WAIT = 0.05
LEAVE_POLL = 0.05
Assigned = Callable[[Mapping[int, Position]], None]
Gone = Callable[[list[int]], None]


class Group:
    """One member.

    Args:
        make_consumer: given the callback for answered commits, makes the client: subscribed to
            nothing, committing nothing on its own.
        stop: set when the run should end.
        waiting: told (reason, seconds) while Kafka is away; `note`: that it answers again.
        address: Kafka's, as it is told.
        partitions: how many the topic has at the start; None: nobody knows.
        rebalance_wait: given what tells this member's id, makes what speaks while its group
            keeps it waiting.
        incarnation: of the topic that is read; None: it is not known.
        came: the topic came while it was waited for, so it is read from its start, whatever
            `start` says; that is committed at once, as a later member could not know it.
        leaves: of a member with a `group.instance.id`: whether it leaves its group when it is
            closed, or Kafka is to wait for it to come back. None: it has no such id.
    """

    def __init__(
        self,
        make_consumer: Callable[..., Consumer],
        topic: str,
        table: str,
        *,
        start: Literal["earliest", "latest"],
        clock: Clock,
        stop: Stop,
        waiting: Callable[[str, float], None],
        note: Callable[[str], None],
        address: str,
        incarnation: Incarnation | None = None,
        timeout: float = 10.0,
        pace: Pace | None = None,
        unreadable: Unreadable | None = None,
        partitions: int | None = None,
        rebalance_wait: Callable[[Callable[[], str | None]], RebalanceWait] | None = None,
        came: bool = False,
        leaves: bool | None = None,
    ) -> None:
        self._consumer = make_consumer(on_commit=self._on_commit)
        self._queue = queue_of(self._consumer, topic)
        self._forward_at = self._forward_until = 0.0
        self._topic = topic
        self.recheck: Callable[[], None] = lambda: None
        """Raises where another topic has the name now."""
        self._clock = clock
        self._stop = stop
        self._timeout = timeout
        self._pace = pace
        self._unreadable = unreadable
        self._paused = False
        self._waiting = waiting
        self._address = address
        self._note = note
        self._leaves = leaves
        self._is_leaving = False
        self._rebalance_wait = (
            rebalance_wait(self._consumer.memberid) if rebalance_wait is not None else None
        )
        self._starting = StartingPositions(
            self._consumer,
            topic,
            table,
            start=start,
            came=came,
            incarnation=incarnation,
            known=partitions,
            recheck=lambda: self.recheck(),
            clock=clock,
            stop=stop,
            waiting=waiting,
            address=address,
            timeout=timeout,
        )
        self._silence = Silence(clock, self._why_silent, waiting, note)
        self._fatal: NrtctlError | None = None
        self.commits = Commits()
        self.joined = False
        self.rests = False
        """Whether the pipeline is paused. Set by the loop, for those who watch it."""
        self.assigned: set[int] = set()
        self.out_of_range: set[int] = set()
        """Partitions of which nothing comes any more: the log does not hold the offset to read."""

    def subscribe(self, assigned: Assigned, revoked: Gone, lost: Gone) -> None:
        """Join the group. The callbacks run within `fetch` and `close`."""

        def on_assign(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            if self._is_leaving:  # Kafka answers nothing then until this has returned
                consumer.incremental_assign(partitions)
                return
            numbers = [each.partition for each in partitions]
            self._forward(numbers)
            positions = self.positions(numbers)
            self._say_added(numbers)
            assigned(positions)
            reach("assigned")
            consumer.incremental_assign(
                [TopicPartition(self._topic, n, positions[n].offset) for n in numbers]
            )
            if self._paused:
                consumer.pause([TopicPartition(self._topic, n) for n in numbers])
            self.assigned.update(numbers)
            self.joined = True

        def on_revoke(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            numbers = self._had(partitions)
            reach("revoke-begun")
            revoked(numbers)
            self.commits.forget(numbers)
            reach("revoke-ended")
            self._left(numbers)
            consumer.incremental_unassign(partitions)

        def on_lost(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            numbers = self._had(partitions)
            lost(numbers)
            self.commits.forget(numbers)
            self._left(numbers)
            consumer.incremental_unassign(partitions)

        self._consumer.subscribe(
            [self._topic], on_assign=on_assign, on_revoke=on_revoke, on_lost=on_lost
        )

    def _forward(self, partitions: Sequence[int]) -> None:
        """Messages of partitions that are about to be assigned go to our queue."""
        if self._queue is not None:
            self._queue.add(partitions)
            self._forward_until = self._clock.monotonic() + FORWARD_MOST

    def _had(self, partitions: list[TopicPartition]) -> list[int]:
        """Without what came while it left."""
        numbers = [each.partition for each in partitions]
        return [n for n in numbers if not self._is_leaving or n in self.assigned]

    def _say_added(self, partitions: Sequence[int]) -> None:
        if added := self._starting.newly_added(partitions):
            numbers = ", ".join(map(str, added))
            self._note(
                f"{self._topic} has new partitions: {numbers}; they are stored from their "
                "first offset"
            )

    def _left(self, partitions: list[int]) -> None:
        self.assigned.difference_update(partitions)
        if self._unreadable is not None:
            self._unreadable.forget(partitions)

    def fetch(self, most: int, timeout: float) -> list[Run]:
        """At most `most` messages and ends of partitions, waiting for the first of them, and for
        a moment for more. They may be read until the next fetch."""
        if self._pace is not None:
            most = self._paced(self._pace, most)
        first = self._first(timeout)
        if self._fatal is not None:
            raise self._fatal
        self._see_to_damage()
        if self._rebalance_wait is not None:
            if self.assigned and not self.commits:
                self._rebalance_wait.ended()
            else:
                self._rebalance_wait.lasts(commit=bool(self.assigned))
        found = self._behind(first, most, min(timeout, GATHER_SECONDS))
        if not found:
            self._silence.lasts()
            return []
        self._silence.ended()
        if self._pace is not None:
            self._pace.spend(sum(map(size, found)))
        return self._without_errors(self._readable(found))

    def _first(self, timeout: float) -> Fetched | None:
        """Serve the group, and wait until there is something to fetch."""
        queue = self._queue
        if queue is None:
            return cast("Fetched | None", self._consumer.poll(timeout))
        now = self._clock.monotonic()
        if self._forward_at <= now < self._forward_until:
            self._forward_at = now + FORWARD_SECONDS
            queue.add(self.assigned)
        queue.heed()
        first = cast("Fetched | None", self._consumer.poll(0))
        if first is None and timeout and not queue.waiting():
            queue.wait(timeout)
            first = cast("Fetched | None", self._consumer.poll(0))
        return first

    def _behind(self, first: Fetched | None, most: int, gather: float) -> list[Run | Failure]:
        if self._queue is not None:
            return self._beside(self._queue, first) + self._queue.fetch(most, gather)
        if first is None:
            return []
        messages = [first]
        if most > 1:
            messages += cast("list[Fetched]", self._consumer.consume(most - 1, gather))
        return taken_apart(messages)

    def _beside(self, queue: FetchQueue, first: Fetched | None) -> list[Run | Failure]:
        """What came of the client itself: errors of brokers, of the topic and of the group.

        Raises:
            NrtctlError: messages of one partition came two ways, so that their order is not known.
        """
        if first is None:
            return []
        if first.error() is None:
            raise NrtctlError(
                f"messages of {self._topic}/{first.partition()} came beside the queue that was "
                "made for them, so that their order is not certain; none of them was stored",
                hint="`consumer.compiled = false` fetches them one way only",
            )
        return taken_apart([first])

    def _see_to_damage(self) -> None:
        if self._unreadable is None:
            return
        watched = () if self._paused else tuple(self.assigned)
        for partition, offset in self._unreadable.turn(watched, self.log_end).items():
            where = TopicPartition(self._topic, partition)
            if offset is None:
                self._consumer.pause([where])
            else:
                self.seek(partition, offset)
                if not self._paused:
                    self._consumer.resume([where])

    def _readable(self, found: list[Run | Failure]) -> list[Run | Failure]:
        """Without what comes of a partition that is stopped at damage."""
        held = self._unreadable
        if held is None or not held.is_holding:
            return found
        return [each for each in found if not held.holds(each.partition)]

    def _damaged(self, failure: Failure, reason: str, before: list[Run]) -> None:
        """Stop the partition at what cannot be read; of `before`, those are taken."""
        if self._unreadable is None:
            log.warning("Kafka: %s", reason)
            return
        partition = failure.partition
        taken = [run.offsets[-1] for run in before if run.partition == partition and run.offsets]
        at = taken[-1] + 1 if taken else self._unreadable.seen(partition)
        self._unreadable.found(partition, failure.offset if at is None else at, reason)
        self._consumer.pause([TopicPartition(self._topic, partition)])

    def _why_silent(self, timeout: float) -> str | None:
        return why_silent(self._consumer, self._topic, self._address, timeout)

    def _paced(self, pace: Pace, most: int) -> int:
        """How many of `most` messages may come now: at least one, so that rebalances are served,
        after a short wait where none is due."""
        if pace.due() < 1:
            self._clock.sleep(min(PACE_WAIT, pace.wait()))
        return max(1, min(most, pace.due()))

    def _without_errors(self, found: list[Run | Failure]) -> list[Run]:
        good: list[Run] = []
        halted: set[int] = set()
        for each in found:
            if not isinstance(each, Failure):
                if each.partition not in halted:
                    good.append(each)
                continue
            error, partition = each.error, each.partition
            meaning = meaning_of(error, fetched=True)
            if meaning is Meaning.END:
                if partition not in halted:
                    good.append(End(partition, each.offset))
            elif meaning in DAMAGE:
                if partition not in halted:
                    self._damaged(each, error.str(), good)
                halted.add(partition)
            elif meaning is Meaning.FENCED_INSTANCE:
                raise Fenced
            elif meaning in LASTING or error.fatal():
                raise refused(
                    self._consumer,
                    error,
                    address=self._address,
                    doing=f"topic {self._topic!r} cannot be read",
                )
            elif meaning is Meaning.UNKNOWN_TOPIC:
                raise TopicGone(self._topic)
            elif meaning is Meaning.GONE_OFFSET:
                # Behind a damaged batch the client takes any bytes for an offset to go on from.
                if partition not in halted:
                    self.recheck()
                    self.out_of_range.add(partition)
            elif meaning is Meaning.NOT_ADMITTED and (row := row_of(error)):
                self._waiting(f"{row.why}: {error.str()}; {row.hint}", ASK_AGAIN)
            else:
                log.warning("Kafka: %s", error.str())
        return good

    def pause(self) -> None:
        """Fetch nothing more. What the client holds already is dropped, and fetched again later."""
        self._paused = True
        if self._unreadable is not None:
            self._unreadable.rested()
        self._consumer.pause(self._consumer.assignment())

    def resume(self) -> None:
        self._paused = False
        held = self._unreadable
        self._consumer.resume([
            each
            for each in self._consumer.assignment()
            if held is None or not held.holds(each.partition)
        ])  # fmt: skip

    def log_end(self, partition: int) -> int | None:
        """The log end that the last fetch told; asks nobody. None: not known yet."""
        try:
            _, end = self._consumer.get_watermark_offsets(
                TopicPartition(self._topic, partition), cached=True
            )
        except KafkaException:
            return None
        return int(end) if end >= 0 else None

    def seek(self, partition: int, offset: int) -> None:
        """Fetch on from there. A partition whose offset the log does not hold has been given up by
        the client, and cannot be moved: it is assigned anew."""
        at = TopicPartition(self._topic, partition, offset)
        try:
            self._consumer.seek(at)
        except KafkaException as error:
            if meaning_of(error) is not Meaning.NOT_ASSIGNED:
                raise
            self._consumer.incremental_unassign([at])
            self._forward([partition])
            self._consumer.incremental_assign([at])

    def commit(self, commits: Sequence[Commit], answered: Callable[[Commit], Answered]) -> None:
        """Send offset commits; `answered` makes what is told the answer to each, in `fetch`.

        Raises:
            ValueError: a commit of one of the partitions is under way.
        """
        for each in commits:
            self.commits.sent(each, answered(each))
        offsets = [
            TopicPartition(self._topic, each.partition, each.offset, each.metadata)
            for each in commits
        ]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            for each in commits:
                self._answer(each, error.args[0])

    def _on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        for each in partitions:
            commit = Commit(each.partition, each.offset, each.metadata or "")
            self._answer(commit, each.error or error)

    def _answer(self, commit: Commit, error: KafkaError | None) -> None:
        if error is None:
            if self._rebalance_wait is not None:
                self._rebalance_wait.ended()
            self.commits.answer(commit, Verdict.COMMITTED)
            return
        meaning = meaning_of(error)
        if meaning in LASTING:
            doing = f"offsets of topic {self._topic!r} cannot be committed"
            self._fatal = refused(self._consumer, error, address=self._address, doing=doing)
        verdict = Verdict.REFUSED if meaning in LOST else Verdict.AGAIN
        self.commits.answer(commit, verdict, error.str())

    def committed(self, partitions: Sequence[int]) -> dict[int, tuple[int | None, str]]:
        """Committed offset (None: none) and metadata by partition."""
        return self._starting.committed(partitions)

    def positions(self, partitions: Sequence[int]) -> dict[int, Position]:
        """Where each partition starts, and what must be resolved first.

        Raises:
            NrtctlError: the committed offset or its metadata make no sense for this log and table.
        """
        return self._starting.of(partitions)

    def _stays(self) -> bool:
        """Whether Kafka would take a member with an id for one that comes back."""
        return self._leaves is True and bool(self._consumer.memberid())

    def close(self) -> None:
        """Leave the group; that long at most, as Kafka may be away.

        Closing a client that has no partitions tells the coordinator nothing (librdkafka 2.16),
        which would wait for this member until its session ends; unsubscribing does. A client with a
        `group.instance.id` leaves if it has unsubscribed to the end before it is closed.
        """
        failed: list[BaseException] = []
        self._is_leaving = True
        if self._queue is not None:
            with suppress(KafkaException):  # else it fetches on, and drops what it fetches
                self._consumer.pause(self._consumer.assignment())
            self._queue.close()
            self._queue = None

        def leave() -> None:
            try:
                with suppress(KafkaException):
                    if self._leaves is not False:
                        self._consumer.unsubscribe()
                    until = self._clock.monotonic() + CLOSE_SECONDS
                    while self._stays() and self._clock.monotonic() < until:
                        self._consumer.poll(LEAVE_POLL)
                self._consumer.close()
            except BaseException as error:  # noqa: BLE001
                failed.append(error)

        leaving = Thread(target=leave, name="leave-group", daemon=True)
        leaving.start()
        leaving.join(CLOSE_SECONDS)
        if failed:
            raise failed[0]
