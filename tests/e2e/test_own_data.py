"""From somebody's messages to rows: `init --from`, and every message is stored without an edit."""

from __future__ import annotations

import gzip
import json
import tomllib
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import pyarrow
import pyarrow.parquet
import pytest

from nrtctl import Client, load_config
from tests.plugins.stack import Project


def lines(*messages: Any) -> bytes:
    return b"".join(json.dumps(each, ensure_ascii=False).encode() + b"\n" for each in messages)


def parquet(rows: list[dict[str, Any]]) -> bytes:
    made = BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), made)
    return made.getvalue()


def avro(*rows: dict[str, Any]) -> bytes:
    kinds: list[tuple[str, Any]] = [
        ("id", "long"),
        ("price", {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}),
        ("at", {"type": "long", "logicalType": "timestamp-micros"}),
        ("counts", {"type": "map", "values": "int"}),
        ("note", ["null", "string"]),
    ]
    fields = [{"name": name, "type": kind} for name, kind in kinds]
    made = BytesIO()
    fastavro.writer(made, {"type": "record", "name": "Order", "fields": fields}, rows, "deflate")
    return made.getvalue()


UUID = "0b7f1c2e-4d5a-4f60-9a71-33c4d5e6f7a8"
CHANGE = {"id": 7, "name": "Ann", "sum": "AQ==", "day": 19800, "at": 1710000000123456, "on": True}
SOURCE = {"db": "shop", "ts_ms": 1710000000001, "snapshot": "false", "lsn": 33445566}
MADE = "2024-03-09T16:00:0"
NOON = datetime(2024, 3, 9, 12, 0, 0, 7, UTC)
SAMPLES: dict[str, tuple[bytes, int]] = {
    "changes.jsonl": (
        lines(
            {"before": None, "after": CHANGE, "source": SOURCE, "op": "c", "tx": None},
            {"before": CHANGE, "after": {**CHANGE, "name": "B"}, "source": SOURCE, "op": "u"},
            {"before": CHANGE, "after": None, "source": SOURCE, "op": "d", "tx": None},
        ),
        3,
    ),
    "activity.json.gz": (
        gzip.compress(
            lines(
                {
                    "id": "5001", "type": "Push", "actor": {"id": 1, "login": "x"},
                    "payload": {"n": 2**53 + 1, "commits": [{"sha": "ab", "new": True}]},
                    "created_at": f"{MADE}1Z",
                },
                {
                    "id": "5002", "type": "Watch", "actor": {"id": 2, "login": "y"},
                    "payload": {"action": "started"}, "org": {"id": 3}, "created_at": f"{MADE}2Z",
                },
            )
        ),
        2,
    ),
    "mixed.jsonl": (
        lines(
            {"user": 42, "flag": True, "n": 1, "p": [], "when": f"{MADE}1Z", "id": UUID},
            {"user": "x", "flag": 0, "n": 2.5, "p": {"a": 1}, "when": "soon", "id": UUID},
            {"user": None, "flag": "yes", "n": "NaN", "q": [1, "a", [2]], "id": ""},
        ),
        3,
    ),
    "strange-keys.jsonl": (
        lines(
            {
                "@timestamp": f"{MADE}1.5+01:00", "a.b": 1, "straße": 2, "2x": 3, "_id": "k",
                "名": "n", "it's": "`q`", "a\\b": 1, "": 5, "order": 1, "key": "k",
                "labels": {"app/name": "web", "tier": "a"}, "null": None,
            }
        ),
        1,
    ),
    "readings.csv": (
        b"Device ID,read at,value,count,note\n"
        b"7,2024-03-09 16:00:00,1.50,3,\"a, \"\"b\"\"\"\n"
        b"8,2024-03-09 16:00:01,,4.0,\n",
        2,
    ),
    "export.csv": (
        b"Order ID;Datum;Betrag\n1;31.12.2023;1.234,56\n2;01.01.2024;0,99\n",
        2,
    ),
    "typed.parquet": (
        parquet(
            [
                {"id": 1, "on": True, "tags": ["a"], "in": {"x": 0.5}, "at": datetime(2024, 3, 9)},
                {"id": 2, "on": None, "tags": [], "in": None, "at": None},
            ]
        ),
        2,
    ),
    "orders.avro": (
        avro(
            {"id": 1, "price": Decimal("1.50"), "at": NOON, "counts": {"a": 1}, "note": None},
            {"id": -2, "price": Decimal(2), "at": NOON, "counts": {}, "note": "n"},
        ),
        2,
    ),
    "array.json": (json.dumps([{"id": 1, "at": f"{MADE}1Z"}, {"id": 2}], indent=1).encode(), 2),
    "kept.jsonl": (
        lines(
            {
                "nrtctl_message": 1, "topic": "t", "partition": 0, "offset": 0,
                "timestamp": 1710000000000, "key": "k1", "headers": [["kind", "made"]],
                "value": json.dumps({"key": 1, "n": 2}),
            },
            {
                "nrtctl_message": 1, "topic": "t", "partition": 0, "offset": 1,
                "timestamp": 1710000000001, "key": None, "headers": [],
                "value": json.dumps({"key": 2, "n": 3}),
            },
        ),
        2,
    ),
    "epochs.jsonl": (
        lines(
            {"created": 1710000000, "sent_ms": 1710000000123, "t": 1710000000.25, "ip": "::1"},
            {"created": 1710000001, "sent_ms": 1710000000124, "t": 1710000001, "ip": "192.0.2.1"},
        ),
        2,
    ),
}  # fmt: skip


def client_of(directory: Path, stack: Project, *overrides: str) -> Client:
    """Of the drafted pipeline, on the stack that runs."""
    settings = tomllib.loads((stack.directory / "nrtctl.toml").read_text())
    loaded = load_config(
        file=directory / "nrtctl.toml",
        overrides=[
            f"kafka.bootstrap_servers={settings['kafka']['bootstrap_servers']}",
            f"clickhouse.url={settings['clickhouse']['url']}",
            f"local.state_dir={stack.directory / '.nrtctl'}",
            f"clickhouse.database={directory.name}",
            f"pipeline.topic={directory.name}",
            "pipeline.partitions=1",
            *overrides,
        ],
        environ={"HOME": str(stack.directory)},
    )
    return Client(loaded)


DRAFTED: dict[str, tuple[str, dict[str, Any]]] = {
    "epochs.jsonl": ("created", {"type": "DateTime('UTC')", "epoch": "s"}),
    "kept.jsonl": ("kind", {"from": {"header": "kind"}}),
    "export.csv": ("Datum", {"type": "Date32", "format": "%d.%m.%Y"}),
    "changes.jsonl": ("after_at", {"epoch": "us"}),
}
"""What is drafted for one field of some of them, among other things."""
SHORT = {"changes.jsonl", "export.csv", "orders.avro"}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in SHORT else pytest.mark.long) for n in SAMPLES]
)
def test_every_message_of_a_sample_is_stored_without_an_edit(stack: Project, name: str) -> None:
    data, count = SAMPLES[name]
    file = stack.directory / name
    file.write_bytes(data)
    made = stack.json("init", "--from", name, str(stack.directory / "drafted"))
    assert (made["messages"], made["stored"], made["rejected"]) == (count, count, {})
    client = client_of(stack.directory / "drafted", stack)
    client.up()
    assert client.produce(file).acknowledged == count
    client.consume(until_end=True)
    report = client.verify()
    assert (report.stored, report.dead_letters) == (count, 0)
    tree = tomllib.loads((stack.directory / "drafted/nrtctl.toml").read_text())
    if name in DRAFTED:
        field, facts = DRAFTED[name]
        assert facts.items() <= tree["pipeline"]["fields"][field].items()


def test_nothing_is_lost_in_a_pipeline_from_a_topic(stack: Project) -> None:
    data, count = SAMPLES["changes.jsonl"]
    (stack.directory / "c.jsonl").write_bytes(data)
    stack.run("produce", "--input", "c.jsonl", "--topic", "user_events")
    made = stack.json("init", "--topic", "user_events", str(stack.directory / "drafted"))
    assert (made["topic"], made["messages"], made["stored"]) == ("user_events", count, count)
    other = str(stack.directory / "other")
    empty = stack.run("init", "--topic", "nowhere", other, code=None)
    assert empty.returncode
    assert not (stack.directory / "other").exists()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Without a stack."""
    return Project(tmp_path)


def pipeline(project: Project, fields: dict[str, str], more: Sequence[str] = ()) -> None:
    text = ["[pipeline]", 'topic = "t"', 'table = "t"', "[pipeline.fields]"]
    text += [f"{name} = {json.dumps(kind)}" for name, kind in fields.items()]
    (project.directory / "nrtctl.toml").write_text("\n".join([*text, *more]) + "\n")


def test_a_trial_names_every_fault_and_the_cure(project: Project) -> None:
    pipeline(
        project,
        {"id": "UInt32", "name": "String", "note": "String", "unused": "Nullable(String)"},
        ["[pipeline.columns]", "safe = \"throwIf(name = 'bad') + id\"",
         "[pipeline.rejects]", '"too large" = "id > 100"'],
    )  # fmt: skip
    messages = [
        {"id": 1, "name": "a", "note": "x"},
        {"id": -1, "name": 5, "more": {"deep": 1}},
        {"id": 2, "name": "b", "note": None},
        {"id": 200, "name": "c", "note": "x"},
        {"id": 3, "name": "bad", "note": "x"},
    ]
    (project.directory / "m.jsonl").write_bytes(lines(*messages) + b"{\n")
    found = project.json("try", "m.jsonl", code=5)
    assert (found["messages"], found["stored"], found["dead_letters"]) == (6, 1, 5)
    assert found["reasons"] == {
        "wrong type": 1, "field is null": 1, "too large": 1, "insert failed": 1, "not JSON": 1,
    }  # fmt: skip
    by_name = {each["name"]: each for each in found["fields"]}
    note = by_name["note"]
    assert (note["seen"], note["missing"], note["null"], note["wrong"]) == (3, 1, 1, 2)
    assert note["cure"] == 'note = "Nullable(String)"'
    assert by_name["id"]["cure"] == 'id = "Int64"'
    assert (by_name["id"]["first"], by_name["id"]["first_at"]) == ("-1", "m.jsonl, line 2")
    assert [each["field"] for each in found["examples"][0]["faults"]] == ["id", "name", "note"]
    assert "throwIf" in found["examples"][3]["error"]
    assert (found["never_seen"], found["not_taken"]) == (["unused"], {"more.deep": 1})
    table = project.run("try", "m.jsonl", code=5).stdout.decode()
    assert "m.jsonl, line 2: wrong type: id is -1, not UInt32; name is 5, not String" in table


def test_a_good_file_is_tried_with_exit_code_0(project: Project) -> None:
    pipeline(project, {"id": "UInt32"})
    done = project.run("try", "-", stdin=b'{"id":1}\n')
    assert done.stdout.startswith(b"1 message: 1 would be stored\n")


def test_a_configuration_that_is_there_is_kept(project: Project) -> None:
    pipeline(project, {"id": "UInt32"})
    before = (project.directory / "nrtctl.toml").read_text()
    (project.directory / "m.jsonl").write_bytes(b'{"id":1}\n')
    project.run("init", "--from", "m.jsonl", code=2)
    assert (project.directory / "nrtctl.toml").read_text() == before
    project.run("init", "--from", "m.jsonl", "--topic", "orders", "--force")
    tree = tomllib.loads((project.directory / "nrtctl.toml").read_text())["pipeline"]
    assert tree == {
        "topic": "orders",
        "table": "orders",
        "order_by": ["id"],
        "fields": {"id": "UInt64"},
    }


def test_a_file_without_messages_writes_nothing(project: Project) -> None:
    (project.directory / "m.jsonl").write_bytes(b"[1]\n")
    project.run("init", "--from", "m.jsonl", "x", code=2)
    project.run("init", "--from", "nowhere.jsonl", "x", code=2)
    assert not (project.directory / "x").exists()
