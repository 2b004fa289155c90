"""Exactly once, as values: what Kafka's committed offset says, and what to do about a batch.

Pure: no client, no clock, no thread. `ranges` is the wire form of an intent; `position` is where a
partition starts; `delivery` stores one batch, step by step.
`consumer` carries the decisions out; `verify` reads the intents.

The committed offset is `start` of the batch under way and its commit metadata is the intent,
`nrtctl1:<table>:<end>:<epoch>#<topic>`: "[start, end) may be in the table, wholly, partly, or not
at all". Offsets that were committed for an earlier topic of the name say nothing.
Batches of several partitions may go in one insert, under one token that all their intents name.
With no end, or no metadata: everything below the committed offset is stored, nothing is under way.
"""

from nrtctl.pipeline import FIRST
from nrtctl.store.intents.incarnation import WITHOUT_ID, Incarnation, tag_of
from nrtctl.store.intents.position import Position, of_this_topic, resume
from nrtctl.store.intents.ranges import (
    FENCE,
    VERSION,
    Intent,
    OffsetRange,
    SwapUnderWayError,
    UnknownMetadataError,
    decode_intent,
    decode_metadata,
    encode_metadata,
    is_fence,
    names_table,
    ranges_of,
    table_of,
    topic_tag,
)

__all__ = [
    "FENCE",
    "FIRST",
    "VERSION",
    "WITHOUT_ID",
    "Incarnation",
    "Intent",
    "OffsetRange",
    "Position",
    "SwapUnderWayError",
    "UnknownMetadataError",
    "decode_intent",
    "decode_metadata",
    "encode_metadata",
    "is_fence",
    "names_table",
    "of_this_topic",
    "ranges_of",
    "resume",
    "table_of",
    "tag_of",
    "topic_tag",
]
