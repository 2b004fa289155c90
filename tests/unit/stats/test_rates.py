"""Growth of counters, and when a lag is gone."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nrtctl.stats.rates import Growth, Still, drained_in


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


def test_a_counter_that_is_new_grew_from_what_it_was_before() -> None:
    """As a reason for which there was no dead letter yet."""
    growth = Growth(30)
    growth.add(0.0, {})
    growth.add(1.0, {"b": 5})
    growth.add(2.0, {"b": 5, "a": 19})
    assert growth.rate("a") is None
    assert growth.rate("a", absent=0) == 19
    first = Growth(30)
    first.add(0.0, {"a": 19})
    assert first.rate("a", absent=0) is None


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


def test_what_was_before_a_counter_fell_is_no_part_of_its_rate() -> None:
    """A group that was moved back to read again: it advances from there."""
    growth = Growth(30)
    for second, count in enumerate([5000, 5000, 0, 300, 600]):
        growth.add(float(second), {"a": count})
    assert growth.rate("a", smooth=True) == 300
    growth.add(5.0, {"a": 100})
    assert growth.rate("a", smooth=True) is None


def test_how_long_a_value_has_been_the_same() -> None:
    still = Still()
    for second, value in enumerate([1, 2, *[2] * 98]):
        still.see(float(second), {"a": value, "b": second})
    assert still.seconds("a") == 98
    assert still.seconds("b") == 0
    still.see(100.0, {})
    assert still.seconds("a") == 0
    still.see(101.0, {"a": 2})
    assert still.seconds("a") == 0, "it had gone"


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
