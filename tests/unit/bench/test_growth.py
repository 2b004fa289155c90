"""What is said of how cost grows, and what is refused before anything is measured."""

from __future__ import annotations

import argparse

import pytest

from benchmarks.growth.__main__ import amounts, main
from benchmarks.growth.shown import Growth

GROWTH = Growth(
    "events",
    [(1_000, {"cpu": 4.0, "MB": 100.0}), (10_000, {"cpu": 4.12, "MB": 150.0})],
    {"cpu": "the CPU each", "MB": "the memory"},
)


def test_a_sentence_says_how_cost_grows() -> None:
    assert GROWTH.sentences() == [
        "10 times the events (1,000 to 10,000) cost 1.03 times the CPU each: the memory 1.50."
    ]


def test_the_last_is_compared_with_the_first_too() -> None:
    longer = Growth("events", [*GROWTH.points, (25_000, {"cpu": 0.0, "MB": 50.0})], GROWTH.told)
    assert [each.split(" cost ")[0] for each in longer.sentences()] == [
        "10 times the events (1,000 to 10,000)",
        "2.50 times the events (10,000 to 25,000)",
        "25 times the events (1,000 to 25,000)",
    ]


def test_a_figure_of_nothing_is_compared_too() -> None:
    points = [(1, {"cpu": 0.0, "MB": 1.0}), (2, {"cpu": 0.0, "MB": 1.0})]
    assert "cost 0.00 times" in Growth("events", points, GROWTH.told).sentences()[0]


def test_a_table_has_a_line_for_each_amount() -> None:
    assert GROWTH.table().splitlines() == [
        "| events | cpu | MB |",
        "| --- | --- | --- |",
        "| 1,000 | 4.00 | 100 |",
        "| 10,000 | 4.12 | 150 |",
    ]


def test_amounts_grow() -> None:
    assert amounts("1,10,1_000") == [1, 10, 1000]
    for wrong in ("10,1", "0,1", "1,1"):
        with pytest.raises(argparse.ArgumentTypeError, match="numbers above 0 that grow"):
            amounts(wrong)


def test_what_does_not_grow_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["events", "colours"]) == 1
    said = capsys.readouterr().err
    assert "no growth of 'colours'; there is events, fields, bytes, workers, table" in said
