"""What `listen` tells Prometheus: asked of the endpoint at each scrape. Used by `serving`."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from nrtctl.clock import Clock
from nrtctl.metrics import names
from nrtctl.metrics.consumers import HUNG_SECONDS
from nrtctl.metrics.health import TurningHealth
from nrtctl.net.serving import Connections
from nrtctl.producer.listening.app import App
from nrtctl.producer.listening.courier import Courier
from nrtctl.producer.listening.room import Room

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class ListenMetrics(Collector):
    """`watch` says of what, once the endpoint is there."""

    def __init__(self, registry: CollectorRegistry, *, clock: Clock) -> None:
        self.health = TurningHealth(clock, HUNG_SECONDS, self._complaints)
        self._of: tuple[App, Courier, Connections, Room] | None = None
        each = names.LISTEN_SECONDS
        self._seconds = Histogram(each.name, each.meaning, registry=registry, buckets=BUCKETS)
        registry.register(self)

    def watch(self, app: App, courier: Courier, connections: Connections, room: Room) -> None:
        app.tally.seconds = self._seconds.observe
        self._of = (app, courier, connections, room)

    def _complaints(self) -> list[str]:
        if self._of is None:
            return ["it is not listening yet"]
        return ["Kafka does not answer"] if self._of[1].away else []

    def collect(self) -> Iterator[Metric]:
        if self._of is None:
            return
        app, courier, connections, room = self._of
        for metric, counts in (
            (names.PRODUCER_SENT, courier.sent),
            (names.PRODUCER_ACKNOWLEDGED, courier.acknowledged),
            (names.PRODUCER_FAILED, courier.failures),
            (names.LISTEN_REQUESTS, app.tally.answers),
        ):
            family = CounterMetricFamily(metric.family, metric.meaning, labels=metric.labels)
            for label, count in list(counts.items()):
                family.add_metric([str(label)], count)
            yield family
        queue = names.PRODUCER_QUEUE
        waiting = GaugeMetricFamily(queue.name, queue.meaning, labels=queue.labels)
        for topic, sent in list(courier.sent.items()):
            known = courier.acknowledged[topic] + courier.failures[topic]
            waiting.add_metric([topic], max(0, sent - known))
        yield waiting
        for metric, value in (
            (names.LISTEN_WAITING, room.used),
            (names.LISTEN_CONNECTIONS, connections.count),
        ):
            yield GaugeMetricFamily(metric.name, metric.meaning, value=value)
