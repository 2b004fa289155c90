"""Messages that wait for a schema registry: none is left out, and none overtakes another."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from nrtctl.clock import ManualClock
from nrtctl.consumer.undecoded import LONGEST_WAIT, Undecoded
from nrtctl.kafka.fetched import Run
from nrtctl.kafka.formats.wire import RegistryAway
from tests.unit.core.fetched import Message, runs


class World:
    """Two partitions whose messages are numbers, and a registry that is there or not."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.buffered: dict[int, list[int]] = {0: [], 1: []}
        self.said: list[str] = []
        self.away = False
        self.held = Undecoded(self.clock, lambda why, wait: self.said.append(why), self.said.append)

    def fetched(self, partition: int, messages: Sequence[int]) -> None:
        for run in runs(*(Message(partition, each) for each in messages)):
            self._take(run)

    def _take(self, run: Run) -> None:
        def buffer() -> int:
            if self.away:
                raise RegistryAway("it is away")
            self.buffered[run.partition] += run.offsets
            return len(run.offsets)

        self.held.take(run, buffer)

    def turn(self) -> None:
        self.held.again(self._take)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("fetch"), st.sampled_from([0, 1])),
            st.tuples(st.just("away"), st.booleans()),
            st.tuples(st.just("time"), st.sampled_from([0.0, 0.1, 1.0, LONGEST_WAIT])),
            st.tuples(st.just("turn"), st.none()),
        ),
        max_size=40,
    )
)
def test_all_messages_are_buffered_in_their_order(
    events: list[tuple[str, int]],
) -> None:
    world = World()
    sent = {0: 0, 1: 0}
    for what, value in events:
        match what:
            case "fetch":
                world.fetched(value, [sent[value], sent[value] + 1])
                sent[value] += 2
            case "away":
                world.away = bool(value)
            case "time":
                world.clock.advance(value)
            case "turn":
                world.turn()
    world.away = False
    world.clock.advance(LONGEST_WAIT)
    world.turn()
    assert not world.held
    assert world.buffered == {number: list(range(count)) for number, count in sent.items()}


def test_a_partition_that_leaves_takes_its_messages_along() -> None:
    world = World()
    world.away = True
    world.fetched(0, [1])
    world.fetched(1, [1])
    world.held.forget([0])
    world.away = False
    world.clock.advance(LONGEST_WAIT)
    world.turn()
    assert world.buffered == {0: [], 1: [1]}
    assert world.said == ["it is away", "the schema registry answers again"]
