"""Questions side by side: all are asked, few at once, and each answer is in its place."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from nrtctl.stats.at_once import at_once


def test_the_answers_are_in_the_order_of_the_questions() -> None:
    assert at_once([lambda n=n: n for n in range(50)], 4) == list(range(50))  # type: ignore[misc]
    assert at_once([], 4) == []


def test_they_are_asked_at_once() -> None:
    """Each waits for all others; one after the other they would wait for ever."""
    meeting = threading.Barrier(4, timeout=60)
    at_once([meeting.wait] * 4, 4)


def test_there_are_no_more_threads_than_allowed() -> None:
    lock, threads = threading.Lock(), set[int]()

    def ask() -> None:
        with lock:
            threads.add(threading.get_ident())

    at_once([ask] * 100, 3)
    assert 1 <= len(threads) <= 3


def test_a_failure_is_raised_when_the_others_have_been_asked() -> None:
    asked = []

    def fine(number: int) -> Callable[[], None]:
        return lambda: asked.append(number)

    def wrong() -> None:
        raise LookupError("the second")

    with pytest.raises(LookupError, match="the second"):
        at_once([fine(1), wrong, fine(3), fine(4)], 2)
    assert sorted(asked) == [1, 3, 4]
