"""The same tests against both brokers, the embedded one and Apache Kafka; or against one that is
given (`plugins/given_servers.py`)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import TypeVar

import pytest

from tests.plugins.apache_kafka import ApacheKafka
from tests.plugins.given_servers import GIVEN, GivenBroker, kinds_of_broker
from tests.plugins.kafka_wire import Wire, create_topic, wait_for_topic
from tests.plugins.local_broker import LocalBroker

Broker = LocalBroker | ApacheKafka | GivenBroker
_FIXTURES = {"embedded": "local_broker", "apache": "apache_kafka", GIVEN: "given_broker"}


_DEAR_ON_APACHE = "dear_on_apache_kafka"
Test = TypeVar("Test", bound=Callable[..., None])


def dear_on_apache(test: Test) -> Test:
    """A test that costs seconds there, so that `make test-long` runs that half of it."""
    setattr(test, _DEAR_ON_APACHE, True)
    return test


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "broker" in metafunc.fixturenames:
        dear = hasattr(metafunc.function, _DEAR_ON_APACHE)
        kinds = [
            pytest.param(each, marks=pytest.mark.long) if dear and each == "apache" else each
            for each in kinds_of_broker(metafunc.config)
        ]
        metafunc.parametrize("broker", kinds, indirect=True)


@pytest.fixture
def broker(request: pytest.FixtureRequest) -> Broker:
    found: Broker = request.getfixturevalue(_FIXTURES[request.param])
    return found


@pytest.fixture
def connection(broker: Broker, wire: Callable[[str], Wire]) -> Wire:
    return wire(broker.bootstrap)


@pytest.fixture
def new_topic(connection: Wire, broker: Broker) -> Callable[..., str]:
    """Create a topic under a fresh name: `new_topic(partitions=1, configs={})`.

    Nothing in it expires unless asked: many tests write records of 1970.
    """

    def create(partitions: int = 1, configs: dict[str, str] | None = None) -> str:
        kept = {"retention.ms": "-1"}
        name = f"t-{uuid.uuid4().hex[:12]}"
        assert create_topic(connection, name, partitions, kept | (configs or {})).error_code == 0
        wait_for_topic(connection, name)
        if isinstance(broker, GivenBroker):
            broker.topics.add(name)
        return name

    return create


@pytest.fixture
def topic(new_topic: Callable[..., str]) -> str:
    return new_topic()


@pytest.fixture
def group() -> str:
    return f"g-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def new_local_topic(local_broker: LocalBroker, wire: Callable[[str], Wire]) -> str:
    """A topic of the embedded broker alone."""
    name = f"t-{uuid.uuid4().hex[:12]}"
    assert create_topic(wire(local_broker.bootstrap), name).error_code == 0
    return name
