"""What is said of calls that last, by one thread for all of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from nrtctl.clock import notices
from nrtctl.clock.notices import if_it_lasts
from tests.plugins.waiting import eventually


@pytest.fixture
def said() -> Iterator[list[str]]:
    heard: list[str] = []
    notices.listen(heard.append)
    yield heard
    notices.listen(None)


def test_each_that_lasts_is_said_once(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "AFTER_SECONDS", 0.01)
    with if_it_lasts(lambda: "outer"):
        with if_it_lasts(lambda: "inner"):
            eventually(lambda: len(said) == 2, "both are said")
        with if_it_lasts(lambda: ""):
            time.sleep(0.1)
    assert said == ["outer", "inner"]


def test_a_shorter_time_does_not_wait_for_a_longer(
    said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with if_it_lasts(lambda: "an hour"):
        monkeypatch.setattr(notices, "AFTER_SECONDS", 0.0)
    with if_it_lasts(lambda: "now"):
        eventually(lambda: said == ["now"], "it is said")


def test_calls_that_come_back_at_once_start_no_thread_each(said: list[str]) -> None:
    with if_it_lasts(lambda: "first"):
        pass
    seen = set()
    for _ in range(1000):
        with if_it_lasts(lambda: "more"):
            seen |= {each for each in threading.enumerate() if each.name.startswith("notice")}
    assert [each.name for each in seen] == ["notices"]
    assert said == []


def test_one_that_waits_itself_keeps_no_other(
    said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "AFTER_SECONDS", 0.01)
    told = threading.Event()

    def slow() -> str:
        told.wait(60)
        return "slow"

    with if_it_lasts(slow), if_it_lasts(lambda: "quick"):
        eventually(lambda: said == ["quick"], "the other is said")
        told.set()
        eventually(lambda: said == ["quick", "slow"], "it is said when it knows")
