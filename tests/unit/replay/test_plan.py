"""Where a partition goes, what that reads again or skips, and what is said of it."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nrtctl.errors import ConfigError
from nrtctl.kafka.offsets import Place, Point
from nrtctl.kafka.partitions import LogPartition
from nrtctl.replay import undo
from nrtctl.replay.plan import Current, Shift, chosen, move, parse_file

ENTRY = LogPartition(0, 10, 100, 60)
NEW = LogPartition(1, 10, 100, None)


@pytest.mark.parametrize(
    ("wish", "at_time", "after", "again", "skipped", "said"),
    [
        (Point(Place.START), None, 10, 50, 0, ""),
        (Point(Place.END), None, 100, 0, 40, ""),
        (Point(Place.START, 5), None, 15, 45, 0, ""),
        (Point(Place.END, 30), None, 70, 0, 10, ""),
        (Point(Place.END, 95), None, 10, 50, 0, "5 is below the log's start"),
        (Point(Place.OFFSET, 70), None, 70, 0, 10, ""),
        (Point(Place.OFFSET, 5), None, 10, 50, 0, "5 is below the log's start"),
        (Point(Place.OFFSET, 500), None, 100, 0, 40, "500 is beyond the log's end"),
        (Point(Place.TIME, 1), 30, 30, 30, 0, ""),
        (Point(Place.TIME, 1), None, 100, 0, 40, "no message is that recent"),
        (Shift(-20), None, 40, 20, 0, ""),
        (Shift(-200), None, 10, 50, 0, "-140 is below the log's start"),
        (Current(), None, 60, 0, 0, ""),
    ],
)
def test_a_group_that_stands_somewhere(
    wish: object, at_time: int | None, after: int, again: int, skipped: int, said: str
) -> None:
    found = move(ENTRY, wish, at_time=at_time, start="earliest")  # type: ignore[arg-type]
    assert (found.before, found.after, found.read_again, found.skipped) == (
        60, after, again, skipped
    )  # fmt: skip
    assert found.note.startswith(said)
    assert bool(found.note) == bool(said)
    assert found.moves == (after != 60)


def test_a_group_without_an_offset() -> None:
    for wish in (Shift(3), Current()):
        found = move(NEW, wish, start="earliest")
        assert (found.after, found.moves) == (None, False)
        assert "no committed offset" in found.note
    assert move(NEW, Point(Place.END), start="earliest").skipped == 90
    assert move(NEW, Point(Place.START), start="latest").read_again == 90


def test_an_offset_that_retention_has_passed_is_brought_into_the_log() -> None:
    found = move(LogPartition(0, 10, 100, 3), Current(), start="earliest")
    assert (found.after, found.moves, found.read_again, found.skipped) == (10, True, 0, 0)
    assert "3 is below" in found.note


@given(
    st.integers(0, 50), st.integers(0, 50), st.none() | st.integers(0, 150), st.integers(-200, 200)
)
def test_the_target_lies_within_the_log(
    low: int, more: int, committed: int | None, by: int
) -> None:
    entry = LogPartition(0, low, low + more, committed)
    for wish in (Shift(by), Point(Place.OFFSET, abs(by)), Point(Place.END, abs(by))):
        found = move(entry, wish, start="earliest")
        assert found.after is None or low <= found.after <= low + more
        assert min(found.read_again, found.skipped) == 0


def test_a_file_of_offsets() -> None:
    assert parse_file('"t",0,5\n\ng,t,1,7\n', "t") == {0: 5, 1: 7}
    assert parse_file(f"t,0,{'9' * 18}", "t") == {0: 10**18 - 1}
    beyond = f"t,0,{'9' * 19}"  # 64 bits hold no such number
    for text in ("t,0", "t,0,x", "other,0,5", "t,0,5\nt,0,6", "", "t,0,-1", "t,0,٣", beyond):
        with pytest.raises(ValueError):
            parse_file(text, "t")


def test_partitions_that_are_not_there_are_refused() -> None:
    with pytest.raises(ValueError, match="no partition 7"):
        chosen([ENTRY, NEW], [7], {0: Current()})
    assert chosen([ENTRY, NEW], [1], {0: Current(), 1: Current()}) == [NEW]


def test_an_undo_file_is_private_new_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "undo.json"

    def write() -> None:
        undo.write(
            path, group="g", topic="t", topic_id="id-one", table="e", time="now",
            entries=[ENTRY, NEW],
        )  # fmt: skip

    write()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert undo.read(path).offsets == {0: 60, 1: None}
    assert undo.read(path).topic_id == "id-one"
    with pytest.raises(ConfigError, match="nothing was moved"):
        write()
    good = json.loads(path.read_text())
    changes: list[dict[str, Any]] = [
        {"version": 2}, {"partitions": []}, {"group": 3}, {"format": "x"}, {"topic_id": 3},
        {"partitions": [{"partition": 0, "committed": "5"}]},
    ]  # fmt: skip
    for change in changes:
        path.write_text(json.dumps(good | change))
        with pytest.raises(ConfigError):
            undo.read(path)
    for text in ("", "[]", "null", "{"):
        path.write_text(text)
        with pytest.raises(ConfigError):
            undo.read(path)
