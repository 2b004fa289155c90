"""Looks that are dear to ClickHouse come more rarely."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from nrtctl.stats.rest import LONGEST, SHARE, seconds_until_next
from nrtctl.stats.snapshot import Cost, Shots, Snapshot
from nrtctl.view.looking import Looker
from tests.unit.stats.example import SNAPSHOT


def costing(clickhouse: float, cpu: float = 0.0) -> Snapshot:
    return replace(SNAPSHOT, cost=Cost(clickhouse + cpu, cpu, clickhouse, 2, 1000))


def test_a_cheap_look_comes_once_an_interval() -> None:
    assert seconds_until_next({"": costing(0.02, 0.01)}, 0.03, 1.0) == pytest.approx(0.97)


def test_a_dear_look_keeps_clickhouse_and_the_process_busy_for_its_share_only() -> None:
    rest = seconds_until_next({"": costing(0.5, 0.1), "b": costing(0.4)}, 1.0, 1.0)
    assert 1.0 / (1.0 + rest) == pytest.approx(SHARE)
    assert seconds_until_next({"": costing(30.0)}, 30.0, 1.0) == LONGEST


def test_what_was_only_waited_for_puts_nothing_off() -> None:
    assert seconds_until_next({"": costing(0.0, 0.001)}, 8.0, 1.0) < 0.01
    assert seconds_until_next({}, 0.25, 1.0) == 0.75


def test_the_view_and_the_dashboard_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    rests: list[float] = []
    looks = iter([costing(0.01), costing(10.0)])
    ended = threading.Event()
    failures: list[BaseException] = []

    def look() -> Shots:
        return {"": next(looks)}

    looker = Looker(look, 0.001, publish=lambda _: None, failed=failures.append)

    def waited(seconds: float | None = None) -> bool:
        rests.append(seconds or 0.0)
        if len(rests) == 2:
            looker._ended.set()
            ended.set()
        return False

    monkeypatch.setattr(looker._ended, "wait", waited)
    looker.start()
    assert ended.wait(30)
    looker.stop(30)
    assert not failures
    assert rests == [pytest.approx(0.04, abs=0.01), LONGEST]
