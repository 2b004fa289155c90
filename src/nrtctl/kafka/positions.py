"""Where a log begins and ends, and where a group stands in it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from confluent_kafka import (
    OFFSET_INVALID,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from nrtctl.clock import Clock, SystemClock
from nrtctl.kafka.admin import EARLIEST, LATEST
from nrtctl.kafka.error_codes import Meaning, meaning_of
from nrtctl.kafka.patience import answered, patiently
from nrtctl.kafka.topics import partition_count


def watermarks(
    admin: AdminClient,
    topic: str,
    *,
    address: str,
    timeout: float,
    clock: Clock | None = None,
    stable: bool = False,
) -> dict[int, tuple[int, int]]:
    """(log start, log end) of every partition of `topic`.

    Args:
        stable: the end of what can be read now: a transaction that is open lies beyond it.

    Raises:
        ConnectError, WaitTimeout: no answer in time.
        NrtctlError: there is no such topic.
    """
    count = partition_count(admin, topic, address=address, timeout=timeout)
    partitions = [TopicPartition(topic, number) for number in range(count)]

    def ask(left: float) -> dict[int, tuple[int, int]]:
        level = IsolationLevel.READ_COMMITTED if stable else IsolationLevel.READ_UNCOMMITTED
        low, high = (
            admin.list_offsets(
                dict.fromkeys(partitions, spec), request_timeout=left, isolation_level=level
            )
            for spec in (EARLIEST, LATEST)
        )
        starts = {tp.partition: int(answered(future, left).offset) for tp, future in low.items()}
        ends = {tp.partition: int(answered(future, left).offset) for tp, future in high.items()}
        return {number: (starts[number], ends[number]) for number in sorted(ends)}

    return patiently(ask, admin, address, topic, timeout, clock or SystemClock())


def stable_ends(
    admin: AdminClient, topic: str, partitions: Sequence[int], *, address: str, timeout: float
) -> dict[int, int]:
    """Where a reader of committed messages comes to an end, by partition: at the first open
    transaction, or the log end.

    Raises:
        ConnectError, WaitTimeout: no answer in time.
    """
    asked = {TopicPartition(topic, number): LATEST for number in partitions}

    def ask(left: float) -> dict[int, int]:
        found = admin.list_offsets(
            asked, request_timeout=left, isolation_level=IsolationLevel.READ_COMMITTED
        )
        return {tp.partition: int(answered(future, left).offset) for tp, future in found.items()}

    return patiently(ask, admin, address, topic, timeout, SystemClock())


def marks_of(
    admin: AdminClient, partitions: Sequence[tuple[str, int]], *, timeout: float
) -> dict[tuple[str, int], tuple[int, int]]:
    """(log start, log end) of partitions of any topics; those that are gone are left out.

    Raises:
        KafkaException: for one of them it is not known.
    """
    if not partitions:
        return {}
    asked = [TopicPartition(topic, number) for topic, number in partitions]
    starts, ends = (
        {
            (tp.topic, tp.partition): _offset(future, timeout)
            for tp, future in admin.list_offsets(
                dict.fromkeys(asked, spec), request_timeout=timeout
            ).items()
        }
        for spec in (EARLIEST, LATEST)
    )
    return {
        at: (start, end)
        for at, start in starts.items()
        if start is not None and (end := ends[at]) is not None
    }


def _offset(future: Future[Any], timeout: float) -> int | None:
    """None: there is no such partition any more. Raises KafkaException."""
    try:
        return int(answered(future, timeout).offset)
    except KafkaException as error:
        if meaning_of(error) in {Meaning.UNKNOWN_PARTITION, Meaning.UNKNOWN_TOPIC}:
            return None
        raise


def await_coordinator(admin: AdminClient, group: str, *, timeout: float) -> None:
    """Return when the group's coordinator answers; `timeout` in seconds.

    An admin client that asks one for offsets which is not ready for them ends the process
    (librdkafka 2.16: rd_kafka_handle_OffsetFetch takes it for a consumer). To be asked for the
    members is answered in order, and tried again until the coordinator is ready.

    Raises:
        KafkaException: it is not, in that time.
    """
    try:
        answered(admin.describe_consumer_groups([group], request_timeout=timeout)[group], timeout)
    except KafkaException as error:
        if meaning_of(error) is not Meaning.UNKNOWN_GROUP:
            raise


def committed(
    admin: AdminClient,
    group: str,
    topic: str,
    partitions: Sequence[int],
    *,
    address: str,
    timeout: float,
    clock: Clock | None = None,
) -> dict[int, tuple[int | None, str]]:
    """Committed offset (None: none) and its metadata, by partition. A new group has neither.

    Raises:
        ConnectError, WaitTimeout: no answer in time.
    """
    asked = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, n) for n in partitions])

    def ask(left: float) -> dict[int, tuple[int | None, str]]:
        await_coordinator(admin, group, timeout=left)
        future = admin.list_consumer_group_offsets([asked], request_timeout=left)[group]
        found: dict[int, tuple[int | None, str]] = {}
        for each in answered(future, left).topic_partitions:
            if each.error is not None:
                raise KafkaException(each.error)
            offset = None if each.offset == OFFSET_INVALID else int(each.offset)
            found[each.partition] = (offset, each.metadata or "")
        return found

    return patiently(ask, admin, address, topic, timeout, clock or SystemClock())
