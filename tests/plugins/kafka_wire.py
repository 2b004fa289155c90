"""A raw Kafka client for tests: any request in any version, encoded by `kio`, not by the broker.

`wire` is a factory: `wire(bootstrap)` connects, and what it made is closed at the test's end.
"""

from __future__ import annotations

import gzip
import io
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from datetime import timedelta
from types import UnionType
from typing import Any, Union, get_args, get_origin

import cramjam
import lz4.frame
import pytest
from crc32c import crc32c
from kio.index import load_request_schema, load_response_schema
from kio.schema.errors import ErrorCode
from kio.schema.index import api_key_map
from kio.serial import entity_reader, entity_writer

from tests.plugins.waiting import eventually

API_KEYS = {name: key for key, name in api_key_map.items()}


class Closed(Exception):
    """The broker has closed the connection."""


class Wire:
    """One connection. Requests are keyword arguments, nested ones dictionaries, times in ms."""

    def __init__(self, bootstrap: str) -> None:
        host, _, port = bootstrap.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._correlation_id = 0

    def close(self) -> None:
        self.socket.close()

    def call(self, api: str, version: int, **values: Any) -> Any:
        return self.receive(api, version, self.send(api, version, **values))

    def send(self, api: str, version: int, **values: Any) -> int:
        """Send a request; its correlation id."""
        self._correlation_id += 1
        request = load_request_schema(API_KEYS[api], version)
        out = io.BytesIO()
        header = request.__header_schema__
        header_values = {
            "request_api_key": API_KEYS[api],
            "request_api_version": version,
            "correlation_id": self._correlation_id,
            "client_id": "wire",
        }
        entity_writer(header)(out, build(header, header_values))
        entity_writer(request)(out, build(request, values))
        self.send_frame(out.getvalue())
        return self._correlation_id

    def send_frame(self, body: bytes) -> None:
        self.socket.sendall(struct.pack(">i", len(body)) + body)

    def receive(self, api: str, version: int, correlation_id: int) -> Any:
        frame = self.receive_frame()
        assert struct.unpack_from(">i", frame)[0] == correlation_id
        response = load_response_schema(API_KEYS[api], version)
        at = 4
        if response.__flexible__ and api != "api_versions":
            assert frame[4] == 0
            at = 5
        entity, size = entity_reader(response)(frame, at)
        assert at + size == len(frame), (
            f"{api} v{version}: {len(frame) - at - size} bytes left over"
        )
        return entity

    def receive_frame(self) -> bytes:
        (size,) = struct.unpack(">i", self._exactly(4))
        return self._exactly(size)

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            try:
                part = self.socket.recv(size - len(data))
            except ConnectionError:
                part = b""
            if not part:
                raise Closed
            data += part
        return bytes(data)


def build(type_: Any, values: dict[str, Any]) -> Any:
    """A `kio` entity from plain values; fields that the version lacks are left out."""
    arguments = {}
    for field in fields(type_):
        if field.name in values:
            value = values[field.name]
            arguments[field.name] = _build_field(_plain(field.type), value)
        elif field.name == "topic_id":
            arguments[field.name] = None
        elif get_origin(field.type) is tuple:
            arguments[field.name] = ()
        elif field.metadata.get("kafka_type") == "bool":
            arguments[field.name] = False
        elif field.metadata.get("kafka_type", "").startswith("timedelta"):
            arguments[field.name] = timedelta(milliseconds=10_000)
        elif type(None) in get_args(field.type):
            arguments[field.name] = None
    return type_(**arguments)


def _plain(type_: Any) -> Any:
    if get_origin(type_) in (Union, UnionType):
        return next(arg for arg in get_args(type_) if arg is not type(None))
    return type_


def _build_field(type_: Any, value: Any) -> Any:
    if get_origin(type_) is tuple:
        inner = _plain(get_args(type_)[0])
        return None if value is None else tuple(_build_field(inner, item) for item in value)
    if is_dataclass(type_):
        return None if value is None else build(type_, value)
    if "Timedelta" in getattr(type_, "__name__", ""):
        return timedelta(milliseconds=value)
    return value


def varint(value: int) -> bytes:
    zigzag = (value << 1) ^ (value >> 63)
    out = bytearray()
    while zigzag >= 0x80:
        out.append((zigzag & 0x7F) | 0x80)
        zigzag >>= 7
    out.append(zigzag)
    return bytes(out)


def nullable(value: bytes | None) -> bytes:
    return varint(-1) if value is None else varint(len(value)) + value


CODECS: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "none": (0, lambda data: data),
    "gzip": (1, gzip.compress),
    "snappy": (2, lambda data: bytes(cramjam.snappy.compress_raw(data))),
    "snappy-java": (
        2,
        lambda data: (
            b"\x82SNAPPY\x00"
            + struct.pack(">ii", 1, 1)
            + struct.pack(">i", len(bytes(cramjam.snappy.compress_raw(data))))
            + bytes(cramjam.snappy.compress_raw(data))
        ),
    ),
    "lz4": (3, lambda data: lz4.frame.compress(data, block_linked=False)),
    "zstd": (4, lambda data: bytes(cramjam.zstd.compress(data))),
}


def batch(
    values: Sequence[bytes | None],
    *,
    keys: Sequence[bytes | None] | None = None,
    timestamps: Sequence[int] | None = None,
    codec: str = "none",
    producer: tuple[int, int, int] = (-1, -1, -1),
    attributes: int = 0,
    magic: int = 2,
) -> bytes:
    """A record batch of `values`, without keys unless they are given.

    `producer` is (id, epoch, base sequence).
    """
    times = list(timestamps or [1_000_000 + at for at in range(len(values))])
    base = times[0] if times else -1
    records = bytearray()
    names = keys or [None] * len(times)
    for at, (key, value, time) in enumerate(zip(names, values, times, strict=True)):
        body = b"\0" + varint(time - base) + varint(at) + nullable(key) + nullable(value)
        body += varint(0)
        records += varint(len(body)) + body
    number, compress = CODECS[codec]
    covered = struct.pack(
        ">hiqqqhii",
        attributes | number,
        len(values) - 1,
        base,
        max(times, default=-1),
        *producer,
        len(values),
    ) + compress(bytes(records))
    head = struct.pack(">qiibI", 0, len(covered) + 9, -1, magic, crc32c(covered))
    return head + covered


def produce(
    wire: Wire,
    topic: str,
    records: bytes,
    *,
    partition: int = 0,
    acks: int = -1,
    version: int = 9,
    transactional_id: str | None = None,
) -> Any:
    """Produce one batch; the partition's part of the response."""
    topics = [{"name": topic, "partition_data": [{"index": partition, "records": records}]}]
    answer = wire.call(
        "produce",
        version,
        transactional_id=transactional_id,
        acks=acks,
        timeout=10_000,
        topic_data=topics,
    )
    return answer.responses[0].partition_responses[0]


def fetch(
    wire: Wire,
    topic: str,
    offset: int,
    *,
    partition: int = 0,
    max_bytes: int = 1 << 20,
    total_bytes: int = 50 << 20,
    min_bytes: int = 1,
    max_wait: int = 0,
    epoch: int = -1,
    isolation: int = 0,
) -> Any:
    """Fetch v12 from one partition; the partition's part of the response."""
    answer = wire.call(
        "fetch",
        12,
        **fetch_request(
            topic,
            [(partition, offset, max_bytes)],
            total_bytes=total_bytes,
            min_bytes=min_bytes,
            max_wait=max_wait,
            epoch=epoch,
            isolation=isolation,
        ),
    )
    return answer.responses[0].partitions[0]


def fetch_request(
    topic: str,
    partitions: Sequence[tuple[int, int, int]],
    *,
    total_bytes: int = 50 << 20,
    min_bytes: int = 1,
    max_wait: int = 0,
    epoch: int = -1,
    isolation: int = 0,
) -> dict[str, Any]:
    """`partitions` are (partition, offset, max bytes); `isolation` 1 is read_committed."""
    return {
        "replica_id": -1,
        "max_wait": max_wait,
        "min_bytes": min_bytes,
        "max_bytes": total_bytes,
        "isolation_level": isolation,
        "session_id": 0,
        "session_epoch": -1,
        "rack_id": "",
        "topics": [
            {
                "topic": topic,
                "partitions": [
                    {
                        "partition": partition,
                        "current_leader_epoch": epoch,
                        "fetch_offset": offset,
                        "last_fetched_epoch": -1,
                        "log_start_offset": -1,
                        "partition_max_bytes": max_bytes,
                    }
                    for partition, offset, max_bytes in partitions
                ],
            }
        ],
    }


def list_offsets(
    wire: Wire,
    topic: str,
    timestamp: int,
    *,
    version: int = 7,
    epoch: int = -1,
    isolation: int = 0,
) -> tuple[ErrorCode, int, int]:
    """ListOffsets for partition 0: (error, offset, timestamp in ms or -1)."""
    answer = wire.call(
        "list_offsets",
        version,
        replica_id=-1,
        isolation_level=isolation,
        topics=[
            {
                "name": topic,
                "partitions": [
                    {
                        "partition_index": 0,
                        "timestamp": timestamp,
                        "current_leader_epoch": epoch,
                    }
                ],
            }
        ],
    )
    partition = answer.topics[0].partitions[0]
    return partition.error_code, partition.offset, partition.timestamp


def batches_in(data: bytes | None) -> list[tuple[int, int, int]]:
    """(base offset, last offset, leader epoch) of every whole batch in a Fetch response."""
    found = []
    at = 0
    data = data or b""
    while at + 61 <= len(data):
        base, length, epoch = struct.unpack_from(">qii", data, at)
        if at + 12 + length > len(data):
            break
        (delta,) = struct.unpack_from(">i", data, at + 23)
        found.append((base, base + delta, epoch))
        at += 12 + length
    return found


def create_topic(
    wire: Wire, name: str, partitions: int = 1, configs: dict[str, str] | None = None
) -> Any:
    """Create a topic; its part of the response."""
    topic = {
        "name": name,
        "num_partitions": partitions,
        "replication_factor": 1,
        "assignments": (),
        "configs": [{"name": key, "value": value} for key, value in (configs or {}).items()],
    }
    return wire.call("create_topics", 7, topics=[topic], timeout=10_000).topics[0]


def wait_for_topic(wire: Wire, name: str) -> Any:
    """The topic's metadata, when all its partitions have a leader that answers.

    Apache Kafka creates topics, and takes them over after a start, asynchronously.
    """

    def found() -> Any:
        topic = wire.call("metadata", 12, topics=[{"name": name}]).topics[0]
        partitions = [partition.partition_index for partition in topic.partitions]
        if topic.error_code != ErrorCode.none or not partitions:
            return None
        request = fetch_request(name, [(index, 0, 1) for index in partitions])
        answer = wire.call("fetch", 12, **request).responses[0]
        led = all(found.high_watermark >= 0 for found in answer.partitions)
        return topic if led else None

    return eventually(found, f"the partitions of {name} are led")


@pytest.fixture
def wire() -> Iterator[Callable[[str], Wire]]:
    made: list[Wire] = []

    def connect(bootstrap: str) -> Wire:
        connection = Wire(bootstrap)
        made.append(connection)
        return connection

    yield connect
    for connection in made:
        connection.close()
