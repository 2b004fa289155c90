"""Sizes on disk are asked over TLS, with each login, and without rights."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from nrtctl.kafka.admin import NewTopic
from nrtctl.kafka.log_dirs import Sizes, sizes
from tests.contract.secure.test_kafka_refusals import FINE, LOGIN, OVER_TLS, PLAINLY, load
from tests.plugins.secure_kafka import LIMITED, SecureKafka
from tests.plugins.waiting import eventually


def ask(
    kafka: SecureKafka, directory: Path, listener: str, settings: Mapping[str, str], topic: str
) -> Sizes:
    loaded = load(kafka, directory, listener, settings)
    host, _, port = kafka.addresses[listener].rpartition(":")
    return sizes(loaded.config.kafka, {1: (host, int(port))}, {topic: [0]})


@pytest.fixture
def topic(secure_kafka: SecureKafka) -> str:
    name = f"t-{uuid.uuid4().hex[:12]}"
    admin = AdminClient({"bootstrap.servers": secure_kafka.bootstrap})
    admin.create_topics([NewTopic(name, 1, 1)])[name].result(30)
    return name


SCRAM_256 = OVER_TLS | {"sasl_mechanism": "SCRAM-SHA-256"}


@pytest.mark.parametrize(
    ("listener", "settings"),
    [
        *((name, given) for name, given in FINE.items() if name != "OAUTH"),
        ("SASL", SCRAM_256),
    ],
)
def test_every_way_in(
    secure_kafka: SecureKafka,
    tmp_path: Path,
    topic: str,
    listener: str,
    settings: Mapping[str, str],
) -> None:
    def told() -> bool:
        found = ask(secure_kafka, tmp_path, listener, settings, topic)
        assert not found.unknown
        return dict(found.bytes) == {(topic, 0, 1): 0}

    eventually(told, "the size of a topic that was just made")


@pytest.mark.parametrize(
    ("listener", "settings", "why"),
    [
        ("OAUTH", FINE["OAUTH"], "only librdkafka can log in with OAUTHBEARER"),
        ("SASL", OVER_TLS | {"sasl_password": "wrong"}, "refuses the login"),
        ("SCRAM", PLAINLY | {"sasl_password": "wrong"}, "refuses the login"),
        ("SCRAM", PLAINLY | {"sasl_mechanism": "PLAIN"}, "does not serve PLAIN"),
        ("SCRAM", {}, "closed the connection"),
        ("EXPIRED", FINE["TLS"], "expired"),
        ("TLS", {}, ""),
        ("PLAINTEXT", {"properties": '{{"ssl.providers": "default"}}'}, "ssl.providers"),
    ],
)
def test_who_is_not_let_in_is_told_why(
    secure_kafka: SecureKafka,
    tmp_path: Path,
    topic: str,
    listener: str,
    settings: Mapping[str, str],
    why: str,
) -> None:
    told = ask(secure_kafka, tmp_path, listener, settings, topic)
    assert not told.bytes
    assert why in told.unknown[1]


def test_a_user_without_the_right_is_told_which(
    secure_kafka: SecureKafka, tmp_path: Path, topic: str
) -> None:
    settings = (
        PLAINLY
        | LOGIN
        | {
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_username": LIMITED,
            "sasl_password": secure_kafka.passwords[LIMITED],
        }
    )
    told = ask(secure_kafka, tmp_path, "SCRAM", settings, topic)
    assert not told.bytes
    assert "DESCRIBE on CLUSTER" in told.unknown[1]
