"""A pipeline whose fields stand deep in the message, in the key and in headers, by the command."""

from __future__ import annotations

import json

from tests.plugins.stack import Project

PIPELINE = """
[pipeline]
topic = "changes"
partitions = 1
table = "changes"
key = "id"
order_by = ["at"]

[pipeline.fields]
at = { type = "DateTime64(3, 'UTC')", from = "@timestamp", epoch = "ms" }
id = { type = "UInt64", from = ["payload", "id"] }
name = { type = "String", from = ["payload", "name"], default = "nobody" }
key = { type = "Nullable(String)", from = "key" }
kind = { type = "Nullable(String)", from = { header = "kind" } }
"""
MESSAGES = """\
{"@timestamp":1714979289123,"payload":{"id":1,"name":"Ann"}}
{"@timestamp":"1714979289124","payload":{"id":2}}
{"@timestamp":1714979289125,"payload":{"id":-3}}
{"@timestamp":1714979289126,"payload":[4]}
"""
RECORD = {
    "nrtctl_message": 1, "topic": "t", "partition": 0, "offset": 0, "timestamp": 1,
    "key": "k", "headers": [["kind", "made"]],
    "value": '{"@timestamp":1714979289127,"payload":{"id":5}}',
}  # fmt: skip


def with_pipeline(stack: Project, text: str) -> None:
    path = stack.directory / "nrtctl.toml"
    before = path.read_text().partition("\n[pipeline]")[0]
    path.write_text(f"{before}\n{text}")


def test_from_the_file_to_the_rows_and_back(stack: Project) -> None:
    with_pipeline(stack, PIPELINE)
    stack.run("up")
    (stack.directory / "m.jsonl").write_text(MESSAGES)
    (stack.directory / "r.jsonl").write_text(json.dumps(RECORD, separators=(",", ":")) + "\n")
    stack.run("produce", "--input", "m.jsonl")
    stack.run("produce", "--input", "r.jsonl")
    stack.run("consume", "--until-end")
    rows = "SELECT toString(at) AS at, id, name, key, kind FROM changes ORDER BY id"
    assert stack.rows(rows) == [
        {"at": "2024-05-06 07:08:09.123", "id": 1, "name": "Ann", "key": "1", "kind": None},
        {"at": "2024-05-06 07:08:09.124", "id": 2, "name": "nobody", "key": "2", "kind": None},
        {"at": "2024-05-06 07:08:09.127", "id": 5, "name": "nobody", "key": "k", "kind": "made"},
    ]
    letters = [json.loads(x) for x in stack.run("dlq", "list", "-o", "jsonl").stdout.splitlines()]
    assert [(x["reason"], x["field"]) for x in letters] == [("wrong type", "id")] * 2
    found = stack.json("verify")
    assert (found["stored"], found["dead_letters"], found["missing"]) == (3, 2, 0)

    stack.run("dlq", "replay", "--fix", "replaceAll(value, ':-3', ':3')", "--execute")
    assert stack.value("SELECT name FROM changes WHERE id = 3") == "nobody"
    assert stack.json("verify")["duplicated"] == 0
    again = stack.run("up").stdout.decode() + stack.run("doctor").stdout.decode()
    assert "made" not in again


def test_bad_messages_are_made_for_any_place(stack: Project) -> None:
    with_pipeline(stack, PIPELINE)
    stack.run("up")
    line = '{"@timestamp":1714979289123,"payload":{"id":1,"name":"Ann"}}\n'
    (stack.directory / "m.jsonl").write_text(line * 200)
    stack.run("produce", "--input", "m.jsonl", "--invalid", "30", "--seed", "1", "--ledger", "l")
    stack.run("consume", "--until-end")
    found = stack.json("verify", "--ledger", "l")
    assert found["dead_letters"] > 20
    assert found["ok"]


def test_what_means_nothing_is_refused_before_anything_is_made(stack: Project) -> None:
    bad = PIPELINE.replace('default = "nobody"', "default = 5").replace("changes", "refused")
    with_pipeline(stack, bad)
    said = stack.run("up", code=2).stderr.decode()
    assert 'pipeline.fields.name: default: 5 is not a text; write it in quotes: "5"' in said
    with_pipeline(stack, bad.replace("default = 5", 'default = "x"').replace("epoch", "default"))
    said = stack.run("up", code=2).stderr.decode()
    assert 'pipeline.fields.at: default: "ms" is not a DateTime64' in said
    tables = "SELECT count() AS n FROM system.tables WHERE name LIKE 'refused%'"
    assert stack.rows(tables) == [{"n": 0}]
