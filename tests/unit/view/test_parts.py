"""Keys, sparklines, words, history and tables."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nrtctl.view import words
from nrtctl.view.glyphs import UNICODE
from nrtctl.view.history import History
from nrtctl.view.state import Action, State, keys, press
from nrtctl.view.table import Column, lay
from tests.unit.view.sample import snapshot

FRESH = State()


def pressed(text: str, state: State = FRESH) -> tuple[State, list[Action]]:
    actions = []
    names, _ = keys(text.encode(), more=False)
    for key in names:
        state, action = press(state, key)
        actions += [action] if action else []
    return state, actions


def test_the_keys() -> None:
    assert pressed("q")[1] == [Action.QUIT]
    assert pressed("s")[1] == [Action.SNAPSHOT]
    assert pressed("p")[0].paused
    assert not pressed("pp")[0].paused
    assert pressed("?")[0].help
    assert not pressed("?x")[0].help
    assert pressed("?q")[1] == [Action.QUIT]
    assert pressed("\x1b[B\x1b[Bk")[0].skip == 1
    assert pressed("k")[0].skip == 0


def test_the_filter_takes_letters_that_are_keys_elsewhere() -> None:
    state, actions = pressed("/qspay\x7f\r")
    assert (state.filter, state.editing, actions) == ("qspa", False, [])
    assert pressed("/abc\x1b")[0].filter == ""
    assert pressed("\x1b", State(filter="abc"))[0].filter == ""
    assert pressed("/é日\r")[0].filter == "é日"


def test_a_note_goes_with_the_next_key() -> None:
    assert pressed("p", State(note="wrote it"))[0].note == ""


def test_a_key_may_come_in_pieces() -> None:
    assert keys(b"\x1b", more=True) == ([], b"\x1b")
    assert keys(b"\x1b", more=False) == (["escape"], b"")
    assert keys(b"p\x1b[", more=True) == (["p"], b"\x1b[")
    assert keys(b"\x1b[A", more=True) == (["up"], b"")
    assert keys("é".encode()[:1], more=True) == ([], "é".encode()[:1])


@given(st.binary(max_size=40), st.integers(0, 40))
def test_bytes_of_any_kind_are_taken_and_pieces_do_not_matter(data: bytes, at: int) -> None:
    whole, rest = keys(data, more=True)
    first, kept = keys(data[:at], more=True)
    second, left = keys(kept + data[at:], more=True)
    assert (whole, rest) == (first + second, left)
    assert keys(rest, more=False)[1] == b""


def test_an_unknown_sequence_gives_no_letters() -> None:
    assert keys(b"\x1b[1;5C\x1b[200~q", more=False) == (["q"], b"")


def test_a_sparkline_is_scaled_from_zero_to_its_highest() -> None:
    assert UNICODE.sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8) == "▁▂▃▄▅▆▇█"
    assert UNICODE.sparkline([7, None, 7], 5) == "··█·█"
    assert UNICODE.sparkline([9, 0, 0], 2) == "▁▁"
    assert UNICODE.sparkline([1], 0) == ""
    assert UNICODE.bar(1, 1000, 10) == "█·········"
    assert UNICODE.bar(0, 1000, 4) == "····"
    assert UNICODE.bar(5, 0, 4) == "····"


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0, "0 s"), (0.0123, "12 ms"), (0.9999, "1.0 s"), (3.21, "3.2 s"),
     (99.96, "1m40s"), (252, "4m12s"), (7500, "2h05m"), (274_000, "3d04h")],
)  # fmt: skip
def test_seconds(value: float | None, text: str) -> None:
    assert words.seconds(value) == text


def test_numbers() -> None:
    assert [words.count(each) for each in (0, 9_999_999, 12_345_678, None)] == [
        "0", "9,999,999", "12.3M", "-",
    ]  # fmt: skip
    assert [words.rate(each) for each in (0, 1e-6, 0.033, 0.25, 12_345.6)] == [
        "0/s", "<0.01/s", "0.03/s", "0.2/s", "12,346/s",
    ]  # fmt: skip
    assert [words.number(each) for each in (0.10391, 412.0, -2500.0)] == ["0.104", "412", "-2,500"]
    assert [words.span(each) for each in (0.25, 60, 119.5, 31_536_000)] == [
        "0.25 s", "60 s", "119.5 s", "365d00h",
    ]  # fmt: skip
    assert words.ranges([3, 1, 0, 2, 7]) == "0-3,7"
    assert words.ranges([]) == "-"


def test_history_keeps_the_newest_and_fills_what_is_new() -> None:
    past = History(3)
    plain = replace(snapshot(), metrics=[])
    for number in range(4):
        past.add(replace(plain, lag_records=number))
    assert past.of("lag_records") == [1, 2, 3]
    past.add(snapshot())
    name = next(each for each in past.all() if each.startswith("metric payments"))
    assert past.of(name) == [None, None, 412.0]
    past.add(plain)
    assert past.of(name) == []


def test_a_table_drops_its_least_needed_columns() -> None:
    columns = [Column("a"), Column("b", 2), Column("name", text=True, least=5), Column("c", 1)]
    rows = [("1", "22", "somebody", "333")]
    for width, heading, row in (
        (30, "a   b  name        c", "1  22  somebody  333"),
        (17, "a   b  name     c", "1  22  some…  333"),
        (13, "a  name     c", "1  some…  333"),
        (8, "a  name", "1  some…"),
    ):
        head, lines = lay(columns, rows, width, [""])
        assert (head.plain, lines[0].plain) == (heading, row)
