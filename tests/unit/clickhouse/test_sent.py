"""A body that is sent in pieces."""

from __future__ import annotations

from nrtctl.clickhouse.client import SENT_TOGETHER, Sent


def test_small_pieces_are_sent_together_and_large_ones_as_they_are() -> None:
    small, large = [bytes([number]) * 1000 for number in range(200)], b"x" * SENT_TOGETHER
    sent = Sent([large, *small, large])
    pieces = list(sent)
    assert b"".join(pieces) == large + b"".join(small) + large
    assert pieces[0] is large
    assert all(len(piece) >= SENT_TOGETHER for piece in pieces[:-1])
    assert sent.size == sum(map(len, pieces))


def test_a_repeat_sends_all_of_it_again() -> None:
    sent = Sent([b"a" * 40_000] * 5)
    begun = iter(sent)
    next(begun)
    assert b"".join(sent) == b"a" * 200_000 == b"".join(sent)


def test_nothing_is_sent_of_nothing() -> None:
    assert (list(Sent([])), Sent([]).size) == ([], 0)
