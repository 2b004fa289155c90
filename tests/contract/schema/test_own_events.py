"""Events that `produce` makes of a pipeline's own fields: each becomes a row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from nrtctl.clock import SystemClock
from nrtctl.errors import ConfigError
from nrtctl.kafka.formats.encoder import Encoder, derived
from nrtctl.pipeline import Pipeline
from nrtctl.producer.sources.files import Read
from nrtctl.producer.sources.own_events import OwnEvents
from tests.plugins.pipeline_engine import Engine

TYPES = [
    "Int8", "Int64", "UInt8", "UInt256", "Float32", "BFloat16", "Decimal(2, 2)", "Decimal(18, 4)",
    "Decimal(76, 0)", "String", "LowCardinality(String)", "LowCardinality(Nullable(String))",
    "LowCardinality(UInt16)", "FixedString(3)", "Bool", "UUID", "Date", "Date32", "DateTime",
    "DateTime('Europe/Oslo')", "DateTime64(0)", "DateTime64(3, 'UTC')", "DateTime64(9)", "Time",
    "Time64(3)", "IPv4", "IPv6", "Enum8('a' = 1, 'it\\'s' = 2)", "JSON", "Nullable(UInt8)",
    "Nullable(Decimal(9, 3))", "Array(Nullable(DateTime))", "Map(String, Array(UInt8))",
    "Tuple(a String, b Tuple(c Date, d Bool))", "Tuple(Int8, String)",
    "Nested(sku String, qty UInt8)", "Point", "MultiPolygon",
]  # fmt: skip
SPECS: list[dict[str, Any]] = [
    {"type": "DateTime('UTC')", "epoch": "s"},
    {"type": "DateTime64(3)", "epoch": "ns"},
    {"type": "DateTime64(6)", "epoch": "s"},
    {"type": "Date", "epoch": "d"},
    {"type": "Date", "epoch": "ms"},
    {"type": "Date", "format": "%d.%m.%Y"},
    {"type": "DateTime", "format": "%d/%b/%Y:%H:%M:%S %z"},
    {"type": "DateTime64(2)", "format": ["iso", "%F %T.%f"]},
    {"type": "DateTime64(3)", "format": "%F %R"},
    {"type": "String", "format": "base64"},
    {"type": "FixedString(4)", "format": "hex"},
    {"type": "Decimal(9, 2)", "format": "base64"},
    {"type": "String", "json": "text"},
    {"type": "Map(String, String)", "values": "text"},
    {"type": "String", "empty": "missing", "default": "x"},
    {"type": "Array(String)", "default": "empty"},
    {"type": "Bool", "accept": ["0/1"]},
    {"type": "UInt16", "from": ["deep", "er", "port"]},
    {"type": "String", "from": ["deep", "name"]},
    {"type": "String", "from": "a.key with dots"},
    {"type": "UInt32", "from": "key"},
    {"type": "DateTime", "from": {"header": "at"}},
    {"type": "DateTime64(3)", "from": {"record": "timestamp"}},
]


def records(events: OwnEvents, count: int) -> Iterator[Read]:
    for key, value, extra, _ in events.take(count):
        headers: Any = (extra or {}).get("headers", ())
        yield Read(value, key, tuple(headers), None, "")


def test_every_type_and_place_is_stored(engine: Engine) -> None:
    fields = {f"f{number}": given for number, given in enumerate([*TYPES, *SPECS])}
    engine.up(fields=fields)
    events = OwnEvents(engine.pipeline, 7, clock=SystemClock())
    assert engine.send_read(records(events, 60)) == 60
    assert engine.rejected() == {}
    assert len(engine.stored()) == 60


@pytest.mark.parametrize("rows", [{"from": ["*"], "single": True}, {"texts": "lines"}])
def test_a_message_that_may_be_a_row_by_itself_is_made(engine: Engine, rows: Any) -> None:
    fields = {"id": "UInt32", "of": {"type": "UInt32", "from": ["$", "outer", "id"]}}
    if "from" in rows:
        fields["of"] = {"type": "UInt32", "from": ["$", "*", "outer", "id"]}
    engine.up(fields=fields, rows=rows)
    events = OwnEvents(engine.pipeline, 7, clock=SystemClock())
    assert engine.send_read(records(events, 20)) == 20
    assert engine.rejected() == {}
    assert len(engine.stored()) == 20


def test_the_same_seed_and_start_give_the_same_events_however_many_are_taken() -> None:
    pipeline = Pipeline(fields={"id": "UInt16", "at": "DateTime64(3)", "who": "UUID"}, key="id")

    def events() -> OwnEvents:
        return OwnEvents(
            pipeline, 1, clock=SystemClock(), users=3, start_ms=1_700_000_000_000, interval_ms=10
        )

    one, other = events(), events()
    taken = one.take(100)
    assert taken == [record for size in (1, 49, 50) for record in other.take(size)]
    assert len({record[0] for record in taken}) == 3
    assert taken[1][1] is not None
    assert b'"at":"2023-11-14T22:13:20.010000Z"' in taken[1][1]


def test_the_avro_schema_that_is_made_of_the_fields_fits_the_events_that_are() -> None:
    fields = {
        "id": "UInt32", "name": "Nullable(String)", "price": "Decimal(9, 2)",
        "tags": "Array(String)", "at": "DateTime64(3)", "seen": {"type": "DateTime", "epoch": "s"},
        "city": {"type": "LowCardinality(String)", "from": ["where", "city"]},
    }  # fmt: skip
    pipeline = Pipeline(fields=fields, format="avro")
    encoder = Encoder(derived(pipeline))
    for _, value, _, _ in OwnEvents(pipeline, 1, clock=SystemClock()).take(50):
        assert value is not None
        assert encoder.encode(value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"fields": {"sku": "String"}, "rows": ["items"]}, "`rows`"),
        (
            {"fields": {"x": {"type": "String", "from": ["a", 0]}}},
            "field x, which is read from inside",
        ),
        (
            {"fields": {"x": {"type": "Int8", "from": {"record": "key", "path": ["id"]}}}},
            "field x, which is read from inside",
        ),
        ({"fields": {"x": "Int8", "y": {"type": "Int8", "from": ["x", "y"]}}}, "reads x in two"),
        ({"fields": {"x": {"type": "Float64", "accept": ["thousands"]}}}, "field x, whose numbers"),
    ],
)
def test_what_is_not_made_is_refused_with_a_way_out(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        OwnEvents(Pipeline(**given), 1, clock=SystemClock())
    assert "--input FILE" in str(caught.value.hint)
