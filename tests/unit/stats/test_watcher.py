"""How fast records flow does not depend on how long a look takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from nrtctl.clickhouse.client import ClickHouseClient
from nrtctl.clock import ManualClock
from nrtctl.config.model import Config
from nrtctl.errors import WaitTimeout
from nrtctl.kafka.partitions import LogPartition
from nrtctl.pipeline import Pipeline
from nrtctl.stats.kafka_side import KafkaLook
from nrtctl.stats.snapshot import Group
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
