"""metrics.json: a metric that is wrong is named, and the others go on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from nrtctl.config.trust import Trust
from nrtctl.stats.metrics_file import Thresholds, parse_metrics, read_metrics
from nrtctl.stats.metrics_run import with_sources
from nrtctl.stats.schemas import metrics_schema
from tests.unit.stats.example import SNAPSHOT

GOOD = {"name": "good", "help": "A good one", "unit": "rows", "kind": "gauge", "sql": "SELECT 1"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"unit": "furlongs"}, "unknown unit 'furlongs'"),
        ({"unit": "rows/minute"}, "unknown unit"),
        ({"kind": "graph"}, "kind"),
        ({"name": "Bad Name"}, "name"),
        ({"help": ""}, "help"),
        ({"sql": None}, "either sql or source"),
        ({"source": "lag_records"}, "either sql or source"),
        ({"sql": None, "source": "nothing"}, "'nothing' is not one of"),
        ({"sql": "SELECT count() FROM {db}.{table}"}, "{db} is not known"),
        ({"display": "pie"}, "display"),
        ({"threshold": {"warn": 1}}, "threshold"),
        ({"thresholds": {"warn": "high"}}, "thresholds.warn"),
    ],
)
def test_what_is_wrong_is_named_and_the_others_go_on(change: dict[str, Any], said: str) -> None:
    bad = {**GOOD, "name": "bad", **change}
    found = parse_metrics({"version": 1, "metrics": [bad, GOOD]})
    assert [each.name for each in found.defined] == ["good"]
    assert len(found.wrong) == 1
    assert said in found.wrong[0]
    assert repr(bad["name"]) in found.wrong[0]


def test_what_has_no_name_has_a_number_and_a_name_counts_once() -> None:
    found = parse_metrics({"version": 1, "metrics": [GOOD, 7, {**GOOD, "help": "again"}]})
    assert [each.help for each in found.defined] == ["A good one"]
    assert "number 2" in found.wrong[0]
    assert "twice" in found.wrong[1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[]", "must be an object"),
        ('{"version": 9, "metrics": []}', "version 9"),
        ('{"version": 1, "metrics": [], "x": 1}', "unknown key 'x'"),
    ],
)
def test_a_file_that_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "metrics.json"
    path.write_text(text)
    found = read_metrics(path, Trust.of_user({}))
    assert not found.defined
    assert said in found.wrong[0]
    assert "metrics.json" in found.wrong[0]


def test_no_file_defines_nothing(tmp_path: Path) -> None:
    found = read_metrics(tmp_path / "metrics.json", Trust.of_user({}))
    assert (found.defined, found.wrong) == ((), ())


def test_only_our_places_are_filled_in() -> None:
    sql = "SELECT {table} FROM {database} WHERE x = '{}' AND y > {window} AND z = '{\"a\": 1}'"
    (metric,) = parse_metrics({"version": 1, "metrics": [{**GOOD, "sql": sql}]}).defined
    text = metric.statement(database="d", table="t", dead_letters="l", window=0.2)
    assert text == "SELECT t FROM d WHERE x = '{}' AND y > 1 AND z = '{\"a\": 1}'"


def test_units_of_ones_own() -> None:
    for unit in ("{parcels}", "{parcels}/second", "bytes/second"):
        found = parse_metrics({"version": 1, "metrics": [{**GOOD, "unit": unit}]})
        assert not found.wrong


@pytest.mark.parametrize(
    ("thresholds", "value", "level"),
    [
        ({"warn": 5, "crit": 10}, 4.9, "ok"),
        ({"warn": 5, "crit": 10}, 5, "warn"),
        ({"warn": 5, "crit": 10}, 10, "crit"),
        ({"warn": 5, "crit": 1}, 6, "ok"),
        ({"warn": 5, "crit": 1}, 5, "warn"),
        ({"warn": 5, "crit": 1}, 0.5, "crit"),
        ({"warn": 5}, 7, "warn"),
        ({"crit": 5}, 7, "crit"),
        ({}, 7, "ok"),
        ({"warn": 0}, None, "ok"),
    ],
)
def test_thresholds(thresholds: dict[str, float], value: float | None, level: str) -> None:
    assert Thresholds(**thresholds).level(value) == level


def test_the_schema_says_the_same() -> None:
    schema = metrics_schema()
    template = Path(__file__).parents[3] / "src/nrtctl/config/templates/metrics.json"
    document = json.loads(template.read_text())
    jsonschema.validate(document, schema)
    assert not parse_metrics(document).wrong
    for change in ({"kind": "graph"}, {"display": "pie"}, {"more": 1}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"version": 1, "metrics": [{**GOOD, **change}]}, schema)


def test_a_metric_that_names_a_field_has_its_value() -> None:
    given: list[dict[str, Any]] = [
        {"name": "waiting", "source": "lag_records", "thresholds": {"warn": 10}},
        {"name": "slow", "source": "end_to_end_latency_seconds", "dimensions": ["p"]},
        {"name": "bad", "source": "dead_letters_by_reason", "dimensions": ["reason"]},
        {"name": "sql_alone", "sql": "SELECT 1"},
    ]
    whole = {"help": "h", "unit": "records", "kind": "gauge"}
    found = parse_metrics({"version": 1, "metrics": [{**whole, **each} for each in given]})
    assert not found.wrong
    shot = replace(SNAPSHOT, metrics=[])
    waiting, slow, bad = with_sources(found.defined, shot).metrics
    assert [each.value for each in waiting.values] == [shot.lag_records]
    assert waiting.level == "warn"
    latency = shot.end_to_end_latency_seconds
    assert [(each.dimensions["p"], each.value) for each in slow.values] == [
        ("p50", latency.p50), ("p95", latency.p95), ("p99", latency.p99),
    ]  # fmt: skip
    letters = {each.dimensions["reason"]: each.value for each in bad.values}
    assert letters == shot.dead_letters_by_reason
    gone = replace(shot, lag_records=None)
    assert with_sources(found.defined, gone).metrics[0].values[0].value is None


def test_a_field_that_is_no_number_is_refused() -> None:
    given = {**GOOD, "source": "verdict"}
    del given["sql"]
    (said,) = parse_metrics({"version": 1, "metrics": [given]}).wrong
    assert "'verdict' is not one of" in said
    assert "lag_records" in said


def test_a_metric_may_be_of_some_pipelines_only() -> None:
    some = {**GOOD, "name": "some", "pipelines": ["orders", "eu-*"]}
    found = parse_metrics({"version": 1, "metrics": [GOOD, some]})
    assert found.wrong == ()
    for pipeline, names in (
        ("orders", ["good", "some"]), ("eu-clicks", ["good", "some"]), ("clicks", ["good"]),
        (None, ["good", "some"]),
    ):  # fmt: skip
        assert [each.name for each in found.of(pipeline).defined] == names
