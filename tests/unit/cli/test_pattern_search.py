"""Messages that have a pattern: by a process the same ones, and no pattern outlives its time."""

from __future__ import annotations

import re
import subprocess
import sys
from threading import Timer

import pytest

from nrtctl.cli.pattern_search import Search, compiled, searched
from nrtctl.errors import ConfigError
from tests.unit.cli.test_peeked import HOSTILE, Message

ENOUGH = 600.0
ENDLESS = "(x+)+y"
SLOW = b"x" * 60


def test_key_value_and_headers_are_searched() -> None:
    message = Message(b"value \xff", b"key", [("name", b"header")])
    for found in ("val.e", "^key$", "head", "name", r"\\xff"):
        assert searched(message, re.compile(found)), found
    assert not searched(message, re.compile("other"))
    assert not searched(Message(None, None), re.compile("k"))


@pytest.mark.parametrize("pattern", ["k", "^$", r"\\x(ff|80)", "[\ud800\u202e]|0{9}"])
def test_a_process_finds_the_same(pattern: str) -> None:
    """Also of messages that fill the pipe many times over."""
    messages = [
        *(Message(data, data[:10], [("\udcff", data), ("k", None)]) for data in HOSTILE),
        *(Message(None, None), Message(b"", b""), Message(b"0" * 2**20)),
        *(Message(b"%d" % number) for number in range(3000)),
    ]
    with Search(pattern, ENOUGH) as search:
        assert search.having([]) == []
        expected = [each for each in messages if searched(each, compiled(pattern))]
        assert search.having(messages) == expected
        assert search.having(messages[:2]) == [each for each in messages[:2] if each in expected]
    assert (search.slow, search.stop.is_set()) == (None, False)


def test_without_a_pattern_each_message_is_taken() -> None:
    with Search(None, ENOUGH) as search:
        messages = [Message(None), Message(b"")]
        assert search.having(messages) == messages


def test_a_pattern_that_takes_years_ends_with_its_time() -> None:
    fast = Message(b"xy")
    with Search(ENDLESS, ENOUGH) as search:
        assert search.having([fast]) == [fast]
        Timer(0.05, search._end).start()
        assert search.having([Message(SLOW), fast]) == []
        assert (search.slow, search.stop.is_set()) == ("3/7", True)
        assert search.having([fast]) == []


def test_the_time_begins_with_the_search() -> None:
    with pytest.raises(ConfigError, match="cannot be read in time"), Search("x", 0.0):
        pass


def test_a_process_that_has_ended_before_its_time_is_no_message_without_a_match() -> None:
    with Search("x", ENOUGH) as search:
        search._process.kill()
        with pytest.raises(ConfigError, match="has broken off at message 3/7"):
            search.having([Message(b"x")])


@pytest.mark.parametrize("pattern", ["(", "a{99999999999}", "(?P<\ud800>"])
def test_what_is_no_pattern_is_said(pattern: str) -> None:
    with pytest.raises(ConfigError, match="is not a regular expression"), Search(pattern, ENOUGH):
        pass


def test_a_process_whose_parent_is_gone_ends_by_itself() -> None:
    """Nobody kills it, and the end of its input does not interrupt a search."""
    pattern = ENDLESS.encode()
    counts = {"pattern": (1, len(pattern)), "message": (1, 1, len(SLOW))}
    before = {name: b"".join(n.to_bytes(8, "big") for n in of) for name, of in counts.items()}
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "nrtctl.cli.pattern_search", "-0.9"],
        input=before["pattern"] + pattern + before["message"] + SLOW,
        capture_output=True,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, bytes(8), b"")
