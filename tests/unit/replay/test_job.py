"""A load cut into windows: every offset is cleared and loaded once, whatever stops it when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nrtctl.replay.job import Span, parse, to_clear
from nrtctl.store.intents import OffsetRange

SPANS = st.builds(
    lambda start, more, window: Span(start, start + more, window),
    st.integers(0, 50), st.integers(1, 200), st.integers(1, 60),
)  # fmt: skip


@given(SPANS)
def test_a_span_is_read_back(span: Span) -> None:
    assert parse(span.start, span.metadata()) == span


@pytest.mark.parametrize("text", ["", "null", "{}", '{"nrtctl_load": 2, "end": 9, "window": 1}',
                                  '{"nrtctl_load": 1, "end": 3, "window": 1}'])  # fmt: skip
def test_what_is_no_load(text: str) -> None:
    with pytest.raises(ValueError):
        parse(5, text)


@given(SPANS, st.lists(st.sampled_from(["cleared", "declared", ""]), max_size=40), st.data())
def test_no_row_that_came_back_is_cleared_and_none_is_left(
    span: Span, kills: list[str], data: st.DataObject
) -> None:
    """A loader that is killed after some steps; what is loaded comes by declared batches."""
    old, new = set(range(span.start, span.end)), set[int]()
    position, pending = span.start, False
    for _ in range(len(kills) + span.end - span.start + 1):
        killed = kills.pop() if kills else ""
        window = span.next_window(position)
        if window is None:
            break
        cleared = to_clear(window, position, pending=pending, log_start=0)
        if cleared is not None:
            gone = set(range(cleared.start, cleared.end))
            assert not gone & new
            old -= gone
        if killed == "cleared":
            continue
        end = data.draw(st.integers(position + 1, window.end))
        batch = set(range(position, end))
        assert not batch & old
        pending = True
        if killed != "declared":
            new |= batch
            position, pending = end, False
    else:
        pytest.fail("it does not end")
    assert (old, new) == (set(), set(range(span.start, span.end)))


def test_rows_below_the_logs_start_stay() -> None:
    window = OffsetRange(10, 20)
    assert to_clear(window, 10, pending=False, log_start=15) == OffsetRange(15, 20)
    assert to_clear(window, 10, pending=False, log_start=20) is None
    assert to_clear(window, 10, pending=True, log_start=0) is None
    assert to_clear(window, 11, pending=False, log_start=0) is None
