"""A pipeline of Avro on the laptop: `nrtctl up` brings the schema registry."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from nrtctl.local.process import Endpoint
from tests.plugins.stack import Project
from tests.plugins.waiting import eventually

FIELDS = """
[pipeline]
topic = "shop"
table = "shop"
FORMAT
[pipeline.fields]
id = "Int64"
price = "Decimal(9, 2)"
"""


def parts(project: Project, code: int | None = 0) -> dict[str, str]:
    return {each["part"]: each["state"] for each in project.json("status", code=code)}


def stored(project: Project) -> tuple[int, int, int, int]:
    found: Any = project.json("verify")
    return found["stored"], found["dead_letters"], found["missing"], found["duplicated"]


@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.long)])
def test_avro_without_an_address(project: Project, whole: bool) -> None:
    project.use_pipelines(FIELDS.replace("FORMAT", 'format = "avro"'))
    file, state = project.directory / "nrtctl.toml", project.directory / ".nrtctl"
    if whole:
        text = file.read_text()
        file.write_text(text.replace('format = "avro"', 'order_by = ["id"]'))
        assert b"registry" not in project.run("up").stdout
        assert not (state / "registry").exists()  # a pipeline of JSON pays nothing
        assert set(parts(project)) == {"kafka", "clickhouse"}
        project.run("down", "--volumes", "--yes")
        file.write_text(text)
    assert b"\nregistry    127.0.0.1:" in project.run("up").stdout
    orders = project.directory / "orders.jsonl"
    orders.write_text("".join(f'{{"id": {at}, "price": "{at}.50"}}\n' for at in range(50)))
    sent = project.run("produce", "--input", "orders.jsonl").stderr
    assert b"schema 1 is registered for shop-value" in sent
    project.run("consume", "--until-end")
    if whole:
        assert stored(project) == (50, 0, 0, 0)
    assert project.value("SELECT toString(sum(price)) FROM shop") == "1250"
    connect = project.json("status", "--connect")["registry"]
    before = Endpoint.read(state / "registry")
    assert before is not None
    assert connect["schema.registry.url"] == f"http://127.0.0.1:{before.port}"
    if whole:
        found = {each["check"]: each for each in project.json("doctor")}
        assert "schema 1 is the newest of shop-value" in found["schema registry"]["found"]

    os.kill(before.pid, signal.SIGKILL)
    eventually(lambda: parts(project, None).get("registry") == "stopped", "that it is gone")
    parts(project, 3)
    if whole:
        seen = project.run("stats", "--once", "--interval", "100ms", "-o", "json")
        assert b"the local schema registry is not running" in seen.stderr
        assert [each["source"] for each in json.loads(seen.stdout)["errors"]] == ["registry"]
    refused = project.run("consume", "--until-end", code=3).stderr
    assert b"the local schema registry is not running" in refused
    assert b"`nrtctl up` starts it" in refused
    project.run("up")
    after = Endpoint.read(state / "registry")
    assert after is not None
    assert after.instance_id == before.instance_id
    again = project.run("produce", "--input", "orders.jsonl").stderr
    assert b"schema 1, the newest of shop-value" in again
    if whole:
        strategy = ("--set", "schema_registry.subject_name_strategy=topic and record")
        other = project.run("produce", "--input", "orders.jsonl", *strategy).stderr
        assert b"schema 1 is registered for shop-shop" in other
    stopped = project.json("down", "--volumes", "--yes")["stopped"]
    assert stopped["registry"] == after.pid
    assert not state.exists()


def test_protobuf_and_a_torn_journal_that_is_named_until_its_file_is_removed(
    stack: Project,
) -> None:
    stack.use_pipelines(FIELDS.replace("FORMAT", 'format = "protobuf"'))
    stack.run("up")
    (stack.directory / "orders.jsonl").write_text('{"id": 1, "price": "2.50"}\n')
    stack.run("produce", "--input", "orders.jsonl")
    stack.run("consume", "--until-end")
    assert stored(stack) == (1, 0, 0, 0)
    directory = stack.directory / ".nrtctl" / "registry"
    torn = Path(directory / "torn-1.bin")
    torn.write_bytes(b"0000")
    assert b"lines of its journal could not be read" in stack.run("up").stderr
    torn.unlink()
    assert b"its journal" not in stack.run("up").stderr
