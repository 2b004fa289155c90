"""A project without a stack beside a broker, the local one and Apache Kafka in turn: `place`."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Producer

from tests.plugins.kafka_wire import Wire, create_topic, wait_for_topic
from tests.plugins.stack import Project


class Place:
    """A project without a stack, whose Kafka is the given broker, and a topic that it has."""

    def __init__(self, project: Project, bootstrap: str, topic: str, group: str) -> None:
        self.project = project
        self.bootstrap = bootstrap
        self.topic = topic
        self.group = group
        project.environ |= {
            "NRTCTL_STACK__KIND": "external",
            "NRTCTL_KAFKA__BOOTSTRAP_SERVERS": bootstrap,
            "NRTCTL_PIPELINE__TOPIC": topic,
            "NRTCTL_CONSUMER__GROUP": group,
        }

    def run(self, *arguments: str, code: int = 0) -> str:
        """What is printed on stdout, or on stderr where it fails; stdout is empty then."""
        done = self.project.run(*arguments, code=code)
        if not code:
            return done.stdout.decode()
        assert done.stdout == b""
        return done.stderr.decode()

    def json(self, *arguments: str) -> Any:
        return self.project.json(*arguments)

    def fill(self, count: int, partition: int = 0) -> None:
        producer = Producer({"bootstrap.servers": self.bootstrap})
        for number in range(count):
            producer.produce(self.topic, str(number).encode(), b"k", partition)
        assert producer.flush(30) == 0


@pytest.fixture(params=["embedded", "apache"])
def place(request: pytest.FixtureRequest, project: Project, wire: Callable[[str], Wire]) -> Place:
    fixture = "local_broker" if request.param == "embedded" else "apache_kafka"
    broker = request.getfixturevalue(fixture)
    name = f"t-{uuid.uuid4().hex[:12]}"
    connection = wire(broker.bootstrap)
    assert create_topic(connection, name, 2, {"retention.ms": "-1"}).error_code == 0
    wait_for_topic(connection, name)
    return Place(project, broker.bootstrap, name, f"g-{name}")
