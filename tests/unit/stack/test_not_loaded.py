"""What `up` says of tables and parts that ClickHouse could not load."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nrtctl.local.front.set_aside_file import TOLD
from nrtctl.stack.not_loaded import warnings


def test_each_is_told_with_what_mends_it(tmp_path: Path) -> None:
    (tmp_path / "clickhouse").mkdir()
    told = {
        "tables": [
            {"name": "the table nrt.old", "why": "no such engine", "kept": "not-loaded/old.sql"}
        ],
        "parts": ["store/a/b/detached/broken-on-start_all_1_1_0"],
    }
    (tmp_path / "clickhouse" / TOLD).write_text(json.dumps(told))
    table, part = warnings(tmp_path)
    assert "could not load the table nrt.old: no such engine" in table
    assert str(tmp_path / "clickhouse" / "not-loaded/old.sql") in table
    assert "broken-on-start_all_1_1_0" in part
    assert "nrtctl verify --repair" in part


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"tables": [1], "parts": []}'])
def test_nothing_is_told_of_a_file_that_is_no_such(tmp_path: Path, text: str | None) -> None:
    (tmp_path / "clickhouse").mkdir()
    if text is not None:
        (tmp_path / "clickhouse" / TOLD).write_text(text)
    assert list(warnings(tmp_path)) == []
