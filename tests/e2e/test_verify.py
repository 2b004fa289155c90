"""`nrtctl verify` through the installed command: what it finds, and what is no difference."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nrtctl.store.intents import Intent, OffsetRange, encode_metadata
from tests.plugins import damage
from tests.plugins.stack import Project


@pytest.fixture
def filled(stack: Project) -> Project:
    """1,200 messages stored, one in twenty a dead letter."""
    stack.run("produce", "--count", "1200", "--seed", "5", "--invalid", "5")
    stack.run("consume", "--until-end")
    return stack


def partition(report: dict[str, Any], number: int) -> dict[str, Any]:
    return next(each for each in report["partitions"] if each["partition"] == number)


def totals(report: dict[str, Any]) -> tuple[int, int, int]:
    return report["missing"], report["duplicated"], report["lost"]


def test_losses_and_doubles_of_both_tables_are_counted_and_named(filled: Project) -> None:
    letters = filled.value("SELECT count() FROM dead_letters WHERE _partition = 0")
    first = filled.value("SELECT min(_offset) FROM events WHERE _partition = 3")
    damage.delete(filled, "dead_letters", "_partition = 0")
    damage.double(filled, "dead_letters", "_partition = 1", copies=2)
    damage.double(filled, "events", "_partition = 2 AND _offset < 50")
    damage.dead_letter_too(filled, f"_partition = 3 AND _offset = {first}")
    twice = filled.value("SELECT count() FROM events WHERE _partition = 2 AND _offset < 50") // 2
    thrice = filled.value("SELECT count() FROM dead_letters WHERE _partition = 1") // 3
    done = filled.run("verify", "-o", "json", code=5)
    assert b"verify --repair" in done.stderr
    report = json.loads(done.stdout)
    assert totals(report) == (letters, twice + 2 * thrice + 1, 0)
    assert not report["ok"]
    assert [each["missing"] for each in report["partitions"]] == [letters, 0, 0, 0]
    assert [each["duplicated"] for each in report["partitions"]] == [0, 2 * thrice, twice, 1]
    assert partition(report, 3)["in_both"] == 1
    assert partition(report, 3)["duplicated_ranges"] == [[first, first + 1]]
    missing = partition(report, 0)["missing_ranges"]
    assert sum(end - start for start, end in missing) == letters


def test_rows_that_a_ttl_has_deleted_are_missing_for_a_reason_that_is_said(
    filled: Project,
) -> None:
    damage.delete(filled, "events", "_partition = 0")
    assert not any("TTL" in note for note in filled.json("verify", code=5)["notes"])
    ttl = "toDateTime(_timestamp) - INTERVAL 1 DAY"
    filled.write(f"ALTER TABLE events MODIFY TTL {ttl} SETTINGS mutations_sync = 2")
    filled.write("OPTIMIZE TABLE events FINAL")
    report = filled.json("verify", code=5)
    assert (report["stored"], report["missing"]) == (0, 1200 - report["dead_letters"])
    assert sum("events has a TTL" in note for note in report["notes"]) == 1


def test_thousands_of_gaps_are_counted_beyond_those_listed(stack: Project) -> None:
    stack.run("produce", "--count", "8800", "--seed", "6", "--invalid", "5")
    stack.run("consume", "--until-end")
    even = "SELECT countIf(_partition = {}) FROM events WHERE _offset % 2 = 0"
    most, gone, twice = (stack.value(even.format(at)) for at in range(3))
    damage.delete(stack, "events", "_partition < 2 AND _offset % 2 = 0")
    damage.double(stack, "events", "_partition = 2 AND _offset % 2 = 0")
    report = stack.json("verify", code=5)
    assert most > 1000
    assert totals(report) == (most + gone, twice, 0)
    worst = partition(report, 0)
    assert len(worst["missing_ranges"]) == 1000
    assert worst["more_ranges"] == most - 1000


def test_a_pending_intent_is_no_difference(filled: Project) -> None:
    at = filled.value("SELECT max(_offset) FROM events WHERE _partition = 0") - 100
    for table in ("events", "dead_letters"):
        damage.delete(filled, table, f"_partition = 0 AND _offset >= {at + 40}")
    damage.commit_offset(
        filled, 0, at, encode_metadata("events", Intent(OffsetRange(at, at + 90), "e1"))
    )
    report = filled.json("verify")
    assert totals(report) == (0, 0, 0)
    there = partition(report, 0)
    assert (there["pending"], there["pending_rows"], there["ahead"]) == ([at, at + 90], 40, 0)
    assert f"{at}–{at + 89}" in report["notes"][0]
    filled.run("consume", "--until-end")
    report = filled.json("verify")
    assert report["stored"] + report["dead_letters"] == 1200
    assert (report["lag"], totals(report)) == (0, (0, 0, 0))


def test_offsets_that_were_moved_back_are_no_difference(filled: Project) -> None:
    damage.commit_offset(filled, 2, 10)
    report = filled.json("verify")
    end = partition(report, 2)["log_end"]
    assert (partition(report, 2)["lag"], partition(report, 2)["ahead"]) == (end - 10, end - 10)
    assert "moved back" in report["notes"][0]


def test_what_retention_took_before_it_was_stored_is_lost(stack: Project) -> None:
    stack.run("produce", "--count", "1200", "--seed", "5")
    stack.run("consume", "--until-end")
    damage.delete(stack, "events", "_partition = 1 AND _offset >= 100 AND _offset < 200")
    damage.commit_offset(stack, 1, 100)
    damage.forget_below(stack, 1, 150)
    done = stack.run("verify", "-o", "json", code=5)
    assert b"partition 1: retention deleted 50 offsets" in done.stderr
    report = json.loads(done.stdout)
    assert totals(report) == (0, 0, 50)
    assert partition(report, 1)["lost_ranges"] == [[100, 150]]
    assert stack.json("verify", "--repair", "--execute", code=5)["lost"] == 50


def test_rows_that_a_log_start_has_passed_are_unchecked_not_missing(filled: Project) -> None:
    gone = filled.value(
        "SELECT count() FROM events WHERE _partition = 1 AND _offset >= 100 AND _offset < 150"
    )
    damage.delete(filled, "events", "_partition = 1 AND _offset >= 100 AND _offset < 150")
    damage.forget_below(filled, 1, 140)
    above = filled.value("SELECT 1 + max(_offset) FROM events WHERE _partition = 1")
    report = filled.json("verify", code=5)
    there = partition(report, 1)
    assert there["unchecked"] + there["missing"] == gone
    assert 0 < there["missing"] <= 10
    assert there["log_start"] == 140 < above
    assert any("can no longer say" in note for note in report["notes"])


def test_rows_of_a_topic_that_was_made_again_are_told_and_left_alone(filled: Project) -> None:
    client = damage.admin(filled)
    for future in client.delete_topics([damage.TOPIC]).values():
        future.result(10)
    filled.run("up")
    report = filled.json("verify")
    assert (report["stored"], report["dead_letters"], report["problems"]) == (0, 0, [])
    assert "belong to incarnation 1 of the topic" in report["notes"][0]
    assert sum(each["beyond"] for each in report["partitions"]) == 0
    before = damage.content(filled)
    done = filled.run("verify", "--repair", "--execute")
    assert b"0 rows loaded again, 0 removed" in done.stdout
    assert damage.content(filled) == before


def test_a_group_that_has_read_nothing_has_lag_only(stack: Project) -> None:
    stack.run("produce", "--count", "400", "--seed", "5")
    report = stack.json("verify")
    assert (report["lag"], totals(report)) == (400, (0, 0, 0))
    assert all(each["committed"] is None for each in report["partitions"])


def test_execute_without_repair_is_a_wrong_call(project: Project) -> None:
    done = project.run("verify", "--execute", code=2)
    assert b"verify --repair" in done.stderr
    assert done.stdout == b""
