"""Messages that are envelopes of rows are drafted as what they are; what only has a list is not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nrtctl.pipeline import Pipeline
from nrtctl.pipeline.infer.draft import Draft, draft
from nrtctl.pipeline.infer.seen import Sample
from nrtctl.pipeline.infer.text import written


def drafted(*messages: Any) -> Draft:
    sample = Sample()
    for message in messages:
        sample.add(json.dumps(message).encode())
    return draft(sample, source="x.jsonl", topic="t", table="t")


SPAN = {"spanId": "b7", "attributes": [{"key": "a", "value": {"intValue": "1"}}]}
RESOURCE = {"attributes": [{"key": "service.name", "value": {"stringValue": "cart"}}]}


@pytest.mark.parametrize(
    ("message", "rows", "fields"),
    [
        ({"Records": [{"id": 1}, {"id": 2, "at": None}]}, ["Records"], {"id": None, "at": None}),
        (
            {"meta": {"page": 1}, "data": [{"id": 1}]},
            ["data"],
            {"id": None, "meta_page": ["$", "meta", "page"]},
        ),
        (
            {"sentAt": "x", "batch": [{"id": 1, "sentAt": "y"}]},
            ["batch"],
            {"id": None, "sentAt": None, "sentAt_2": ["$", "sentAt"]},
        ),
        (
            {"resourceSpans": [{
                "resource": RESOURCE, "schemaUrl": "u",
                "scopeSpans": [{"scope": {"name": "http"}, "spans": [SPAN]}],
            }]},
            ["resourceSpans", "scopeSpans", "spans"],
            {
                "spanId": None,
                "attributes": None,
                "resource_attributes": ["$", "resourceSpans", "*", "resource", "attributes"],
                "schemaUrl": ["$", "resourceSpans", "*", "schemaUrl"],
                "scope_name": ["$", "resourceSpans", "*", "scopeSpans", "*", "scope", "name"],
            },
        ),
        (
            {"timeseries": [{"labels": [{"name": "a", "value": "b"}], "samples": [{"value": 1}]}]},
            ["timeseries", "samples"],
            {"value": None, "labels": ["$", "timeseries", "*", "labels"]},
        ),
        ([{"id": 1}, {"id": 2}], ["*"], {"id": None}),
        (
            {"took": 1, "hits": {
                "total": {"value": 2}, "hits": [{"_id": "a", "_source": {"n": 1}}],
            }},
            ["hits", "hits"],
            {
                "id": "_id",
                "source_n": ["_source", "n"],
                "took": ["$", "took"],
                "hits_total_value": ["$", "hits", "total", "value"],
            },
        ),
        (
            {"log": {"version": "1.2", "entries": [{"time": 5, "request": {"method": "GET"}}]}},
            ["log", "entries"],
            {
                "time": None,
                "request_method": ["request", "method"],
                "log_version": ["$", "log", "version"],
            },
        ),
        (
            {"status": "success", "data": {"resultType": "matrix", "result": [
                {"metric": {"__name__": "up"},
                 "values": [[1435781430.781, "1"], [1435781445, "NaN"]]},
            ]}},
            ["data", "result", "values"],
            {
                "values_0": ["$", "data", "*", "result", "*", "values", "*", 0],
                "values_1": ["$", "data", "*", "result", "*", "values", "*", 1],
                "status": ["$", "status"],
                "data_resultType": ["$", "data", "resultType"],
                "metric": ["$", "data", "*", "result", "*", "metric"],
            },
        ),
        (
            {"data": {"orders": {"edges": [{"node": {"id": "a"}}]}}},
            ["data", "orders", "edges"],
            {"node_id": ["node", "id"]},
        ),
        ({"kind": "PodList", "items": [{"n": 1}]}, ["items"], {"n": None, "kind": ["$", "kind"]}),
        (
            {"error": [], "result": {"XBT": [[1616662740, "5.5"], [1616662800, "6"]], "last": 5}},
            ["result", "XBT"],
            {
                "XBT_0": ["$", "result", "*", "XBT", "*", 0],
                "XBT_1": ["$", "result", "*", "XBT", "*", 1],
                "error": ["$", "error"],
                "result_last": ["$", "result", "last"],
            },
        ),
        (
            {"metrics": [{"name": "a", "gauge": {"dataPoints": [{"asInt": "1"}]}}]},
            ["metrics", "gauge", "dataPoints"],
            {"asInt": None, "name": ["$", "metrics", "*", "name"]},
        ),
        ({"alerts": [{"n": 1}], "at": "x"}, ["alerts"], {"n": None, "at": ["$", "at"]}),
        ({"items": [{"n": 1}], "next": 2}, ["items"], {"n": None, "next": ["$", "next"]}),
        (
            {"metrics": [
                {"name": "a", "sum": {"isMonotonic": True, "dataPoints": [{"asInt": "1"}]}},
                {"name": "b", "gauge": {"dataPoints": [{"asDouble": 1.5}]}},
            ]},
            ["metrics", ["sum", "gauge"], "dataPoints"],
            {
                "asInt": None,
                "asDouble": None,
                "name": ["$", "metrics", "*", "name"],
                "sum_isMonotonic": ["$", "metrics", "*", "sum", "isMonotonic"],
            },
        ),
        (
            [[1499040000000, "0.0163", 5], [1499040060000, "0.0164", 6]],
            ["*"],
            {"f_0": ["$", "*", 0], "f_1": ["$", "*", 1], "f_2": ["$", "*", 2]},
        ),
        ([1415398768, 0.32, 4.2], [], {"f_0": ["$", 0], "f_1": ["$", 1], "f_2": ["$", 2]}),
    ],
    ids=[
        "cloudtrail", "answer", "segment", "traces", "remote write", "array", "elasticsearch",
        "har", "prometheus", "graphql", "kubernetes", "in an object", "gauges", "alerts", "pages",
        "metrics", "candles", "a candle",
    ],
)  # fmt: skip
def test_an_envelope_is_taken_apart(message: Any, rows: list[str], fields: dict[str, Any]) -> None:
    made = drafted(message, message)
    given = made.pipeline()
    assert given["rows"] == rows
    assert Pipeline(**given).rows is not None
    found = {
        name: spec.get("from") if isinstance(spec, dict) else None
        for name, spec in given["fields"].items()
    }
    assert found == fields
    text = written(made, "")
    assert f"\nrows = {json.dumps(rows)}\n" in text
    assert ("becomes a row" in text) == bool(rows)
    assert "cannot be stored" not in text


@pytest.mark.parametrize(
    "messages",
    [
        [{"id": 1, "lines": [{"sku": "a"}]}],
        [{"data": [{"id": 1}]}, {"data": []}],
        [{"data": [{"id": 1}]}, {"data": None}],
        [{"data": [{"id": 1}]}, {"other": 1}],
        [{"data": [{"id": 1}]}, [{"id": 1}]],
        [{"data": [{"id": 1}, 5]}],
        [{"data": [{"id": 1}], "events": [{"id": 1}]}],
        [{"labels": [{"name": "a", "value": "b"}]}],
        [{"order": {"no": 1, "items": [{"sku": "a"}]}}],
        [{"id": 1, "data": {"total": 1, "results": [{"n": 1}]}}],
        [{"id": 1, "lines": {"object": "list", "data": [{"n": 1}]}}],
        [{"hits": {"hits": [{"n": 1}]}}, {"hits": {"hits": []}}],
        [{"a": {"sum": {"p": [{"n": 1}]}}}, {"a": {"gauge": {"p": [{"n": 1}]}}, "b": 1}],
        [{"prices": [[1, 2], [3, 4]]}],
        [{"a": [{"name": "x", "no": 1, "values": [{"n": 1}]}]}, {"a": [], "b": 1}],
        [{"metrics": [{"name": "a", "gauge": {"list": [{"n": 1}]}}], "b": 1}],
    ],
)
def test_what_may_be_meant_otherwise_is_a_row_a_message(messages: list[Any]) -> None:
    assert "rows" not in drafted(*messages).pipeline()


def test_a_list_that_may_be_rows_has_a_word_on_it() -> None:
    made = written(drafted({"type": "x", "data": [{"id": 1}]}, {"type": "y", "data": None}), "")
    assert 'rows = ["data"] makes a row of each element' in made
    assert "makes a row" not in written(drafted({"id": 1, "lines": [{"sku": "a"}]}), "")


def test_arrays_of_values_are_no_messages() -> None:
    with pytest.raises(ValueError, match="no message of the sample is a JSON object"):
        drafted([1, 2], [3])


def test_values_of_arrays_of_one_length_go_by_position() -> None:
    fields = drafted(*[{"value": [1435781430.781, "1"], "xy": [1.5, 2.5]}]).pipeline()["fields"]
    assert fields["value_0"] == {
        "type": "DateTime64(3, 'UTC')", "from": ["value", 0], "epoch": "s",
    }  # fmt: skip
    assert fields["value_1"]["from"] == ["value", 1]
    assert fields["xy"] == "Array(Float64)"
    mixed = [{"a": ["x", number, {"n": number}]} for number in range(3)]
    assert [spec["from"] for spec in drafted(*mixed).pipeline()["fields"].values()] == [
        ["a", 0], ["a", 1], ["a", 2, "n"],
    ]  # fmt: skip
    for kept in (mixed[:2], [*mixed, {"a": ["x"]}], [*mixed, {"a": [5, 5, {"n": 5}]}]):
        assert drafted(*kept).pipeline()["fields"]["a"]["json"] == "text"


def test_numbers_of_any_size_may_stand_in_arrays() -> None:
    for first in ("1" + "0" * 400, "9" * 5000, "1e300", "-" + "9" * 30, "NaN"):
        text = f'{{"a":[{first},1]}}'
        sample = Sample()
        for _ in range(3):
            sample.add(text.encode())
            sample.add(b'{"a":[1e400,"x"]}')
        assert draft(sample, source="x", topic="t", table="t").pipeline()["fields"]
