"""What is said of calls that last, by one thread for all of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from nrtctl.clock import notices
from nrtctl.clock.notices import if_it_lasts
from tests.plugins.waiting import eventually

WORDS = ("outer", "inner", "an hour", "now", "first", "more", "slow", "quick")


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What these tests say: a client of an earlier one may wait for its server still."""
    heard: list[str] = []
    notices.listen(lambda text: heard.append(text) if text in WORDS else None)
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


def test_calls_that_come_back_at_once_start_no_thread_each(
    said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with if_it_lasts(lambda: "first"):
        pass
    started_by = []

    class Counted(threading.Thread):
        def start(self) -> None:
            started_by.append(threading.current_thread())
            super().start()

    monkeypatch.setattr(notices, "Thread", Counted)
    for _ in range(1000):
        with if_it_lasts(lambda: "more"):
            pass
    assert threading.current_thread() not in started_by
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
