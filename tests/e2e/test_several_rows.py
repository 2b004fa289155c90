"""Messages of several rows all the way: sent, stored, killed, torn, mended, made again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.plugins import damage
from tests.plugins.stack import Project

PIPELINE = """
[pipeline]
topic = "readings"
partitions = 2
table = "readings"
partition_by = "n % 3"
rows = {{ from = ["device", "values"], bad = "{bad}" }}

[pipeline.fields]
batch = {{ type = "UInt32", from = ["$", "batch"] }}
device = {{ type = "LowCardinality(String)", from = ["$", "device", "*", "name"] }}
n = "UInt8"

[pipeline.columns]
twice = "if(n = 77, throwIf(n = 77, 'seventy-seven'), n * 2)"
"""
MESSAGES = 60
"""One of them has a bad row, one throws, and one has no rows."""


def message(number: int) -> str:
    values: list[dict[str, Any]] = [{"n": (number + at) % 70} for at in range(1 + number % 5)]
    match number:
        case 3:
            values.append({"n": -1})
        case 7:
            values.append({"n": 77})
        case 11:
            values = []
    device = {"name": f"d{number % 3}", "values": values}
    return json.dumps({"batch": number, "device": device if number % 2 else [device]})


ROWS = {
    "reject": sum(1 + n % 5 for n in range(MESSAGES) if n not in {3, 7, 11}),
    "leave out": sum(1 + n % 5 for n in range(MESSAGES) if n not in {7, 11}),
}
STORED = {"reject": MESSAGES - 3, "leave out": MESSAGES - 2}
DEAD = 3
"""One of them has good rows beside the bad one where that is left out."""
POINTS = ("dead-letter-answered=1", "insert-sending=1", "insert-answered=1")
TIMES_OUT = ("--set", "consumer.session_timeout=6s")


def sent(stack: Project, tmp_path: Path, bad: str, numbers: range = range(MESSAGES)) -> None:
    config = stack.directory / "nrtctl.toml"
    head = config.read_text().partition("[pipeline]")[0]
    config.write_text(head + PIPELINE.format(bad=bad))
    stack.run("up")
    given = tmp_path / "readings.jsonl"
    given.write_text("".join(message(number) + "\n" for number in numbers))
    stack.run("produce", "--input", str(given), "--ledger", str(tmp_path / "ledger"))


def _values(given: dict[str, Any]) -> list[Any]:
    device = given["device"]
    values: list[Any] = (device[0] if isinstance(device, list) else device)["values"]
    return values


def content(stack: Project) -> Any:
    columns = "_partition, _offset, _row, _rows, batch, device, n, twice"
    return [
        stack.rows(f"SELECT {columns} FROM readings ORDER BY ALL"),
        stack.rows("SELECT _partition, _offset, _row, _rows, reason, field, value "
                   "FROM dead_letters ORDER BY ALL"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("bad", "points"),
    [
        ("reject", ("insert-answered=2",)),
        pytest.param("reject", POINTS, marks=pytest.mark.long),
        pytest.param("leave out", POINTS, marks=pytest.mark.long),
    ],
)
def test_messages_become_rows_once_whatever_is_killed_and_torn(
    stack: Project, tmp_path: Path, bad: str, points: tuple[str, ...]
) -> None:
    """Where it is killed once, it is not loaded again: the next test does that with a new table."""
    sent(stack, tmp_path, bad)
    small = ("--set", f"batch.max_rows={10 if points == POINTS else 25}", *TIMES_OUT)
    for point in points:
        stack.environ["NRTCTL_FAULT"] = point
        assert stack.run("consume", "--until-end", *small, code=None).returncode == -9, point
    del stack.environ["NRTCTL_FAULT"]
    stack.run("consume", "--until-end", *small)
    report = stack.json("verify", "--ledger", str(tmp_path / "ledger"))
    assert (report["ledger"]["right"], report["ledger"]["ok"]) == (MESSAGES, True)
    counts = [report[name] for name in ("stored", "rows", "dead_letters", "torn", "ok")]
    assert counts == [STORED[bad], ROWS[bad], DEAD, 0, True]
    said = stack.run("verify").stdout.decode()
    assert f"{STORED[bad]} messages stored as {ROWS[bad]} rows" in said
    whole = content(stack)
    assert {each["reason"] for each in whole[1]} == {"wrong type", "insert failed", "no rows"}
    assert {each["field"] for each in whole[1]} >= {"twice", ""}

    damage.delete(stack, "readings", "n % 3 = 1 AND _offset < 20")
    damage.delete(stack, "dead_letters", "1" if points == POINTS else "reason != 'insert failed'")
    damage.double(stack, "readings", "n % 3 = 2 AND _offset > 10")
    found = stack.json("verify", "--ledger", str(tmp_path / "ledger"), code=5)
    assert found["ledger"]["lost"] == found["missing"]
    assert found["torn"] > 10
    assert found["missing"] >= found["torn"]
    assert found["duplicated"] > 10
    assert "stored in part" in " ".join(found["notes"])
    mended = stack.json("verify", "--repair", "--execute")
    counts = [mended[name] for name in ("missing", "duplicated", "torn", "ok")]
    assert counts == [0, 0, 0, True]
    assert content(stack) == whole

    if points != POINTS:
        return
    larger = ("--set", "batch.max_rows=25")
    made = stack.json("replay", "load", "--offset", "start:end", "--execute", *larger)
    assert (made["missing"], made["duplicated"]) == (0, 0)
    assert content(stack) == whole


def test_dead_letters_are_sent_again_and_a_table_is_loaded_beside(
    stack: Project, tmp_path: Path
) -> None:
    sent(stack, tmp_path, "leave out")
    done = stack.json("consume", "--until-end")
    assert (done["records"], done["stored"], done["rows"], done["dead_letters"]) == (
        MESSAGES, STORED["leave out"], ROWS["leave out"], DEAD,
    )  # fmt: skip
    assert {each["field"] for each in done["rejected"]} == {"device.values.n", "twice", ""}
    listed = json.loads(stack.run("dlq", "list", "-o", "json").stdout)
    assert "values[" in json.dumps(listed)

    calmer = ("--set", "pipeline.columns.twice='n * 2'")
    stack.run("up", *calmer)
    replayed = stack.json("dlq", "replay", "--execute", *calmer)
    assert (replayed["letters"], replayed["beside"]) == (DEAD - 1, 1)
    assert replayed["stored"] == 1
    report = stack.json("verify", *calmer)
    assert (report["stored"], report["ok"]) == (STORED["leave out"] + 1, True)

    stack.run("replay", "load", "--into", "readings_2", "--swap", "--execute", *calmer)
    after = stack.json("verify", *calmer)
    assert [after[name] for name in ("stored", "rows", "dead_letters", "ok")] == [
        report[name] for name in ("stored", "rows", "dead_letters", "ok")
    ]  # fmt: skip


@pytest.mark.long
def test_what_is_tried_has_the_rows_of_all_messages(stack: Project, tmp_path: Path) -> None:
    """`tests/contract/schema/test_trying.py` is the short form."""
    sent(stack, tmp_path, "leave out")
    tried = stack.json("try", str(tmp_path / "readings.jsonl"), code=5)
    assert (tried["messages"], tried["rows"]) == (MESSAGES, ROWS["leave out"])
    elements = sum(len(_values(json.loads(message(n)))) for n in range(MESSAGES))
    seen = {each["name"]: (each["seen"], each["missing"]) for each in tried["fields"]}
    assert seen == dict.fromkeys(("batch", "device", "n"), (elements, 0))


def test_rows_are_not_taken_for_messages_once_rows_is_gone(stack: Project, tmp_path: Path) -> None:
    sent(stack, tmp_path, "reject", range(20, 40))  # none throws
    stack.run("consume", "--until-end")
    config = stack.directory / "nrtctl.toml"
    lines = config.read_text().splitlines()
    config.write_text("\n".join(
        line for line in lines if not line.startswith(("rows =", "batch =", "device ="))
    ))  # fmt: skip
    refused = stack.run("up", code=2).stderr.decode()
    assert "pipeline.rows" in refused
    before = stack.value("SELECT count() FROM readings")
    found = stack.run("verify", "--repair", "--execute", code=5).stderr.decode()
    assert "pipeline.rows is not set" in found
    assert stack.value("SELECT count() FROM readings") == before
