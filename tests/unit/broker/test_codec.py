"""Replies follow their schema in every version; malformed requests are told, not crashed on."""

from __future__ import annotations

import contextlib
import io
import struct
from dataclasses import MISSING, fields, is_dataclass
from datetime import timedelta
from types import UnionType
from typing import Any, Union, get_args, get_origin
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kio.serial import entity_reader, entity_writer

from nrtctl.local.broker.wire.apis import VERSIONS, Api
from nrtctl.local.broker.wire.codec import (
    MalformedRequest,
    entity_type,
    read_header,
    read_request,
    write_response,
)
from nrtctl.local.broker.wire.cursor import MAX_ITEMS
from nrtctl.local.broker.wire.fetch import PartitionReply as FetchReply
from nrtctl.local.broker.wire.fetch import read_fetch, write_fetch
from nrtctl.local.broker.wire.produce import read_produce
from tests.plugins.kafka_wire import batch, build, fetch_request

TYPED = [
    (api, version)
    for api, served in VERSIONS.items()
    if api not in (Api.PRODUCE, Api.FETCH)
    for version in range(served.lowest, served.highest + 1)
]
FIRST_AND_LAST = [
    pytest.param(api, version, marks=() if version in (low, high) else pytest.mark.long)
    for api, version in TYPED
    for low, high in [(VERSIONS[api].lowest, VERSIONS[api].highest)]
]
"""Those between are for `make test-long`."""

VALUES = {
    "string": "žluť",
    "bytes": b"\0\xff",
    "bool": True,
    "uuid": None,
    "float64": 1.5,
    "timedelta_i32": 1234,
    "timedelta_i64": 1234,
}


def full(type_: Any, **values: Any) -> dict[str, Any]:
    """An entity with every field of the type set, arrays holding two.

    Args:
        values: by Kafka type, instead of `VALUES`.
    """
    return {field.name: _full_field(field, values) for field in fields(type_)}


def _full_field(field: Any, values: dict[str, Any]) -> Any:
    kind = field.type
    if get_origin(kind) in (Union, UnionType):
        kind = next(arg for arg in get_args(kind) if arg is not type(None))
    is_array = get_origin(kind) is tuple
    if is_array:
        kind = get_args(kind)[0]
    name = field.metadata.get("kafka_type")
    one = full(kind, **values) if is_dataclass(kind) else (VALUES | values).get(name, 3)
    return (one, one) if is_array else one


@pytest.mark.parametrize(("api", "version"), TYPED, ids=lambda value: str(value))
def test_a_full_reply_is_read_back_by_kio(api: Api, version: int) -> None:
    type_ = entity_type(api, version, "response")
    data = bytes(write_response(api, version, 7, full(type_)))
    header = 5 if type_.__flexible__ and api is not Api.API_VERSIONS else 4
    entity, size = entity_reader(type_)(data, header)
    assert header + size == len(data)
    again = io.BytesIO()
    entity_writer(type_)(again, entity)
    assert again.getvalue() == data[header:]


@pytest.mark.parametrize(("api", "version"), TYPED, ids=lambda value: str(value))
def test_what_a_reply_leaves_out_takes_the_schemas_default(api: Api, version: int) -> None:
    type_ = entity_type(api, version, "response")
    data = bytes(write_response(api, version, 7, {}))
    header = 5 if type_.__flexible__ and api is not Api.API_VERSIONS else 4
    entity, size = entity_reader(type_)(data, header)
    assert header + size == len(data)
    for field in fields(type_):
        value = getattr(entity, field.name)
        if field.default is not MISSING:
            assert value == field.default
        elif isinstance(value, timedelta):
            assert value == timedelta(0)


def encoded(api: Api, version: int, values: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    type_ = entity_type(api, version, "request")
    header: dict[str, Any] = {"request_api_key": int(api), "request_api_version": version}
    header |= {"correlation_id": 1, "client_id": "c"}
    entity_writer(type_.__header_schema__)(out, build(type_.__header_schema__, header))
    entity_writer(type_)(out, build(type_, values))
    return out.getvalue()


PRODUCE = {
    "transactional_id": None,
    "acks": -1,
    "timeout": 1,
    "topic_data": [{"name": "t", "partition_data": [{"index": 0, "records": batch([b"x"])}]}],
}
JOIN = {
    "group_id": "g",
    "session_timeout": 6000,
    "rebalance_timeout": 6000,
    "member_id": "m",
    "protocol_type": "consumer",
    "protocols": [{"name": "range", "metadata": b"abc"}],
}
REQUESTS = {
    **{(Api.PRODUCE, v): encoded(Api.PRODUCE, v, PRODUCE) for v in (3, 12)},
    **{(Api.FETCH, v): encoded(Api.FETCH, v, fetch_request("t", [(0, 5, 9)])) for v in (4, 11, 17)},
    **{(Api.JOIN_GROUP, v): encoded(Api.JOIN_GROUP, v, JOIN) for v in (2, 9)},
    (Api.METADATA, 12): encoded(Api.METADATA, 12, {"topics": [{"name": "t"}]}),
}


LYING = [
    *(b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\x7f\xff", b"\x80\0"),
    *(b"\xff\xff\xff\xff\x0f", b"\xff\xff\xff\xff\x07", b"\x80\x80\x80\x80\x80\x80\x01"),
]
"""Lengths of both encodings that no request of this size can have."""


def read_any(frame: bytes) -> Any:
    view = memoryview(bytearray(frame))
    header, at = read_header(view)
    api = Api(header.api_key)
    if api is Api.PRODUCE:
        return read_produce(header.version, view, at)
    if api is Api.FETCH:
        return read_fetch(header.version, view, at)
    return read_request(api, header.version, view, at)


@pytest.mark.parametrize("frame", REQUESTS.values(), ids=[str(key) for key in REQUESTS])
def test_a_request_cut_anywhere_is_malformed(frame: bytes) -> None:
    read_any(frame)
    for end in range(len(frame)):
        with pytest.raises(MalformedRequest):
            read_any(frame[:end])


@pytest.mark.parametrize(("api", "version"), FIRST_AND_LAST, ids=lambda value: str(value))
def test_no_length_is_believed_before_the_bytes_are_there(api: Api, version: int) -> None:
    """The compiled reader would ask for the memory, and end the process where there is not so
    much."""
    type_ = entity_type(api, version, "request")
    frame = encoded(api, version, full(type_, uuid=UUID(int=1)))
    assert not any("tag" in field.metadata for field in fields(type_))
    read_any(frame)
    refused = 0
    for at in range(10, len(frame)):
        for lie in LYING:
            for mutated in (frame[:at] + lie + frame[at + len(lie) :], frame[:at] + lie):
                try:
                    read_any(mutated)
                except MalformedRequest:
                    refused += 1
    assert refused or len(frame) < 15


def test_a_request_names_a_bounded_number_of_things() -> None:
    names = b"\0\1a" * (MAX_ITEMS + 1)
    head = struct.pack(">hhih", Api.METADATA, 1, 1, -1)
    read_any(head + struct.pack(">i", MAX_ITEMS) + names[:-3])
    with pytest.raises(MalformedRequest, match="more than 20000 items"):
        read_any(head + struct.pack(">i", MAX_ITEMS + 1) + names)


@settings(max_examples=300)
@given(st.sampled_from(sorted(REQUESTS)), st.data())
def test_noise_is_malformed_or_a_request(key: tuple[Api, int], data: st.DataObject) -> None:
    frame = bytearray(REQUESTS[key])
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(10, len(frame) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(MalformedRequest):
        read_any(bytes(frame))


def test_the_hand_written_readers_agree_with_kio() -> None:
    for version in range(VERSIONS[Api.FETCH].lowest, VERSIONS[Api.FETCH].highest + 1):
        request = fetch_request("t", [(3, 5, 9), (4, 6, 10)], min_bytes=7, max_wait=8, epoch=2)
        found = read_any(encoded(Api.FETCH, version, request))
        assert (found.max_wait_ms, found.min_bytes, found.max_bytes) == (8, 7, 50 << 20)
        ((_, partitions),) = found.topics
        assert [tuple(p) for p in partitions] == [
            (index, 2 if version >= 9 else -1, offset, size)
            for index, offset, size in ((3, 5, 9), (4, 6, 10))
        ]
    for version in range(VERSIONS[Api.PRODUCE].lowest, VERSIONS[Api.PRODUCE].highest + 1):
        found = read_any(encoded(Api.PRODUCE, version, PRODUCE))
        assert (found.transactional_id, found.acks) == (None, -1)
        ((name, ((index, records),)),) = found.topics
        assert (name, index, bytes(records)) == ("t", 0, batch([b"x"]))


def test_a_fetch_tells_of_aborted_transactions_in_every_version() -> None:
    for version in range(VERSIONS[Api.FETCH].lowest, VERSIONS[Api.FETCH].highest + 1):
        topic: str | UUID = "t" if version < 13 else UUID(int=7)
        replies = [
            FetchReply(0, 0, 9, 5, 1, b"", None),
            FetchReply(1, 0, 9, 5, 1, b"", []),
            FetchReply(2, 0, 9, 5, 1, b"", [(70, 3), (71, 4)]),
        ]
        answer = b"".join(write_fetch(version, 1, 0, [(topic, replies)]))
        found, size = entity_reader(entity_type(Api.FETCH, version, "response"))(
            answer, 5 if version >= 12 else 4
        )
        assert size == len(answer) - (5 if version >= 12 else 4)
        told = [
            None
            if each.aborted_transactions is None
            else [(one.producer_id, one.first_offset) for one in each.aborted_transactions]
            for each in found.responses[0].partitions
        ]
        assert told == [None, [], [(70, 3), (71, 4)]]
        assert {each.last_stable_offset for each in found.responses[0].partitions} == {5}
