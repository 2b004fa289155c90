"""Tables on terminals of several widths."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from nrtctl.cli.output import CHUNK, Output

COLUMNS = ("partition", "log_end", "reason")
ROWS = [(0, 1_234_567, "not JSON"), (1, None, "a much longer reason than fits in a narrow place")]


def shown(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    width: int | None,
    rows: Any,
) -> list[str]:
    if width is not None:
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        monkeypatch.setenv("COLUMNS", str(width))
    Output(color="never").table(COLUMNS, rows, None)
    return capsys.readouterr().out.splitlines()


def test_a_pipe_gets_every_column_in_full(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = shown(monkeypatch, capsys, None, ROWS)
    assert lines[0] == "partition  log end  reason"
    assert lines[2] == "        0  1234567  not JSON"
    assert lines[3].endswith("  a much longer reason than fits in a narrow place")


def test_a_narrower_terminal_folds_text_and_no_number(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = shown(monkeypatch, capsys, 40, ROWS)
    assert lines[2].split() == ["0", "1234567", "not", "JSON"]
    assert len(lines) > 4
    assert max(map(len, lines)) <= 40
    assert " ".join(line[18:].strip() for line in lines[3:]) == ROWS[1][2]


def test_where_even_that_is_too_wide_a_value_is_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = shown(monkeypatch, capsys, 20, ROWS)
    assert lines[:5] == [
        "partition  0", "log end    1234567", "reason     not JSON", "", "partition  1",
    ]  # fmt: skip


@pytest.mark.parametrize("rows", [0, 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_rows_come_in_parts_and_all_come(
    rows: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = shown(monkeypatch, capsys, None, ((n, n, "x") for n in range(rows)))
    assert [line.split() for line in lines[2:]] == [[str(n), str(n), "x"] for n in range(rows)]


VERIFIED = ("partition", "log_start", "log_end", "committed", "lag", "dead_letters", "duplicated")


@pytest.mark.parametrize("width", range(54, 90))
def test_the_words_of_a_heading_stay_whole(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    row = (0, 0, 61_176, 61_127, 49, 591, 0)
    Output(color="never").table(VERIFIED, [row], None)
    lines = capsys.readouterr().out.splitlines()
    rule = next(at for at, line in enumerate(lines) if set(line) == {"─"})
    words = " ".join(lines[:rule]).split()
    assert sorted(words) == sorted(" ".join(VERIFIED).replace("_", " ").split())
    assert lines[rule + 1].split() == list(map(str, row))
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize("width", [60, 76, 100])
def test_a_row_may_be_a_line_whose_end_is_cut(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    rows = [("0/27", "2026-11-30 02:25:05", "not JSON", '{"a":\n' + "x" * 100)] * 3
    Output(color="never").table(
        ("letter", "timestamp", "reason", "value"), rows, None, a_line_each=True
    )
    lines = capsys.readouterr().out.splitlines()[2:]
    assert len(lines) == len(rows)
    assert all(len(line) == width and line.endswith("…") for line in lines)
    assert all("2026-11-30 02:25:05  not JSON" in line for line in lines)


@pytest.mark.parametrize("color", ["always", "never"])
def test_a_fault_is_red_where_there_are_colours(
    color: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("COLORTERM", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    Output(color=color).table(
        ("partition", "missing"),
        [(0, 3), (1, 0)],
        None,
        bad=lambda name, value: name == "missing" and value > 0,
    )
    _, _, fault, right = capsys.readouterr().out.splitlines()
    assert ("\x1b[38;5;160m" in fault) == (color == "always")
    assert "\x1b" not in right


def test_what_a_row_is_about_is_folded_last(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "70")
    key = "pipeline.rollups.event_metrics.values.total_events"
    Output(color="never").table(("key", "value"), [(key, "count() AS number " * 4)], None)
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith(f"{key}  count()")
    assert max(map(len, lines)) <= 70
