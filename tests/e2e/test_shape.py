"""The work of the consumer, counted on a real stack: per message, per batch, per run."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import confluent_kafka
import pytest

from nrtctl.cli.session import Session
from nrtctl.clickhouse.client import ClickHouseClient
from nrtctl.clock import SystemClock
from nrtctl.consumer.run import Options, make_loop
from nrtctl.kafka import clients
from nrtctl.kafka.native import native
from nrtctl.metrics.collector_registry import make_registry
from nrtctl.metrics.consumer import ConsumerMetrics
from nrtctl.metrics.stored import StoredCounts
from nrtctl.store.intents import Incarnation
from nrtctl.store.target import target_of
from tests.plugins.calls import counted_calls, per_message
from tests.plugins.stack import Project

MAX_ROWS = 2000
PARTITIONS = 4


class Watched:
    def stored(self, batches: Any, stored: Any) -> None: ...
    def note(self, text: str) -> None: ...
    def turned(self, partitions: Any, group: Any) -> None: ...
    def waiting(self, reason: str, seconds: float) -> None: ...


def session(stack: Project, *settings: str) -> Session:
    shared = ("config", "profile", "output", "quiet", "verbose", "color", "debug")
    options: dict[str, Any] = dict.fromkeys(shared)
    options |= {"config": stack.directory / "nrtctl.toml", "set": list(settings), "verbose": False}
    made = Session(options)
    made.environ = stack.environ
    return made


def measured(opened: Session) -> ConsumerMetrics:
    """What `--metrics-port` puts before the observer."""
    registry = make_registry("test")
    counts = StoredCounts(target_of(opened.config, Incarnation()), opened.clickhouse, registry)
    return ConsumerMetrics(
        opened.config.pipeline.topic, Watched(), counts, registry, clock=SystemClock(), stale=60.0
    )


def consume(
    stack: Project,
    count: int,
    monkeypatch: pytest.MonkeyPatch,
    *,
    metrics: bool,
    compiled: bool,
) -> tuple[int, Counter[str], dict[str, float]]:
    """(inserts, calls into the clients, calls a message) of storing `count` fresh messages."""
    calls: Counter[str] = Counter()

    class Consumer(confluent_kafka.Consumer):
        def commit(self, *given: Any, **named: Any) -> Any:
            calls["commit"] += 1
            return super().commit(*given, **named)

    def counting(name: str) -> None:
        real = getattr(ClickHouseClient, name)

        def counted(self: Any, *given: Any, **named: Any) -> Any:
            calls[name] += 1
            return real(self, *given, **named)

        monkeypatch.setattr(ClickHouseClient, name, counted)

    stack.run("produce", "--count", str(count), "-q")
    with monkeypatch.context() as patched:
        patched.setattr(clients, "Consumer", Consumer)
        for name in ("insert", "query_named", "command"):
            counting(name)
        opened = session(
            stack,
            f"batch.max_rows={MAX_ROWS}",
            "batch.max_wait=5s",
            f"consumer.compiled={str(compiled).lower()}",
        )
        watched = measured(opened) if metrics else Watched()
        with counted_calls() as found:
            loop = make_loop(
                opened.config,
                opened.addresses,
                Options(until_end=True),
                clock=SystemClock(),
                observer=watched,
                waiting=watched.waiting,
            )
            summary = loop.run()
    monkeypatch.undo()
    assert summary.records == count
    return summary.inserts, calls, per_message(found, count)


@pytest.mark.parametrize("more", [16_000, pytest.param(32_000, marks=pytest.mark.long)])
def test_work_grows_with_batches_and_messages_as_it_should(
    stack: Project, monkeypatch: pytest.MonkeyPatch, more: int
) -> None:
    seen: list[float] = []
    for count, metrics, compiled in (
        (8000, False, False),
        (more, False, False),
        (more, True, False),
        (8000, False, True),
    ):
        inserts, calls, each = consume(
            stack, count, monkeypatch, metrics=metrics, compiled=compiled
        )
        assert math.ceil(count / MAX_ROWS) <= inserts <= count / MAX_ROWS + PARTITIONS
        assert calls["insert"] == inserts
        assert calls["commit"] <= inserts + 3 * PARTITIONS
        assert calls["query_named"] <= inserts + 12
        assert calls["command"] == (not seen)  # the topic is written down when it is first met
        python = {name: often for name, often in each.items() if not name.startswith("c:")}
        assert sum(python.values()) <= 0.1, each
        assert sum(each.values()) <= (1 if compiled and native() else 8), each
        seen.append(sum(each.values()))
    assert seen[1] <= 1.1 * seen[0]
    assert seen[2] <= seen[1] + 0.5
    assert stack.json("verify")["duplicated"] == 0
