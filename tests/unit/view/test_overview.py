"""The screen of several pipelines: always the size of the terminal, with what matters most."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nrtctl.stats.snapshot import Shots, Snapshot, Verdict, as_dict
from nrtctl.view.glyphs import ASCII, UNICODE
from nrtctl.view.history import History
from nrtctl.view.live import write_snapshot
from nrtctl.view.overview import draw_overview, rows_of
from nrtctl.view.screen import Size, draw
from nrtctl.view.state import State, press
from tests.unit.view.sample import problem, snapshot

FRESH = State()


def fine(**changes: Any) -> Snapshot:
    return snapshot(verdict=Verdict("ok", "nothing waits"), **changes)


def several(number: int = 3) -> dict[str, Snapshot]:
    """The second falls behind, the third has lost ClickHouse, the others are well."""
    shots = {f"pipe-{n}": fine(topic=f"topic-{n}", lag_records=n) for n in range(number)}
    if number > 1:
        shots["pipe-1"] = snapshot(topic="topic-1", lag_records=480_123)
    if number > 2:
        shots["pipe-2"] = snapshot(
            verdict=Verdict("ClickHouse gone", "it does not answer"), errors=[problem()],
            stored=None, dead_letters=None, freshness_seconds=None, lag_records=7,
        )  # fmt: skip
    return shots


def screen(shots: Shots, width: int, height: int, state: State = FRESH, **changes: object) -> str:
    pasts = {name: History() for name in shots}
    for name, shot in shots.items():
        for _ in range(20):
            pasts[name].add(shot)
    options = {"now": 1_700_000_000.0, "interval": 1.0, "glyphs": UNICODE} | changes
    lines = draw_overview(shots, pasts, state, Size(width, height), **options)  # type: ignore[arg-type]
    assert len(lines) == height
    assert all(line.cell_len <= width for line in lines)
    return "\n".join(line.plain for line in lines)


@settings(max_examples=60)
@given(
    st.integers(1, 220), st.integers(1, 70), st.integers(2, 60), st.text(max_size=8),
    st.booleans(), st.integers(0, 59),
)  # fmt: skip
def test_it_is_as_large_as_the_terminal(
    width: int, height: int, number: int, filter: str, help: bool, at: int
) -> None:
    screen(several(number), width, height, State(filter=filter, help=help, marked=f"pipe-{at}"))


@pytest.mark.parametrize(("width", "height"), [(60, 20), (80, 24), (160, 50)])
def test_each_pipeline_has_a_row_and_each_that_is_not_well_a_reason(
    width: int, height: int
) -> None:
    text = screen(several(), width, height)
    for each in ("3 pipelines", "pipe-0", "pipe-1", "pipe-2", "480,123", "12,000/s", "1 ok",
                 "1 falling behind", "ClickHouse gone", "20,000/s come in", "does not answer",
                 "enter open"):  # fmt: skip
        assert each in text, each
    if width == 160:
        for each in ("p99", "4,400,000", "out, so far", "█"):
            assert each in text, each


def test_what_does_not_fit_is_counted_and_the_marked_row_shows() -> None:
    shots = several(60)
    for at in (0, 1, 30, 58, 59):
        text = screen(shots, 80, 24, State(marked=f"pipe-{at}"))
        assert f"pipe-{at} " in text
        shown = sum(f"pipe-{n} " in text for n in range(60) if n not in (1, 2))
        assert 10 < shown < 30
        assert " more" in text


def test_the_filter_looks_at_name_state_topic_table_and_group() -> None:
    shots = several(5)
    assert rows_of(shots, "pipe-4") == ["pipe-4"]
    assert rows_of(shots, "gone") == ["pipe-2"]
    assert rows_of(shots, "OK topic") == ["pipe-0", "pipe-3", "pipe-4"]
    assert rows_of(shots, "nrt.events nrtctl falling") == ["pipe-1"]
    assert "nothing matches" in screen(shots, 80, 24, State(filter="nowhere"))


def test_down_and_enter_open_a_pipeline_and_escape_comes_back() -> None:
    rows, state = ["a", "b", "c"], FRESH
    for key in ("down", "j", "down", "up"):
        state, _ = press(state, key, rows)
    assert state.marked == "b"
    state, _ = press(state, "enter", rows)
    assert state.opened == "b"
    state, _ = press(state, "down")
    assert (state.skip, state.opened) == (1, "b")
    state, _ = press(state, "escape")
    assert (state.skip, state.opened) == (0, "b"), "what was scrolled and filtered goes first"
    state, _ = press(state, "escape")
    assert (state.opened, state.marked) == (None, "b")
    gone, _ = press(state, "enter", ["a", "c"])
    assert gone.opened == "a", "the marked one is filtered out: the first row is"
    assert press(FRESH, "enter")[0] == press(FRESH, "x", rows)[0] == FRESH


def test_in_depth_it_says_which_pipeline_it_is_and_how_to_come_back() -> None:
    for width in (50, 80, 160):
        lines = draw(
            snapshot(), History(), State(opened="orders"), Size(width, 24), UNICODE,
            now=1_700_000_000.0, interval=1.0,
        )  # fmt: skip
        assert "orders: user_events" in lines[0].plain
        assert "esc all" in lines[-1].plain
        assert "q quit" in lines[-1].plain


def test_names_from_outside_cannot_steer_the_terminal() -> None:
    evil = "x\x1b]0;owned\x07\x1b[2J"
    shot = snapshot(topic=evil, table=evil, group=evil, verdict=Verdict("stalled", evil))
    text = screen({evil: shot, "b": fine()}, 120, 30)
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "owned" in text


def test_a_terminal_without_unicode_gets_ascii() -> None:
    assert screen(several(40), 160, 30, glyphs=ASCII).isascii()


def test_age_pause_and_note_show() -> None:
    assert "9.0 s old" in screen(several(), 80, 24, now=1_700_000_009.0)
    assert "PAUSED" in screen(several(), 80, 24, State(paused=True))
    assert "wrote x.json" in screen(several(), 80, 24, State(note="wrote x.json"))
    assert "esc comes back" in screen(several(), 80, 24, State(help=True))


def test_the_snapshots_of_all_are_written_as_stats_has_them(tmp_path: Path) -> None:
    name = write_snapshot(as_dict(several()), 1_700_000_000.0, tmp_path)
    data = json.loads((tmp_path / name).read_text())
    assert list(data["pipelines"]) == ["pipe-0", "pipe-1", "pipe-2"]
    assert data["pipelines"]["pipe-1"] == several()["pipe-1"].as_dict()
    only = fine()
    assert as_dict({"": only}) == only.as_dict()
