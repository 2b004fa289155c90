"""What partitions take on the brokers' disks: DescribeLogDirs, which librdkafka does not send.

Called by `topic_admin`. A broker that cannot be asked costs its sizes, and nothing else.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nrtctl.config.servers import Kafka
from nrtctl.errors import NrtctlError
from nrtctl.kafka.broker_link import Link, NotAsked
from nrtctl.kafka.properties import with_login

DESCRIBE_LOG_DIRS = 35
VERSION = 1
"""Of Apache Kafka 2.0 and later; the newest whose fields have no tags."""

SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes by (topic, partition, broker's id); and why a broker has told none, by its id."""

    bytes: Mapping[tuple[str, int, int], int]
    unknown: Mapping[int, str]


def sizes(
    settings: Kafka,
    brokers: Mapping[int, tuple[str, int]],
    partitions: Mapping[str, Iterable[int]] | None,
) -> Sizes:
    """Ask every broker for its replicas.

    Args:
        brokers: host and port by id.
        partitions: by topic; None: all there are.
    """
    settings = with_login(settings)
    found: dict[tuple[str, int, int], int] = {}
    unknown = {}
    for number, (host, port) in sorted(brokers.items()):
        try:
            with Link(settings, host, port, timeout=SECONDS) as link:
                answer = link.ask(DESCRIBE_LOG_DIRS, VERSION, encode(partitions))
            told = decode(answer)
        except (NotAsked, NrtctlError) as error:
            unknown[number] = str(error)
            continue
        if told is None:
            unknown[number] = "it names no directory: the user needs the right DESCRIBE on CLUSTER"
            continue
        found.update({(topic, index, number): size for (topic, index), size in told.items()})
    return Sizes(found, unknown)


def encode(partitions: Mapping[str, Iterable[int]] | None) -> bytes:
    """The request's body."""
    if partitions is None:
        return struct.pack(">i", -1)
    out = bytearray(struct.pack(">i", len(partitions)))
    for topic, numbers in partitions.items():
        name, indexes = topic.encode(), list(numbers)
        out += struct.pack(">h", len(name)) + name
        out += struct.pack(f">i{len(indexes)}i", len(indexes), *indexes)
    return bytes(out)


def decode(answer: bytes) -> dict[tuple[str, int], int] | None:
    """Bytes by topic and partition; None: no directory is told.

    Raises:
        NotAsked: the bytes are no such answer.
    """
    try:
        return _decode(answer)
    except (struct.error, UnicodeDecodeError) as error:
        raise NotAsked("its answer is not Kafka's protocol") from error


def _decode(answer: bytes) -> dict[tuple[str, int], int] | None:
    at = 4

    def take(form: str) -> tuple[int, ...]:
        nonlocal at
        values = struct.unpack_from(form, answer, at)
        at += struct.calcsize(form)
        return values

    def text() -> str:
        nonlocal at
        (length,) = take(">h")
        at += length
        return answer[at - length : at].decode()

    found: dict[tuple[str, int], int] = {}
    (directories,) = take(">i")
    for _ in range(directories):
        take(">h")
        text()
        for _ in range(*take(">i")):
            topic = text()
            for _ in range(*take(">i")):
                index, size, _, is_future = take(">iqqb")
                if not is_future:
                    found[topic, index] = found.get((topic, index), 0) + size
    return found if directories else None
