"""Tuples in the tables of `query` have the names of their elements."""

from __future__ import annotations

import pytest

from nrtctl.cli.tuples import has_names, with_names

TUPLE = "Tuple(sku String, `post code` Nullable(String), at Tuple(lat Float64, lon Float64))"


@pytest.mark.parametrize(
    ("kind", "text", "shown"),
    [
        ("Tuple(a UInt8, b String)", "(1,'x')", "(a: 1, b: 'x')"),
        ("Array(Tuple(a UInt8))", "[(1),(2)]", "[(a: 1), (a: 2)]"),
        ("Array(Tuple(a UInt8))", "[]", "[]"),
        (TUPLE, r"('it\'s, (a)',NULL,(1.5,-2))", r"(sku: 'it\'s, (a)', post code: NULL, "
         "at: (lat: 1.5, lon: -2))"),
        ("Map(String, Tuple(x UInt8))", "{'k':(1),'l':(2)}", "{'k': (x: 1), 'l': (x: 2)}"),
        ("Tuple(p Point, t DateTime)", "((1,2),'2024-05-06 07:08:09')",
         "(p: (1,2), t: '2024-05-06 07:08:09')"),
        ("Tuple(a Enum8('(' = 1), b UInt8)", "('(',2)", "(a: '(', b: 2)"),
        ("Tuple(a UInt8)", "something else", "something else"),
        ("Tuple(a UInt8)", "(1", "(1"),
    ],
)  # fmt: skip
def test_elements_have_their_names(kind: str, text: str, shown: str) -> None:
    assert has_names(kind)
    assert with_names(text, kind) == shown


@pytest.mark.parametrize(
    "kind", ["UInt8", "Tuple(UInt8, String)", "Array(Array(String))", "Enum8('Tuple(a B)' = 1)"]
)
def test_other_types_have_none(kind: str) -> None:
    assert not has_names(kind)
