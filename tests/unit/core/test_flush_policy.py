"""When the next batch of a partition is taken, and how long the loop sleeps."""

from __future__ import annotations

import math

import pytest

from nrtctl.config.model import Batch as Limits
from nrtctl.config.units import AUTO_LEAST, AUTO_MOST
from nrtctl.consumer import flush_policy
from nrtctl.consumer.assignment import Assignment
from nrtctl.consumer.budget import Budget, alone
from nrtctl.consumer.buffer import PartitionBuffer
from nrtctl.consumer.flush_policy import (
    PAUSE_AFTER,
    SERVE,
    SHORT_SLEEP,
    SLEEP,
    Fetch,
    FlushPolicy,
    client_properties,
)
from nrtctl.consumer.partition import Partition
from nrtctl.consumer.topic_check import TopicCheck
from nrtctl.store.envelope import Rows, RowsEncoder
from nrtctl.store.intents import OffsetRange
from nrtctl.store.intents.delivery import Mode
from nrtctl.store.shards import Shards

LIMITS = Limits(max_rows=10, max_wait="1s")
FULL = 1
"""Bytes: a buffer that any message fills."""


def partition(
    rows: int,
    since: float = 0.0,
    *,
    taken: bool = False,
    pending: int = 0,
    looked_up: bool = True,
) -> Partition:
    span = OffsetRange(0, pending) if pending else None
    state = Partition(
        buffer=PartitionBuffer(0, 0, "e", span),
        encode=RowsEncoder("t", 1, 0),
        stored=0,
        committed=0,
        resume_mode=Mode.RESUME,
        limit=None,
        ended=False,
    )
    if looked_up:
        state.looked_up(-1)
    if taken:
        state.buffer.extend([0], Rows.of([b"x"]), since)
        state.begin_batch(1, 100, intents=True, now=since)
        state.intent_sent()
    start = state.buffer.seen
    state.buffer.extend(range(start, start + rows), Rows.of([b"x"] * rows), since)
    return state


def assignment_of(states: dict[int, Partition]) -> Assignment:
    made = Assignment(
        LIMITS, intents=True, topic_check=TopicCheck(has_id=False, now=0.0), fresh=lambda: "t"
    )
    made.assigned(states)
    for number in [number for number, state in states.items() if state.batch is not None]:
        del made.gathering[number]
    return made


def fetch_of(
    policy: FlushPolicy,
    states: dict[int, Partition],
    now: float,
    *,
    inserts: int = 0,
    inserting: bool = False,
    asking: bool = False,
) -> Fetch:
    assignment = assignment_of(states)
    return policy.next_fetch(
        assignment.gathering,
        now,
        held=assignment.held(),
        next_intent=assignment.next_intent(),
        inserts=inserts,
        inserting=inserting,
        asking=asking,
    )


def groups(
    states: dict[int, Partition],
    now: float,
    *,
    at_once: bool = False,
    full: bool = False,
    shards: int = 1,
) -> list[list[int]]:
    policy = FlushPolicy(
        LIMITS,
        share=alone(max_buffer=FULL if full else 2**30, max_inserts=2),
        shard_of=Shards([1] * shards).of,
    )
    inserts = sum(state.batch is not None for state in states.values())
    fetch_of(policy, states, now, inserts=inserts)
    gathering = assignment_of(states).gathering
    return policy.next_batches(gathering, now, inserts=inserts, at_once=at_once)


def taken(states: dict[int, Partition], now: float, **how: bool) -> list[int]:
    """Each in an insert of its own."""
    found = groups(states, now, **how, shards=100)
    assert all(len(group) == 1 for group in found)
    return [number for group in found for number in group]


def test_small_batches_of_one_shard_go_together() -> None:
    states = {number: partition(1, float(number)) for number in range(5)}
    assert groups(states, 9.0, shards=1) == [[0, 1, 2, 3, 4]]
    assert groups(states, 9.0, shards=2) == [[0, 2, 4], [1, 3]]
    assert groups(states, 9.0, shards=3) == [[0, 3], [1, 4]]


def test_a_shard_has_as_many_partitions_as_it_weighs() -> None:
    shards = Shards([1, 0, 2])
    assert [shards.of(number) for number in range(6)] == [0, 2, 2, 0, 2, 2]
    assert Shards([]).of(7) == Shards([0]).of(7) == 0


def test_no_more_batches_are_due_by_time_than_threads_are_free() -> None:
    states = {0: partition(1, 3.0), 1: partition(1, 1.0), 2: partition(1, 2.0)}
    assert taken(states, 9.0) == [1, 2]
    states[3] = partition(0, taken=True)
    assert taken(states, 9.0) == [1]
    states[4] = partition(1, 0.0, taken=True)
    assert taken(states, 9.0) == []


@pytest.mark.parametrize("full", [partition(10, 5.0), partition(3, 5.0, pending=3)])
def test_a_full_batch_and_a_pending_one_wait_for_no_thread(full: Partition) -> None:
    states = {0: partition(1), 1: partition(0, taken=True), 2: partition(0, taken=True), 3: full}
    assert taken(states, 9.0) == taken(states, 9.0, at_once=True) == [3]
    del states[1]
    assert taken(states, 9.0, at_once=True) == [0, 3]


def test_in_a_full_buffer_the_largest_is_taken_for_a_free_thread() -> None:
    states = {0: partition(1, 1.0), 1: partition(3, 3.0), 2: partition(2, 2.0)}
    assert taken(states, 3.0) == [0, 2]
    assert taken(states, 3.0, full=True) == [1, 2]
    states[3] = partition(0, taken=True)
    assert taken(states, 3.0, full=True) == [1]
    states[4] = partition(9, taken=True)
    assert taken(states, 3.0, full=True) == []


def test_with_one_that_is_due_goes_what_the_others_have() -> None:
    states = {0: partition(1, 8.9), 1: partition(0), 2: partition(2, 5.0), 3: partition(3, 8.0)}
    assert groups(states, 8.95) == [[2, 3, 0]]
    assert groups(states, 5.5) == []
    states[1] = partition(0, taken=True)
    assert groups(states, 5.5, at_once=True) == [[2, 3, 0]]
    states[4] = partition(0, taken=True)
    assert groups(states, 8.95) == groups(states, 8.95, at_once=True) == []


def test_one_insert_takes_no_more_than_a_batch_may_have() -> None:
    states = {
        0: partition(6, 1.0),
        1: partition(4, 2.0),
        2: partition(1, 3.0),
        3: partition(9, 4.0),
    }
    assert groups(states, 9.0) == [[0, 1], [2, 3]]
    assert groups(states, 2.1) == [[0, 1]]
    states[4] = partition(1, 0.0)
    states[4].buffer.bytes = LIMITS.max_bytes
    assert groups(states, 9.0) == [[4], [0, 1]]


@pytest.mark.parametrize("limit", ["SHARED_INSERT_ROWS", "SHARED_INSERT_BYTES"])
def test_one_insert_is_small_enough_to_be_one_block(
    limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flush_policy, limit, 3)
    states = {0: partition(2, 1.0), 1: partition(1, 2.0), 2: partition(1, 3.0)}
    assert groups(states, 9.0) == [[0, 1], [2]]


def test_a_large_one_goes_alone_and_parts_no_small_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flush_policy, "SHARED_INSERT_ROWS", 3)
    states = {0: partition(1, 1.0), 1: partition(5, 2.0), 2: partition(1, 3.0)}
    assert groups(states, 9.0) == [[0, 2], [1]]


def test_those_under_way_together_take_one_thread() -> None:
    """What the flush_policy is told to be under way: inserts, not batches."""
    policy = FlushPolicy(LIMITS, share=alone(max_buffer=2**30, max_inserts=2))
    assignment = assignment_of({n: partition(1, 1.0) for n in range(5)})

    def due() -> list[list[int]]:
        return policy.next_batches(assignment.gathering, 9.0, inserts=assignment.inserts())

    assignment.begin([[0, 1, 2, 3]], 8.0)
    assert due() == [[4]]
    assignment.given_up(0, 8.0)
    assert due() == [[4]]
    assignment.assigned({0: partition(1, 1.0)})
    assignment.begin([[0]], 8.0)
    assert due() == []


def test_many_partitions_share_inserts_at_the_log_s_end_and_in_a_full_buffer() -> None:
    """What an insert costs before its first row does not grow with the number of partitions."""
    at_end = {n: partition(1, 5.0) for n in range(25)}
    for each in at_end.values():
        each.limit, each.ended = 1, True
    assert [len(group) for group in groups(at_end, 5.0)] == [10, 10]
    busy = {n: partition(0, taken=True) for n in (30, 31)}
    assert groups(at_end | busy, 5.0) == []
    waiting = {n: partition(1 + n % 4, 5.0) for n in range(8)}
    assert groups(waiting, 5.0) == []
    assert groups(waiting, 5.0, full=True) == [[3, 7], [2, 6, 1, 5]]


def test_what_may_be_there_already_goes_alone() -> None:
    states = {
        0: partition(1, 1.0),
        1: partition(1, 2.0),
        2: partition(1, 3.0),
        3: partition(1, 4.0),
    }
    states[1].highest_stored = 0
    states[2] = partition(3, 3.0, pending=3)
    assert groups(states, 9.0, at_once=True) == [[0, 3], [1], [2]]
    assert groups(states, 9.0, at_once=True, full=True) == [[2], [0, 3]]


def test_what_is_not_due_or_not_known_is_left() -> None:
    unknown = partition(10, looked_up=False)
    assert taken({0: partition(1, 8.5), 1: unknown, 2: partition(0)}, 9.0) == []


def test_the_loop_sleeps_until_a_batch_that_may_be_taken_is_due() -> None:
    def left(states: dict[int, Partition], max_inserts: int = 2) -> float:
        policy = FlushPolicy(LIMITS, share=alone(max_buffer=2**30, max_inserts=max_inserts))
        inserts = sum(state.batch is not None for state in states.values())
        fetch = fetch_of(policy, states, 9.0, inserts=inserts)
        assert (fetch.messages, fetch.paused, fetch.insert_first) == (2000, False, 0.0)
        return fetch.seconds

    assert left({}) == left({0: partition(0)}) == SLEEP
    assert left({0: partition(1, 8.05)}) == pytest.approx(0.05)
    assert left({0: partition(1, 1.0)}) == 0.0
    busy = {0: partition(1, 1.0), 1: partition(0, taken=True)}
    assert left(busy, max_inserts=1) == SLEEP
    busy[1].declare_at = 9.05
    assert left(busy, max_inserts=1) == pytest.approx(0.05)
    assert partition(0).oldest_arrival() == math.inf


@pytest.mark.parametrize(
    ("inserting", "asking"), [(True, False), (False, True)], ids=["insert", "answer"]
)
def test_the_loop_sleeps_shortly_while_something_is_waited_for(
    inserting: bool, asking: bool
) -> None:
    policy = FlushPolicy(LIMITS, share=alone(max_buffer=2**30, max_inserts=2))
    fetch = fetch_of(policy, {}, 9.0, inserts=1, inserting=inserting, asking=asking)
    assert fetch == Fetch(2000, SHORT_SLEEP)


def test_a_wait_that_is_chosen_follows_what_inserts_take() -> None:
    policy = FlushPolicy(Limits(), share=alone(max_buffer=2**30, max_inserts=2))
    assert policy.max_wait == AUTO_MOST == Limits().longest_wait
    policy.inserted(0.05)
    assert policy.max_wait == pytest.approx(0.2)
    states = {0: partition(1, 8.85)}
    assert policy.next_batches(states, 9.0, inserts=0) == []
    assert fetch_of(policy, states, 9.0).seconds == pytest.approx(0.05)
    assert policy.next_batches(states, 9.06, inserts=0) == [[0]]
    policy.inserted(0.09)
    assert policy.max_wait == pytest.approx(0.24)
    for seconds, wait in ((0.001, AUTO_LEAST), (30.0, AUTO_MOST)):
        for _ in range(20):
            policy.inserted(seconds)
        assert policy.max_wait == wait


def test_a_wait_that_was_given_is_kept() -> None:
    policy = FlushPolicy(LIMITS, share=alone(max_buffer=2**30, max_inserts=2))
    policy.inserted(0.01)
    assert policy.max_wait == 1.0 == LIMITS.longest_wait


def test_no_more_is_fetched_than_is_wanted() -> None:
    policy = FlushPolicy(LIMITS, share=alone(max_buffer=2**30, max_inserts=2), count=2500)
    assert fetch_of(policy, {}, 0.0).messages == 2000
    policy.taken(2000)
    assert (policy.wanted(), policy.has_enough()) == (500, False)
    assert fetch_of(policy, {}, 0.0).messages == 500
    policy.taken(500)
    assert (policy.wanted(), policy.has_enough()) == (0, True)
    assert fetch_of(policy, {}, 0.0) == SERVE
    assert policy.next_batches({0: partition(1, 0.0)}, 0.1, inserts=0) == [[0]]


def test_a_full_buffer_is_fetched_into_slowly_and_then_not_at_all() -> None:
    """A pause drops what the client holds, so it begins only where the buffer stays full."""
    policy = FlushPolicy(LIMITS, share=alone(max_buffer=3, max_inserts=2))
    held = {0: partition(3)}

    def fetch(now: float, states: dict[int, Partition] = held, *, inserting: bool = False) -> Fetch:
        return fetch_of(policy, states, now, inserting=inserting)

    assert fetch(0.0, {0: partition(2)}).messages == 2000
    assert fetch(1.0) == Fetch(1, SHORT_SLEEP)
    assert fetch(1.5, inserting=True) == Fetch(1, 0.0, insert_first=SHORT_SLEEP)
    assert fetch(1.0 + PAUSE_AFTER) == Fetch(1, SHORT_SLEEP)
    assert fetch(1.1 + PAUSE_AFTER) == SERVE
    again = fetch(1.2 + PAUSE_AFTER, {0: partition(2)})
    assert (again.messages, again.paused) == (2000, False)
    assert fetch(1.3 + PAUSE_AFTER) == Fetch(1, SHORT_SLEEP)


def test_a_pending_range_is_fetched_whole_whatever_its_size() -> None:
    policy = FlushPolicy(LIMITS, share=alone(max_buffer=3, max_inserts=2))
    states = {0: partition(9, pending=20)}
    assert fetch_of(policy, states, 0.0).messages == 2000


@pytest.mark.parametrize("looked_up", [True, False])
def test_what_is_fetched_beyond_a_pending_range_counts(looked_up: bool) -> None:
    """Its batch may have to wait for ClickHouse, while Kafka goes on to deliver."""
    policy = FlushPolicy(LIMITS, share=alone(max_buffer=3, max_inserts=2))
    states = {0: partition(9, pending=5, looked_up=looked_up)}
    fetch = fetch_of(policy, states, 0.0, asking=not looked_up)
    assert fetch.paused or fetch.messages < 2000


def test_many_in_one_process_wake_less_often_and_fetch_larger_pieces() -> None:
    for consumers, sleep in ((1, SHORT_SLEEP), (4, SHORT_SLEEP), (20, 5 * SHORT_SLEEP)):
        share = Budget(max_buffer=2**30, max_inserts=2, consumers=consumers).shares[0]
        policy = FlushPolicy(LIMITS, share=share)
        assert fetch_of(policy, {}, 0.0, inserts=1, inserting=True).seconds == sleep
        assert ("fetch.min.bytes" in client_properties(LIMITS, share)) == (consumers == 20)


def test_of_many_partitions_less_often_is_fetched_more() -> None:
    limits, share = Limits(max_wait="20ms"), alone(max_buffer=2**30, max_inserts=2)
    few = client_properties(limits, share, partitions=64)
    many, most = (client_properties(limits, share, partitions=n) for n in (512, 100_000))
    assert few == client_properties(limits, share)
    assert "fetch.min.bytes" not in few
    assert many["fetch.min.bytes"] == most["fetch.min.bytes"] == 2**20
    assert few["fetch.wait.max.ms"] < many["fetch.wait.max.ms"] < most["fetch.wait.max.ms"] <= 100


def test_a_paused_pipeline_fetches_nothing_and_wakes_often_only_while_answers_are_due() -> None:
    policy = FlushPolicy(LIMITS, share=alone(max_buffer=2**30, max_inserts=2))
    busy, quiet = policy.rest(busy=True), policy.rest(busy=False)
    assert busy.paused
    assert quiet.paused
    assert busy.seconds < quiet.seconds <= 0.1
    assert not fetch_of(policy, {}, 0.0).paused
