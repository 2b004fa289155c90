"""A partition for which nothing is to be done costs a turn of the loop nothing, and none is
forgotten."""

from __future__ import annotations

import sys

from nrtctl.config.model import Batch as Limits
from nrtctl.consumer.assignment import Assignment
from nrtctl.consumer.effects import CommitIntents, CommitOffsets, StoredOffset
from nrtctl.consumer.partition import Partition
from nrtctl.consumer.topic_check import TopicCheck
from nrtctl.store.envelope import RowsEncoder
from nrtctl.store.intents import OffsetRange, Position
from tests.plugins.waiting import eventually
from tests.unit.core.fetched import Message, runs
from tests.unit.core.test_together import Bench


def calls_of_a_turn(partitions: int) -> int:
    """Of functions, while nothing comes."""
    bench = Bench(delivery="at-least-once")
    bench.loop.join()
    bench.group.steps = [lambda: [], lambda: []]
    bench.group._assign({number: Position(0, "e") for number in range(partitions)})
    bench.loop.turn()
    return calls_of_one_more(bench)


def calls_of_a_busy_turn(partitions: int) -> int:
    """Of functions, while each partition has a batch that is declared."""
    bench = Bench()
    bench.loop.join()
    bench.group.steps = [lambda: bench.group.assign(*range(partitions)), lambda: False]
    eventually(lambda: declared(bench, partitions), "the intents")
    bench.loop.turn()
    return calls_of_one_more(bench)


def declared(bench: Bench, partitions: int) -> bool:
    bench.loop.turn()
    return len(bench.group.commits) == partitions


def calls_of_one_more(bench: Bench) -> int:
    bench.group.steps = [lambda: []]
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        bench.loop.turn()
    finally:
        sys.setprofile(None)
        bench.group.assigned.clear()
        bench.loop._close()
    return calls


def test_a_turn_costs_as_much_with_300_idle_partitions_as_with_2() -> None:
    assert calls_of_a_turn(300) < calls_of_a_turn(2) + 50


def test_a_turn_costs_as_much_while_300_partitions_wait_for_answers_as_with_2() -> None:
    assert calls_of_a_busy_turn(300) < calls_of_a_busy_turn(2) + 50


def assignment_at(position: Position) -> Assignment:
    assignment = Assignment(
        Limits(), intents=True, topic_check=TopicCheck(has_id=False, now=0.0), fresh=lambda: "t"
    )
    assignment.assigned({0: Partition.at(0, position, RowsEncoder("t", 1, 0), None)})
    return assignment


def test_a_partition_stays_awake_until_what_is_stored_is_committed() -> None:
    assignment = assignment_at(Position(7, "e", unsaid=True))
    said = [CommitOffsets([StoredOffset(0, 7, "e")])]
    assert assignment.turn(0.0, ()) == assignment.turn(0.0, ()) == said
    assert list(assignment.awake) == [0]
    assignment.offset_committed(0, 7)
    assert assignment.turn(0.0, ()) == []
    assert list(assignment.awake) == []


def test_a_pending_batch_keeps_its_partition_awake() -> None:
    assignment = assignment_at(Position(0, "e", OffsetRange(0, 2)))
    assert assignment.turn(0.0, ()) == []
    assert list(assignment.awake) == [0]


def test_a_partition_that_something_was_fetched_of_is_awake_until_it_is_stored() -> None:
    assignment = assignment_at(Position(0, "e"))
    assignment.turn(0.0, ())
    assert list(assignment.awake) == []
    assignment.partitions[0].fetched(runs(Message(0))[0], 0.0, None)
    assignment.buffered(0, 0)
    assignment.looked_up([0], {})
    assert assignment.turn(0.0, ()) == []
    assignment.begin([[0]], 0.0)
    (intent,) = assignment.turn(0.0, ())
    assert isinstance(intent, CommitIntents)
    assert assignment.turn(0.0, ()) == []
    assert list(assignment.awake) == [0]
    assignment.left([0])
    assert list(assignment.awake) == []
