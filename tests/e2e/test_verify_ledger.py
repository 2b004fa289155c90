"""`nrtctl verify --ledger`: every message that a producer recorded, against what became of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.plugins import damage
from tests.plugins.stack import Project

Line = dict[str, Any]


@pytest.fixture
def ledger(stack: Project) -> Path:
    """The ledger of 600 messages, all stored."""
    path = stack.directory / "sent.ledger"
    stack.run(
        "produce", "--count", "600", "--seed", "5", "--invalid", "5", "--duplicate", "3",
        "--ledger", str(path),
    )  # fmt: skip
    stack.run("consume", "--until-end")
    return path


def rewrite(path: Path, change: Callable[[list[Line]], None]) -> None:
    header, *lines = path.read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    change(entries)
    path.write_text("\n".join([header, *map(json.dumps, entries)]) + "\n")


def differences(stack: Project, *paths: Path, code: int) -> dict[str, int]:
    options = [word for path in paths for word in ("--ledger", str(path))]
    report = stack.json("verify", *options, code=code)["ledger"]
    assert report["ok"] is (code == 0)
    kinds = ("lost", "changed", "other_fate", "other_reason", "repeated", "foreign")
    return {kind: report[kind] for kind in kinds if report[kind]}


def middle(entries: list[Line], wanted: Callable[[Line], bool]) -> Line:
    """A wanted entry that is neither the first nor the last of its partition."""
    found = [each for each in entries if wanted(each)]
    return found[len(found) // 2]


def plain(entries: list[Line]) -> list[Line]:
    """Good events that were sent once."""
    repeated = {each["id"] for each in entries if each["kind"] == "duplicate"}
    return [each for each in entries if each["kind"] is None and each["id"] not in repeated]


def it_agrees(stack: Project, ledger: Path) -> None:
    report = stack.json("verify", "--ledger", str(ledger))["ledger"]
    assert report["entries"] == report["right"] == 600
    assert report["unidentified"] == 0
    found = stack.rows("SELECT reason, count() AS n FROM dead_letters GROUP BY reason")
    assert report["reasons"] == {row["reason"]: [row["n"], row["n"]] for row in found}
    assert b"600" in stack.run("verify", "--ledger", str(ledger)).stdout


def test_what_is_not_consumed_yet_waits(stack: Project, ledger: Path) -> None:
    second = stack.directory / "second.ledger"
    stack.run("produce", "--count", "100", "--seed", "6", "--ledger", str(second))
    report = stack.json("verify", "--ledger", str(ledger), "--ledger", str(second))["ledger"]
    assert (report["entries"], report["right"], report["waiting"]) == (700, 600, 100)


def test_lost_and_changed_rows(stack: Project, ledger: Path) -> None:
    three = stack.rows("SELECT _offset FROM events WHERE _partition = 1 ORDER BY 1 LIMIT 3")
    listed = ", ".join(str(row["_offset"]) for row in three)
    damage.delete(stack, "events", f"_partition = 1 AND _offset IN ({listed})")
    one = stack.value("SELECT min(_offset) FROM events WHERE _partition = 2")
    stack.write(
        "ALTER TABLE events UPDATE event_id = generateUUIDv4() "
        f"WHERE _partition = 2 AND _offset = {one} SETTINGS mutations_sync = 2"
    )
    done = stack.run("verify", "--ledger", str(ledger), code=5)
    assert b"the ledger differs: 3 lost, 1 changed" in done.stderr
    stack.run("verify", "--repair", "--execute", "--ledger", str(ledger), code=5)
    assert differences(stack, ledger, code=5) == {"changed": 1}


def another_fate_and_another_reason(stack: Project, ledger: Path) -> None:
    def change(entries: list[Line]) -> None:
        middle(entries, lambda each: each["expect"] == "stored")["expect"] = "dead_letter"
        middle(entries, lambda each: each["kind"] == "not_json")["kind"] = "wrong_type"

    rewrite(ledger, change)
    assert differences(stack, ledger, code=5) == {"other_fate": 1, "other_reason": 1}


def rows_that_it_does_not_know(stack: Project, ledger: Path) -> None:
    def change(entries: list[Line]) -> None:
        originals = {each["id"] for each in entries if each["kind"] is None}
        entries.remove(middle(entries, lambda each: each["kind"] == "duplicate"
                              and each["id"] in originals))  # fmt: skip
        known = plain(entries)
        entries.remove(known[len(known) // 2])
        given_up = known[len(known) // 2 + 1]
        del given_up["partition"], given_up["offset"]
        given_up["failed"] = "_MSG_TIMED_OUT"

    rewrite(ledger, change)
    assert differences(stack, ledger, code=5) == {"repeated": 1, "foreign": 1}
    report = stack.json("verify", "--ledger", str(ledger), code=5)["ledger"]
    assert (report["failed"], report["landed_anyway"], report["right"]) == (1, 1, 597)


def another_producer_is_foreign_unless_its_ledger_is_given_too(
    stack: Project, ledger: Path
) -> None:
    def keep(parity: int, entries: list[Line]) -> None:
        entries[:] = [each for each in entries if each["offset"] % 2 == parity]

    parts = [stack.directory / "odd.ledger", stack.directory / "even.ledger"]
    for index, part in enumerate(parts):
        part.write_text(ledger.read_text())
        rewrite(part, partial(keep, index))
    assert differences(stack, parts[0], code=5)["foreign"] > 100
    assert differences(stack, *parts, code=0) == {}


def a_torn_one_makes_no_row_foreign(stack: Project, ledger: Path) -> None:
    def change(entries: list[Line]) -> None:
        for entry in plain(entries)[200:210]:
            entries.remove(entry)

    rewrite(ledger, change)
    assert differences(stack, ledger, code=5) == {"foreign": 10}
    with ledger.open("a") as file:
        file.write('{"partition": 0, "off')
    report = stack.json("verify", "--ledger", str(ledger))["ledger"]
    assert (report["torn"], report["foreign"], report["ok"]) == (True, 10, True)


def some_are_none(stack: Project, ledger: Path) -> None:
    none = stack.directory / "nrtctl.toml"
    assert b"not a ledger" in stack.run("verify", "--ledger", str(none), code=2).stderr
    assert b"no such" in stack.run("verify", "--ledger", "nowhere", code=2).stderr.lower()
    ledger.write_text(ledger.read_text().replace('"topic": "user_events"', '"topic": "other"', 1))
    done = stack.run("verify", "--ledger", str(ledger), code=2)
    assert b"belongs to topic 'other'" in done.stderr
    assert done.stdout == b""


def test_other_ledgers_of_the_same_rows(stack: Project, ledger: Path) -> None:
    """Nothing here changes a row."""
    text = ledger.read_text()
    for look in (
        it_agrees, another_fate_and_another_reason, rows_that_it_does_not_know,
        another_producer_is_foreign_unless_its_ledger_is_given_too,
        a_torn_one_makes_no_row_foreign, some_are_none,
    ):  # fmt: skip
        ledger.write_text(text)
        look(stack, ledger)
