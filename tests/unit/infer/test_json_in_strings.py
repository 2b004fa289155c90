"""A draft reads JSON that stands in strings, where all of a key's strings are such."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nrtctl.pipeline.infer.draft import Draft, draft
from nrtctl.pipeline.infer.text import written
from nrtctl.producer.sample import take
from nrtctl.producer.sources.files import Read


def drafted(*messages: Any, cells: bool = False) -> Draft:
    reads = [Read(json.dumps(message).encode(), None, (), None, "x") for message in messages]
    taken = take(reads, is_cells=lambda: cells)
    return draft(taken.sample, source="x.jsonl", topic="t", table="t")


def packed(value: Any) -> str:
    return json.dumps(value)


def test_what_is_in_the_strings_becomes_fields() -> None:
    inner = {"id": 1, "lines": [{"sku": "a"}]}
    made = drafted({"body": packed({"Message": packed(inner), "kind": "x"})})
    given = made.pipeline()
    assert given["unpack"] == ["body", "Message"]
    assert given["fields"]["body_Message_id"] == {
        "type": "UInt64",
        "from": ["body", "Message", "id"],
    }
    assert "JSON in a string" not in written(made, "")
    assert '\nunpack = ["body", "Message"]   # JSON in strings\n' in written(made, "")


@pytest.mark.parametrize(
    "messages",
    [
        [{"m": packed({"a": 1})}, {"m": "plain"}],
        [{"m": packed({"a": 1})}, {"m": ""}],
        [{"m": packed({"a": 1})}, {"m": 5}],
        [{"m": packed({"a": 1})}, {"x": {"m": "{no"}, "y": [{"m": "[1]"}, {"m": "[1"}]}],
        [{"m": "{}", "n": "[]"}],
        [{"m": "5"}, {"m": '"text"'}],
        [{"annotations": {"a.b/c": packed({"a": 1})}}],
        [{"m": "[" * 100_000 + "]" * 100_000}],
    ],
)
def test_strings_that_may_be_meant_as_text_stay_text(messages: list[Any]) -> None:
    assert "unpack" not in drafted(*messages).pipeline()


def test_at_most_as_many_keys_as_a_pipeline_may_have() -> None:
    message = {f"k{number}": packed({"a": number}) for number in range(12)}
    given = drafted(message).pipeline()
    assert given["unpack"] == [f"k{number}" for number in range(8)]
    assert given["fields"]["k11"] == "String"


def test_cells_of_a_text_file_may_have_json() -> None:
    given = drafted({"id": "5", "m": packed({"a": "05", "b": 7})}, cells=True).pipeline()
    assert given["unpack"] == ["m"]
    assert [spec if isinstance(spec, str) else spec["type"] for spec in given["fields"].values()] \
        == ["UInt64", "String", "UInt32"]  # fmt: skip
