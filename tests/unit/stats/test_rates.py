"""Growth of counters, and when a lag is gone."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nrtctl.stats.rates import Growth, drained_in


def test_a_rate_needs_two_looks_that_follow_one_another() -> None:
    growth = Growth(30)
    growth.add(0.0, {"a": 100})
    assert growth.rate("a") is None
    growth.add(2.0, {"a": 150})
    assert growth.rate("a") == 25
    growth.add(3.0, {})
    assert growth.rate("a") is None
    growth.add(4.0, {"a": 160})
    assert growth.rate("a") == 5, "over the gap"
    assert growth.rate("a", smooth=True) == 15


def test_a_counter_that_fell_did_not_grow() -> None:
    growth = Growth(30)
    growth.add(0.0, {"a": 100})
    growth.add(1.0, {"a": 40})
    assert growth.rate("a") == 0


def test_old_looks_are_forgotten() -> None:
    growth = Growth(10)
    for second in range(100):
        growth.add(float(second), {"a": 0 if second < 50 else (second - 50) * 7})
    assert growth.rate("a", smooth=True) == 7


def test_how_long_a_counter_has_not_moved() -> None:
    growth = Growth(30)
    for second, count in enumerate([1, 2, 2, 2]):
        growth.add(float(second), {"a": count})
    assert growth.quiet_for("a") == 2
    assert growth.quiet_for("b") == 0


@given(
    lag=st.integers(0, 10**9),
    produced=st.none() | st.floats(0, 1e6),
    consumed=st.none() | st.floats(0, 1e6),
)
def test_a_lag_that_does_not_shrink_has_no_end(
    lag: int, produced: float | None, consumed: float | None
) -> None:
    seconds = drained_in(lag, produced, consumed)
    if lag == 0:
        assert seconds == 0
    elif produced is None or consumed is None or consumed <= produced:
        assert seconds is None
    elif seconds is None:
        assert lag / (consumed - produced) == math.inf
    else:
        assert seconds * (consumed - produced) == pytest.approx(lag)
