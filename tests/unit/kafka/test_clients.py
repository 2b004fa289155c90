"""The Kafka adapter: secrets and properties reach librdkafka, and its words the log."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import trustme

from nrtctl.config.servers import Kafka
from nrtctl.errors import ConfigError, ConnectError
from nrtctl.kafka import clients, topics
from nrtctl.kafka.properties import client_properties
from tests.plugins.kafka_log import said

NOBODY = "127.0.0.1:1"


def test_properties(tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca"))
    settings = Kafka.model_validate({
        "security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "sasl_username": "me",
        "sasl_password": "planted", "ssl_ca_location": tmp_path / "ca",
        "ssl_key_password": "hush", "properties": {"client.id": "mine", "linger.ms": "0"},
    })  # fmt: skip
    found = client_properties(settings, address="a:1,b:2")
    assert found["bootstrap.servers"] == "a:1,b:2"
    assert found["security.protocol"] == "SASL_SSL"
    assert found["sasl.password"] == "planted"
    assert found["ssl.ca.location"] == str(tmp_path / "ca")
    assert found["ssl.key.password"] == "hush"
    assert found["client.id"] == "mine"
    assert "ssl.certificate.location" not in found
    assert "planted" not in repr(settings)


def test_a_property_that_does_not_exist() -> None:
    settings = Kafka(properties={"no.such.property": "1"})
    for make in (clients.make_producer, clients.make_admin):
        with pytest.raises(ConfigError, match=r"no\.such\.property"):
            make(settings, address=NOBODY)
    with pytest.raises(ConfigError, match=r"no\.such\.property"):
        clients.make_consumer(settings, "group", address=NOBODY)


def test_the_users_properties_go_before_ours() -> None:
    settings = Kafka(properties={"acks": "1"})
    with pytest.raises(ConfigError, match="acks"):
        clients.make_producer(settings, address=NOBODY)
    settings = Kafka(properties={"acks": "1", "enable.idempotence": "false"})
    clients.make_producer(settings, address=NOBODY)


@pytest.mark.parametrize("make", [clients.make_producer, clients.make_admin])
def test_nobody_there(make: Any) -> None:
    with pytest.raises(ConnectError, match=r"does not answer at 127\.0\.0\.1:1") as caught:
        topics.cluster_metadata(make(Kafka(), address=NOBODY), address=NOBODY, timeout=0.3)
    assert caught.value.hint


def test_librdkafka_logs_to_logging_not_to_the_terminal(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    client = clients.make_producer(Kafka(), address=NOBODY)
    with caplog.at_level(logging.DEBUG, logger="nrtctl.librdkafka"):
        while not caplog.records:
            client.poll(0.05)
    out, err = capfd.readouterr()
    assert (out, said(err, NOBODY)) == ("", [])
