"""Figures of runs, quantiles, and when a reader saw a row."""

from __future__ import annotations

import pytest

from nrtctl.bench.figures import figure, quantile, seen_after


def test_a_figure_names_its_runs() -> None:
    assert figure([3.0, 1.0, 2.04], 1) == {
        "median": 2.0, "min": 1.0, "max": 3.0, "runs": [3.0, 1.0, 2.0],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("share", "value"), [(0.0, 1), (0.01, 1), (0.5, 50), (0.501, 51), (0.99, 99), (1.0, 100)]
)
def test_a_quantile_is_a_value_that_was_measured(share: float, value: int) -> None:
    assert quantile(list(range(1, 101)), share) == value


def test_a_row_is_seen_by_the_first_look_that_tells_of_it() -> None:
    looks = [(100.0, 4), (120.0, 9)]
    rows = [(0, 90), (4, 95), (5, 95), (9, 119), (10, 119)]
    assert seen_after(looks, rows) == [10.0, 5.0, 25.0, 1.0, None]
    assert seen_after([], rows[:1]) == [None]
