"""What is JSON for a message: a whole number may be longer than any double."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nrtctl.pipeline.condition import NOT_JSON, parsed
from nrtctl.pipeline.json_text import loads, value_of

LONG = "1" + "0" * 400


@pytest.mark.parametrize("number", [LONG, f"-{LONG}", "9" * 5000, "9" * 309])
def test_whole_numbers_of_any_length(number: str) -> None:
    text = f'{{"a": {number}, "b": "{number}", "c": [1.5, {number}]}}'.encode()
    assert loads(text) == {"a": number, "b": number, "c": [1.5, number]}
    assert value_of(text, ("c", 1)) == number
    assert value_of(text, ("c", 0)) == 1.5
    assert parsed(text) == loads(text)


@pytest.mark.parametrize(
    "value",
    [
        "1e400",
        f"{LONG}.5",
        f"{LONG}e1",
        f"0{LONG}",
        f"+{LONG}",
        f"{LONG} 1",
        f'"{LONG}',
        f"{LONG}a",
    ],
)
def test_what_the_engine_takes_for_no_json_is_none(value: str) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        loads(f'{{"a": {value}}}'.encode())
    assert parsed(f'{{"a": {value}}}'.encode()) is NOT_JSON


def test_a_number_keeps_its_digits_beyond_64_bits() -> None:
    assert value_of(b'{"a": 123456789012345678901234}', ("a",)) == "123456789012345678901234"
    assert value_of(b'{"a": 18446744073709551615}', ("a",)) == 2**64 - 1
    assert value_of(b'{"a": 1234567890.1234567890123456789}', ("a",)) == 1234567890.1234567
    assert value_of(b'{"a": 1}', ("b",)) is None


@given(
    st.recursive(
        st.integers(-(10**30), 10**30)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=6,
    )
)
def test_any_other_text_means_the_same(value: object) -> None:
    def plain(each: object) -> object:
        if isinstance(each, list):
            return [plain(one) for one in each]
        if isinstance(each, dict):
            return {key: plain(one) for key, one in each.items()}
        whole = type(each) is int
        return str(each) if whole and not -(2**63) <= each < 2**64 else each  # type: ignore[operator]

    assert value_of(json.dumps([value]).encode(), (0,)) == (
        plain(value) if not isinstance(value, list | dict) else orjson.loads(json.dumps(value))
    )
