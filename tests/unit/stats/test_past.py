"""What was at which time, from counts of rows; and what looks add to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from nrtctl.errors import QueryError
from nrtctl.pipeline import Pipeline
from nrtctl.stats.past import (
    MOST_REASONS,
    OTHERS,
    RANGES,
    Counts,
    Range,
    Stored,
    in_steps,
    look_back,
    watched_at,
)
from nrtctl.stats.snapshot import Percentiles

RANGE = Range(30, 10, "half minute")
LAST = 103
"""The step that has not ended; 100, 101 and 102 are shown."""


def stored(rows: int, *, newest: int, inserts: int = 1) -> Stored:
    return Stored(rows, Percentiles(0.1, 0.2, 0.3), inserts, newest)


def test_rates_and_lag_follow_from_when_rows_came_and_when_they_were_stored() -> None:
    found = in_steps(
        Counts(
            stored={101: stored(40, newest=1_015_500, inserts=2), 103: stored(5, newest=1_030_000)},
            produced={99: 10, 100: 25, 102: 15, 103: 1},
            rejected={"not JSON": {102: 6}},
        ),
        RANGE,
        LAST,
    )
    series = found["series"]
    assert series["time"] == [1010, 1020, 1030]
    assert series["produced_per_second"] == [2.5, 0, 1.5]
    assert series["consumed_per_second"] == [0, 4, 0.6]
    assert series["dead_letters_per_second"] == [0, 0, 0.6]
    assert series["lag_records"] == [35, 0, 4], "10 waited before; 5 of 15 are stored later"
    assert series["freshness_seconds"] == [None, 4.5, 14.5]
    assert series["batches_per_second"] == [0, 0.2, 0]
    assert series["p95"] == [None, 0.2, None]
    assert found["reasons"] == {"not JSON": [0, 0, 0.6]}


def test_rare_reasons_are_one_series_together() -> None:
    rejected = {f"reason {n}": {101: 100 - n} for n in range(MOST_REASONS + 2)}
    rejected["long ago"] = {99: 1000}
    reasons = in_steps(Counts({}, {}, rejected), RANGE, LAST)["reasons"]
    assert list(reasons) == [f"reason {n}" for n in range(MOST_REASONS)] + [OTHERS]
    assert reasons[OTHERS] == [0, (93 + 92) / 10, 0]


def test_each_range_has_whole_steps_and_few_enough_for_a_chart() -> None:
    for each in RANGES.values():
        assert each.seconds % each.step == 0
        assert 60 <= each.steps <= 150


def test_what_a_look_saw_holds_for_its_step_or_half_a_minute() -> None:
    seen: dict[str, list[float | None]] = {"time": [1000.0, 1004.0, 1049.0], "parts": [1, 2, 3]}
    times = [1005, 1010, 1034, 1035, 1050]
    assert watched_at(times, 5, seen) == {"parts": [2, 2, None, None, 3]}
    assert watched_at([1200, 1800], 600, seen) == {"parts": [3, None]}
    assert watched_at(times, 5, {"time": [], "parts": []}) == {"parts": [None] * 5}


class Refusing:
    def __init__(self, code: int) -> None:
        self.code = code

    def query(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> list[tuple[Any, ...]]:
        assert settings
        assert settings["readonly"] == 2
        assert settings["max_execution_time"]
        raise QueryError("no", self.code)


def test_a_range_that_takes_too_long_names_the_way_out() -> None:
    pipeline = Pipeline(fields={"x": "String"})
    with pytest.raises(QueryError, match="the last 24 hours contain more") as caught:
        look_back(Refusing(159), pipeline, "nrt", RANGES["24h"])
    assert caught.value.hint == "choose a shorter time range"
    with pytest.raises(QueryError, match="no"):
        look_back(Refusing(60), pipeline, "nrt", RANGES["24h"])
