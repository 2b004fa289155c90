"""What `produce` tells Prometheus. Told by the producer about ten times a second, on its thread."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from nrtctl.clock import Clock
from nrtctl.metrics.health import TurningHealth
from nrtctl.producer import Progress


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
        counters = {
            "sent": ("Records handed to the Kafka client.", last.sent),
            "acknowledged": ("Records that Kafka has acknowledged.", self._acknowledged),
            "failed": ("Records that were not delivered, or could not be read.", last.failed),
        }
        for name, (text, value) in counters.items():
            family = CounterMetricFamily(f"nrtctl_producer_records_{name}", text, labels=["topic"])
            family.add_metric([self._topic], value)
            yield family
        queue = GaugeMetricFamily(
            "nrtctl_producer_queue_records",
            "Records that wait for Kafka's acknowledgement.",
            labels=["topic"],
        )
        queue.add_metric([self._topic], last.queued)
        yield queue
