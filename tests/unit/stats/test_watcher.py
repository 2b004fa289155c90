"""How fast records flow, and whether they do, from one look after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from nrtctl.clickhouse.client import ClickHouseClient
from nrtctl.clock import ManualClock
from nrtctl.config.load import load_config
from nrtctl.config.model import Config
from nrtctl.errors import WaitTimeout
from nrtctl.kafka.partitions import LogPartition
from nrtctl.pipeline import Pipeline
from nrtctl.stats.kafka_side import KafkaLook
from nrtctl.stats.snapshot import Group, Member, Metric, Problem
from nrtctl.stats.watcher import Watcher

PER_SECOND = 600


class Steady:
    """A log into which as much comes in every second."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock

    def look(self) -> KafkaLook:
        end = round(PER_SECOND * self._clock.monotonic())
        partition = LogPartition(0, 0, end, end, "")
        return KafkaLook("events", [partition], Group("nrtctl", "empty", []), {})


class SlowlyGone(Watcher):
    """ClickHouse is gone, and that takes `patience` seconds to be known."""

    patience = 0.0

    def _connect(self) -> ClickHouseClient:
        assert isinstance(self._clock, ManualClock)
        self._clock.advance(self.patience)
        raise WaitTimeout("no answer")


def test_a_look_that_takes_long_does_not_change_a_rate() -> None:
    clock = ManualClock()
    clock.advance(100)
    config = Config(pipeline=Pipeline(fields={"x": "String"}))
    watcher = SlowlyGone(config, Path(), clock=clock)
    watcher._kafka = Steady(clock)  # type: ignore[assignment]
    watcher.look()
    for patience in (5, 0, 0, 10, 0):
        watcher.patience = patience
        clock.advance(1)
        shot = watcher.look()
        assert shot.produced_per_second == pytest.approx(PER_SECOND, rel=0.01)
        assert shot.lag[0].consumed_per_second == pytest.approx(PER_SECOND, rel=0.01)


class Consumed:
    """A log of 10,000 records, and what its group has committed of it at each look."""

    def __init__(
        self, committed: Iterator[int], age: float, clock: ManualClock, absent: int
    ) -> None:
        self._committed = committed
        self._age = age
        self._clock = clock
        self._absent = absent

    def look(self) -> KafkaLook:
        partition = LogPartition(0, 0, 10_000, next(self._committed), "")
        members = [] if self._absent > 0 else [Member("m", "nrtctl", "127.0.0.1", [0])]
        self._absent -= 1
        group = Group("nrtctl", "stable", members)
        return KafkaLook("events", [partition], group, {0: self._clock.time() - self._age})


class Beside(Watcher):
    """ClickHouse has nothing to do with it."""

    def _ask_clickhouse(self, problems: list[Problem]) -> tuple[None, list[Metric], None]:
        return None, [], None


def states(
    committed: Iterable[int], *, age: float, max_wait: str = "auto", absent: int = 0
) -> list[str]:
    """The verdicts of looks, a second apart.

    Args:
        age: of the oldest record, in seconds.
        absent: looks at which the group has no consumer yet.
    """
    clock = ManualClock()
    config = load_config(overrides=[f"batch.max_wait={max_wait}"], environ={}).config
    watcher = Beside(config, Path(), clock=clock)
    at = list(committed)
    watcher._kafka = Consumed(iter(at), age, clock, absent)  # type: ignore[assignment]
    found: list[str] = []
    for _ in at:
        found.append(watcher.look().verdict.state)
        clock.advance(1)
    return found


def test_a_group_that_was_moved_back_catches_up() -> None:
    """Its offsets of before say nothing of how fast it is."""
    assert set(states([10_000, 10_000, 0, 500, 1000, 1500], age=3600)) == {"ok"}


@pytest.mark.parametrize(("max_wait", "patience"), [("auto", 10), ("20s", 60)])
def test_a_stall_is_seen_whatever_the_batches(max_wait: str, patience: int) -> None:
    found = states([5] * (patience + 2), age=3600, max_wait=max_wait)
    assert "stalled" not in found[:patience]
    assert found[patience:] == ["stalled"] * 2


def test_a_stall_is_seen_where_the_records_are_of_the_future() -> None:
    """A producer's clock that is ahead, or event times: no record is ever late then."""
    assert states([5] * 12, age=-3600)[-1] == "stalled"


def test_a_consumer_that_has_just_come_has_not_stalled() -> None:
    found = states([5] * 45, age=3600, absent=30)
    assert set(found[:30]) == {"stopped"}
    assert "stalled" not in found[30:40]
    assert set(found[40:]) == {"stalled"}


def test_a_record_that_comes_after_a_long_silence_is_no_stall() -> None:
    found = states([10_000] * 60 + [9_999], age=0.5)
    assert set(found) == {"ok"}
