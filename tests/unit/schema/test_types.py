"""Field types by name: which are supported, and what is said about the others."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from nrtctl.pipeline import Pipeline
from nrtctl.schema.casts import literal
from nrtctl.schema.types import SUPPORTED, field_type

REFUSED = [
    "", "string", "Strin", "Int", "Int24", "Nullable(Array(Int8))", "Nullable(Nullable(Int8))",
    "LowCardinality(Int8)", "Array(Array(Int8))", "Array(Map(String, Int8))", "Array()", "Array",
    "Map(Int8, Int8)", "Map(String)", "Map(String, Array(Int8))", "Enum8()", "Enum8(a = 1)",
    "Enum8('a' = 1) DEFAULT 'a'", "Enum8('a' = 1", "String, y String", "String DEFAULT ''",
    "DateTime('UTC', 3)", "DateTime64(10)", "DateTime64('UTC')", "Decimal(9)", "JSON", "Object",
    "Tuple(Int8)", "Int8)", "Array(Int8)) ENGINE = Log --", "Map(String, Int8)) --",
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
        ("Array(LowCardinality(String))", "write String"),
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
