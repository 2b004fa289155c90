"""A message's line says everything, and gives it back; what is no such line is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nrtctl.kafka.messages import PREFIX, decode, encode

DATA = st.none() | st.binary(max_size=40) | st.text(max_size=20).map(str.encode)
HEADERS = st.lists(st.tuples(st.text(max_size=8), DATA), max_size=4)


@given(DATA, DATA, HEADERS, st.none() | st.integers(0, 2**63 - 1))
def test_there_and_back(
    key: bytes | None,
    value: bytes | None,
    headers: list[tuple[str, bytes | None]],
    timestamp: int | None,
) -> None:
    line = encode(
        topic="t", partition=3, offset=2**62, timestamp=timestamp, key=key, headers=headers,
        value=value,
    )  # fmt: skip
    assert line.startswith(PREFIX)
    assert line.count(b"\n") == 1
    again_key, again_value, extra = decode(line)
    assert (again_key, again_value) == (key, value)
    assert extra.get("headers", []) == headers
    assert extra.get("timestamp") == timestamp


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"no", "not JSON"),
        (b"[]", "nrtctl_message is not 1"),
        (b'{"nrtctl_message":2,"key":null,"value":null}', "nrtctl_message is not 1"),
        (b'{"nrtctl_message":1,"key":null}', "value is missing"),
        (b'{"nrtctl_message":1,"key":1,"value":null}', "key is neither"),
        (b'{"nrtctl_message":1,"key":null,"value":{"base64":"*"}}', "not base64"),
        (b'{"nrtctl_message":1,"key":null,"value":{"base64":"","x":1}}', "value is neither"),
        (b'{"nrtctl_message":1,"key":null,"value":"","timestamp":-1}', "not a number of milli"),
        (b'{"nrtctl_message":1,"key":null,"value":"","timestamp":true}', "not a number of milli"),
        (b'{"nrtctl_message":1,"key":null,"value":"","headers":{"a":"b"}}', "not a list"),
        (b'{"nrtctl_message":1,"key":null,"value":"","headers":[["a"]]}', "not a list"),
    ],
)
def test_what_is_no_line(line: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        decode(line)
