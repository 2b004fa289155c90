"""Messages that are no JSON, from their bytes to rows and dead letters, in the real engine."""

from __future__ import annotations

import base64
import io
import json
import random
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from fastavro import parse_schema, schemaless_writer

from nrtctl.dead_letters import judging
from nrtctl.dead_letters.letters import list_sql, pages
from nrtctl.dead_letters.outlook import Outlook, outlook
from nrtctl.dead_letters.selection import Selection, as_fix, one_letter
from nrtctl.kafka.formats.avro import values
from nrtctl.kafka.formats.decoder import ByFile, ByRegistry, decoding
from nrtctl.kafka.formats.protobuf import Schema
from nrtctl.kafka.formats.protobuf_encoder import ProtobufEncoder
from nrtctl.kafka.formats.registry import Registered
from nrtctl.kafka.formats.wire import SchemaName, prefix
from nrtctl.pipeline import Pipeline
from nrtctl.schema.drift import lost
from nrtctl.store.envelope import varint
from tests.plugins.pipeline_engine import Engine

EVENT: dict[str, Any] = {
    "type": "record", "name": "Event", "fields": [
        {"name": "id", "type": "long"},
        {"name": "price", "type": ["null", {
            "type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}]},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "raw", "type": "bytes"},
        {"name": "heat", "type": "double"},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {"name": "lines", "type": {"type": "array", "items": {
            "type": "record", "name": "Line", "fields": [{"name": "n", "type": "long"}]}}},
    ],
}  # fmt: skip
FIELDS: dict[str, Any] = {
    "id": "Int64",
    "price": "Nullable(Decimal(10, 2))",
    "at": "DateTime64(3, 'UTC')",
    "day": "Date",
    "raw": {"type": "String", "format": "base64"},
    "heat": {"type": "Float64", "accept": ["nan"]},
    "tags": "Array(String)",
}


PROTO = """
syntax = "proto3";
import "google/protobuf/timestamp.proto";
import "confluent/type/decimal.proto";
message Event {
  int64 id = 1;
  optional confluent.type.Decimal price = 2;
  google.protobuf.Timestamp at = 3;
  string day = 4;
  bytes raw = 5;
  double heat = 6;
  repeated string tags = 7;
  message Line { uint32 n = 1; Line below = 2; }
  repeated Line lines = 8;
}
message Unlike { string id = 1; map<string, Unlike> more = 7; }
"""


def proto_event(**changed: Any) -> bytes:
    message = Schema(PROTO, lambda _: None).message("Event")
    value = {
        "id": 2**53 + 1, "price": "-0.07", "at": "2024-05-06T07:08:09.123Z", "day": "2024-05-06",
        "raw": "AP8=", "heat": 0.5, "tags": ["a"], "lines": [],
    }  # fmt: skip
    return ProtobufEncoder(message).encode(json.dumps({**value, **changed}).encode())


def event(**changed: Any) -> bytes:
    value = {
        "id": 2**53 + 1, "price": Decimal("-0.07"), "day": date(2024, 5, 6),
        "at": datetime(2024, 5, 6, 7, 8, 9, 123000, tzinfo=UTC), "raw": b"\x00\xff", "heat": 0.5,
        "tags": ["a"], "lines": [{"n": 1}, {"n": 2}],
    }  # fmt: skip
    out = io.BytesIO()
    schemaless_writer(out, parse_schema(EVENT), {**value, **changed})
    return out.getvalue()


@pytest.fixture
def protobuf(engine: Engine) -> Engine:
    class Schemas:
        def schema(self, name: SchemaName) -> Registered | None:
            return Registered("PROTOBUF", PROTO) if name in {7, 8} else None

    engine.decode = decoding(ByRegistry("protobuf", Schemas(), now=lambda: 0.0).text)
    return engine


@pytest.fixture
def avro(engine: Engine) -> Engine:
    class Schemas:
        def schema(self, name: SchemaName) -> Registered | None:
            return Registered("AVRO", json.dumps(EVENT)) if name == 7 else None

    engine.decode = decoding(ByRegistry("avro", Schemas(), now=lambda: 0.0).text)
    return engine


def test_values_are_stored_unchanged(avro: Engine) -> None:
    avro.up(format="avro", fields=FIELDS)
    avro.send(prefix(7) + event(), prefix(7) + event(id=-(2**63), price=None, heat=float("nan")))
    columns = ("id", "toString(price)", "toString(at)", "toString(day)", "hex(raw)",
               "toString(heat)", "tags")  # fmt: skip
    rest = ("2024-05-06 07:08:09.123", "2024-05-06", "00FF")
    assert avro.stored(*columns) == {
        0: (2**53 + 1, "-0.07", *rest, "0.5", ["a"]),
        1: (-(2**63), None, *rest, "nan", ["a"]),
    }


def test_a_dead_letter_has_the_bytes_that_came_and_the_decoders_reason(avro: Engine) -> None:
    avro.up(format="avro", fields={"id": "UInt8"}, rejects={"five": "id = 5"})
    sent = [
        prefix(7) + event(id=1), None, b"", b'{"id":1}', prefix(8) + event(), prefix(7) + b"\x02",
        prefix(7) + event(), prefix(7) + event(id=5),
    ]  # fmt: skip
    avro.send(*sent)
    assert avro.stored("id") == {0: (1,)}
    assert avro.rejected() == {
        1: ("null value", ""),
        2: ("empty message", ""),
        3: ("the message does not begin with the wire format's magic byte 0", ""),
        4: ("schema 8 is not in the registry", ""),
        5: ("the bytes do not match schema 7: they end too early", ""),
        6: ("wrong type", "id"),
        7: ("five", ""),
    }
    kept = avro.query("SELECT _offset, base64Encode(value) FROM {db}.dead_letters ORDER BY _offset")
    assert [None if each is None else base64.b64decode(each) for _, each in kept] == sent[1:]
    sql = list_sql(avro.pipeline, avro.database, Selection(), None)
    assert len(avro.query(sql)) == 7

    def seen(fix: bytes | None) -> Outlook | None:
        return outlook(
            avro.client, avro.pipeline, avro.database, one_letter(1, 0, 6, purged=False),
            fix="value" if fix is None else as_fix(fix), decode=avro.decode,
        )  # fmt: skip

    wrong, right = seen(None), seen(prefix(7) + event(id=2))
    assert wrong
    assert [str(each) for each in wrong.faults] == [f"id is {2**53 + 1}, not UInt8"]
    assert right
    assert (right.rejection, avro.client.query(right.rows)) == (None, [(2,)])


def test_a_letter_that_no_statement_can_have_is_left_and_the_others_are_judged(
    avro: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    avro.up(format="avro", fields={"id": "UInt8"}, rejects={"five": "id = 5"})
    avro.send(prefix(7) + event(id=5), b"\0" * 400, prefix(7) + event(id=5))
    avro.up(format="avro", fields={"id": "UInt8"})
    monkeypatch.setattr(judging, "MOST_OF_ONE", 399)
    where = Selection(incarnation=1).where(avro.pipeline)
    judge = judging.Judge(
        avro.client, avro.pipeline, avro.database, where=where, fix="value", decode=avro.decode
    )
    (page,) = pages(avro.client, avro.pipeline, avro.database, where)
    found = judge.judge(page)
    assert [[each.offset for each in some] for some in (found.passing, found.undecided)] == [
        [0, 2], [1],
    ]  # fmt: skip
    assert not found.rejected


def test_a_message_of_several_rows(avro: Engine) -> None:
    avro.up(
        format="avro",
        rows=["lines"],
        fields={"n": "UInt8", "id": {"type": "Int64", "from": ["$", "id"]}},
    )
    avro.send(prefix(7) + event(id=3), prefix(9), prefix(7) + event(lines=[]), None)
    found = avro.query("SELECT _offset, n, id FROM {db}.events ORDER BY _offset, n")
    assert found == [(0, 1, 3), (0, 2, 3)]
    assert avro.rejected() == {
        1: ("schema 9 is not in the registry", ""),
        2: ("no rows", ""),
        3: ("null value", ""),
    }
    whole = "SELECT base64Encode(value) FROM {db}.dead_letters WHERE _offset = 1"
    assert avro.value(whole) == "AAAAAAk="


def test_what_the_condition_does_not_take_is_left_out(avro: Engine) -> None:
    avro.up(format="avro", fields={"id": "Int64"}, when="id = 3")
    avro.send(prefix(7) + event(id=3), prefix(7) + event(id=4), prefix(9))
    assert avro.stored("id") == {0: (3,)}
    assert {reason for reason, _ in avro.rejected().values()} == {"left out"}


def test_a_pipeline_of_json_becomes_one_of_avro(engine: Engine) -> None:
    engine.up(fields={"id": "Int64"})
    engine.send(b'{"id":1}')
    wanted = Pipeline(format="avro", fields={"id": "Int64"})
    assert "_decoded" in str(lost(engine.client, wanted, engine.database)[0])
    engine.up(format="avro", fields={"id": "Int64"})
    engine.decode = decoding(ByFile(values(json.dumps(EVENT))).text)
    engine.send(event(id=2), b"\x07")
    assert engine.stored("id") == {0: (1,), 1: (2,)}
    assert engine.rejected()[2][0] == "the bytes do not match schema_file: they end too early"


def test_1000_damaged_messages_are_each_a_row_or_a_dead_letter_with_its_bytes(
    avro: Engine,
) -> None:
    avro.up(format="avro", fields=FIELDS)
    rng, good = random.Random(16), prefix(7) + event()
    sent = []
    for _ in range(1000):
        data = bytearray(good)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(data))
            match rng.randrange(4):
                case 0:
                    data[at] = rng.randrange(256)
                case 1:
                    del data[at:]
                    data.append(0)
                case 2:
                    data[at:at] = b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f"
                case 3:
                    data[at:at] = rng.randbytes(rng.randint(1, 9))
        sent.append(bytes(data))
    each_is_a_row_or_a_dead_letter(avro, sent)


def test_1000_damaged_messages_of_protobuf_are_each_a_row_or_a_dead_letter_with_its_bytes(
    protobuf: Engine,
) -> None:
    protobuf.up(format="protobuf", fields=FIELDS)
    rng, good, sent = random.Random(16), prefix(7) + b"\x00" + proto_event(), []
    inside = b""
    for _ in range(130):
        inside = b"\x12" + varint(len(inside)) + inside
    deep = b"\x42" + varint(len(inside)) + inside
    for _ in range(1000):
        data = bytearray(good)
        match rng.randrange(8):
            case 0:
                del data[rng.randrange(1, len(data)) :]
            case 1:
                data[4] = rng.choice([6, 8, 9])
            case 2:
                data[5:6] = rng.choice([b"\x02\x02", b"\x04\x00\x00", b"\x02\x06", b"\xff", b""])
            case 3:
                at = rng.randrange(6, len(data))
                data[at:at] = b"\xfa\xff\xff\xff\xff\xff\xff\xff\x7f"
            case 4:
                data += deep[rng.choice([0, 0, 3, 4 * rng.randrange(9)]) :]
            case 5:
                data += varint(rng.randrange(1, 100)) + rng.randbytes(rng.randrange(20))
            case _:
                for _ in range(rng.randint(1, 3)):
                    data[rng.randrange(len(data))] = rng.randrange(256)
        sent.append(bytes(data))
    each_is_a_row_or_a_dead_letter(protobuf, [*sent, good])


def each_is_a_row_or_a_dead_letter(engine: Engine, sent: list[bytes]) -> None:
    """And no reason says that a decoder has made something that is none."""
    engine.send(*sent)
    stored, rejected = engine.stored(), engine.rejected()
    assert stored.keys() | rejected.keys() == set(range(len(sent)))
    assert not stored.keys() & rejected.keys()
    assert min(len(stored), len(rejected)) > 50
    assert not {"not JSON", "invalid UTF-8"} & {reason for reason, _ in rejected.values()}
    for offset, kept in engine.query("SELECT _offset, base64Encode(value) FROM {db}.dead_letters"):
        assert base64.b64decode(kept) == sent[offset]
