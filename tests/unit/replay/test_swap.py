"""The steps of an exchange: what is fenced, and what is put back, whatever happened in between."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Literal

import pytest

from nrtctl.clock import SystemClock
from nrtctl.config.model import Config, Consumer
from nrtctl.errors import ConfigError
from nrtctl.kafka.partitions import LogPartition
from nrtctl.pipeline import Pipeline
from nrtctl.replay import swap
from nrtctl.replay.job import Span
from nrtctl.replay.ranges import Check
from nrtctl.store.intents import (
    Incarnation,
    Intent,
    OffsetRange,
    SwapUnderWayError,
    encode_metadata,
    resume,
)

TOPICS = [Incarnation(1, "id-one"), Incarnation(2, "id-two"), Incarnation()]


class Killed(Exception):
    pass


@dataclass
class World:
    """The group, the load that is written down, and which table has which UUID."""

    topic: Incarnation
    offsets: dict[int, tuple[int | None, str]]
    spans: dict[int, Span]
    uuids: dict[str, str] = field(default_factory=lambda: {"events": "old", "events_2": "new"})
    kill: str = ""
    start: Literal["earliest", "latest"] = "earliest"
    log_starts: dict[int, int] = field(default_factory=dict)
    loaded: dict[int, Span] = field(default_factory=dict)
    of_others: int = 0
    newest_letter: int = 0

    @property
    def config(self) -> Config:
        return Config(
            pipeline=Pipeline(table="events", fields={"x": "String"}),
            consumer=Consumer(start=self.start),
        )

    # The group.

    def group(self, name: str) -> World:
        return self

    def committed(self, partitions: Iterable[int]) -> dict[int, tuple[int | None, str]]:
        return {number: self.offsets.get(number, (None, "")) for number in partitions}

    def commit_offsets(self, offsets: Mapping[int, tuple[int, str]]) -> None:
        self.offsets |= offsets

    def refuse_members(self) -> None:
        pass

    def wait_for_members(self, note: object, timeout: object) -> None:
        pass

    # The load.

    def entries(self) -> list[LogPartition]:
        return [
            LogPartition.of(number, (self.log_starts.get(number, 0), 100), committed, self.topic)
            for number, committed in self.offsets.items()
        ]

    def note_down(self, spans: dict[int, Span]) -> None:
        self.spans = spans

    def stopped(self) -> bool:
        return False

    def run(self, spans: dict[int, Span]) -> bool:
        self.loaded = spans
        return True

    def check(self, spans: object) -> Check:
        return Check(0, 0)

    def load(self) -> Any:
        other = self.config.pipeline.model_copy(update={"table": "events_2"})
        return SimpleNamespace(
            topic=self.topic, pipeline=other,
            client=self, group=self.group, again="", stopped=self.stopped, check=self.check,
            entries=self.entries, note_down=self.note_down, run=self.run,
        )  # fmt: skip

    # ClickHouse.

    def query(
        self, sql: str, parameters: Mapping[str, str] | None = None, settings: object = None
    ) -> Any:
        if "system.tables" in sql:
            return [(self.uuids[(parameters or {})["t"]],)]
        if "max(toUnixTimestamp64Milli(_inserted_at))" in sql:
            return [(self.newest_letter,)]
        return [(self.of_others if "NOT (_topic = 'user_events')" in sql else 0,)]

    def command(self, sql: str, settings: object = None) -> None:
        if sql.startswith("EXCHANGE"):
            self.uuids = {"events": self.uuids["events_2"], "events_2": self.uuids["events"]}

    def reach(self, name: str) -> None:
        if name == self.kill:
            raise Killed

    def swap(self, kill: str = "", *, leave_older: bool = False) -> bool:
        self.kill = kill
        exchange = swap.Swap(
            self.config, self, self.load(), wait=False,  # type: ignore[arg-type]
            leave_older=leave_older, clock=SystemClock(), note=lambda text: None,
        )  # fmt: skip
        return exchange.run(self.spans)


@pytest.fixture
def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> World:
    """A group that stands at 50 in partition 0, and has declared [70, 80) in partition 1."""
    topic: Incarnation = request.param
    batch = OffsetRange(70, 80)
    offsets: dict[int, tuple[int | None, str]] = {
        0: (50, encode_metadata("events", Intent(None, "e0", topic=topic.tag))),
        1: (70, encode_metadata("events", Intent(batch, "e1", topic=topic.tag))),
    }
    found = World(topic, offsets, {n: Span(0, offsets[n][0] or 0, 10, "p") for n in offsets})
    for name in ("clear", "apply_exchanged", "drop_feeding"):
        monkeypatch.setattr(swap, name, lambda *args, **more: None)
    monkeypatch.setattr(swap, "server_time", lambda client: 1)
    monkeypatch.setattr(swap, "rows_by_incarnation", lambda *args: {})
    monkeypatch.setattr(swap, "reach", found.reach)
    return found


every_topic = pytest.mark.parametrize("world", TOPICS, indirect=True)


@every_topic
@pytest.mark.parametrize("table", ["events", "events_2"])
def test_whoever_joins_before_the_end_is_stopped(world: World, table: str) -> None:
    """Also one whose table is the new one, which is the old one once they are exchanged."""
    before = dict(world.offsets)
    for point in ("swap-fenced", "swap-exchanged", "swap-applied"):
        with pytest.raises(Killed):
            world.swap(point)
        for offset, metadata in world.offsets.values():
            with pytest.raises(SwapUnderWayError):
                resume(
                    table, committed=offset, metadata=metadata, log_start=0,
                    log_end=100, fresh="f", topic=world.topic,
                )  # fmt: skip
    assert world.swap()
    assert (world.offsets, world.uuids["events"]) == (before, "new")


@every_topic
def test_letters_from_before_a_clock_was_set_back_are_old_ones(world: World) -> None:
    world.newest_letter = 60_000
    assert world.swap()
    exchanges = [span.exchange for span in world.spans.values()]
    assert [each.at for each in exchanges if each is not None] == [60_000] * 2


@every_topic
def test_a_fence_without_a_tag_is_known_for_one(world: World) -> None:
    """One that an earlier version set."""
    before = dict(world.offsets)
    with pytest.raises(Killed):
        world.swap("swap-exchanged")
    world.offsets = {n: (offset, "nrtctl1:events_2:-:swap") for n, (offset, _) in before.items()}
    assert world.swap()
    assert (world.offsets, world.uuids["events"]) == (before, "new")


@every_topic
def test_offsets_that_somebody_deleted_meanwhile_are_put_back(world: World) -> None:
    before = dict(world.offsets)
    with pytest.raises(Killed):
        world.swap("swap-exchanged")
    world.offsets = {}
    assert world.swap()
    assert world.offsets == before


@every_topic
def test_what_the_group_has_stored_since_stays(world: World) -> None:
    with pytest.raises(Killed):
        world.swap("swap-unfenced")
    world.offsets[0] = (60, encode_metadata("events", Intent(None, "e0", topic=world.topic.tag)))
    after = dict(world.offsets)
    assert world.swap()
    assert world.offsets == after


@every_topic
@pytest.mark.parametrize("start", ["earliest", "latest"])
def test_a_partition_that_was_added_since_the_load_began_is_exchanged_too(
    world: World, start: Literal["earliest", "latest"]
) -> None:
    world.start = start
    world.offsets[2] = (30, encode_metadata("events", Intent(None, "e2", topic=world.topic.tag)))
    world.offsets[3] = (None, "")
    world.log_starts = {2: 20, 3: 5}
    before = dict(world.offsets)
    assert world.swap()
    assert {n: (span.start, span.end) for n, span in world.loaded.items()} == {
        0: (0, 50), 1: (0, 70), 2: (20, 30), 3: (5, 5),
    }  # fmt: skip
    assert {(span.window, span.pipeline) for span in world.loaded.values()} == {(10, "p")}
    assert world.offsets == {**before, 3: (5, "")}


@every_topic
def test_rows_of_another_topic_are_not_left_behind_unasked(world: World) -> None:
    """The pipeline read another topic before, or the table has rows of the user's own."""
    before, world.of_others = dict(world.offsets), 7
    with pytest.raises(ConfigError, match="7 rows of events did not come from the topic"):
        world.swap()
    assert (world.offsets, world.uuids["events"]) == (before, "old")
    assert world.swap(leave_older=True)
    assert world.uuids["events"] == "new"
