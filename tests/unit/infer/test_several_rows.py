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
    ],
    ids=["cloudtrail", "answer", "segment", "traces", "remote write", "array"],
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
    assert "becomes a row" in text
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
