"""What `consume` of several pipelines tells Prometheus: what each of its consumers tells, with the
label `pipeline`. Used by `serving`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from nrtctl.clock import Clock
from nrtctl.config.model import Config
from nrtctl.metrics import names
from nrtctl.metrics.consumer import ConsumerMetrics, Watcher
from nrtctl.metrics.stored import Client, StoredCounts
from nrtctl.store.intents import Incarnation
from nrtctl.store.target import target_of

HUNG_SECONDS = 30.0


def observing(
    config: Config,
    topic: Incarnation,
    connect: Callable[[], Client],
    watcher: Watcher,
    registry: CollectorRegistry,
    clock: Clock,
) -> tuple[ConsumerMetrics, StoredCounts]:
    """An observer of one consumer that also tells `watcher` everything, and what counts for it."""
    counts = StoredCounts(target_of(config, topic), connect, registry)
    metrics = ConsumerMetrics(
        config.pipeline.topic,
        watcher,
        counts,
        registry,
        clock=clock,
        stale=max(HUNG_SECONDS, config.consumer.session_timeout),
        batch_wait=config.batch.longest_wait,
    )
    return metrics, counts


class ConsumersMetrics(Collector):
    """Health, and the metrics of all consumers as one collector."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._registries: dict[str, CollectorRegistry] = {}
        self._observers: dict[str, tuple[ConsumerMetrics, StoredCounts]] = {}
        self._failed: dict[str, str] = {}

    def of(
        self,
        name: str,
        config: Config,
        topic: Callable[[], Incarnation],
        connect: Callable[[], Client],
        watcher: Watcher,
    ) -> ConsumerMetrics:
        """The observer of one pipeline's consumer, which begins now, perhaps once more.

        Args:
            topic: asks which topic has the name, once. Raises as that.
        """
        if name not in self._observers:
            registry = CollectorRegistry(auto_describe=True)
            found = observing(config, topic(), connect, watcher, registry, self._clock)
            found[1].start()
            with self._lock:
                self._registries[name], self._observers[name] = registry, found
        with self._lock:
            self._failed.pop(name, None)
        metrics = self._observers[name][0]
        metrics.health.turned()
        return metrics

    def failed(self, name: str, why: str) -> None:
        """A consumer has ended with an error."""
        with self._lock:
            self._failed[name] = why

    def close(self) -> None:
        for _, counts in self._observers.values():
            counts.close()

    # Read by the server's threads.

    def alive(self) -> Sequence[str]:
        """Of those that run: one that failed is started again by the command."""
        found = self._running()
        return [f"{name}: {each}" for name, one in found.items() for each in one.health.alive()]

    def ready(self) -> Sequence[str]:
        with self._lock:
            stopped = [f"{name}: stopped: {why}" for name, why in self._failed.items()]
        found = self._running()
        return stopped + [
            f"{name}: {each}" for name, one in found.items() for each in one.health.ready()
        ]

    def _running(self) -> dict[str, ConsumerMetrics]:
        with self._lock:
            return {n: one for n, (one, _) in self._observers.items() if n not in self._failed}

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            registries = dict(self._registries)
        families: dict[str, Metric] = {}
        for name, registry in registries.items():
            for metric in registry.collect():
                family = families.setdefault(
                    metric.name, Metric(metric.name, metric.documentation, metric.type)
                )
                for each in metric.samples:
                    labels = {names.PIPELINE: name, **each.labels}
                    family.samples.append(each._replace(labels=labels))
        yield from families.values()
