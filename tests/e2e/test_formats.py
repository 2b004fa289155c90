"""Avro and Protobuf with a schema registry: stored once, whatever the registry does."""

from __future__ import annotations

import base64
import io
import json
import time
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from fastavro import parse_schema, schemaless_writer
from google.protobuf.message_factory import GetMessageClass

from nrtctl.kafka.formats.protobuf import Schema
from nrtctl.kafka.formats.wire import prefix
from nrtctl.local.process import Endpoint
from tests.plugins import damage
from tests.plugins.schema_registry import SchemaRegistry
from tests.plugins.stack import Project
from tests.plugins.waiting import eventually

PIPELINE = """
[pipeline]
topic = "shop"
partitions = 2
format = "avro"
order_by = ["id"]

[pipeline.fields]
id = "Int64"
price = "Decimal(9, 2)"
note = { type = "String", default = "none" }

[schema_registry]
REGISTRY
"""
FIRST: dict[str, Any] = {
    "type": "record", "name": "Order", "fields": [
        {"name": "id", "type": "long"},
        {"name": "price", "type": {
            "type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
    ],
}  # fmt: skip
NOTE = {"name": "note", "type": "string", "default": "none"}
SECOND = {**FIRST, "fields": [*FIRST["fields"], NOTE]}
SEEN = {"name": "price.proto", "subject": "price", "version": 1}
SMALL = ("--set", "batch.max_rows=100", "--set", "consumer.session_timeout=6s")


class Shop:
    """A project whose topic carries Avro, and what is sent to it."""

    def __init__(self, project: Project, bootstrap: str, registry: SchemaRegistry) -> None:
        self.project, self.registry = project, registry
        self.topic = project.environ.get("NRTCTL_PIPELINE__TOPIC", "shop")
        self._producer = Producer({"bootstrap.servers": bootstrap})

    def send(self, schema: Any, number: int, ids: range, guid: str = "") -> None:
        """Args: number: of the schema. guid: of it, for the header; empty: the value has its id."""
        headers: dict[str, str | bytes | None] = {}
        if guid:
            headers["__value_schema_id"] = b"\x01" + uuid.UUID(guid).bytes
        parsed = parse_schema(schema)
        for at in ids:
            out = io.BytesIO()
            value = {"id": at, "price": Decimal(at) + Decimal("0.05"), "note": f"n{at}"}
            schemaless_writer(out, parsed, value)
            data = out.getvalue() if guid else prefix(number) + out.getvalue()
            self._producer.produce(self.topic, data, headers=headers)
        assert self._producer.flush(30) == 0

    def send_bytes(self, data: bytes) -> None:
        self._producer.produce(self.topic, data)

    def flush(self) -> None:
        assert self._producer.flush(30) == 0

    def counted(self) -> tuple[int, int]:
        """Rows and dead letters."""
        counts = "SELECT (SELECT count() FROM events) AS n, count() AS dead FROM dead_letters"
        (found,) = self.project.rows(counts)
        return found["n"], found["dead"]

    def verified(self) -> tuple[int, int, int, int]:
        found = self.project.json("verify", code=None)
        return found["stored"], found["dead_letters"], found["missing"], found["duplicated"]


@pytest.fixture
def shop(
    request: pytest.FixtureRequest, stack: Project, schema_registry: SchemaRegistry
) -> Iterator[Shop]:
    """A parameter: the broker, and the format where it is not Avro."""
    local, (kind, _, form) = dict(stack.environ), request.param.partition(" ")
    pipeline = PIPELINE.replace("avro", form or "avro")
    stack.use_pipelines(pipeline.replace("REGISTRY", schema_registry.settings))
    broker = Endpoint.read(stack.directory / ".nrtctl" / "kafka")
    assert broker is not None
    bootstrap = f"{broker.host}:{broker.port}"
    if kind == "apache":
        front = Endpoint.read(stack.directory / ".nrtctl" / "clickhouse")
        assert front is not None
        password = (stack.directory / ".nrtctl" / "clickhouse" / "password").read_text().strip()
        bootstrap = request.getfixturevalue("apache_kafka").bootstrap
        stack.environ |= {
            "NRTCTL_STACK__KIND": "external",
            "NRTCTL_KAFKA__BOOTSTRAP_SERVERS": bootstrap,
            "NRTCTL_CLICKHOUSE__URL": f"http://{front.host}:{front.port}",
            "NRTCTL_CLICKHOUSE__PASSWORD": password,
            "NRTCTL_PIPELINE__TOPIC": f"shop-{uuid.uuid4().hex[:8]}",
            "NRTCTL_CONSUMER__GROUP": f"group-{uuid.uuid4().hex[:8]}",
        }
    stack.run("up")
    yield Shop(stack, bootstrap, schema_registry)
    stack.environ = local  # so that `down` ends the local stack


@pytest.mark.parametrize(
    "shop", ["embedded", pytest.param("apache", marks=pytest.mark.long)], indirect=True
)
def test_the_registry_is_killed_and_the_schema_grows_under_a_running_consumer(
    shop: Shop, tmp_path: Path
) -> None:
    project, log = shop.project, tmp_path / "consume.log"
    first = shop.registry.register("shop-value", FIRST)
    shop.send(FIRST, first, range(500))

    def stored(count: int) -> None:
        eventually(lambda: project.value("SELECT count() FROM events") == count, f"{count} rows")

    with project.consuming(log, *SMALL) as consumer:
        stored(500)
        second = shop.registry.register("shop-value", SECOND)
        shop.registry.kill()
        shop.send(FIRST, first, range(500, 600))
        stored(600)
        shop.send(SECOND, second, range(600, 1000))
        shop.send(FIRST, first, range(1000, 1500))
        waiting = f"the schema registry at {shop.registry.url} does not answer"
        eventually(lambda: waiting in log.read_text(), "that it says what it waits for")
        assert project.value("SELECT count() FROM events WHERE id >= 600 AND id < 1000") == 0
        shop.registry.start()
        stored(1500)
        eventually(lambda: "registry answers again" in log.read_text(), "that the wait is over")
        consumer.terminate()
        consumer.wait(60)
    assert shop.verified() == (1500, 0, 0, 0)
    sums = "sum(id), toString(sum(price)), uniqExact(id), countIf(note = 'none')"
    found = project.value(f"SELECT toString(tuple({sums})) FROM events")
    assert found == f"({1500 * 1499 // 2},'1124325',1500,1100)"


ALSO_LOADED = pytest.mark.parametrize(
    "also_loaded", [False, pytest.param(True, marks=pytest.mark.long)]
)
"""Whether the dry run, the doctor and a whole load are looked at, too."""


@ALSO_LOADED
@pytest.mark.parametrize("shop", ["embedded"], indirect=True)
def test_what_cannot_be_decoded_is_kept_and_decoded_later(shop: Shop, also_loaded: bool) -> None:
    project = shop.project
    number = shop.registry.register("shop-value", FIRST)
    shop.send(FIRST, number, range(50))
    guid = shop.registry.get(f"/schemas/ids/{number}")["guid"]
    shop.send(FIRST, number, range(50, 100), guid)
    shop.send(SECOND, number + 1, range(100, 110))
    hostile = [b'{"id": 1}', prefix(number) + b"\x02", prefix(number)[:3], prefix(number + 7)]
    for each in hostile:
        shop.send_bytes(each)
    shop.flush()
    project.run("consume", "--until-end", *SMALL)
    assert shop.counted() == (100, 14)
    reasons = "SELECT reason, count() AS n FROM dead_letters GROUP BY reason ORDER BY reason"
    assert [each["reason"] for each in project.rows(reasons)] == [
        f"schema {number + 1} is not in the registry",
        f"schema {number + 7} is not in the registry",
        f"the bytes do not match schema {number}: they end too early",
        "the message does not begin with the wire format's magic byte 0",
        "the message ends within the wire format's schema id",
    ]
    kept = project.rows("SELECT base64Encode(value) AS v FROM dead_letters")
    assert {base64.b64encode(each).decode() for each in hostile} <= {each["v"] for each in kept}

    assert shop.registry.register("shop-value", SECOND) == number + 1
    if also_loaded:
        dry = project.json("dlq", "replay")
        assert (dry["stored"], sum(dry["rejected"].values())) == (10, 4)
    assert project.json("dlq", "replay", "--execute")["stored"] == 10
    assert shop.counted() == (110, 4)

    damage.delete(project, "events", "id % 10 = 3")
    done = project.json("verify", "--repair", "--execute")
    assert (done["missing"], done["repair"]["reloaded"]) == (0, 11)
    assert project.value("SELECT toString(sum(price)) FROM events") == "6000.5"
    if not also_loaded:
        assert shop.counted() == (110, 4)
        return
    assert shop.verified() == (110, 4, 0, 0)
    registry = next(c for c in project.json("doctor") if c["check"] == "schema registry")
    assert f"schema {number + 1} is the newest of shop-value" in registry["found"]
    project.run("replay", "load", "--execute")
    assert shop.verified() == (110, 4, 0, 0)
    assert project.value("SELECT toString(sum(price)) FROM events") == "6000.5"


@pytest.mark.parametrize("shop", ["embedded"], indirect=True)
def test_produced_and_looked_at(shop: Shop) -> None:
    project = shop.project
    orders = [{"id": at, "price": f"{at}.05", "note": f"n{at}"} for at in range(200)]
    lines = "".join(f"{json.dumps(each)}\n" for each in orders)
    (project.directory / "orders.jsonl").write_text(lines)
    sent = project.run("produce", "--input", "orders.jsonl")
    assert b"schema 1 is registered for shop-value" in sent.stderr
    (project.directory / "bad.jsonl").write_text('{"id": "x", "price": 1}\n{"id": 1, "no": 1}\n')
    refused = project.run("produce", "--input", "bad.jsonl", code=1).stderr
    assert b"schema 1, the newest of shop-value" in refused
    assert b'message 1: id is "x", not long' in refused
    assert b"message 2: the schema has no field no" in refused
    project.run("consume", "--until-end", *SMALL)
    assert shop.counted() == (200, 0)
    assert project.value("SELECT toString(sum(price)) FROM events") == "19910"
    seen = project.run("peek", "--where", "id = 7").stdout.decode()
    assert '"price": "7.05"' in seen
    assert '"note": "n7"' in seen
    printed = project.run("peek", "--all", "-o", "jsonl").stdout
    project.run("produce", "--input", "-", stdin=printed)
    project.run("consume", "--until-end", *SMALL)
    assert shop.counted() == (400, 0)

    (project.directory / "order.avsc").write_text(json.dumps({**FIRST, "name": "shop"}))
    (project.directory / "more.jsonl").write_text('{"id": 500, "price": 2.5}\n')
    project.run("produce", "--input", "more.jsonl", "--schema", "order.avsc")
    project.run("consume", "--until-end", *SMALL)
    assert project.rows("SELECT toString(price) AS price, note FROM events WHERE id = 500") == [
        {"price": "2.5", "note": "none"}
    ]

    gone = ("--set", "pipeline.schema_file=gone.avsc")
    for command in (("up",), ("produce", "--input", "more.jsonl")):
        said = project.run(*command, *gone, code=2).stderr.decode()
        assert "gone.avsc: cannot be read: No such file or directory" in " ".join(said.split())
        assert "--schema" not in said


LINES = """
syntax = "proto3";
import "price.proto";
import "confluent/type/decimal.proto";
message Lines {
  message Sold { int64 id = 1; confluent.type.Decimal price = 2; shop.Price list = 3; }
}
message Unlike { string id = 1; }
"""
SOLD = b"\x08\xd8\x04\x12\x06\x0a\x02\x00\xe1\x18\x02\x1a\x02\x0a\x00"  # 600, 2.25
PRICE = """
syntax = "proto3";
package shop;
import "confluent/type/decimal.proto";
message Price { confluent.type.Decimal amount = 1; }
"""


@ALSO_LOADED
@pytest.mark.parametrize("shop", ["embedded protobuf"], indirect=True)
def test_protobuf_is_produced_stored_kept_and_decoded_later(shop: Shop, also_loaded: bool) -> None:
    project = shop.project
    orders = [{"id": at, "price": f"{at}.05", "note": f"n{at}"} for at in range(100)]
    (project.directory / "orders.jsonl").write_text("".join(f"{json.dumps(o)}\n" for o in orders))
    sent = project.run("produce", "--input", "orders.jsonl")
    assert b"schema 1 is registered for shop-value" in sent.stderr
    (project.directory / "bad.jsonl").write_text('{"id": "x"}\n{"id": 1}\n{"no": 1}\n')
    refused = project.run("produce", "--input", "bad.jsonl", code=1).stderr
    assert b"schema 1, the newest of shop-value" in refused
    for said in (b'id is "x", not int64', b"no field price", b"the schema has no field no"):
        assert said in refused

    (project.directory / "priced.proto").write_text(
        'syntax = "proto2"; message Priced { required int64 id = 1; required string price = 2; }'
    )
    (project.directory / "priced.jsonl").write_text('{"id": 500, "price": "2.5"}\n')
    shop.registry.ask("PUT", "/config/shop-value", {"compatibility": "NONE"})
    project.run("produce", "--input", "priced.jsonl", "--schema", "priced.proto")
    hostile = [
        b'{"id": 1}', prefix(1) + b"\x00\x08", prefix(1), prefix(1) + b"\x02\x08",
        prefix(2) + b"\x00", prefix(1) + b"\x00\x12\x01\xff", prefix(1) + b"\x00\x0a\x01x",
        prefix(1) + b"\x00" + b"\x1a\xff\xff\xff\xff\x07",
    ]  # fmt: skip
    later = prefix(4) + b"\x04\x00\x00" + SOLD
    unlike = prefix(4) + b"\x02\x02\x0a\x01x"
    for each in (*hostile, later, unlike):
        shop.send_bytes(each)
    shop.flush()
    project.run("consume", "--until-end", *SMALL)
    assert shop.counted() == (101, 10)
    reasons = "SELECT reason, count() AS n FROM dead_letters GROUP BY reason ORDER BY reason"
    assert {each["reason"]: each["n"] for each in project.rows(reasons)} == {
        "schema 4 is not in the registry": 2,
        "the bytes do not match schema 1: a string is not UTF-8": 1,
        "the bytes do not match schema 1: field 1 (id) is of another type": 1,
        "the bytes do not match schema 1: it has no message [4]": 1,
        "the bytes do not match schema 1: the message ends within the wire format's message "
        "indexes": 1,
        "the bytes do not match schema 1: they end too early, or are no Protobuf": 2,
        "the bytes do not match schema 2: it lacks id": 1,
        "the message does not begin with the wire format's magic byte 0": 1,
    }
    kept = project.rows("SELECT base64Encode(value) AS v FROM dead_letters")
    assert {base64.b64encode(each).decode() for each in hostile} <= {each["v"] for each in kept}

    assert shop.registry.register("price", PRICE, "PROTOBUF") == 3
    lines = shop.registry.register("lines", LINES, "PROTOBUF", references=[SEEN])
    assert lines == 4
    done = project.json("dlq", "replay", "--execute")
    assert (done["stored"], sum(done["rejected"].values())) == (1, 9)
    assert done["rejected"]["wrong type"] == 1
    assert shop.counted() == (102, 9)
    assert project.value("SELECT toString(sum(price)) FROM events") == "4959.75"
    if not also_loaded:
        return
    damage.delete(project, "events", "id IN (7, 500, 600)")
    assert project.json("verify", "--repair", "--execute")["repair"]["reloaded"] == 3
    assert shop.verified() == (102, 9, 0, 0)
    seen = project.run("peek", "--where", "id = 600").stdout.decode()
    assert '"price": "2.25"' in seen
    registry = next(c for c in project.json("doctor") if c["check"] == "schema registry")
    assert "schema 2 is the newest of shop-value" in registry["found"]
    project.run("replay", "load", "--execute")
    assert shop.verified() == (102, 9, 0, 0)
    assert project.value("SELECT toString(sum(price)) FROM events") == "4959.75"


CHANGING = """
[pipelines.bids]
topic = "bids"
table = "bids"
partitions = 1
format = "avro"
order_by = ["id"]

[pipelines.bids.fields]
id = "Int64"
price = "Float64"
note = { type = "String", default = "none" }

[pipelines.lots]
topic = "lots"
table = "lots"
partitions = 1
format = "protobuf"
reader_schema = "lot.proto"
order_by = ["id"]

[pipelines.lots.fields]
id = "Int64"
price = "Float64"
note = { type = "String", default = "none" }

[schema_registry]
REGISTRY
"""
LOT = 'syntax = "proto3"; message Lot { int64 id = 1; double price = 2; optional string note = 4; }'
BIDS: list[list[dict[str, Any]]] = [
    [{"name": "id", "type": "int"}, {"name": "price", "type": "float"},
     {"name": "old", "type": "string"}],
    [{"name": "id", "type": "int"}, {"name": "price", "type": "float"},
     {"name": "old", "type": "string"}, {"name": "note", "type": "string", "default": "x"}],
    [{"name": "id", "type": "int"}, {"name": "price", "type": "float"},
     {"name": "note", "type": "string", "default": "x"}],
    [{"name": "id", "type": "int"}, {"name": "cost", "type": "float", "aliases": ["price"]},
     {"name": "note", "type": "string", "default": "x"}],
    [{"name": "id", "type": "long"}, {"name": "cost", "type": "double", "aliases": ["price"]},
     {"name": "note", "type": "string", "default": "x"}],
]  # fmt: skip
LOTS = [
    "int32 id = 1; double price = 2; string old = 3;",
    "int32 id = 1; double price = 2; string old = 3; optional string note = 4;",
    "int32 id = 1; double price = 2; optional string note = 4;",
    "int32 id = 1; double cost = 2; optional string note = 4;",
    "int64 id = 1; double cost = 2; optional string note = 4;",
]
"""The first has a field that goes; one comes with a default, the first goes, one has another name,
one is widened."""


PLAIN_LINES = r"""
[pipeline]
topic = "lines"
table = "lines"
format = "text"
[pipeline.fields]
line = "String"
key = { type = "Nullable(String)", from = "key" }
[pipeline.columns]
app = "splitByChar('\t', line)[1]"
cents = "toUInt32OrNull(splitByChar('\t', line)[2])"
[pipeline.rejects]
"no amount" = "cents IS NULL"
"""


def test_messages_of_any_text(stack: Project) -> None:
    stack.use_pipelines(PLAIN_LINES)
    stack.run("up")
    (stack.directory / "a.txt").write_text('web\t7\n{"x": 1}\n"mob"\t8\n')
    tried = stack.json("try", "a.txt", "--format", "text", code=5)
    assert (tried["stored"], tried["dead_letters"]) == (2, 1)
    again = stack.json("try", "a.txt", "--format", "jsonl", code=5)
    assert (again["stored"], again["dead_letters"]) == (2, 1)
    stack.run("produce", "--input", "a.txt", "--format", "text")
    bad = b'{"nrtctl_message":1,"key":"k","headers":[],"value":{"base64":"/w=="}}\n'
    stack.run("produce", "--input", "-", stdin=bad + bad.replace(b'{"base64":"/w=="}', b'"k\\t9"'))
    stack.run("consume", "--until-end")
    found = stack.rows("SELECT app, cents, key FROM lines ORDER BY cents")
    assert [tuple(each.values()) for each in found] == [
        ("web", 7, None), ('"mob"', 8, None), ("k", 9, "k"),
    ]  # fmt: skip
    reasons = stack.rows("SELECT reason FROM dead_letters ORDER BY reason")
    assert [each["reason"] for each in reasons] == ["no amount", "the text is not UTF-8"]
    checked = stack.json("verify")
    assert (checked["stored"], checked["dead_letters"], checked["missing"]) == (3, 2, 0)
    made = stack.json("init", "--topic", "lines", str(stack.directory / "drafted"))
    assert (made["messages"], made["stored"], made["rejected"]) == (5, 4, {"invalid UTF-8": 1})


def test_fields_come_go_and_change_under_a_running_consumer(
    stack: Project, schema_registry: SchemaRegistry, tmp_path: Path
) -> None:
    stack.use_pipelines(CHANGING.replace("REGISTRY", schema_registry.settings))
    (stack.directory / "lot.proto").write_text(LOT)
    for subject in ("bids-value", "lots-value"):
        schema_registry.ask("PUT", f"/config/{subject}", {"compatibility": "NONE"})
    stack.run("up")
    broker = Endpoint.read(stack.directory / ".nrtctl" / "kafka")
    assert broker is not None
    producer = Producer({"bootstrap.servers": f"{broker.host}:{broker.port}"})
    with stack.consuming(tmp_path / "consume.log") as consumer:
        for step, (fields, text) in enumerate(zip(BIDS, LOTS, strict=True)):
            avro = {"type": "record", "name": "Bid", "fields": fields}
            proto = f'syntax = "proto3"; message Lot {{ {text} }}'
            bid = prefix(schema_registry.register("bids-value", avro))
            lot = prefix(schema_registry.register("lots-value", proto, "PROTOBUF")) + b"\x00"
            message = Schema(proto, lambda _: None).message(None)
            kind, names = GetMessageClass(message), {each.name for each in message.fields}
            parsed = parse_schema(avro)
            for at in range(step * 20, step * 20 + 20):
                value = {"id": at, "price": at / 2, "cost": at / 2, "old": "o", "note": f"n{at}"}
                out = io.BytesIO()
                schemaless_writer(out, parsed, value)
                producer.produce("bids", bid + out.getvalue())
                own = {name: value[name] for name in value if name in names}
                producer.produce("lots", lot + kind(**own).SerializeToString())
            assert producer.flush(30) == 0
            both = "SELECT least((SELECT count() FROM bids), (SELECT count() FROM lots))"
            wanted = step * 20 + 20
            eventually(lambda: stack.value(both) == wanted, f"{wanted} rows in both")  # noqa: B023
        assert consumer.poll() is None
    found = "toString(tuple(sum(id), sum(price), countIf(note = 'none'), uniqExact(note)))"
    for table in ("bids", "lots"):
        assert stack.value(f"SELECT {found} FROM {table}") == "(4950,2475,20,81)"


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("shop", ["embedded"], indirect=True)
def test_the_registry_is_away_for_a_minute_under_load(shop: Shop, tmp_path: Path) -> None:
    project, log = shop.project, tmp_path / "consume.log"
    first, sent = shop.registry.register("shop-value", FIRST), 100
    shop.send(FIRST, first, range(sent))

    def stored(count: int) -> None:
        counted = "SELECT count() FROM events"
        eventually(lambda: project.value(counted) == count, f"{count} rows", within=300)

    with project.consuming(log, *SMALL) as consumer:
        stored(sent)
        second = shop.registry.register("shop-value", SECOND)
        shop.registry.kill()
        back_at = time.monotonic() + 60
        while time.monotonic() < back_at:
            shop.send(FIRST, first, range(sent, sent + 300))
            shop.send(SECOND, second, range(sent + 300, sent + 500))
            sent += 500
            time.sleep(0.25)
        assert consumer.poll() is None
        shop.registry.start()
        for _ in range(20):
            shop.send(SECOND, second, range(sent, sent + 500))
            sent += 500
        stored(sent)
        consumer.terminate()
        consumer.wait(60)
    assert shop.verified() == (sent, 0, 0, 0)
    sums = f"(sum(id), uniqExact(id)) = ({sent * (sent - 1) // 2}, {sent})"
    assert project.value(f"SELECT {sums} FROM events") == 1
    assert "does not answer" in log.read_text()


def test_json_schema_and_every_fault_of_it(stack: Project, schema_registry: SchemaRegistry) -> None:
    stack.environ |= {
        "NRTCTL_PIPELINE__FORMAT": "json schema",
        "NRTCTL_SCHEMA_REGISTRY__URL": schema_registry.url,
        "NRTCTL_SCHEMA_REGISTRY__USERNAME": "nrtctl",
        "NRTCTL_SCHEMA_REGISTRY__PASSWORD": schema_registry.password,
    }
    stack.run("up")
    faults = ("--invalid", "20", "--duplicate", "5", "--ledger", "l.jsonl")
    stack.run("produce", "--count", "600", "--seed", "5", *faults)
    stack.run("consume", "--until-end")
    found = stack.json("verify", "--ledger", "l.jsonl")
    assert (found["missing"], found["duplicated"]) == (0, 0)
    assert found["stored"] + found["dead_letters"] == 600
    assert stack.value("SELECT uniqExact(reason) FROM dead_letters") >= 8


@pytest.mark.long
@pytest.mark.parametrize("shop", ["apache", "apache protobuf", "apache json schema"], indirect=True)
def test_each_format_by_apache_kafka(shop: Shop) -> None:
    project = shop.project
    orders = [{"id": at, "price": f"{at}.05", "note": f"n{at}"} for at in range(300)]
    (project.directory / "orders.jsonl").write_text("".join(f"{json.dumps(o)}\n" for o in orders))
    project.run("produce", "--input", "orders.jsonl")
    shop.send_bytes(b"{}")
    shop.flush()
    project.run("consume", "--until-end", *SMALL)
    assert shop.verified() == (300, 1, 0, 0)
    found = project.value("SELECT (count(), uniqExact(note), toString(sum(price))) FROM events")
    assert found == [300, 300, "44865"]
