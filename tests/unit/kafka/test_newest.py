"""The newest messages: the right ones, and no more read than it takes."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import pytest

from nrtctl.kafka import newest as module
from nrtctl.kafka.newest import Found, newest


@dataclass(frozen=True)
class Message:
    number: int
    at: int
    time: int
    data: bytes = b"x"

    def partition(self) -> int:
        return self.number

    def offset(self) -> int:
        return self.at

    def timestamp(self) -> tuple[int, int]:
        return 1, self.time

    def key(self) -> None:
        return None

    def value(self) -> bytes:
        return self.data


class Log:
    """Messages by partition, with gaps where a compaction or a transaction has left them."""

    def __init__(self, partitions: Mapping[int, list[Message]], end: int) -> None:
        self.partitions = partitions
        self.marks = dict.fromkeys(partitions, (0, end))
        self.read_count = 0
        self.rounds = 0

    def read(self, starts: Mapping[int, int], ends: Mapping[int, int]) -> Iterator[list[Message]]:
        self.rounds += 1
        for number, start in starts.items():
            found = [m for m in self.partitions[number] if start <= m.at < ends[number]]
            self.read_count += len(found)
            yield found

    def newest(self, most: int, wanted: Callable[[Message], bool] = lambda m: True) -> Found:
        return newest(
            self.marks, most, self.read, lambda ms: list(filter(wanted, ms)), stopped=lambda: False
        )

    def expected(self, most: int, wanted: Callable[[Message], bool] = lambda m: True) -> list[int]:
        every = [m for part in self.partitions.values() for m in part if wanted(m)]
        return sorted(m.time for m in every)[-most:]


def log(partitions: int, each: int, seed: int, keep: float = 1.0) -> Log:
    """Times ascend within a partition and differ everywhere."""
    chance = random.Random(seed)
    times = {n: sorted(chance.sample(range(10**9), each)) for n in range(partitions)}
    return Log(
        {
            n: [Message(n, at, time) for at, time in enumerate(found) if chance.random() < keep]
            for n, found in times.items()
        },
        each,
    )


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("partitions", "each", "keep"), [(1, 50, 1), (7, 40, 1), (5, 60, 0.1)])
def test_they_are_the_newest_of_all(partitions: int, each: int, keep: float, seed: int) -> None:
    whole = log(partitions, each, seed, keep)
    found = whole.newest(10)
    assert [m.time for m in found.messages] == whole.expected(10)
    assert not found.dropped


@pytest.mark.parametrize("seed", range(4))
def test_those_that_are_wanted_may_lie_far_back(seed: int) -> None:
    whole = log(4, 200, seed)

    def wanted(message: Message) -> bool:
        return message.at < 20

    found = whole.newest(5, wanted)
    assert [m.time for m in found.messages] == whole.expected(5, wanted)


def test_a_thousand_partitions_are_not_read_ten_deep() -> None:
    whole = log(1000, 100, 1)
    found = whole.newest(10)
    assert [m.time for m in found.messages] == whole.expected(10)
    assert whole.read_count < 1100
    assert whole.rounds < 8


def test_a_large_partition_is_not_read_to_its_start() -> None:
    whole = log(1, 100_000, 1)
    assert len(whole.newest(10).messages) == 10
    assert whole.read_count < 100


def test_nothing_there() -> None:
    for empty in (Log({0: [], 1: []}, 0), Log({0: []}, 10_000)):
        found = empty.newest(10)
        assert (found.messages, found.looked) == ([], 0)
        assert empty.rounds < 20


def test_what_is_held_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 250)
    whole = Log({0: [Message(0, at, at, b"x" * 100) for at in range(50)]}, 50)
    found = whole.newest(10)
    assert [m.at for m in found.messages] == [48, 49]
    assert found.dropped
    alone = Log({0: [Message(0, 0, 0, b"x" * 1000)]}, 1).newest(10)
    assert len(alone.messages) == 1, "one message is shown, however large it is"


def test_it_can_be_stopped() -> None:
    whole = log(1, 1000, 1)
    found = newest(whole.marks, 10, whole.read, lambda ms: ms, stopped=lambda: whole.rounds > 0)
    assert whole.rounds == 1
    assert found.messages
