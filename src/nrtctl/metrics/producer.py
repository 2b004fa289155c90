"""What `produce` tells Prometheus. Told by the producer about ten times a second, on its thread."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from nrtctl.clock import Clock
from nrtctl.metrics import names
from nrtctl.metrics.health import TurningHealth
from nrtctl.producer.run import Progress


class ProducerMetrics(Collector):
    """Args: stale: seconds without news after which the producer counts as hung; None: the source
    may wait for ever."""

    def __init__(
        self, topic: str, registry: CollectorRegistry, *, clock: Clock, stale: float | None
    ) -> None:
        self._topic = topic
        self._last: Progress | None = None
        self._acknowledged = 0
        self.health = TurningHealth(clock, stale, self._complaints)
        registry.register(self)

    def observe(self, progress: Progress) -> None:
        self._last = progress
        self._acknowledged = max(self._acknowledged, progress.acknowledged)
        self.health.turned()

    def _complaints(self) -> list[str]:
        if self._last is None:
            return ["nothing has been sent yet"]
        return ["Kafka does not answer"] if self._last.away else []

    def collect(self) -> Iterator[Metric]:
        last = self._last or Progress(0, 0, 0, 0.0, None)
        for metric, value in (
            (names.PRODUCER_SENT, last.sent),
            (names.PRODUCER_ACKNOWLEDGED, self._acknowledged),
            (names.PRODUCER_FAILED, last.failed),
        ):
            family = CounterMetricFamily(metric.family, metric.meaning, labels=metric.labels)
            family.add_metric([self._topic], value)
            yield family
        waiting = names.PRODUCER_QUEUE
        queue = GaugeMetricFamily(waiting.name, waiting.meaning, labels=waiting.labels)
        queue.add_metric([self._topic], last.queued)
        yield queue
