"""Whether the group still is where it was, before it is moved; and in which topic."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nrtctl.config.model import Config
from nrtctl.errors import ConfigError
from nrtctl.kafka.offsets import Place, Point
from nrtctl.kafka.partitions import LogPartition
from nrtctl.pipeline import Pipeline
from nrtctl.replay.move import Mover, stands
from nrtctl.store.intents import Incarnation, Intent, OffsetRange, Position, encode_metadata

TOPIC = Incarnation(1, "id-one")


def at(committed: int, end: int | None, *, epoch: str = "e0", look: bool = False) -> LogPartition:
    """The group stands there, and has declared the batch up to `end`."""
    batch = None if end is None else OffsetRange(committed, end)
    metadata = encode_metadata("events", Intent(batch, epoch, look, topic=TOPIC.tag))
    return LogPartition(0, 0, 100, committed, metadata)


REST, DECLARED = at(50, None), at(50, 60)
BATCH = Position(50, "e0", OffsetRange(50, 60))


def test_a_group_that_did_nothing_stands() -> None:
    assert stands(REST, REST, None, "events")
    assert stands(DECLARED, DECLARED, BATCH, "events")
    new = LogPartition(0, 0, 100, None)
    assert stands(new, new, None, "events")


def test_a_batch_that_was_declared_once_more_to_resolve_it_stands() -> None:
    assert stands(at(50, 60, look=True), DECLARED, BATCH, "events")
    cut = Position(55, "e0", OffsetRange(55, 60), OffsetRange(50, 55), look=True)
    assert stands(at(55, 60, look=True), replace(DECLARED, log_start=55), cut, "events")


def test_whatever_a_consumer_did_meanwhile_is_seen() -> None:
    """One that came, declared a batch and was killed has left an insert that may land late."""
    assert not stands(at(50, 70, epoch="e1"), REST, None, "events")
    assert not stands(at(60, None), REST, None, "events")
    assert not stands(at(60, None), DECLARED, BATCH, "events")
    assert not stands(at(50, None), DECLARED, BATCH, "events")
    assert not stands(at(60, 70), DECLARED, BATCH, "events")
    assert not stands(at(50, 70), DECLARED, BATCH, "events")
    assert not stands(replace(DECLARED, metadata="of another"), DECLARED, BATCH, "events")
    assert not stands(replace(REST, committed=None, metadata=""), REST, None, "events")


def test_offsets_of_a_topic_that_was_made_again_are_not_gone_back_to() -> None:
    mover = Mover.__new__(Mover)
    mover._config = Config(pipeline=Pipeline(fields={"x": "String"}))
    mover._topic = Incarnation(2, "id-two")
    with pytest.raises(ConfigError, match="was deleted and created again"):
        mover.run({0: Point(Place.OFFSET, 50)}, execute=True, topic_id="id-one")
