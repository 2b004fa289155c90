"""A pytest plugin: the contract tests against servers that are there already.

`pytest tests/contract --kafka HOST:PORT --clickhouse URL` runs, of the tests that hold for any
server, those for the addresses that are given, and no others. The login at ClickHouse is that of
NRTCTL_CLICKHOUSE__USERNAME and NRTCTL_CLICKHOUSE__PASSWORD; Kafka has none, and no TLS. Topics,
groups and databases that the tests make have names of their own, and are deleted at the end.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

GIVEN = "given"
_OF_THE_FRONT = "tests/contract/clickhouse/"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("servers that are there")
    group.addoption("--kafka", metavar="HOST:PORT", help="Test this broker, and none of our own.")
    group.addoption("--clickhouse", metavar="URL", help="Test this ClickHouse, and no local one.")


class GivenBroker:
    """Args: bootstrap: its address."""

    name = GIVEN

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self.topics: set[str] = set()
        """That were made in it."""

    def __getattr__(self, name: str) -> Any:
        pytest.skip(f"this needs a broker of the test's own: {name}")

    def tidy(self) -> None:
        """Delete what was made."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        _delete(admin.delete_topics(sorted(self.topics)) if self.topics else {})
        listed = admin.list_consumer_groups(request_timeout=30).result().valid
        ours = [each.group_id for each in listed if each.group_id.startswith("g-")]
        _delete(admin.delete_consumer_groups(ours) if ours else {})


def _delete(futures: dict[str, Any]) -> None:
    for future in futures.values():
        try:
            future.result()
        except KafkaException:
            continue  # a test has deleted it, or it has members that are about to time out


class GivenClickHouse:
    """What tests ask of a `ClickHouseFront` beside requests of their own."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.url = url
        self.host = parts.hostname or ""
        self.port = parts.port or (8443 if parts.scheme == "https" else 8123)
        self.username = os.environ.get("NRTCTL_CLICKHOUSE__USERNAME", "default")
        self.password = os.environ.get("NRTCTL_CLICKHOUSE__PASSWORD", "")

    def __getattr__(self, name: str) -> Any:
        pytest.skip(f"this needs a ClickHouse of the test's own: {name}")


def given_clickhouse(config: pytest.Config) -> str | None:
    url: str | None = config.getoption("--clickhouse")
    return url


def kinds_of_broker(config: pytest.Config) -> list[str]:
    return [GIVEN] if config.getoption("--kafka") else ["embedded", "apache"]


@pytest.fixture(scope="session")
def given_broker(request: pytest.FixtureRequest) -> Iterable[GivenBroker]:
    broker = GivenBroker(request.config.getoption("--kafka"))
    yield broker
    broker.tidy()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    kafka, clickhouse = config.getoption("--kafka"), given_clickhouse(config)
    if not kafka and not clickhouse:
        return
    kept = [each for each in items if _is_about(each, bool(kafka), bool(clickhouse))]
    config.hook.pytest_deselected(items=[each for each in items if each not in set(kept)])
    items[:] = kept


def _is_about(item: pytest.Item, kafka: bool, clickhouse: bool) -> bool:
    if not isinstance(item, pytest.Function):
        return False
    if getattr(getattr(item, "callspec", None), "params", {}).get("broker") == GIVEN:
        return kafka
    return (
        clickhouse
        and "clickhouse_front" in item.fixturenames
        and not item.nodeid.startswith(_OF_THE_FRONT)
    )
