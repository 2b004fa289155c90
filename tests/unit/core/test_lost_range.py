"""Kafka has deleted messages that the group had not stored, and ClickHouse is asked whether it has
them."""

from __future__ import annotations

from typing import Any

import pytest

from nrtctl.clickhouse.client import ClickHouseGone
from nrtctl.clock import ManualClock
from nrtctl.clock.stop import Stop
from nrtctl.consumer.clickhouse_waits import WHILE_ASSIGNED_SECONDS, patient
from nrtctl.consumer.run import _holds_all
from nrtctl.errors import ConnectError, NrtctlError
from nrtctl.store.intents import OffsetRange, Position
from nrtctl.store.target import Target
from tests.unit.core.test_loop_endings import Group, make_loop

LOST = OffsetRange(4, 7)


class Away:
    """ClickHouse, which does not answer at first."""

    def __init__(self, times: int) -> None:
        self.left = times

    def query(self, *_: Any) -> list[tuple[Any, ...]]:
        if self.left:
            self.left -= 1
            raise ClickHouseGone("ClickHouse does not answer")
        return [(0, 3, 3, 15)]


def asked(times: int, said: list[str], stop: Stop | None = None) -> bool:
    storage: Any = Away(times)
    waits = patient(
        storage,
        clock=ManualClock(),
        stop=stop or Stop(),
        waiting=lambda reason, seconds: said.append(reason),
        limit=WHILE_ASSIGNED_SECONDS,
    )
    target = Target("t", "n", "events_landing", "events", "dead_letters", {}, 1)
    return _holds_all(waits, target, 0, LOST)


def test_clickhouse_is_waited_for() -> None:
    said: list[str] = []
    assert asked(3, said)
    assert len(said) == 3
    assert "ClickHouse does not answer" in said[0]


def test_the_wait_ends_before_kafka_takes_the_member_for_lost_and_where_the_run_is_to_end() -> None:
    said: list[str] = []
    with pytest.raises(ConnectError):
        asked(10_000, said)
    assert 10 < len(said) < 1000
    stop = Stop()
    stop.set()
    with pytest.raises(ConnectError):
        asked(1, [], stop)


class Lost(Group):
    """Assigns a partition whose log begins behind what is stored."""

    def fetch(self, most: int, timeout: float) -> list[Any]:
        self._assign({0: Position(7, "e", lost=LOST)})
        self._stop.set()
        return []


@pytest.mark.parametrize("ends", [True, False], ids=["while it ends", "else"])
def test_a_run_that_is_told_to_end_meanwhile_ends_in_order(*, ends: bool) -> None:
    stop = Stop()

    def away(partition: int, span: OffsetRange) -> bool:
        if ends:
            stop.set()
        raise ClickHouseGone("ClickHouse does not answer")

    loop = make_loop(Lost(stop, lose=False), stop, holds_all=away)
    if ends:
        loop.run()
        assert loop.summary.records == 0
    else:
        with pytest.raises(NrtctlError, match="does not answer"):
            loop.run()
