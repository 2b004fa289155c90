"""What becomes of messages of the wire format, and when the registry is asked."""

from __future__ import annotations

import json
from uuid import UUID

import pytest

from nrtctl.clock import ManualClock
from nrtctl.kafka.formats import decoder
from nrtctl.kafka.formats.decoder import ByRegistry, decoding
from nrtctl.kafka.formats.registry import Registered
from nrtctl.kafka.formats.wire import Headers, RegistryAway, SchemaName, prefix
from nrtctl.pipeline.message_format import MessageFormat


class Schemas:
    """A registry of what a test puts in."""

    def __init__(self) -> None:
        self.known: dict[SchemaName, Registered] = {7: Registered("AVRO", '"string"')}
        self.asked: list[SchemaName] = []
        self.away = False

    def schema(self, name: SchemaName) -> Registered | None:
        self.asked.append(name)
        if self.away:
            raise RegistryAway("away")
        return self.known.get(name)


class Line:
    def __init__(self, kind: MessageFormat = "avro") -> None:
        self.schemas, self.clock = Schemas(), ManualClock()
        self.decode = decoding(ByRegistry(kind, self.schemas, now=self.clock.monotonic).text)

    def of(self, *values: bytes | None) -> list[str]:
        return [each.decode() for each in self.decode(values, [None] * len(values))]

    def named(self, header: bytes | None, value: bytes | None) -> str:
        """Of a message with what the header of the schema's name has, behind another one."""
        headers = [("traceparent", b"\x00"), ("__value_schema_id", header)]
        return self.decode([value], [headers])[0].decode()


def test_a_schema_is_asked_for_once() -> None:
    line = Line()
    assert line.of(prefix(7) + b"\x02a", None, b"", prefix(7) + b"\x02b") == [
        '"a"', "", "", '"b"',
    ]  # fmt: skip
    assert line.of(prefix(7) + b"\x00") == ['""']
    assert line.schemas.asked == [7]


def test_the_reason_is_named() -> None:
    line = Line()
    line.schemas.known |= {
        8: Registered("PROTOBUF", "syntax"),
        9: Registered("AVRO", '"nothing"'),
    }
    assert line.of(
        b'{"id":1}', b"\x00\x00\x00", prefix(7) + b"\x04a", prefix(8) + b"x", prefix(9) + b"x",
        prefix(10),
    ) == [
        "!the message does not begin with the wire format's magic byte 0",
        "!the message ends within the wire format's schema id",
        "!the bytes do not match schema 7: they end too early",
        "!schema 8 is of type PROTOBUF, not AVRO",
        "!schema 9 cannot be read: UnknownType: nothing",
        "!schema 10 is not in the registry",
    ]  # fmt: skip


def test_an_unknown_id_is_asked_for_again_after_a_while() -> None:
    line = Line()
    unknown = prefix(8) + b"\x02a"
    assert line.of(unknown, unknown) == ["!schema 8 is not in the registry"] * 2
    line.schemas.known[8] = Registered("AVRO", '"string"')
    assert line.of(unknown) == ["!schema 8 is not in the registry"]
    line.clock.advance(decoder.NOT_THERE_SECONDS)
    assert line.of(unknown) == ['"a"']
    assert line.schemas.asked == [8, 8]


def test_an_id_that_no_registry_has_is_not_asked_for() -> None:
    line = Line()
    assert line.of(prefix(2**31) + b"\x02a", prefix(2**32 - 1), prefix(7) + b"\x02b") == [
        "!no registry has a schema 2147483648: ids end with 2147483647",
        "!no registry has a schema 4294967295: ids end with 2147483647", '"b"',
    ]  # fmt: skip
    assert line.schemas.asked == [7]


@pytest.mark.parametrize(
    ("kind", "named", "text"),
    [("avro", "AVRO", '"\\ud800"'), ("protobuf", "PROTOBUF", 'syntax = "proto3"; \ud800')],
)
def test_a_schema_without_utf_8_is_a_reason(kind: MessageFormat, named: str, text: str) -> None:
    line = Line(kind)
    line.schemas.known = {7: Registered(named, text)}
    assert line.of(prefix(7) + b"\x00a")[0].startswith("!schema 7 cannot be read: ")


def test_a_registry_that_is_away_is_no_verdict() -> None:
    line = Line()
    line.schemas.away = True
    with pytest.raises(RegistryAway):
        line.of(prefix(7) + b"\x02a")
    line.schemas.away = False
    assert line.of(prefix(7) + b"\x02a") == ['"a"']


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder, "MOST_SCHEMAS", 3)
    line = Line()
    line.schemas.known |= {number: Registered("AVRO", '"string"') for number in range(20)}
    for number in (*range(20), 0, 19):
        assert line.of(prefix(number) + b"\x02a") == ['"a"']
    assert line.schemas.asked == [*range(20), 0]


def test_json_schema_is_json_behind_the_id() -> None:
    line = Line("json schema")
    line.schemas.known = {3: Registered("JSON", "{}"), 7: Registered("AVRO", '"string"')}
    assert line.of(prefix(3) + b'{"a": 1}', prefix(3) + b"!x", prefix(7), prefix(3)) == [
        '{"a": 1}', "!not JSON", "!schema 7 is of type AVRO, not JSON", "",
    ]  # fmt: skip


def test_text_is_the_value_of_one_field() -> None:
    assert decoder.line_of('a "b"\té\n'.encode()) == '{"line":"a \\"b\\"\\té\\n"}'.encode()
    decode = decoder.decoding(decoder.line_of)
    texts = decode([b"7", b"\xff", b"", None], [None] * 4)
    assert texts == [b'{"line":"7"}', b"!the text is not UTF-8", b"", b""]


GUID = UUID("89791762-2336-4186-9674-299b90a802e2")
BY_GUID = b"\x01" + GUID.bytes


def test_a_header_names_the_schema_by_its_guid_or_its_id() -> None:
    line = Line()
    line.schemas.known[GUID] = Registered("AVRO", '"long"')
    assert line.named(BY_GUID, b"\x0e") == "7"
    assert line.named(prefix(7), b"\x02a") == '"a"'
    assert line.named(BY_GUID, b"\x10") == "8"
    assert line.schemas.asked == [GUID, 7]
    # Bytes that look like an id are data, where a header has it.
    fields = [{"name": f"f{n}", "type": "int"} for n in range(5)]
    record = {"type": "record", "name": "r", "fields": fields}
    line.schemas.known[9] = Registered("AVRO", json.dumps(record))
    assert line.named(prefix(9), prefix(7)) == '{"f0":0,"f1":0,"f2":0,"f3":0,"f4":-4}'


def test_a_header_without_a_value_names_nothing_and_the_last_of_several_counts() -> None:
    line = Line()
    assert line.named(None, prefix(7) + b"\x02a") == '"a"'
    headers: Headers = [("__value_schema_id", BY_GUID), (b"__value_schema_id", prefix(7))]
    assert line.decode([b"\x02a"], [headers]) == [b'"a"']
    assert line.named(prefix(7), None) == ""


def test_no_bytes_are_a_value_where_a_header_names_the_schema() -> None:
    line = Line("protobuf")
    line.schemas.known[GUID] = Registered("PROTOBUF", 'syntax = "proto3"; message M {int32 n = 1;}')
    assert line.named(BY_GUID + b"\x00", b"") == '{"n":0}'
    assert line.named(BY_GUID + b"\x02\x00", b"\x08\x05") == '{"n":5}'
    assert line.named(None, b"") == ""


@pytest.mark.parametrize(
    ("kind", "header", "why"),
    [
        ("avro", b"", "the header __value_schema_id begins with neither 0 nor 1"),
        ("avro", b"7", "the header __value_schema_id begins with neither 0 nor 1"),
        ("avro", b"\x00\x00", "the header __value_schema_id ends within the id of the schema"),
        ("avro", BY_GUID[:-1], "the header __value_schema_id ends within the id of the schema"),
        ("avro", BY_GUID + b"\x00", "the header __value_schema_id goes on behind the id of the "
         "schema"),
        ("avro", BY_GUID, f"schema {GUID} is not in the registry"),
        ("protobuf", BY_GUID, "the message ends within the wire format's message indexes"),
        ("protobuf", BY_GUID + b"\x04\x00", "the message ends within the wire format's message "
         "indexes"),
        ("protobuf", BY_GUID + b"\x00\x00", "the header __value_schema_id goes on behind the id of "
         "the schema"),
    ],
)  # fmt: skip
def test_a_header_that_names_no_schema_is_a_reason(
    kind: MessageFormat, header: bytes, why: str
) -> None:
    assert Line(kind).named(header, b"\x02a\x00\x00") == f"!{why}"
