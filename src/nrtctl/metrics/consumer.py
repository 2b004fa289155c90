"""What `consume` tells Prometheus. Called by the loop once a batch and once a turn, on its thread.

The work is one of batches: the time stamps of a batch are read, sorted and counted in one go, and
the lag is measured once a second from what the client has been told with its last fetch.
"""

from __future__ import annotations

import json
import threading
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from nrtctl.clock import Clock
from nrtctl.consumer.insert import Stored
from nrtctl.consumer.observer import Membership, Observer
from nrtctl.consumer.partition import Partition
from nrtctl.metrics import names
from nrtctl.metrics.health import TurningHealth
from nrtctl.metrics.latency import BatchHistogram
from nrtctl.store.batch import Batch
from nrtctl.store.envelope import timestamps
from nrtctl.store.intents import OffsetRange

MEASURE_SECONDS = 1.0
STALLED_SECONDS = 60.0
"""Behind, and nothing stored for so long, or three times as long as a batch may wait: not ready."""

INSERT_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
BATCH_ROWS = (1, 10, 100, 1000, 5000, 10_000, 25_000, 50_000, 100_000, 250_000)
LATENCY_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600)


class Watcher(Observer, Protocol):
    """The observer that is told everything as well."""

    def waiting(self, reason: str, seconds: float) -> None: ...


class Counting(Protocol):
    """The part of `StoredCounts` that is used."""

    gone: str | None

    def add(self, partition: int, span: OffsetRange) -> None: ...


@dataclass(frozen=True, slots=True)
class _Lag:
    records: int
    seconds: float


class ConsumerMetrics(Collector):
    """An observer of the loop, in front of another one.

    Args:
        stale: seconds without a turn after which the consumer counts as hung.
        counting: what is told the ranges that were stored.
        batch_wait: seconds that a message waits at most until its batch is closed.
    """

    def __init__(
        self,
        topic: str,
        inner: Watcher,
        counting: Counting,
        registry: CollectorRegistry,
        *,
        clock: Clock,
        stale: float,
        batch_wait: float = 0.0,
    ) -> None:
        self._topic = topic
        self._patience = max(STALLED_SECONDS, 3 * batch_wait)
        self._inner = inner
        self._counting = counting
        self._clock = clock
        self._thread: int | None = None
        self._next = 0.0
        self._joined = False
        self._kafka_gone: str | None = "Kafka has not answered yet"
        self._lags: dict[int, _Lag] = {}
        self._unseen: dict[int, float] = {}
        self._moved = clock.monotonic()
        self.health = TurningHealth(clock, stale, self._complaints)
        self._consumed = Counter(
            names.CONSUMED.family,
            names.CONSUMED.meaning,
            names.CONSUMED.labels,
            registry=registry,
        )
        self._resolved = Counter(
            names.RESOLVED.family,
            names.RESOLVED.meaning,
            names.RESOLVED.labels,
            registry=registry,
        )
        self._waits = Counter(names.WAITS.family, names.WAITS.meaning, registry=registry)
        self._seconds = Histogram(
            names.INSERT_SECONDS.name,
            names.INSERT_SECONDS.meaning,
            buckets=INSERT_SECONDS,
            registry=registry,
        )
        self._rows = Histogram(
            names.BATCH_ROWS.name,
            names.BATCH_ROWS.meaning,
            buckets=BATCH_ROWS,
            registry=registry,
        )
        self._latency = BatchHistogram(
            names.LATENCY_SECONDS.name, names.LATENCY_SECONDS.meaning, LATENCY_SECONDS
        )
        registry.register(self._latency)
        registry.register(self)

    # Told by the loop.

    def stored(self, batches: Sequence[Batch], stored: Stored) -> None:
        self._moved = self._clock.monotonic()
        now = int(self._clock.time() * 1000)
        self._rows.observe(sum(len(batch.offsets) for batch in batches))
        self._seconds.observe(stored.seconds)
        for batch in batches:
            # Of a batch that goes alone: those of several that share an insert are new.
            self._consumed.labels(self._topic, batch.partition).inc(
                len(batch.offsets) - stored.before
            )
            if stored.before:
                self._resolved.labels(self._topic, batch.partition).inc(stored.before)
            else:
                stamps = array("q")
                for piece, sizes in batch.by_piece():
                    stamps += timestamps(self._topic, piece, sizes)
                self._latency.add(stamps, now)
                self._counting.add(batch.partition, batch.span)
        self._inner.stored(batches, stored)

    def note(self, text: str) -> None:
        self._inner.note(text)

    def waiting(self, reason: str, seconds: float) -> None:
        """Told by the loop's thread and by those that insert."""
        self._waits.inc()
        if threading.get_ident() == self._thread:
            self.health.turned()
        self._inner.waiting(reason, seconds)

    def turned(self, partitions: Mapping[int, Partition], group: Membership) -> None:
        self._inner.turned(partitions, group)
        now = self._clock.monotonic()
        self.health.turned()
        if now < self._next:
            return
        self._next = now + MEASURE_SECONDS
        self._thread = threading.get_ident()
        self._joined = group.joined
        self._lags = {
            number: self._lag(number, state, group.log_end(number), now)
            for number, state in partitions.items()
        }
        if group.rests or not any(lag.records for lag in self._lags.values()):
            self._moved = now

    def statistics(self, text: str) -> None:
        """librdkafka's statistics: https://github.com/confluentinc/librdkafka/blob/master/STATISTICS.md"""
        brokers = json.loads(text).get("brokers", {}).values()
        up = any(each.get("state") == "UP" for each in brokers)
        self._kafka_gone = None if up else "Kafka does not answer"

    def _lag(self, number: int, state: Partition, end: int | None, now: float) -> _Lag:
        """Age: of the oldest record that is here and not stored; of one that is not here yet, the
        time since it was first missed."""
        rows, here = state.buffer.first(), 1
        if state.batch is not None:
            rows, here = next(iter(state.batch.pieces), b""), len(state.batch.offsets)
        records = 0 if end is None else max(0, end - max(state.stored, state.committed))
        if rows:
            self._unseen.pop(number, None)
            stamp = timestamps(self._topic, rows, [len(rows)])[0]
            age = max(0.0, self._clock.time() - stamp / 1000) if stamp else 0.0
            return _Lag(max(records, here), age)
        if not records or state.ended:
            self._unseen.pop(number, None)
            return _Lag(0 if state.ended else records, 0.0)
        return _Lag(records, now - self._unseen.setdefault(number, now))

    # Read by the server's threads.

    def _complaints(self) -> list[str]:
        found = [] if self._joined else ["the consumer has not joined its group yet"]
        found += [each for each in (self._kafka_gone, self._counting.gone) if each is not None]
        still = self._clock.monotonic() - self._moved
        if still > self._patience:
            found.append(f"stalled: behind, and nothing stored for {still:.0f} s")
        return found

    def collect(self) -> Iterator[GaugeMetricFamily]:
        records = _gauge(names.UNSTORED_RECORDS)
        seconds = _gauge(names.UNSTORED_SECONDS)
        lags = self._lags
        for number, lag in sorted(lags.items()):
            records.add_metric([self._topic, str(number)], lag.records)
            seconds.add_metric([self._topic, str(number)], lag.seconds)
        yield records
        yield seconds
        assigned = names.ASSIGNED_PARTITIONS
        yield GaugeMetricFamily(assigned.name, assigned.meaning, value=len(lags))


def _gauge(metric: names.Name) -> GaugeMetricFamily:
    return GaugeMetricFamily(metric.name, metric.meaning, labels=metric.labels)
