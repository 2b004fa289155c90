"""The logic of exactly once, with no client."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nrtctl.store.intents import (
    Intent,
    OffsetRange,
    Position,
    UnknownMetadataError,
    decode_metadata,
    encode_metadata,
    names_table,
    ranges_of,
    resume,
    table_of,
)

offsets = st.integers(0, 2**62)


@given(offsets, st.integers(1, 10**6))
def test_an_intent_survives_its_metadata(start: int, length: int) -> None:
    batch = OffsetRange(start, start + length)
    assert decode_metadata("events", start, encode_metadata("events", Intent(batch, "a1"))) == batch


@pytest.mark.parametrize("metadata", ["", None])
def test_no_metadata_is_no_intent(metadata: str | None) -> None:
    assert decode_metadata("events", 5, metadata) is None


@pytest.mark.parametrize(("start", "end"), [(5, 5), (5, 4), (-1, 3)])
def test_a_range_holds_an_offset_at_least(start: int, end: int) -> None:
    with pytest.raises(ValueError, match="no range"):
        OffsetRange(start, end)
    assert str(OffsetRange(0, 1)) == "0"


def test_metadata_names_its_table() -> None:
    metadata = encode_metadata("events", Intent(None, "a1"))
    assert table_of(metadata) == "events"
    assert names_table(metadata, "events")
    assert not names_table(metadata, "others")
    for other in ("hello", "", None):
        assert table_of(other) is None
        assert not names_table(other, "events")


@pytest.mark.parametrize(
    "metadata",
    ["hello", "nrtctl2:events:9:a", "nrtctl1:other:9:a", "nrtctl1:events:5:a", "nrtctl1:events:9"],
)
def test_what_is_not_our_intent_is_refused(metadata: str) -> None:
    with pytest.raises(UnknownMetadataError):
        decode_metadata("events", 5, metadata)


@given(st.sets(st.integers(0, 200)))
def test_ranges_cover_exactly_the_offsets(offsets_: set[int]) -> None:
    ranges = ranges_of(sorted(offsets_))
    assert [o for each in ranges for o in range(each.start, each.end)] == sorted(offsets_)
    assert all(a.end < b.start for a, b in itertools.pairwise(ranges))


def test_an_intent_names_the_token_that_several_partitions_share() -> None:
    batch = OffsetRange(5, 9)
    metadata = encode_metadata("events", Intent(batch, "a1", shared="0f"))
    assert metadata == "nrtctl1:events:9:a1~0f"
    position = resume("events", committed=5, metadata=metadata, log_start=0, log_end=12, fresh="f1")
    assert (position.pending, position.shared, position.look) == (batch, "0f", False)


def test_an_intent_says_that_the_batch_may_be_there_under_other_tokens() -> None:
    metadata = encode_metadata("events", Intent(OffsetRange(5, 9), "a1", look=True))
    position = resume("events", committed=5, metadata=metadata, log_start=0, log_end=12, fresh="f1")
    assert (position.pending, position.look) == (OffsetRange(5, 9), True)


def test_what_retention_left_of_a_pending_batch_is_looked_at() -> None:
    position = resume(
        "events", committed=5, metadata="nrtctl1:events:9:a1", log_start=7, log_end=12, fresh="f1"
    )
    assert position == Position(7, "a1", OffsetRange(7, 9), OffsetRange(5, 7), look=True)
    position = resume(
        "events", committed=5, metadata="nrtctl1:events:9:a1", log_start=9, log_end=12, fresh="f1"
    )
    assert position == Position(9, "a1", None, OffsetRange(5, 9), unsaid=True)


@pytest.mark.parametrize(("log_start", "unsaid"), [(0, False), (7, True)])
def test_a_new_group_starts_at_the_log_start(log_start: int, unsaid: bool) -> None:
    """It says so at once where messages are gone before it: perhaps none comes any more, and
    another member waits for what this one has stored."""
    position = resume(
        "events", committed=None, metadata="", log_start=log_start, log_end=7, fresh="f1"
    )
    assert position == Position(log_start, "f1", unsaid=unsaid)


def test_offsets_that_nobody_committed_with_an_epoch_begin_a_new_one() -> None:
    at: dict[str, Any] = {"log_start": 0, "log_end": 12, "fresh": "f1"}
    kept = encode_metadata("events", Intent(None, "a1"))
    assert resume("events", committed=5, metadata=kept, **at) == Position(5, "a1")
    assert resume("events", committed=5, metadata="", **at) == Position(5, "f1")
    assert resume("events", committed=None, metadata="", **at) == Position(0, "f1")


def test_a_pending_intent_is_resolved_first() -> None:
    position = resume(
        "events", committed=5, metadata="nrtctl1:events:9:a1", log_start=0, log_end=12, fresh="f1"
    )
    assert position.offset == 5
    assert position.pending == OffsetRange(5, 9)


def test_retention_that_passed_the_position_is_a_loss_with_a_name() -> None:
    position = resume("events", committed=5, metadata="", log_start=8, log_end=12, fresh="f1")
    assert position == Position(8, "f1", None, OffsetRange(5, 8), unsaid=True)


def test_a_position_beyond_the_log_is_an_error() -> None:
    with pytest.raises(ValueError, match="created again"):
        resume("events", committed=50, metadata="", log_start=0, log_end=12, fresh="f1")
