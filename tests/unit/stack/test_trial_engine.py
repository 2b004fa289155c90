"""Which engine is asked about messages, and what is said where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from nrtctl.config.load import load_config
from nrtctl.errors import ConnectError
from nrtctl.stack import trial_engine


@pytest.fixture(autouse=True)
def _without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_engine, "own_engine_installed", lambda: False)


def test_without_any_engine_the_error_says_what_brings_one(tmp_path: Path) -> None:
    with pytest.raises(ConnectError) as caught, trial_engine.engine(None, None):
        pass
    assert "no ClickHouse engine" in caught.value.message
    assert ".[local]" in (caught.value.hint or "")


def test_a_server_that_does_not_answer_is_named(tmp_path: Path) -> None:
    (tmp_path / "nrtctl.toml").touch(mode=0o600)
    config = load_config(
        file=tmp_path / "nrtctl.toml",
        overrides=["clickhouse.url=http://127.0.0.1:1", "stack.kind=external"],
        environ={"HOME": str(tmp_path)},
    ).config
    with pytest.raises(ConnectError) as caught, trial_engine.engine(config, tmp_path):
        pass
    assert "127.0.0.1:1" in caught.value.message
    assert ".[local]" in (caught.value.hint or "")
