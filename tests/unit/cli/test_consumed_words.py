"""What `consume` says of rows and dead letters when it ends."""

from __future__ import annotations

from typing import Any

from nrtctl.cli.consumed_words import (
    MOST_REASONS,
    mostly_rejected,
    rejected_words,
    stored_words,
    together,
)


def rejected(reason: str, field: str, letters: int) -> dict[str, Any]:
    return {"reason": reason, "field": field, "dead_letters": letters}


def summary(records: int, *parts: dict[str, Any]) -> dict[str, Any]:
    letters = sum(part["dead_letters"] for part in parts)
    return {"records": records, "dead_letters": letters, "rejected": list(parts)}


def test_rows_and_dead_letters_are_told_apart() -> None:
    assert stored_words(2, 2) == "stored 0 rows and 2 dead letters"
    assert stored_words(3, 0) == "stored 3 rows"
    assert stored_words(9, 2, None, 4) == "stored 3 rows and 2 dead letters, left out 4 messages,"
    assert stored_words(3, 0, None, 0) == "stored 3 rows"


def test_each_reason_has_a_line_with_the_field_or_column_to_blame() -> None:
    parts = [rejected("insert failed", "at", 1200), rejected("wrong type", "id", 3),
             rejected("not JSON", "", 1)]  # fmt: skip
    assert list(rejected_words(parts, {"at"})) == [
        "  1,200 dead letters: insert failed, column at",
        "  3 dead letters: wrong type, field id",
        "  1 dead letter: not JSON",
    ]


def test_many_reasons_end_with_how_many_more_there_are() -> None:
    parts = [rejected(f"rule {n}", "", 100 - n) for n in range(MOST_REASONS + 2)]
    lines = list(rejected_words(parts, ()))
    assert len(lines) == MOST_REASONS + 1
    assert lines[-1] == "  189 dead letters: 2 other reasons"


def test_a_run_that_is_mostly_rejected_is_warned_of_with_what_to_run() -> None:
    told = mostly_rejected(summary(10, rejected("it's late", "", 5), rejected("x", "", 1)), ())
    assert told.startswith("6 of 10 messages became dead letters, most of them by it's late; ")
    assert "`nrtctl dlq list --reason 'it'\"'\"'s late'`" in told
    assert "`nrtctl dlq replay --reason 'it'\"'\"'s late' --execute`" in told
    named = mostly_rejected(summary(1, rejected("x", "", 1)), (), "a b")
    assert "`nrtctl dlq list --reason x --pipeline 'a b'`" in named
    even = mostly_rejected(summary(2, rejected("a", "", 1), rejected("b", "", 1)), ())
    assert even.startswith("2 of 2 messages became dead letters, 1 of them by a; ")
    alone = mostly_rejected(summary(1, rejected("wrong type", "id", 1)), ())
    assert alone.startswith("1 of 1 message became dead letters, all of them by wrong type, field")


def test_a_run_of_which_half_is_stored_is_not() -> None:
    assert mostly_rejected(summary(10, rejected("x", "", 5)), ()) == ""
    assert mostly_rejected(summary(0), ()) == ""
    assert mostly_rejected(summary(10, rejected("x", "", 3)) | {"left_out": 4}, ()) == ""
    told = mostly_rejected(summary(10, rejected("x", "", 3)) | {"left_out": 5}, ())
    assert told.startswith("3 of 5 messages became dead letters")
    assert mostly_rejected({"records": 10, "dead_letters": None, "rejected": None}, ()) == ""


def test_workers_are_counted_together() -> None:
    first = [rejected("a", "x", 1), rejected("b", "", 5)]
    second = [rejected("a", "x", 7), rejected("a", "y", 1)]
    assert together([first, (), second]) == [
        rejected("a", "x", 8), rejected("b", "", 5), rejected("a", "y", 1),
    ]  # fmt: skip
