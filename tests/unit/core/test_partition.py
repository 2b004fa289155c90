"""What one assigned partition takes of what was fetched."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pytest

from nrtctl.consumer.buffer import PartitionBuffer
from nrtctl.consumer.partition import Partition, Stage, WrongStage
from nrtctl.kafka.fetched import End, Run, runs_of
from nrtctl.store.envelope import RowsEncoder
from nrtctl.store.intents import OffsetRange
from nrtctl.store.intents.delivery import Mode


@dataclass
class Message:
    at: int

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self.at

    def timestamp(self) -> tuple[int, int]:
        return (1, 1000 + self.at)

    def headers(self) -> None:
        return None

    def key(self) -> bytes | None:
        return None if self.at % 2 else b"k"

    def value(self) -> bytes:
        return b"v"

    def error(self) -> None:
        return None


def partition(limit: int | None = None) -> Partition:
    encode = RowsEncoder("t", 1, 0)
    state = Partition(
        PartitionBuffer(0, 5, "e"), encode, 5, 5, Mode.RESUME, limit=limit, ended=False
    )
    state.looked_up(-1)
    return state


def stored(state: Partition) -> None:
    """Its batch goes the whole way."""
    assert state.batch is not None
    state.intent_sent()
    state.intent_committed(state.batch.span.start, 0.0)
    state.topic_checked()
    state.insert_begun()
    state.batch_stored()


def messages(*offsets: int, end: int | None = None) -> list[Run]:
    found = list(runs_of([Message(offset) for offset in offsets])) if offsets else []
    return [*found, End(0, end)] if end is not None else found


def take(state: Partition, runs: Iterable[Run], most: int | None = None) -> int:
    """As the loop does."""
    taken = 0
    for run in runs:
        taken += state.fetched(run, 1.0, None if most is None else most - taken)
        if most is not None and taken >= most:
            break
    return taken


def test_messages_are_buffered_as_rows() -> None:
    state = partition()
    assert take(state, messages(5, 6, 8)) == 3
    batch = state.begin_batch(10, 1000, intents=True, now=0.0)
    assert batch.offsets == [5, 6, 8]
    encode = RowsEncoder("t", 1, 0)
    assert batch.rows == encode(
        [5, 6, 8], [1005, 1006, 1008], [None] * 3, [None, b"k", b"k"], [b"v"] * 3
    )
    assert (batch.span.start, batch.span.end) == (5, 9)


@pytest.mark.parametrize(
    ("given", "limit", "most", "taken", "ended", "seen"),
    [
        (messages(5, 6), None, None, 2, False, 7),
        (messages(5, 6, end=7), None, None, 2, True, 7),
        (messages(5, end=9), None, None, 1, True, 9),
        (messages(end=9), None, None, 0, True, 9),
        ([*messages(5, end=6), *messages(6, 7)], None, None, 3, False, 8),
        (messages(5, 6, 7), 7, None, 2, True, 7),
        (messages(5, 6, 7), 8, None, 3, False, 8),
        (messages(7, 8), 7, None, 0, True, 7),
        (messages(5, 6, 7), None, 2, 2, False, 7),
        (messages(4, 5), None, None, 1, False, 6),
    ],
)
def test_what_is_taken(
    given: list[Run], limit: int | None, most: int | None, taken: int, ended: bool, seen: int
) -> None:
    state = partition(limit)
    assert take(state, given, most) == taken
    assert (state.ended, state.buffer.seen, len(state.buffer)) == (ended, seen, taken)


def test_what_nobody_is_given_is_passed() -> None:
    """Transaction markers and aborted messages at the log's end: they are no lag."""
    state = partition()
    assert take(state, messages(end=9)) == 0
    state.pass_gap()
    assert (state.stored, state.idle()) == (9, True)
    state.committed = 9
    take(state, messages(9, 10, end=14))
    state.pass_gap()
    assert state.stored == 9
    batch = state.begin_batch(10, 1000, intents=True, now=0.0)
    state.pass_gap()
    assert (batch.span.start, batch.span.end, state.stored) == (9, 11, 9)
    stored(state)
    state.pass_gap()
    assert state.stored == 14
    take(state, messages(14))
    batch = state.begin_batch(10, 1000, intents=True, now=0.0)
    assert (batch.span.start, batch.span.end) == (14, 15)


def test_an_end_that_is_known_is_no_news() -> None:
    state, until_end = partition(), partition(limit=5)
    (run,) = runs_of([Message(5)])
    assert state.is_news(run)
    assert not state.is_news(End(0, 5))
    assert state.is_news(End(0, 6))
    assert until_end.is_news(End(0, 5))


def test_what_was_left_out_is_not_passed() -> None:
    state = partition()
    assert take(state, messages(5, 6, 7, end=8), 1) == 1
    state.begin_batch(10, 1000, intents=True, now=0.0)
    stored(state)
    assert state.stored == 6
    state.pass_gap()
    assert state.stored == 6
    state = partition(limit=9)
    assert take(state, messages(5, 10)) == 1
    state.begin_batch(10, 1000, intents=True, now=0.0)
    assert take(state, messages(end=11)) == 0
    stored(state)
    assert state.stored == 6
    state.pass_gap()
    assert state.stored == 9


def test_a_pending_range_is_not_passed() -> None:
    encode = RowsEncoder("t", 1, 0)
    buffer = PartitionBuffer(0, 5, "e", OffsetRange(5, 20))
    state = Partition(buffer, encode, 5, 5, Mode.RESUME, limit=None, ended=False)
    take(state, messages(end=9))
    state.pass_gap()
    assert (state.stored, state.emptied()) == (5, True)


def test_a_pending_range_is_taken_whole_whatever_is_wanted() -> None:
    """Else a run that is to stop after fewer messages would never store it."""
    encode = RowsEncoder("t", 1, 0)
    buffer = PartitionBuffer(0, 5, "e", OffsetRange(5, 10))
    state = Partition(buffer, encode, 5, 5, Mode.RESUME, limit=None, ended=False)
    state.looked_up(-1)
    assert take(state, messages(5, 6), 1) == 0
    assert not buffer.pending_is_whole()
    assert take(state, messages(7, 8, 10, 11), 1) == 4  # there is no message at 9
    assert (buffer.pending_is_whole(), buffer.seen) == (True, 10)
    batch = state.begin_batch(10, 1000, intents=True, now=0.0)
    assert (batch.offsets, batch.span) == ([5, 6, 7, 8], OffsetRange(5, 10))
    stored(state)
    assert take(state, messages(10, 11), 1) == 1


def test_what_is_wanted_beyond_a_pending_range_is_taken_with_it() -> None:
    buffer = PartitionBuffer(0, 5, "e", OffsetRange(5, 7))
    state = Partition(buffer, RowsEncoder("t", 1, 0), 5, 5, Mode.RESUME, limit=None, ended=False)
    assert take(state, messages(5), 3) == 0
    assert take(state, messages(6, 7, 8), 3) == 3
    assert (buffer.seen, len(buffer)) == (8, 3)


def test_a_batch_goes_from_stage_to_stage() -> None:
    state = Partition(
        PartitionBuffer(0, 5, "e"), RowsEncoder("t", 1, 0), 5, 5, Mode.RESUME, None, False
    )
    take(state, messages(5, 6))
    assert (state.stage, state.batch) == (Stage.LOOKING_UP, None)
    with pytest.raises(WrongStage, match="partition 0 is LOOKING_UP"):
        state.begin_batch(10, 1000, intents=True, now=2.0)
    state.looked_up(4)
    assert (state.stage, state.batch) == (Stage.GATHERING, None)
    batch = state.begin_batch(10, 1000, intents=True, now=2.0)
    assert (state.stage, state.mode, state.is_to_declare(2.0)) == (Stage.DECLARING, Mode.NEW, True)
    state.intent_sent()
    assert not state.is_to_declare(9.0)
    assert state.intent_delayed(3.0) is None
    assert (state.is_to_declare(3.04), state.is_to_declare(3.06)) == (False, True)
    state.intent_sent()
    state.intent_committed(5, 3.06)
    assert (state.stage, state.committed, state.declared_at) == (Stage.DECLARED, 5, 3.06)
    state.topic_checked()
    assert state.stage is Stage.READY
    assert state.insert_begun() is batch
    assert state.insert_begun() is batch  # again, without the others
    assert (state.stage, state.stored, state.has_work()) == (Stage.INSERTING, 5, True)
    assert state.batch_stored() is batch
    assert (state.stage, state.batch, state.stored) == (Stage.GATHERING, None, 7)
    assert (state.idle(), state.has_work()) == (True, False)


@pytest.mark.parametrize("stage", list(Stage), ids=lambda stage: stage.name)
def test_nothing_happens_in_a_stage_where_it_cannot(stage: Stage) -> None:
    state = partition()
    take(state, messages(5, 6))
    ways: dict[Stage, Callable[[], object]] = {
        Stage.DECLARING: lambda: state.begin_batch(10, 1000, intents=True, now=0.0),
        Stage.DECLARED: lambda: state.intent_committed(5, 0.0),
        Stage.READY: state.topic_checked,
        Stage.INSERTING: state.insert_begun,
    }
    state.stage = Stage.LOOKING_UP if stage is Stage.LOOKING_UP else Stage.GATHERING
    for go in ways.values():
        if state.stage not in {stage, Stage.LOOKING_UP}:
            go()
    assert state.stage is stage
    events: dict[str, tuple[Callable[[], object], set[Stage]]] = {
        "begin": (lambda: state.begin_batch(1, 1, intents=True, now=0.0), {Stage.GATHERING}),
        "sent": (state.intent_sent, {Stage.DECLARING}),
        "delayed": (lambda: state.intent_delayed(0.0), {Stage.DECLARING}),
        "committed": (lambda: state.intent_committed(5, 0.0), {Stage.DECLARING}),
        "declared": (lambda: state.declared(None), {Stage.DECLARING}),
        "checked": (state.topic_checked, {Stage.DECLARED}),
        "inserting": (state.insert_begun, {Stage.READY, Stage.INSERTING}),
        "stored": (state.batch_stored, {Stage.INSERTING}),
    }
    refused = 0
    for event, stages in events.values():
        if stage not in stages:
            refused += 1
            with pytest.raises(WrongStage):
                event()
            assert state.stage is stage
    assert refused >= 4
