"""Our consumer tells the coordinator that it leaves, whatever it holds: else the next one waits."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from confluent_kafka.admin import AdminClient

from nrtctl import kafka
from nrtctl.clock import SystemClock
from nrtctl.config.model import Kafka
from nrtctl.consumer.group import Group
from nrtctl.consumer.stop import Stop
from tests.contract.kafka.conftest import Broker


@pytest.fixture
def start(broker: Broker, topic: str, group: str) -> Callable[[], Group]:
    def make() -> Group:
        made = Group(
            lambda on_commit: kafka.make_consumer(
                Kafka(), group, address=broker.bootstrap, on_commit=on_commit
            ),
            topic,
            "events",
            start="earliest",
            clock=SystemClock(),
            stop=Stop(),
            waiting=lambda reason, seconds: None,
        )
        made.subscribe(lambda positions: None, lambda numbers: None, lambda numbers: None)
        return made

    return make


def members(broker: Broker, group: str) -> int:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    return len(admin.describe_consumer_groups([group])[group].result().members)


def test_a_consumer_without_partitions_leaves_the_group(
    broker: Broker, group: str, start: Callable[[], Group]
) -> None:
    one, other = start(), start()
    deadline = time.monotonic() + 30
    while not (one.joined and other.joined) and time.monotonic() < deadline:
        one.fetch(1, 0.05)
        other.fetch(1, 0.05)
    idle, busy = (one, other) if other.assigned else (other, one)
    assert (idle.joined, idle.assigned, busy.assigned) == (True, set(), {0})
    idle.close()
    assert members(broker, group) == 1
    busy.close()
    assert members(broker, group) == 0
