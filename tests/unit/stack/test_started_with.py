"""`up` says which settings a process that runs does not have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nrtctl.config.model import Config, Local
from nrtctl.config.servers import ClickHouse
from nrtctl.pipeline import Pipeline
from nrtctl.stack import started_with
from nrtctl.stack.state_dir import CLICKHOUSE, KAFKA, PROCESSES


def config(**local: Any) -> Config:
    return Config(pipeline=Pipeline(fields={"x": "String"}), local=Local(**local))


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    found = set(PROCESSES)
    monkeypatch.setattr(started_with, "live", lambda _, name: name if name in found else None)
    return found


def test_what_holds_only_after_a_start_is_said(tmp_path: Path, running: set[str]) -> None:
    for name in PROCESSES:
        started_with.note_down(config(), tmp_path, name)
    assert list(started_with.differences(config(), tmp_path)) == []
    now = config(fsync="always", max_memory=2**30, auto_create_topics=True)
    said = list(started_with.differences(now, tmp_path))
    assert said[0] == (
        "the broker was started with local.fsync = 'never', but the configuration says 'always': "
        "run `nrtctl down`, then `nrtctl up`"
    )
    assert [text.split(" = ")[0].split(".")[-1] for text in said] == [
        "fsync", "auto_create_topics", "max_memory",
    ]  # fmt: skip
    running.clear()
    assert list(started_with.differences(now, tmp_path)) == []
    running |= {KAFKA, CLICKHOUSE}
    started_with.note_down(now, tmp_path, KAFKA)
    assert len(list(started_with.differences(now, tmp_path))) == 1


def test_another_login_than_the_local_clickhouse_has_is_said(
    tmp_path: Path, running: set[str]
) -> None:
    """The error that follows says only that the password is wrong."""
    (tmp_path / CLICKHOUSE).mkdir()
    (tmp_path / CLICKHOUSE / "password").write_text("one")

    def said(**login: str) -> list[str]:
        clickhouse = ClickHouse.model_validate(login)
        given = config().model_copy(update={"clickhouse": clickhouse})
        return list(started_with.differences(given, tmp_path))

    assert said() == said(password="one") == []
    (text,) = said(password="two")
    assert "another password than clickhouse.password says: run `nrtctl down`" in text
    assert "two" not in text
    (text,) = said(username="shop")
    assert "one user, 'default', but clickhouse.username says 'shop'" in text
    running.clear()
    assert said(password="two") == []


@pytest.mark.parametrize("text", [None, "", "[]", "{", '{"other": 1}'])
def test_a_process_of_another_version_says_nothing(
    tmp_path: Path, running: set[str], text: str | None
) -> None:
    (tmp_path / KAFKA).mkdir()
    if text is not None:
        (tmp_path / KAFKA / "started-with.json").write_text(text)
    assert list(started_with.differences(config(fsync="always"), tmp_path)) == []
