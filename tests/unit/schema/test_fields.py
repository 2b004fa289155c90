"""What a field may say of itself, and what is said where it cannot be so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from nrtctl.pipeline import Pipeline
from nrtctl.pipeline.field_types import type_of
from nrtctl.pipeline.fields import Source, value_at
from nrtctl.pipeline.options import enum_names
from nrtctl.schema import ddl

FLAT = Path(__file__).with_name("flat.sql")


def test_a_field_that_says_only_its_type_costs_what_it_did() -> None:
    """`flat.sql` is what the engine was given before a field could say more."""
    pipeline = Pipeline(
        fields={
            "id": "UUID", "big": "UInt64", "price": "Decimal(18, 4)", "name": "String",
            "kind": "LowCardinality(String)", "state": "Enum8('a' = 1, 'b' = 2)", "ok": "Bool",
            "ratio": "Nullable(Float64)", "code": "Nullable(UInt16)", "day": "Date",
            "address": "IPv4", "tags": "Array(String)", "counts": "Map(String, UInt64)",
            "note": "Nullable(String)",
        },
        columns={"twice": "big * 2"},
        rejects={"too large": "big > 100"},
    )  # fmt: skip
    optional = Pipeline(fields={"a": "Nullable(String)"})
    views = [ddl.feeding_views(each, "db") for each in (pipeline, optional)]
    texts = [query for each in views for _, query in each.values()]
    assert "".join(f"{text}\n" for text in texts) == FLAT.read_text()


@pytest.mark.parametrize(
    ("given", "place"),
    [
        (None, Source(("x",))),
        ("@at", Source(("@at",))),
        (["key"], Source(("key",))),
        (["a", 0, "b", -1], Source(("a", 0, "b", -1))),
    ],
)
def test_where_a_field_is_read_from(given: Any, place: Source) -> None:
    spec = {"type": "String"} if given is None else {"type": "String", "from": given}
    assert Pipeline(fields={"x": spec}).fields["x"].source("x") == place


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (5, 'write its type, as in "String"'),
        ({"type": "String", "from": []}, "the whole message"),
        ({"type": "String", "from": [0, "a"]}, "begins with a key"),
        ({"type": "String", "from": ["a", 1.5]}, "1.5 cannot be part of a path"),
        ({"type": "String", "from": ["a", True]}, "True cannot be part of a path"),
        ({"type": "String", "from": ["a", 10**12]}, "not an index"),
        ({"type": "String", "from": 7}, "7 does not name a place: write a key"),
        ({"type": "String", "from": {"path": "a"}}, "does not name a place: write a key"),
        ({"from": "a"}, "type"),
        ({"type": "String", "form": "a"}, "form"),
    ],
)
def test_a_place_that_is_none(spec: Any, said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Pipeline(fields={"x": spec})
    assert said in str(caught.value)


def test_a_pipeline_gives_back_what_was_written() -> None:
    fields = {
        "a": "String",
        "b": {"type": "UInt8", "from": ["p", 0, "q"]},
        "c": {"type": "UInt8", "from": "@c"},
    }
    dumped = Pipeline(fields=fields).model_dump(mode="json")["fields"]
    assert json.loads(json.dumps(dumped)) == fields
    assert Pipeline(fields=dumped) == Pipeline(fields=fields)


def test_the_key_of_produce_is_found_where_the_field_is() -> None:
    pipeline = Pipeline(
        fields={"id": {"type": "UInt8", "from": ["p", "id"]}, "n": "UInt8"}, key="id"
    )
    assert pipeline.key_path() == ("p", "id")
    assert pipeline.key_path("n") == ("n",)
    assert pipeline.key_path("other") == ("other",)
    assert Pipeline(fields={"n": "UInt8"}).key_path() is None
    assert pipeline.keys_to_types == {"n": "UInt8"}


def test_a_file_and_a_bad_message_are_made_by_the_types_of_keys() -> None:
    fields = {
        "a": {"type": "UInt8", "from": "A a", "default": 0},
        "b": {"type": "Decimal(9, 2)", "accept": ["decimal comma"]},
        "c": {"type": "UInt8", "from": ["x", "y"]},
        "d": {"type": "String", "from": "key"},
        "e": {"type": "Nullable(UInt8)", "from": "E", "default": 1},
    }
    pipeline = Pipeline(fields=fields)
    assert pipeline.keys_to_types == {
        "A a": "UInt8", "b": "Nullable(String)", "E": "Nullable(UInt8)"
    }  # fmt: skip
    assert pipeline.places_to_types == {
        ("A a",): "Nullable(UInt8)", ("b",): "Decimal(9, 2)", ("x", "y"): "UInt8",
        ("E",): "Nullable(UInt8)",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "value"),
    [(("a", "b"), 1), (("c", 0), 2), (("c", -1), 3), (("c", 2), None), (("c", "x"), None),
     (("a", 0), None), (("x", "y"), None)],
)  # fmt: skip
def test_a_value_at_a_path(path: tuple[str | int, ...], value: Any) -> None:
    assert value_at({"a": {"b": 1}, "c": [2, 3]}, path) == value


def test_a_name_that_is_no_identifier_is_told_where_to_write_it() -> None:
    with pytest.raises(ValidationError) as caught:
        Pipeline(fields={"Event-Name": "String"})
    assert 'write Event_Name = { type = "…", from = "Event-Name" }' in str(caught.value)


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ("key", Source(record="key")),
        ({"record": "key"}, Source(record="key")),
        ({"record": "timestamp"}, Source(record="timestamp")),
        ({"header": "ce_type"}, Source(record="header", header="ce_type")),
    ],
)
def test_what_is_read_from_the_record_itself(given: Any, place: Source) -> None:
    spec = {"type": "String", "from": given}
    assert Pipeline(fields={"x": spec}).fields["x"].source("x") == place


MEANINGLESS = [
    ({"type": "String", "epoch": "s"}, "epoch: String is not a time; leave out epoch"),
    ({"type": "DateTime", "epoch": "d"}, '"d" counts days, for Date or Date32'),
    ({"type": "UInt8", "format": "%Y"}, "format: UInt8 is not a time; leave out format"),
    ({"type": "Date", "epoch": "d", "format": "%F"}, "keep one of them"),
    ({"type": "UInt8", "precision": "cut"}, 'precision: "cut" is for Date, DateTime'),
    ({"type": "DateTime", "format": "%H:%M"}, "lacks a year (%Y), a month (%m or %b), a day (%d)"),
    ({"type": "DateTime", "format": "%Y-%m-%d"}, "has no hour (%H); make the field a Date"),
    ({"type": "Date", "format": "%F %T"}, 'a date does not keep; add precision = "cut"'),
    ({"type": "DateTime", "format": "%F %I:%M"}, "%I and %p need each other; 24 hours are %H"),
    ({"type": "DateTime", "format": "%F %T %q"}, "%q is not known; there are %Y, %y"),
    ({"type": "DateTime", "format": "%F %T %"}, "% is not known"),
    ({"type": "DateTime", "format": "%F %T %d"}, "%d repeats what is there already"),
    ({"type": "DateTime", "format": ["%F %T", "iso", "x"]}, "'x' lacks a year"),
    ({"type": "UInt8", "accept": "lenient"}, "'lenient' does not exist; for UInt8 there are"),
    ({"type": "UInt8", "accept": "0/1"}, "'0/1' is for Bool, not for UInt8, for which there are"),
    ({"type": "String", "accept": ["spaces"]}, "'spaces' is for all but String"),
    ({"type": "Enum8('a' = 1, 'A' = 2)", "accept": "any case"}, "cannot tell the names"),
    ({"type": "Enum8('1' = 1)", "accept": "numbers"}, "cannot tell numbers from the names"),
    ({"type": "UInt8", "default": [1]}, "default: [1] is not a UInt8; write a single value"),
    ({"type": "String", "default": 5}, 'default: 5 is not a text; write it in quotes: "5"'),
    ({"type": "UInt8", "default": True}, "default: true is not a UInt8"),
    ({"type": "Array(UInt8)", "empty": "null"}, "leave out empty"),
    ({"type": "Array(UInt8)", "from": "key"}, "a record's key is one value, not Array(UInt8)"),
    ({"type": "String", "from": {"record": "timestamp"}}, "make it DateTime64(3, 'UTC')"),
    ({"type": "DateTime", "from": {"record": "timestamp"}}, 'or add precision = "cut"'),
    (
        {"type": "DateTime64(3)", "from": {"record": "timestamp"}, "default": 0},
        "every record has a time, so leave default out",
    ),
    ({"type": "Strin", "accept": "spaces"}, "write String"),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "said"), MEANINGLESS)
def test_what_means_nothing_for_its_type_is_refused(spec: Any, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        type_of("x", Pipeline(fields={"x": spec}).fields["x"])
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"type": "String", "empty": "nothing"}, 'write "null", "missing" or'),
        ({"type": "String", "empty": {"as": "null", "texts": []}}, 'write "null", "missing" or'),
        ({"type": "String", "empty": {"as": "null"}}, 'write "null", "missing" or'),
        ({"type": "DateTime", "epoch": "min"}, "'d', 's', 'ms', 'us' or 'ns'"),
        ({"type": "DateTime", "precision": "round"}, "'exact' or 'cut'"),
    ],
)
def test_words_that_are_not_known_are_refused(spec: Any, said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Pipeline(fields={"x": spec})
    assert said in str(caught.value)


def test_a_field_gives_back_all_that_was_written() -> None:
    fields = {
        "a": {
            "type": "Nullable(DateTime)",
            "from": {"header": "at"},
            "default": {"missing": "2020-01-01T00:00:00Z"},
            "empty": {"as": "null", "texts": ["", "-"]},
            "format": ["%F %T", "iso"],
            "precision": "cut",
            "accept": ["spaces"],
        },
        "b": {"type": "DateTime", "epoch": "ms", "default": "2020-01-01T00:00:00Z"},
    }
    dumped = Pipeline(fields=fields).model_dump(mode="json", exclude_none=True)["fields"]
    assert json.loads(json.dumps(dumped)) == fields
    assert Pipeline(fields=dumped) == Pipeline(fields=fields)


def test_a_key_of_produce_that_is_no_part_of_the_message_is_refused() -> None:
    with pytest.raises(ValidationError, match="'k' is not a part of the message"):
        Pipeline(fields={"k": {"type": "String", "from": "key"}}, key="k")


def test_enum_names_have_the_numbers_that_the_engine_gives_them() -> None:
    assert enum_names(r"Enum8('a', 'b' = 5, 'it\'s', 'z' = -1)") == {
        "a": 1, "b": 5, "it's": 6, "z": -1
    }  # fmt: skip
