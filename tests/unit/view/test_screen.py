"""The screen as lines: always the size of the terminal, with what matters most."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.text import Text

from nrtctl.stats.metrics_run import named
from nrtctl.stats.snapshot import (
    Breakdown,
    Group,
    Member,
    Metric,
    MetricValue,
    Percentiles,
    Problem,
    Slice,
    Snapshot,
    Verdict,
)
from nrtctl.view.blocks import Block
from nrtctl.view.glyphs import ASCII, UNICODE, for_encoding
from nrtctl.view.history import History
from nrtctl.view.screen import Size, draw, fit
from nrtctl.view.state import State
from tests.unit.view.sample import breakdown, problem, snapshot

FRESH = State()


def screen(
    shot: Snapshot | None, width: int, height: int, state: State = FRESH, **changes: object
) -> list[str]:
    past = History()
    if shot is not None:
        for _ in range(5):
            past.add(shot)
    options = {"now": 1_700_000_000.0, "interval": 1.0, "glyphs": UNICODE} | changes
    lines = draw(shot, past, state, Size(width, height), **options)  # type: ignore[arg-type]
    assert len(lines) == height
    assert all(line.cell_len <= width for line in lines)
    return [line.plain for line in lines]


@settings(max_examples=60)
@given(
    st.integers(1, 220),
    st.integers(1, 70),
    st.integers(0, 40),
    st.integers(0, 9),
    st.booleans(),
    st.text(max_size=8),
)
def test_it_is_as_large_as_the_terminal(
    width: int, height: int, partitions: int, skip: int, empty: bool, filter: str
) -> None:
    shot = snapshot(partitions=partitions, by=breakdown(), errors=[problem()])
    if empty:
        shot = snapshot(
            partitions=0, reasons=0, produced_per_second=None, lag_records=None, batches=None,
            parts=None, consumers=None, metrics=[], stored=None, dead_letters=None,
            freshness_seconds=None, end_to_end_latency_seconds=Percentiles(),
        )  # fmt: skip
    for help in (False, True):
        screen(shot, width, height, State(skip=skip, filter=filter, help=help))


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (200, 50)])
def test_all_blocks_stand_on_a_usual_screen(width: int, height: int) -> None:
    text = "\n".join(screen(snapshot(), width, height))
    for each in ("20,000/s", "480,123", "falling behind", "p99", "12.5 s", "4,400,000", "1,009",
                 "reason 0", "nrtctl-2", "2-3", "error_rate", "100,003", "42.4 s"):  # fmt: skip
        assert each in text


def test_forty_columns_have_flow_latency_and_partitions() -> None:
    lines = screen(snapshot(), 40, 20)
    text = "\n".join(lines)
    for each in ("falling behind", "20,000/s", "480,123", "p95", "Partitions", "q quit"):
        assert each in text
    assert "more" in lines[-1]


def test_down_passes_over_blocks_until_the_last() -> None:
    assert "Your metrics" not in "\n".join(screen(snapshot(), 40, 20))
    text = "\n".join(screen(snapshot(), 40, 20, State(skip=50)))
    assert "Your metrics" in text
    assert "Partitions" not in text


def test_what_does_not_fit_is_counted() -> None:
    text = "\n".join(screen(snapshot(partitions=100), 80, 24))
    shown = sum(f"100,0{n:02}" in text for n in range(100))
    assert 0 < shown < 100
    assert f"… {100 - shown} more" in text


def test_a_breakdown_that_would_read_too_much_says_so() -> None:
    by = Breakdown("event_type", [], 0, "more than 9 rows would be read")
    text = "\n".join(screen(snapshot(by=by), 80, 30))
    assert "By event_type" in text
    assert "more than 9 rows would be read" in text


def test_metrics_without_room_for_a_value_are_left_out() -> None:
    for height in range(10, 60):
        lines = screen(snapshot(), 80, height)
        at = next((n for n, line in enumerate(lines) if "Your metrics" in line), None)
        assert at is None or not re.search("… [0-9]+ more", "\n".join(lines[at : at + 3]))


def test_the_filter_keeps_matching_rows() -> None:
    text = "\n".join(screen(snapshot(partitions=12), 80, 40, State(filter="Partition 11")))
    assert "100,011" in text
    assert "100,003" not in text
    assert "reason 0" not in text
    assert "nothing matches" in text
    assert "filter: Partition 11" in text


def test_what_is_gone_is_said_and_the_rest_stays() -> None:
    shot = snapshot(
        errors=[problem()], verdict=Verdict("ClickHouse gone", "it does not answer"),
        stored=None, batches=None, parts=None,
    )  # fmt: skip
    text = "\n".join(screen(shot, 80, 24))
    assert "ClickHouse gone" in text
    assert "127.0.0.1:8123 does not answer" in text
    assert "480,123" in text


def test_a_look_that_does_not_end_grows_old() -> None:
    assert "9.0 s old" in screen(snapshot(), 80, 24, now=1_700_000_009.0)[0]
    assert " old" not in screen(snapshot(), 80, 24, now=1_700_000_001.0)[0]


def test_pause_filter_and_note_show() -> None:
    assert "PAUSED" in screen(snapshot(), 80, 24, State(paused=True))[0]
    assert "filter: pay" in screen(snapshot(), 80, 24, State(editing=True, filter="pay"))[-1]
    assert "wrote x.json" in screen(snapshot(), 80, 24, State(note="wrote x.json"))[-1]
    assert "first numbers" in screen(None, 80, 24)[0]


def test_a_terminal_without_unicode_gets_ascii() -> None:
    assert for_encoding("ANSI_X3.4-1968") is ASCII
    assert for_encoding("UTF-8") is UNICODE
    lines = screen(snapshot(partitions=50, by=breakdown()), 60, 40, glyphs=ASCII)
    assert "\n".join(lines).isascii()


def test_names_from_outside_cannot_steer_the_terminal() -> None:
    evil = "x\x1b]0;owned\x07\x1b[2J"
    shot = snapshot(
        dead_letters_by_reason={evil: 3},
        consumers=Group("g", "stable", [Member("m", evil, evil, [0])]),
        verdict=Verdict("stalled", evil),
    )
    text = "\n".join(screen(shot, 120, 40))
    assert "\x1b" not in text
    assert "\x07" not in text
    assert text.count("owned") >= 3


def test_levels_are_told_without_colour() -> None:
    assert "0.1 !" in "\n".join(screen(snapshot(), 120, 40))


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3), st.integers(0, 9)), max_size=9),
       st.integers(0, 60))  # fmt: skip
def test_blocks_never_take_more_than_the_height(
    sizes: list[tuple[int, int, int]], height: int
) -> None:
    made = [
        Block("t", [Text("h")] * head, [Text("r")] * rows, 2, rank)
        for rank, (rows, head, _) in enumerate(sizes)
    ]
    shown = fit(made, height)
    needs = sum(2 + len(block.head) + rows for block, rows in shown) - 1
    assert len(shown) <= 1 or needs <= height
    for block, rows in shown:
        assert min(2, len(block.rows)) <= rows <= len(block.rows)


def test_nothing_of_a_message_steers_the_terminal() -> None:
    evil = "\x1b]0;t\x07\x1b[2J\x9b31m\u202e\u200b\ufe0f\n[red]"
    by = Breakdown(evil, [Slice(evil, 1, 1.0, Percentiles(0.1, 0.2, 0.3))], 0)
    values = [MetricValue({evil: evil}, 1.0, "ok")]
    metric = replace(snapshot().metrics[0], name=evil, unit=evil, values=values)
    shot = snapshot(
        topic=evil,
        table=evil,
        group=evil,
        verdict=Verdict(evil, evil),  # type: ignore[arg-type]
        errors=[Problem("kafka", evil, evil, True)],
        dead_letters_by_reason={evil: 3},
        consumers=Group(evil, evil, [Member(evil, evil, evil, [0])]),
        metrics=[metric, replace(metric, error=evil)],
        by=by,
    )
    for each in (by, replace(by, error=evil)):
        for width in (60, 100, 200):
            lines = screen(replace(shot, by=each), width, 90, State(note=evil))
            assert all(line.isprintable() and "\ufe0f" not in line for line in lines)
            assert any("[red]" in line for line in lines)


def test_a_lag_as_old_as_batches_are_is_no_complaint() -> None:
    """A steady lag of the flush interval does not shrink, and all is well."""
    shot = snapshot(partitions=1)
    (one,) = shot.lag
    late = "\n".join(screen(shot, 150, 40))
    steady = "\n".join(screen(replace(shot, lag=[replace(one, lag_seconds=1.2)]), 150, 40))
    assert ("not soon" in late, "steadily" in late) == (True, False)
    assert ("not soon" in steady, "steadily" in steady) == (False, True)
    assert one.lag_seconds
    rare = "\n".join(screen(replace(shot, tolerable_lag_seconds=one.lag_seconds), 150, 40))
    assert ("not soon" in rare, "steadily" in rare) == (False, True)


def test_nothing_is_said_to_last_where_the_verdict_is_well() -> None:
    """A batch may be closed later than usual lags are, and one partition may wait for another."""
    shot = snapshot(verdict=Verdict("ok", "480,123 records wait"))
    text = "\n".join(screen(shot, 150, 40))
    assert "not soon" not in text
    assert text.count("steadily") == len(shot.lag)


def metric(name: str, display: str = "number", source: str | None = None) -> Metric:
    values = [MetricValue({"event_type": kind}, 0.5, "ok") for kind in ("A", "B")]
    return Metric(name, "", "", "gauge", display, ["event_type"], values, "ok", None, source)


def test_a_value_stands_beside_a_label_of_wide_letters() -> None:
    values = [MetricValue({"event_type": kind}, 5.5, "ok") for kind in ("検索" * 40, "B")]
    for display in ("number", "bar", "sparkline"):
        wide = replace(metric("own", display), values=values)
        text = "\n".join(screen(snapshot(metrics=[wide]), 120, 60))
        assert text.count("5.5") == 2, display


def test_what_is_wrong_with_a_metric_is_said_in_its_place() -> None:
    why = "its SQL takes longer than 2 s"
    bad = replace(metric("own"), values=[], error=f"{named('own')}{why}")
    assert f"own: {why}" in "\n".join(screen(snapshot(metrics=[bad]), 120, 60))


def test_a_metric_that_repeats_a_number_of_the_screen_is_left_out() -> None:
    shot = snapshot(metrics=[metric("own"), metric("again", source="lag_records")])
    text = "\n".join(screen(shot, 120, 60))
    assert "own" in text
    assert "again" not in text
    assert "again" in "\n".join(screen(shot, 120, 60, State(filter="again")))
    only = snapshot(metrics=[metric("again", source="lag_records")])
    assert "Your metrics" not in "\n".join(screen(only, 120, 60))
    bad = replace(metric("again", source="lag_records"), level="warn")
    assert "again" in "\n".join(screen(snapshot(metrics=[bad]), 120, 60))


def test_tables_of_the_same_dimension_are_one() -> None:
    shot = snapshot(metrics=[metric(name, "table") for name in ("total", "failed")])
    lines = screen(shot, 120, 60)
    (heading,) = [line for line in lines if "total" in line]
    assert re.search("event_type +total +failed", heading)
    assert sum(bool(re.search("[AB] +0.5 +0.5", line)) for line in lines) == 2


def test_a_course_has_its_scale() -> None:
    (line,) = [line for line in screen(snapshot(), 80, 40) if line.startswith(" lag ")]
    assert re.search("lag +480,123 +·*█{5} ≤480,123", line)


def test_what_is_broken_is_said_once_with_its_hint() -> None:
    shot = snapshot(errors=[problem()], verdict=Verdict("ClickHouse gone", problem().message))
    text = "\n".join(screen(shot, 120, 40))
    assert text.count(problem().message) == 1
    assert "hint: nrtctl up" in text


def test_a_group_that_is_not_there_yet_is_no_complaint() -> None:
    shot = snapshot(verdict=Verdict("idle", "nothing waits"), consumers=Group("nrtctl", "dead", []))
    text = "\n".join(screen(shot, 120, 40))
    assert "no group yet" in text
    assert "dead " not in text.replace("dead letters", "")


@pytest.mark.parametrize(("width", "height"), [(120, 40), (150, 40), (200, 60)])
def test_no_column_is_empty_while_another_has_too_much(width: int, height: int) -> None:
    metrics = [metric(f"metric{n}") for n in range(6)]
    lines = screen(snapshot(metrics=metrics), width, height)
    assert not any("more" in line for line in lines)
