"""JSON into Avro and back: nothing is rounded, left out or guessed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nrtctl.clock import ManualClock
from nrtctl.errors import ConfigError
from nrtctl.kafka.formats.avro import values
from nrtctl.kafka.formats.decoder import ByFile, text_of_line
from nrtctl.kafka.formats.encoder import DoesNotFit, Encoder, derived
from nrtctl.pipeline import Pipeline
from nrtctl.pipeline.message_format import CannotRead
from nrtctl.producer.sources import Record
from nrtctl.producer.sources.encoded import Encoded
from nrtctl.producer.sources.marks import FOREIGN
from nrtctl.producer.sources.reference_events import ReferenceEvents

MONEY = {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2}
LINE = {"type": "record", "name": "Line", "fields": [{"name": "sku", "type": "string"}]}
SCHEMA: dict[str, Any] = {
    "type": "record", "name": "Order", "fields": [
        {"name": "id", "type": "long"},
        {"name": "price", "type": ["null", MONEY], "default": None},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "raw", "type": ["null", "bytes"]},
        {"name": "ratio", "type": "double", "default": 0.5},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["A", "B"]}},
        {"name": "more", "type": {"type": "map", "values": ["string", "long", "boolean"]}},
        {"name": "lines", "type": {"type": "array", "items": ["null", LINE]}},
    ],
}  # fmt: skip
ORDER: dict[str, Any] = {
    "id": 2**53 + 1, "price": "-0.07", "at": "2024-05-06T07:08:09.123Z", "raw": "AP8=",
    "ratio": 0.1, "kind": "B", "more": {"a": "x", "b": 5, "c": True},
    "lines": [{"sku": "s"}, None],
}  # fmt: skip


def back(schema: Any, value: Any) -> Any:
    text = json.dumps(schema)
    given = json.dumps(value).encode()
    return json.loads(ByFile(values(text)).text(Encoder(text, b"").encode(given)))


def test_a_message_comes_back_as_it_was() -> None:
    assert back(SCHEMA, ORDER) == {**ORDER, "at": "2024-05-06T07:08:09.123000+00:00"}
    less = {name: ORDER[name] for name in ORDER if name not in {"price", "raw", "ratio"}}
    assert back(SCHEMA, less) == {
        **ORDER, "at": "2024-05-06T07:08:09.123000+00:00", "price": None, "raw": None,
        "ratio": 0.5,
    }  # fmt: skip


def test_a_number_keeps_its_digits() -> None:
    encoder = Encoder(json.dumps({**MONEY, "precision": 30, "scale": 2}))
    assert ByFile(values(json.dumps({**MONEY, "precision": 30}))).text(
        encoder.encode(b"1234567890123456789012345678.05")
    ) == (b'"1234567890123456789012345678.05"')


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"id": "7"}, 'id is "7", not long'),
        ({"id": 1.5}, 'id is "1.5", not long'),
        ({"id": 2**63}, "id is 9223372036854775808, not long"),
        ({"id": True}, "id is true, not long"),
        ({"price": "0.005"}, 'price is "0.005", not decimal'),
        ({"at": "soon"}, 'at is "soon", not timestamp-millis'),
        ({"kind": "C"}, 'kind is "C", not enum'),
        ({"raw": "?"}, r'raw is "\?", not bytes'),
        ({"other": 1}, "the schema has no field other"),
        ({"lines": [{"sku": 5}]}, r"lines\[0\].sku is 5, not string"),
        ({"lines": [{}]}, r"the message has no field lines\[0\].sku"),
    ],
)
def test_what_does_not_fit_is_said(changed: dict[str, Any], why: str) -> None:
    with pytest.raises(DoesNotFit, match=why):
        back(SCHEMA, {**ORDER, **changed})


HUGE = ["1e400000", "1e30000000", "1e999999999999", "-1e999999999999", "1e-999999999999"]


@pytest.mark.parametrize("number", [*HUGE, "1e30", "10000", "123456.7"])
def test_a_decimal_beyond_its_precision_is_refused_before_it_is_computed(number: str) -> None:
    encoder = Encoder(json.dumps({"type": "array", "items": MONEY}))
    for text in (number, f'"{number}"'):
        with pytest.raises(DoesNotFit, match="not decimal"):
            encoder.encode(f"[{text}]".encode())


@pytest.mark.parametrize(
    ("number", "expected"),
    [("1e3", "1000.00"), ("0e999999999999", "0.00"), ("-12.340", "-12.34"), ("9999.99", "9999.99"),
     ("120e-1", "12.00"), ("-0", "0.00")],
)  # fmt: skip
def test_a_decimal_keeps_its_value(number: str, expected: str) -> None:
    assert back(MONEY, number) == expected


def test_an_exponent_that_no_type_has_is_refused() -> None:
    with pytest.raises(DoesNotFit, match="a number has an exponent that no type has"):
        Encoder('"double"').encode(b"1e99999999999999999999999")


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("double", b"1e400"), ("double", b"-1e999999999999"), ("double", b"1" + b"0" * 400),
        ("float", b"1e39"), ("float", b"1e400"), ("float", b"1" + b"0" * 39),
    ],
)  # fmt: skip
def test_no_number_becomes_an_infinity(kind: str, text: bytes) -> None:
    with pytest.raises(DoesNotFit, match=f"not {kind}"):
        Encoder(json.dumps(kind)).encode(text)


def test_a_float_has_the_nearest_number() -> None:
    assert back("double", 2**53 + 1) == 2.0**53
    assert back("float", 2**24 + 1) == 2.0**24
    assert back("double", "-Infinity") == "-Infinity"


@pytest.mark.parametrize(
    ("logical", "text"),
    [
        ("timestamp-millis", "2026-01-01T00:00:00.123987Z"),
        ("timestamp-millis", "2026-01-01T00:00:00.123000001Z"),
        ("timestamp-micros", "2026-01-01T00:00:00.123456789Z"),
        ("local-timestamp-millis", "2026-01-01T00:00:00.0001"),
        ("local-timestamp-millis", "2026-01-01T00:00:00+05:00"),
        ("local-timestamp-micros", "2026-01-01T00:00:00Z"),
        ("time-millis", "10:00:00.123987"), ("time-micros", "10:00:00.1234567"),
        ("time-micros", "10:00:00+01:00"),
    ],
)  # fmt: skip
def test_a_time_that_its_type_would_cut_is_refused(logical: str, text: str) -> None:
    kind = "int" if logical == "time-millis" else "long"
    with pytest.raises(DoesNotFit, match=f"not {logical}"):
        back({"type": kind, "logicalType": logical}, text)


@pytest.mark.parametrize(
    ("logical", "text", "expected"),
    [
        ("timestamp-millis", "2026-01-01T05:00:00.120000000+05:00",
         "2026-01-01T00:00:00.120000+00:00"),
        ("timestamp-micros", "2026-01-01T00:00:00.123456", "2026-01-01T00:00:00.123456+00:00"),
        ("local-timestamp-micros", "2026-01-01T00:00:00.123456", "2026-01-01T00:00:00.123456"),
        ("time-micros", "10:00:00.1234560", "10:00:00.123456"),
    ],
)  # fmt: skip
def test_a_time_that_its_type_has_is_taken(logical: str, text: str, expected: str) -> None:
    assert back({"type": "long", "logicalType": logical}, text) == expected


@pytest.mark.parametrize("text", [b"", b"no", b"[" * 100_000, b"\xff"])
def test_what_is_no_json_is_said(text: bytes) -> None:
    with pytest.raises(DoesNotFit, match="not JSON"):
        Encoder('"string"').encode(text)


def test_a_schema_is_made_for_the_fields_of_a_pipeline() -> None:
    pipeline = Pipeline(
        topic="shop.orders",
        fields={
            "id": "UInt32",
            "price": "Decimal(9, 2)",
            "made": {"type": "DateTime64(3, 'UTC')", "from": "createdAt"},
            "tags": "Array(LowCardinality(String))",
            "city": {"type": "Nullable(String)", "from": ["address", "city"]},
            "key_id": {"type": "UInt32", "from": {"record": "key", "path": ["id"]}},
        },
    )
    sent = {
        "id": 7, "price": "1.50", "createdAt": 1_714_979_289_123, "tags": ["a"],
        "address": {"city": None},
    }  # fmt: skip
    assert back(json.loads(derived(pipeline)), sent) == sent
    with pytest.raises(CannotRead, match="Map"):
        derived(Pipeline(fields={"m": "Map(String, String)"}))


def test_the_reference_events_are_sent_and_what_does_not_fit_is_counted() -> None:
    source = ReferenceEvents(7, clock=ManualClock(), users=10)
    kinds = {
        "event_id": "UUID", "user_id": "UUID", "session_id": "UUID", "event_type": "String",
        "event_timestamp": "Int64", "request_latency_ms": "UInt32", "status": "String",
        "error_code": "Nullable(UInt16)", "product_id": "Nullable(UInt64)",
    }  # fmt: skip
    schema = derived(Pipeline(fields=kinds))
    encoded = Encoded(source, Encoder(schema).encode)
    records = encoded.take(200)
    assert (len(records), encoded.unsendable.count) == (200, 0)
    assert json.loads(ByFile(values(schema)).text(records[0][1] or b"")).keys() == kinds.keys()
    without = Encoder(derived(Pipeline(fields={"event_id": "UUID"})))
    refusing = Encoded(ReferenceEvents(7, clock=ManualClock(), users=10), without.encode)
    assert refusing.take(3) == []
    assert refusing.unsendable.examples[0].startswith("message 1: the schema has no field ")


def test_generated_events_of_which_none_fits_come_to_an_end() -> None:
    without = Encoder(derived(Pipeline(fields={"event_id": "UUID"})))
    source = ReferenceEvents(7, clock=ManualClock(), users=10)
    refusing = Encoded(source, without.encode, generated=True)
    assert refusing.take(900) == []
    with pytest.raises(ConfigError, match="do not fit the schema: the schema has no field"):
        refusing.take(100)
    some = iter([True] * 5)

    def encode(value: bytes) -> bytes:
        if next(some, False):
            return value
        raise DoesNotFit("no")

    part = Encoded(ReferenceEvents(7, clock=ManualClock(), users=10), encode, generated=True)
    assert [len(part.take(1000)) for _ in range(3)] == [5, 0, 0]


class Given(ReferenceEvents):
    """These records, and nothing else."""

    def __init__(self, *records: Record) -> None:
        super().__init__(7, clock=ManualClock(), users=10)
        self._given = records

    def take(self, limit: int) -> list[Record]:
        return list(self._given)


def test_messages_described_as_they_were_are_sent_as_they_were() -> None:
    encoded = Encoded(
        Given(
            (None, b"\0raw", {}, FOREIGN),
            (b"k", b"{}", {"timestamp": 1}, FOREIGN),
            (None, b"{}", None, FOREIGN),
            (None, b"{}", {"headers": []}, None),
            (None, None, None, FOREIGN),
        ),
        b"id ".__add__,
    )
    sent = [value for _, value, *_ in encoded.take(9)]
    assert sent == [b"\0raw", b"{}", b"id {}", b"id {}", None]


def test_a_line_of_text_is_sent_as_itself() -> None:
    assert text_of_line('{"line": "a\\té"}'.encode()) == "a\té".encode()
    for other in (b'{"line": 7}', b'{"line": "a", "b": 1}', b"[]", b"no JSON", b"\xff", b""):
        assert text_of_line(other) == other
