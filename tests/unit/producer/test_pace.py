"""The pace: exact over time, smooth, and no burst after a stall. On a manual clock."""

from __future__ import annotations

import pytest

from nrtctl.clock import ManualClock
from nrtctl.clock.pace import MAX_DEBT_SECONDS, Pace


def run(rate: float, seconds: float) -> list[int]:
    """Messages sent at each step of a sender that never lags."""
    clock = ManualClock(0.0)
    pace = Pace(rate, clock)
    steps = []
    while clock.monotonic() < seconds:
        due = pace.due()
        if due:
            pace.spend(due)
            steps.append(due)
        else:
            clock.sleep(pace.wait())
    return steps


@pytest.mark.parametrize("rate", [0.5, 1, 7, 99.9, 1000, 123_456])
def test_as_many_as_the_rate_says(rate: float) -> None:
    assert abs(sum(run(rate, 20.0)) - rate * 20) <= max(1, rate / 50)


@pytest.mark.parametrize("rate", [7, 1000, 200_000])
def test_in_small_steps(rate: float) -> None:
    steps = run(rate, 5.0)
    assert max(steps) <= max(1, rate / 50)
    assert len(steps) < 1000


def test_a_stall_is_caught_up_by_half_a_second_at_most() -> None:
    clock = ManualClock(0.0)
    pace = Pace(1000, clock)
    clock.advance(60)
    assert pace.due() == 1000 * MAX_DEBT_SECONDS
    pace.spend(500)
    assert pace.due() == 0
    clock.advance(1)
    assert pace.due() == 1000 * MAX_DEBT_SECONDS
    pace.spend(100)
    assert pace.due() == 400


def test_a_slow_rate_sends_one_at_a_time_after_a_stall() -> None:
    clock = ManualClock(0.0)
    pace = Pace(0.1, clock)
    clock.advance(1000)
    assert pace.due() == 1
    pace.spend(1)
    assert pace.due() == 0
    assert pace.wait() == pytest.approx(10)
