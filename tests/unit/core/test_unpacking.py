"""Strings that contain JSON, as `try` reads them; the SQL is held by `contract/schema`'s shapes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nrtctl.pipeline import Pipeline
from nrtctl.pipeline.unpacking import MOST_KEYS, unpacked_text


def packed(value: Any) -> str:
    return json.dumps(value)


@pytest.mark.parametrize(
    ("message", "keys", "wanted"),
    [
        ({"a": packed({"b": 1}), "c": packed({})}, ["a"], {"a": {"b": 1}, "c": "{}"}),
        ({"a": packed([1, "\u00e9"])}, ["a"], {"a": [1, "\u00e9"]}),
        ({"x": [{"a": packed({"b": 1})}]}, ["a"], {"x": [{"a": {"b": 1}}]}),
        ({"a": packed({"b": packed({"c": 1})})}, ["a", "b"], {"a": {"b": {"c": 1}}}),
        ({"a": packed({"b": packed({"c": 1})})}, ["b"], {"a": packed({"b": packed({"c": 1})})}),
        ({"a": "5"}, ["a"], {"a": "5"}),
        ({"a": "\ufeff{}"}, ["a"], {"a": {}}),
        ({"a": "{no"}, ["a"], {"a": "{no"}),
        ({"a": None, "b": "a"}, ["a"], {"a": None, "b": "a"}),
        ({"a.b c": packed({})}, ["a.b c"], {"a.b c": {}}),
        ({"b": '"a": "{}"'}, ["a"], {"b": '"a": "{}"'}),
        ({"größe/😀": packed({"b": 1})}, ["größe/😀"], {"größe/😀": {"b": 1}}),
    ],
)
def test_the_string_is_read_as_what_it_contains(message: Any, keys: list[str], wanted: Any) -> None:
    plain = json.dumps(message, ensure_ascii=False)
    for text in (json.dumps(message), json.dumps(message, indent=2), plain):
        assert json.loads(unpacked_text(text.encode(), keys)) == wanted


def test_a_line_stays_a_line() -> None:
    text = json.dumps({"a": json.dumps({"b": 1}, indent=1)})
    assert unpacked_text(text.encode(), ["a"]) == b'{"a": {  "b": 1 }}'


def test_other_bytes_stay() -> None:
    text = b'{ "a" : "{\\"b\\": 1.50}" , "c":1.50, "\xff'
    assert unpacked_text(text, ["a"]) == b'{ "a" : {"b": 1.50} , "c":1.50, "\xff'


def test_how_many_keys() -> None:
    fields: Any = {"x": "String"}
    Pipeline(fields=fields, unpack=("a",) * MOST_KEYS)
    with pytest.raises(ValueError, match="at most 8 items"):
        Pipeline(fields=fields, unpack=("a",) * (MOST_KEYS + 1))
    with pytest.raises(ValueError, match="at least 1 character"):
        Pipeline(fields=fields, unpack=("",))
