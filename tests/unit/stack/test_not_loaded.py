"""What `up` says of tables and parts that ClickHouse could not load."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nrtctl.config.model import Config
from nrtctl.errors import NrtctlError
from nrtctl.local.front.set_aside_file import REPLACED, TOLD
from nrtctl.pipeline import Pipeline
from nrtctl.stack.not_loaded import refuse_to_replace, warnings


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


@pytest.mark.parametrize(
    ("name", "why", "refused"),
    [
        ("the table nrt.events", "Syntax error", True),
        ("the table nrt.dead_letters", "Syntax error", True),
        ("the table nrt.nrtctl_incarnations", "Syntax error", True),
        ("the database nrt", "Syntax error", True),
        ("the table nrt.events", REPLACED, False),
        ("the table nrt.events_landing", "Syntax error", False),
        ("the table other.events", "Syntax error", False),
    ],
)
def test_nothing_is_created_in_the_place_of_what_has_data(
    tmp_path: Path, name: str, why: str, refused: bool
) -> None:
    kept = tmp_path / "clickhouse" / "not-loaded" / "x.sql"
    kept.parent.mkdir(parents=True)
    kept.touch()
    told = {"tables": [{"name": name, "why": why, "kept": "not-loaded/x.sql"}], "parts": []}
    (tmp_path / "clickhouse" / TOLD).write_text(json.dumps(told))
    config = Config(pipeline=Pipeline(fields={"id": "UInt8"}, table="events"))
    if refused:
        with pytest.raises(NrtctlError, match=f"could not load {name}") as caught:
            refuse_to_replace(tmp_path, config)
        assert str(kept) in (caught.value.hint or "")
        kept.unlink()
    refuse_to_replace(tmp_path, config)
