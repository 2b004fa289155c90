"""Where the partitions that a member is given begin: the group's offsets, and the log's bounds.

Asked on the thread of the client, until Kafka answers.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    OFFSET_INVALID,
    Consumer,
    KafkaException,
    TopicPartition,
)

from nrtctl.clock import Clock
from nrtctl.clock.notices import if_it_lasts
from nrtctl.clock.stop import Stop
from nrtctl.errors import NrtctlError
from nrtctl.kafka.error_codes import LASTING, meaning_of, refused, translate
from nrtctl.store import intents
from nrtctl.store.intents import Incarnation, Position

ASK_AGAIN = 0.2
SAY_AGAIN = 10.0
"""Seconds after which the user is told again that Kafka is away."""


class Stopping(Exception):
    """Told to stop while Kafka, or ClickHouse, was away."""


class StartingPositions:
    """Of one member.

    Args:
        known: how many partitions the topic had at the start; None: nobody knows.
        came: the topic came while it was waited for, so it is read from its start, whatever
            `start` says; that is committed at once, as a later member could not know it.
        timeout: of one question, in seconds.
        recheck: raises where another topic has the name now.
    """

    def __init__(
        self,
        consumer: Consumer,
        topic: str,
        table: str,
        *,
        start: Literal["earliest", "latest"],
        came: bool,
        incarnation: Incarnation | None,
        known: int | None,
        recheck: Callable[[], None],
        clock: Clock,
        stop: Stop,
        waiting: Callable[[str, float], None],
        address: str,
        timeout: float,
    ) -> None:
        self._consumer = consumer
        self._topic = topic
        self._table = table
        self._start = start
        self._came = came
        self._incarnation = incarnation
        self._known = known
        self._recheck = recheck
        self._clock = clock
        self._stop = stop
        self._waiting = waiting
        self._address = address
        self._timeout = timeout

    def committed(self, partitions: Sequence[int]) -> dict[int, tuple[int | None, str]]:
        """Committed offset (None: none) and metadata by partition."""
        asked = [TopicPartition(self._topic, n) for n in partitions]

        def ask() -> list[TopicPartition]:
            return _without_error(self._consumer.committed(asked, timeout=self._timeout))

        return {
            each.partition: (
                None if each.offset == OFFSET_INVALID else each.offset,
                each.metadata or "",
            )
            for each in self._patiently(ask)
        }

    def of(self, partitions: Sequence[int]) -> dict[int, Position]:
        """Where each partition starts, and what must be resolved first.

        Raises:
            NrtctlError: the committed offset or its metadata make no sense for this log and table.
        """
        positions = {}
        committed = self.committed(partitions)
        elsewhere = self._elsewhere(committed)
        for number, (_, metadata) in elsewhere.items():
            if intents.is_fence(metadata):
                table = intents.table_of(metadata) or ""
                raise self._under_way(number, intents.SwapUnderWayError(table))
        starts, ends = (self._bounds(partitions, end) for end in (OFFSET_BEGINNING, OFFSET_END))
        known = (*committed.values(), *elsewhere.values())
        latest = self._start == "latest" and all(offset is None for offset, _ in known)
        came = latest and self._came
        for number, (offset, metadata) in committed.items():
            low, high = starts[number], ends[number]
            fresh = secrets.token_hex(4)
            is_older = not self._came and not self._made_again and not self._added([number])
            if offset is None and latest and is_older:
                positions[number] = Position(high, fresh, unsaid=True, log_end=high)
                continue
            try:
                positions[number] = intents.resume(
                    self._table,
                    committed=offset,
                    metadata=metadata,
                    log_start=low,
                    log_end=high,
                    fresh=fresh,
                    topic=self._incarnation,
                )
            except intents.SwapUnderWayError as error:
                raise self._under_way(number, error) from error
            except ValueError as error:
                self._recheck()
                is_of_another = isinstance(error, intents.UnknownMetadataError)
                raise NrtctlError(
                    f"{self._topic}/{number}: {error}",
                    hint="use another consumer.group, or move the offsets of this one"
                    if is_of_another
                    else "docs/reliability.md#a-log-that-has-lost-its-end describes how to go on",
                ) from error
            if came:
                positions[number] = replace(positions[number], unsaid=True)
        return positions

    def newly_added(self, partitions: Sequence[int]) -> list[int]:
        """Those that the topic did not have when this consumer began; each is told once."""
        added = sorted(self._added(partitions))
        if added:
            self._known = added[-1] + 1
        return added

    def _added(self, partitions: Sequence[int]) -> list[int]:
        return [n for n in partitions if self._known is not None and n >= self._known]

    def _elsewhere(
        self, known: Mapping[int, tuple[int | None, str]]
    ) -> dict[int, tuple[int | None, str]]:
        """What the group has committed of the other partitions; not asked where each of `known` has
        an offset. A group that has one anywhere knows all partitions that there were: one without
        was added later, also to a group that is fenced."""
        others = sorted(set(range(self._known or 0)) - known.keys())
        missing = any(offset is None for offset, _ in known.values())
        return self.committed(others) if others and missing else {}

    def _under_way(self, partition: int, error: intents.SwapUnderWayError) -> NrtctlError:
        return NrtctlError(
            f"{self._topic}/{partition}: {error}; nothing is stored until the exchange is finished",
            hint=f"`nrtctl replay load --into {error.table} --resume --execute` finishes the "
            "exchange",
        )

    @property
    def _made_again(self) -> bool:
        """All messages of a topic that was made again came while the group was at work."""
        return self._incarnation is not None and self._incarnation.number != intents.FIRST

    def _bounds(self, partitions: Sequence[int], which: int) -> dict[int, int]:
        """Where the log of each begins, or ends: one request to each broker, however many they are.

        Args:
            which: OFFSET_BEGINNING or OFFSET_END.
        """
        asked = [TopicPartition(self._topic, number, which) for number in partitions]

        def ask() -> list[TopicPartition]:
            answers = self._consumer.offsets_for_times(asked, timeout=self._timeout)
            return _without_error(answers)

        return {each.partition: each.offset for each in self._patiently(ask)} if asked else {}

    def _patiently(self, ask: Callable[[], Any]) -> Any:
        """Ask until there is an answer: Kafka may be away, or just have started."""
        said = self._clock.monotonic() - SAY_AGAIN + 2
        while True:
            try:
                with if_it_lasts(self._why_unanswered):
                    return ask()
            except KafkaException as error:
                doing = f"the offsets of topic {self._topic!r} cannot be read"
                if meaning_of(error) in LASTING:
                    raise refused(
                        self._consumer, error.args[0], address=self._address, doing=doing
                    ) from error
                if self._clock.monotonic() - said > SAY_AGAIN:
                    said = self._clock.monotonic()
                    found = translate(error, address=self._address, doing=doing)
                    self._waiting(found.message, ASK_AGAIN)
            if self._stop.is_set():
                raise Stopping
            self._clock.sleep(ASK_AGAIN)

    def _why_unanswered(self) -> str:
        return (
            f"waiting for Kafka at {self._address} to say what the offsets of topic "
            f"{self._topic!r} are, for up to {self._timeout:g} s"
        )


def _without_error(answers: list[TopicPartition]) -> list[TopicPartition]:
    """Raises KafkaException: one of them is not answered."""
    for each in answers:
        if each.error is not None:
            raise KafkaException(each.error)
    return answers
