"""Offsets of an earlier topic of the name say nothing of the one that is there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nrtctl.store.intents import (
    FENCE,
    Incarnation,
    Intent,
    OffsetRange,
    Position,
    SwapUnderWayError,
    decode_intent,
    encode_metadata,
    of_this_topic,
    resume,
    tag_of,
)

FIRST, SECOND = Incarnation(1, "id-one"), Incarnation(2, "id-two")


@given(
    st.none() | st.integers(1, 2**40),
    st.from_regex(r"[0-9a-z]{1,8}", fullmatch=True),
    st.booleans(),
    st.none() | st.from_regex(r"[0-9a-z]{1,16}", fullmatch=True),
    st.text(max_size=30),
)
def test_an_intent_is_read_back(
    end: int | None, epoch: str, look: bool, shared: str | None, topic_id: str
) -> None:
    batch = None if end is None else OffsetRange(0, end)
    intent = Intent(
        batch, epoch, look and batch is not None, (batch and shared) or "", tag_of(topic_id)
    )
    assert decode_intent("events", 0, encode_metadata("events", intent)) == intent


@pytest.mark.parametrize(
    ("metadata", "topic", "ours"),
    [
        (encode_metadata("events", Intent(None, "e", topic=FIRST.tag)), FIRST, True),
        (encode_metadata("events", Intent(None, "e", topic=FIRST.tag)), SECOND, False),
        (encode_metadata("other", Intent(None, "e", topic=FIRST.tag)), SECOND, False),
        ("nrtctl1:events:-:e", FIRST, True),  # from before topics of a name were told apart
        ("nrtctl1:events:-:e", SECOND, False),
        (encode_metadata("other", Intent(None, FENCE, topic=FIRST.tag)), SECOND, False),
        ("nrtctl1:other:-:swap", SECOND, True),  # a fence, from before they had a tag
        ("", SECOND, True),  # by hand
        ("somebody's", SECOND, True),
        (encode_metadata("events", Intent(None, "e", topic=FIRST.tag)), Incarnation(), True),
    ],
)
def test_whose_an_offset_is(metadata: str, topic: Incarnation, ours: bool) -> None:
    assert of_this_topic(metadata, topic) is ours


def test_a_new_topic_begins_at_its_start_whatever_was_committed() -> None:
    for batch in (None, OffsetRange(500, 600)):
        metadata = encode_metadata("events", Intent(batch, "e1", topic=FIRST.tag))
        for log_end in (10, 10_000):
            position = resume(
                "events", committed=500, metadata=metadata, log_start=3, log_end=log_end,
                fresh="f1", topic=SECOND,
            )  # fmt: skip
            assert position == Position(3, "f1", unsaid=True, earlier=500)


@pytest.mark.parametrize("topic", [FIRST, SECOND])
@pytest.mark.parametrize("tagged", [True, False])
def test_a_fence_holds_for_a_topic_that_was_made_again_too(
    topic: Incarnation, tagged: bool
) -> None:
    fence = encode_metadata("events_2", Intent(None, FENCE, topic=topic.tag if tagged else ""))
    with pytest.raises(SwapUnderWayError):
        resume(
            "events", committed=5, metadata=fence, log_start=0, log_end=9, fresh="f1", topic=topic
        )
