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
