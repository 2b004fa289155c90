"""The Kafka adapter: every error is one of ours, secrets and properties reach librdkafka."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import trustme
from confluent_kafka import KafkaError, KafkaException

from nrtctl import kafka
from nrtctl.config.model import Kafka
from nrtctl.errors import ConfigError, ConnectError, NrtctlError, WaitTimeout

CODES = {
    name: getattr(KafkaError, name)
    for name in dir(KafkaError)
    if name == name.upper() and isinstance(getattr(KafkaError, name), int)
}
CLASSES: list[tuple[frozenset[int], type[NrtctlError]]] = [
    (kafka.UNREACHABLE, ConnectError),
    (kafka.REFUSED, ConnectError),
    (kafka.UNAUTHORISED, ConnectError),
    (kafka.UNKNOWN_TOPIC, NrtctlError),
    (kafka.WRONG_CALL, ConfigError),
    (kafka.TIMED_OUT, WaitTimeout),
]
NOBODY = "127.0.0.1:1"


@pytest.mark.parametrize("name", CODES)
def test_every_error_of_the_client_becomes_one_of_ours(name: str) -> None:
    code = CODES[name]
    expected = [made for codes, made in CLASSES if code in codes] or [NrtctlError]
    assert len(expected) == 1, "a code has one meaning"
    for error in (KafkaError(code), KafkaException(KafkaError(code))):
        ours = kafka.translate(error, address="a:1", topic="events")
        assert type(ours) is expected[0]
        assert ours.message
        assert "\n" not in ours.message


@pytest.mark.parametrize(
    ("word", "codes"),
    [
        ("AUTHORIZATION", kafka.UNAUTHORISED),
        ("AUTHENTICATION", kafka.REFUSED),
        ("SASL", kafka.REFUSED),
        ("TIMED_OUT", kafka.TIMED_OUT),
        ("UNKNOWN_TOPIC", kafka.UNKNOWN_TOPIC),
    ],
)
def test_codes_of_a_kind_are_complete(word: str, codes: frozenset[int]) -> None:
    assert {code for name, code in CODES.items() if word in name} <= codes


def test_what_can_be_mended_has_a_hint() -> None:
    for codes, _ in CLASSES:
        for code in codes:
            assert kafka.translate(KafkaError(code), address="a:1", topic="events").hint


def test_an_exception_without_an_error() -> None:
    assert "odd" in kafka.translate(KafkaException("odd"), address="a:1").message


def test_properties(tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca"))
    settings = Kafka.model_validate({
        "security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "sasl_username": "me",
        "sasl_password": "planted", "ssl_ca_location": tmp_path / "ca",
        "ssl_key_password": "hush", "properties": {"client.id": "mine", "linger.ms": "0"},
    })  # fmt: skip
    found = kafka.client_properties(settings, address="a:1,b:2")
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
    for make in (kafka.make_producer, kafka.make_admin):
        with pytest.raises(ConfigError, match=r"no\.such\.property"):
            make(settings, address=NOBODY)
    with pytest.raises(ConfigError, match=r"no\.such\.property"):
        kafka.make_consumer(settings, "group", address=NOBODY)


def test_the_users_properties_go_before_ours() -> None:
    settings = Kafka(properties={"acks": "1"})
    with pytest.raises(ConfigError, match="acks"):
        kafka.make_producer(settings, address=NOBODY)
    settings = Kafka(properties={"acks": "1", "enable.idempotence": "false"})
    kafka.make_producer(settings, address=NOBODY)


@pytest.mark.parametrize("make", [kafka.make_producer, kafka.make_admin])
def test_nobody_there(make: Any) -> None:
    with pytest.raises(ConnectError, match=r"does not answer at 127\.0\.0\.1:1") as caught:
        kafka.cluster_metadata(make(Kafka(), address=NOBODY), address=NOBODY, timeout=0.3)
    assert caught.value.hint


def test_librdkafka_logs_to_logging_not_to_the_terminal(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    client = kafka.make_producer(Kafka(), address=NOBODY)
    with caplog.at_level(logging.DEBUG, logger="nrtctl.librdkafka"):
        while not caplog.records:
            client.poll(0.05)
    assert capfd.readouterr() == ("", "")
