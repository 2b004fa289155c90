"""Field types by name: which are supported, and what is said about the others."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from nrtctl.pipeline import Pipeline
from nrtctl.pipeline.casts import literal
from nrtctl.pipeline.field_types import SUPPORTED, field_type
from nrtctl.pipeline.type_catalogue import table

REFUSED = [
    "", "string", "Strin", "Int", "Int24", "Nullable(Nullable(Int8))",
    "LowCardinality(Decimal(9, 2))", "FixedString", "FixedString(0)", "Time64(10)", "Time(3)",
    "LowCardinality(Array(Int8))", "Nullable(LowCardinality(Int8))", "Array()", "Array",
    "Map(Int8, Int8)", "Map(String)", "Enum8()", "Enum8(a = 1)",
    "Enum8('a' = 1) DEFAULT 'a'", "Enum8('a' = 1", "String, y String", "String DEFAULT ''",
    "DateTime('UTC', 3)", "DateTime64(10)", "DateTime64('UTC')", "Decimal(9)", "JSON(a Int8)",
    "Object",
    "Tuple()", "Tuple", "Tuple(a Int8, Int8)", "Tuple(a Int8, a Int16)", "Tuple(Array(Int8), Int8)",
    "Nested(Int8)", "Array(Array(Int24))", "Map(Int8, Array(Int8))", "Point(Int8)",
    "Tuple(a Int8", "Tuple(a `b Int8)",
    "Tuple(a Int8) DEFAULT 1", "Array(Array(Int8))) --",
    "Int8)", "Array(Int8)) ENGINE = Log --", "Map(String, Int8)) --",
    "Variant(Int8)",
]  # fmt: skip


@pytest.mark.parametrize("text", REFUSED)
def test_an_unknown_type_is_refused_with_those_that_are_known(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        field_type(text)
    assert SUPPORTED in str(caught.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Decimal(2, 3)", "S <= P"),
        ("Decimal(77, 0)", "P <= 76"),
        ("Array(Nullable(Array(Int8)))", "not Nullable"),
        ("Tuple(a Int8, a Int16)", "one name"),
        ("Map(Int8, Tuple(a Int8))", "keys of a Map"),
    ],
)
def test_a_type_that_cannot_be(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        field_type(text)


@pytest.mark.parametrize("name", ["a.b", "a b", "a`", "ключ", "1a", "", "a-b", "_x", "_offset"])
@pytest.mark.parametrize("section", ["fields", "columns"])
def test_a_name_that_is_no_identifier_is_refused(section: str, name: str) -> None:
    sections = {"fields": {"x": "Int8"}, "columns": {}}
    sections[section] = {name: "Int8" if section == "fields" else "1"}
    with pytest.raises(ValidationError):
        Pipeline(**sections)


def test_a_literal_ends_where_it_should() -> None:
    assert literal("it's \\ \0") == r"'it\'s \\ \0'"


def test_the_page_has_the_table_of_types() -> None:
    page = (Path(__file__).parents[3] / "docs" / "messages.md").read_text()
    assert "\n".join(table()) in page
