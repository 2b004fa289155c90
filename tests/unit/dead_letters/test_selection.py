"""What a selection of dead letters says in SQL, and how it is written by hand."""

from __future__ import annotations

import pytest

from nrtctl.cli.dlq_show import data_as_text
from nrtctl.dead_letters.selection import MAX_OFFSET, Selection, parse_letter, parse_offsets
from nrtctl.pipeline import Pipeline
from nrtctl.view.printable import printable

PIPELINE = Pipeline(fields={"x": "String"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("17", (17, 18)),
        ("10-20", (10, 20)),
        ("10-", (10, MAX_OFFSET)),
        ("-20", (0, 20)),
        ("0-1", (0, 1)),
    ],
)
def test_offsets(text: str, expected: tuple[int, int]) -> None:
    assert parse_offsets(text) == expected


@pytest.mark.parametrize("text", ["", "-", "a", "20-10", "5-5", "1-2-3", "-0", "1.5", "+3"])
def test_what_is_no_range(text: str) -> None:
    with pytest.raises(ValueError, match="range"):
        parse_offsets(text)


def test_a_letter_is_named_by_partition_and_offset() -> None:
    assert parse_letter("2/17") == parse_letter("2:17") == (None, 2, 17)
    assert parse_letter("3/2/17") == (3, 2, 17)
    for text in ("17", "a/1", "/", "1/2/3/4", "-1/2"):
        with pytest.raises(ValueError, match="PARTITION/OFFSET"):
            parse_letter(text)


def test_text_and_reasons_are_escaped() -> None:
    where = Selection(reasons=("it's",), text="\\' OR 1 --").where(PIPELINE)
    assert "reason IN ('it\\'s')" in where
    assert "'\\\\\\' OR 1 --'" in where
    assert "purged_at IS NULL" in where
    assert "purged_at" not in Selection(purged=True).where(PIPELINE)


def test_letters_that_are_stored_later_can_be_left_out() -> None:
    assert "_inserted_at" not in Selection().where(PIPELINE)
    where = Selection(stored_until=1234).where(PIPELINE)
    assert "_inserted_at <= fromUnixTimestamp64Milli(1234, 'UTC')" in where


def test_what_a_terminal_would_obey_is_escaped() -> None:
    assert printable("a\x1b[31mb\u202e\n\u2028é漢") == "a\\x1b[31mb\\u202e\\n\\u2028é漢"
    assert data_as_text(None) == "null"
    assert data_as_text(b"") == "(0 bytes)"
    shown = data_as_text(b"\xff\x1b]0;title\x07" + bytes(5000))
    assert "\x1b" not in shown
    assert "ff 1b 5d 30 3b" in shown
    assert "bytes more" in shown
