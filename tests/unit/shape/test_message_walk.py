"""The way of one message from Kafka to the insert that is acknowledged: docs/architecture.md."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

from confluent_kafka import OFFSET_END, TopicPartition

import nrtctl
from nrtctl.clickhouse.client import ClickHouseClient
from nrtctl.clickhouse.queries import Rows
from nrtctl.clock import SystemClock
from nrtctl.clock.stop import Stop
from nrtctl.config.model import Batch as Limits
from nrtctl.config.model import Consumer as Settings
from nrtctl.consumer.budget import alone
from nrtctl.consumer.flush_policy import FlushPolicy
from nrtctl.consumer.insert_pool import InsertPool
from nrtctl.consumer.lease_renewals import LeaseRenewals
from nrtctl.consumer.loop import Loop
from nrtctl.kafka.membership import Group
from nrtctl.store.intents import Incarnation
from nrtctl.store.target import Target
from nrtctl.store.writer import Writer
from tests.plugins.doc_pages import ROOT
from tests.unit.core.fetched import Message

MAX_PLACES = 15
SOURCE = nrtctl.__path__[0]
PAGE = (ROOT / "docs/architecture.md").read_text()
PLACE = re.compile(r"^\d+\. `([\w/]+\.py)` `([\w.<>]+)`", re.M)

PARTS = {
    "kafka/membership.py": {
        "kafka/commits.py",
        "kafka/fetched.py",
        "kafka/silence.py",
    },
    "consumer/flush_policy.py": {"consumer/budget.py"},
    "consumer/loop.py": {"consumer/undecoded.py", "kafka/topic_identity.py"},
    "consumer/assignment.py": {"consumer/insert.py", "consumer/topic_check.py"},
    "consumer/intent_commits.py": {"consumer/lease_renewals.py"},
    "store/writer.py": {
        "schema/reasons.py",
        "store/rows.py",
        "store/target.py",
        "store/tokens.py",
    },
}
"""What stands behind one of the places."""
VALUES = {"store/batch.py", "store/intents/ranges.py"}
BESIDE = {
    "clock/__init__.py", "clock/notices.py", "clock/stop.py", "store/evidence.py",
    "store/faultpoints.py",
}  # fmt: skip


class Client:
    """A partition with one message. Commits are answered in the next poll."""

    def __init__(self) -> None:
        self.fetched = False
        self._unanswered: list[Any] = []

    def subscribe(self, topics: Sequence[str], on_assign: Callable[..., None], **_: Any) -> None:
        self._on_assign = on_assign

    def made(self, on_commit: Callable[..., None]) -> Any:
        self._on_commit = on_commit
        return self

    def poll(self, timeout: float) -> Message | None:
        if self._unanswered:
            self._on_commit(None, self._unanswered.pop(0))
        if not hasattr(self, "_assigned"):
            self._assigned = True
            self._on_assign(self, [TopicPartition("t", 0)])
            return None
        if self.fetched:
            return None
        self.fetched = True
        return Message(0)

    def consume(self, most: int, timeout: float) -> list[Message]:
        return []

    def commit(self, *, offsets: list[Any], asynchronous: bool) -> None:
        self._unanswered.append(offsets)

    def committed(self, asked: list[Any], timeout: float) -> list[Any]:
        return [TopicPartition("t", each.partition, -1001) for each in asked]

    def get_watermark_offsets(self, partition: Any, **_: Any) -> tuple[int, int]:
        return 0, 1

    def offsets_for_times(self, asked: list[Any], timeout: float) -> list[Any]:
        return [
            TopicPartition("t", each.partition, int(each.offset == OFFSET_END)) for each in asked
        ]

    def incremental_assign(self, partitions: list[Any]) -> None: ...

    def memberid(self) -> str:
        return "m"

    def assignment(self) -> list[Any]:
        return []

    def pause(self, partitions: list[Any]) -> None: ...

    def unsubscribe(self) -> None: ...

    def close(self) -> None: ...


class Storage:
    def __init__(self) -> None:
        self.inserted = 0

    def insert(
        self, table: str, columns: Sequence[str], body: Rows, settings: Mapping[str, Any]
    ) -> None:
        self.inserted += 1

    def query_named(self, *given: Any, **named: Any) -> list[Any]:
        return []

    def query(self, *given: Any, **named: Any) -> list[Any]:
        return []


class Trace:
    """Calls of nrtctl's functions, (file, name) of each, before the message is fetched and after,
    until it is inserted."""

    def __init__(self, fetched: Callable[[], bool], inserted: Callable[[], bool]) -> None:
        self._fetched, self._inserted = fetched, inserted
        self.before: list[tuple[str, str]] = []
        self.after: list[tuple[str, str]] = []

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(SOURCE) and not self._inserted():
            file = Path(code.co_filename).relative_to(SOURCE).as_posix()
            (self.after if self._fetched() else self.before).append((file, code.co_qualname))


def walked() -> Trace:
    client, storage, stop = Client(), Storage(), Stop()
    group = Group(
        client.made, "t", "events", start="earliest", clock=SystemClock(), stop=stop,
        waiting=lambda reason, seconds: None, note=lambda text: None, address="a:1",
    )  # fmt: skip
    target = Target("t", "n", "events_landing", "events", "dead_letters", {}, 1)
    pressure = SimpleNamespace(delay=lambda storage: 0.0)

    def inserts(renewals: LeaseRenewals) -> InsertPool:
        def writer() -> Writer:
            return Writer(
                target, storage, declare=renewals.declare, lease=20.0, clock=SystemClock(),  # type: ignore[arg-type]
                pressure=pressure, waiting=lambda reason, seconds: None,  # type: ignore[arg-type]
            )  # fmt: skip

        return InsertPool(1, writer, SystemClock())

    limits = Limits(max_wait="1ms")
    flush_policy = FlushPolicy(limits, share=alone(max_buffer=2**30, max_inserts=1))
    trace = Trace(lambda: client.fetched, lambda: storage.inserted > 0)
    threading.setprofile(trace)
    sys.setprofile(trace)
    try:
        loop = Loop(
            "t", "events", group, settings=Settings(), flush_policy=flush_policy,
            inserts=inserts, holds_all=lambda partition, span: True, clock=SystemClock(),
            observer=SimpleNamespace(
                stored=lambda batches, stored: stop.set(), note=print, turned=lambda *_: None
            ),
            stop=stop, incarnation=Incarnation(1, ""),
        )  # fmt: skip
        loop.run()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    assert (loop.summary.records, storage.inserted) == (1, 1)
    return trace


def test_a_message_passes_few_places_in_the_order_of_the_list() -> None:
    places = PLACE.findall(PAGE)
    assert 10 < len(places) <= MAX_PLACES
    *ours, last = places
    trace = walked()
    left = iter([*trace.before, *trace.after])
    for file, name in ours:
        assert any(call == (file, name) for call in left), f"{file} {name} is not called then"
    assert last == ("clickhouse/client.py", "ClickHouseClient.insert")
    assert callable(ClickHouseClient.insert)


def test_nothing_else_has_a_hand_in_it() -> None:
    files = {file for file, _ in PLACE.findall(PAGE)}
    parts = set[str]().union(*(PARTS[file] for file in PARTS.keys() & files))
    trace = walked()
    seen = {file for file, _ in trace.after}
    assert seen - files - parts - VALUES - BESIDE == set()
    assert parts | VALUES <= seen | {file for file, _ in trace.before}
