"""What becomes of messages of the wire format, and when the registry is asked."""

from __future__ import annotations

import pytest

from nrtctl.clock import ManualClock
from nrtctl.kafka.formats import decoder
from nrtctl.kafka.formats.decoder import ByRegistry, decoding
from nrtctl.kafka.formats.registry import Registered
from nrtctl.kafka.formats.wire import RegistryAway, prefix
from nrtctl.pipeline.message_format import MessageFormat


class Schemas:
    """A registry of what a test puts in."""

    def __init__(self) -> None:
        self.known: dict[int, Registered] = {7: Registered("AVRO", '"string"')}
        self.asked: list[int] = []
        self.away = False

    def schema(self, number: int) -> Registered | None:
        self.asked.append(number)
        if self.away:
            raise RegistryAway("away")
        return self.known.get(number)


class Line:
    def __init__(self, kind: MessageFormat = "avro") -> None:
        self.schemas, self.clock = Schemas(), ManualClock()
        self.decode = decoding(ByRegistry(kind, self.schemas, now=self.clock.monotonic).text)

    def of(self, *values: bytes | None) -> list[str]:
        return [each.decode() for each in self.decode(values)]


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
