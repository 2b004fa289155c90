"""A repair beside a consumer: only what was missing below the committed offset is loaded again."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from nrtctl.kafka.partitions import LogPartition
from nrtctl.store import doubles
from nrtctl.store.rows import Slice
from nrtctl.store.target import Target
from nrtctl.verify import repair
from tests.unit.verify.memory import MemoryLog, MemoryRows, Stored


@dataclass
class World:
    """A consumer that stores five messages, and commits them, between any two questions."""

    stored: dict[int, tuple[int, int]] = field(default_factory=dict)
    committed: int = 0

    def consume(self) -> None:
        end = self.committed + 5
        self.stored |= dict.fromkeys(range(self.committed, end), (1, 0))
        self.committed = end


class BesideAConsumer(MemoryRows):
    def __init__(self, world: World) -> None:
        target = Target("t", "d", "l", "events", "dl", {}, 1)
        super().__init__(Stored({0: world.stored}), target)
        self._world = world

    def settle(self) -> None:
        self._world.consume()

    def partitions(self) -> dict[int, list[Slice]]:
        found = super().partitions()
        self._world.consume()
        return found


class Log(MemoryLog):
    def __init__(self, world: World) -> None:
        super().__init__([], {0: set(range(100))})
        self._world = world

    def partitions(self) -> list[LogPartition]:
        found = [LogPartition(0, 0, 100, self._world.committed)]
        self._world.consume()
        return found


def test_what_a_consumer_stores_meanwhile_is_not_loaded_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    world.consume()
    world.consume()
    del world.stored[3]
    loaded: list[int] = []

    def write(batch: Any, *rest: object) -> None:
        loaded.extend(batch.offsets)

    monkeypatch.setattr(doubles, "remove", lambda *args, **more: 0)
    work = repair.Repair(
        BesideAConsumer(world), Log(world),
        SimpleNamespace(write=write),  # type: ignore[arg-type]
        max_rows=100, max_bytes=2**20, sleep=lambda seconds: None,
    )  # fmt: skip
    assert work.execute() == (1, 0)
    assert loaded == [3]


def test_an_insert_has_what_its_messages_take_with_their_headers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    world.consume()
    world.stored.clear()
    inserts: list[list[int]] = []

    def write(batch: Any, *rest: object) -> None:
        inserts.append(batch.offsets)

    def encode(offset: int, *rest: object) -> bytes:
        return b"h" * 400

    monkeypatch.setattr(doubles, "remove", lambda *args, **more: 0)
    monkeypatch.setattr(repair, "row_encoder", lambda *args: encode)
    work = repair.Repair(
        BesideAConsumer(world), Log(world),
        SimpleNamespace(write=write),  # type: ignore[arg-type]
        max_rows=100, max_bytes=1000, sleep=lambda seconds: None,
    )  # fmt: skip
    assert work.execute() == (5, 0)
    assert inserts == [[0, 1, 2], [3, 4]]
