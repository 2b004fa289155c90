"""Which topics a pattern matches: what `re` says, in a time that no pattern can make long."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nrtctl.pipeline.topic_pattern import LONGEST, picks

ONE = st.sampled_from(["a", "b", "-", ".", r"\.", "[ab]", "[^a]", r"\d", r"\w", "1", "^", "$"])
TIMES = st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{0,3}", "{2,}", "*?"])
PATTERN = st.recursive(
    ONE,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda two: f"({two[0]}|{two[1]})"),
        st.tuples(inner, TIMES).map(lambda two: f"(?:{two[0]}){two[1]}"),
    ),
    max_leaves=8,
)


@given(PATTERN, st.lists(st.text("ab-.1", min_size=1, max_size=6), min_size=5, max_size=5))
def test_it_matches_what_re_matches_as_a_whole(pattern: str, names: list[str]) -> None:
    try:
        found = [picks(pattern, name) for name in names]
    except ValueError as error:
        assert "repetitions of repetitions of repetitions" in str(error)  # noqa: PT017
        return
    assert found == [re.fullmatch(pattern, name) is not None for name in names]


@pytest.mark.parametrize(
    "pattern", ["(a+)+b", "(a|aa)+b", ".*.*.*.*b", "(a?a?)+b", "(a*a*){249}b", "a?" * 60 + "a" * 60]
)
def test_none_runs_away(pattern: str) -> None:
    """`re` needs longer than the test may take for most of these."""
    assert not picks(pattern, "a" * LONGEST)


def test_a_whole_name_is_matched_and_none_of_kafkas_own() -> None:
    pattern = r"shop\.(eu|us)\.orders"
    assert picks(pattern, "shop.eu.orders")
    assert picks(f"^{pattern}$", "shop.us.orders")
    for name in ("shop.eu.orders2", "a.shop.eu.orders", "shop-eu.orders", "shop.cn.orders"):
        assert not picks(pattern, name)
    assert picks(".*", "_schemas")
    assert not picks(".*", "__consumer_offsets")
    assert picks(("a", "b"), "b")
    assert not picks(("a", "b"), "c")


@pytest.mark.parametrize(
    ("pattern", "wrong"),
    [
        ("(a", "is not a regular expression"),
        ("", "1 to 249 characters"),
        ("a" * 250, "1 to 249 characters"),
        ("a(?=b)", "has '(?='"),
        (r"(a)\1", r"has '\1'"),
        (r"a\b", r"has '\b'"),
        ("a{", "'{' that is not a repetition"),
        ("a{250}", "more than 249"),
        ("((a*)*)*", "repetitions of repetitions of repetitions"),
        ("[[a]", "'[' within [ ]"),
    ],
)
@pytest.mark.filterwarnings("ignore:Possible nested set")
def test_what_is_not_taken_is_said(pattern: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=re.escape(wrong)):
        picks(pattern, "a")
