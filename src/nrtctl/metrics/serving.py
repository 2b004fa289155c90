"""Metrics and their server, put together for each command. Called by `cli`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from threading import Event

from nrtctl.clickhouse.client import ClickHouseClient
from nrtctl.clock import Clock
from nrtctl.config.model import Config
from nrtctl.metrics.collector_registry import make_registry
from nrtctl.metrics.consumer import ConsumerMetrics, Watcher
from nrtctl.metrics.consumers import HUNG_SECONDS, ConsumersMetrics, observing
from nrtctl.metrics.listen import ListenMetrics
from nrtctl.metrics.producer import ProducerMetrics
from nrtctl.metrics.server import MetricsServer
from nrtctl.metrics.snapshot import SnapshotMetrics
from nrtctl.stats.rest import seconds_until_next
from nrtctl.stats.snapshot import Shots
from nrtctl.store.intents import Incarnation


@contextmanager
def producer_metrics(
    topic: str,
    note: Callable[[str], None],
    *,
    clock: Clock,
    host: str,
    port: int,
    patient: bool,
) -> Iterator[ProducerMetrics]:
    """What is to be told of the progress. Args: patient: the source may be silent for ever.

    Raises:
        ConfigError: the address cannot be bound.
    """
    registry = make_registry("produce")
    stale = None if patient else HUNG_SECONDS
    metrics = ProducerMetrics(topic, registry, clock=clock, stale=stale)
    server = MetricsServer(registry, metrics.health, host, port)
    try:
        note(f"metrics: {server.url}/metrics")
        yield metrics
    finally:
        server.close()


@contextmanager
def listen_metrics(
    note: Callable[[str], None], *, clock: Clock, host: str, port: int
) -> Iterator[ListenMetrics]:
    """Raises ConfigError: the address cannot be bound."""
    registry = make_registry("listen")
    metrics = ListenMetrics(registry, clock=clock)
    server = MetricsServer(registry, metrics.health, host, port)
    try:
        note(f"metrics: {server.url}/metrics")
        yield metrics
    finally:
        server.close()


@contextmanager
def consumer_metrics(
    config: Config,
    topic: Incarnation,
    connect: Callable[[], ClickHouseClient],
    watcher: Watcher,
    *,
    clock: Clock,
    host: str,
    port: int,
) -> Iterator[ConsumerMetrics]:
    """An observer that also tells `watcher` everything, and is scraped at `host`:`port`.

    Raises:
        ConfigError: the address cannot be bound.
    """
    registry = make_registry("consume")
    metrics, counts = observing(config, topic, connect, watcher, registry, clock)
    server = MetricsServer(registry, metrics.health, host, port)
    try:
        counts.start()
        watcher.note(f"metrics: {server.url}/metrics")
        yield metrics
    finally:
        server.close()
        counts.close()


@contextmanager
def consumers_metrics(
    note: Callable[[str], None], *, clock: Clock, host: str, port: int
) -> Iterator[ConsumersMetrics]:
    """As `consumer_metrics`, of the consumers of several pipelines."""
    registry = make_registry("consume")
    metrics = ConsumersMetrics(clock)
    registry.register(metrics)
    server = MetricsServer(registry, metrics, host, port)
    try:
        note(f"metrics: {server.url}/metrics")
        yield metrics
    finally:
        server.close()
        metrics.close()


def serve_snapshots(
    look: Callable[[], Shots],
    note: Callable[[str], None],
    stop: Event,
    *,
    interval: float,
    schemas: Collection[str],
    clock: Clock,
    host: str,
    port: int,
) -> None:
    """Look once per `interval` seconds, on this thread, until `stop` is set. `schemas` as of
    `SnapshotMetrics`.

    Raises:
        ConfigError: the address cannot be bound.
    """
    registry = make_registry("stats")
    stale = max(HUNG_SECONDS, 3 * interval)
    metrics = SnapshotMetrics(registry, clock=clock, stale=stale, schemas=schemas)
    server = MetricsServer(registry, metrics.health, host, port)
    try:
        note(f"metrics: {server.url}/metrics")
        while not stop.is_set():
            began = clock.monotonic()
            shots = look()
            metrics.show(shots)
            stop.wait(seconds_until_next(shots, clock.monotonic() - began, interval))
    finally:
        server.close()
