"""A broker with a password: who comes in, who does not, and what they are told."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from kio.schema.errors import ErrorCode

from nrtctl.local.broker.wire.apis import VERSIONS, Api
from tests.plugins.apache_tools import ApacheTools
from tests.plugins.kafka_wire import Closed, Wire, create_topic
from tests.plugins.local_broker import LocalBroker
from tests.plugins.other_user import MAY_BE_ANOTHER, OTHER_USER, as_other_user

PASSWORD = "one-password"
LOGIN = {
    "security.protocol": "SASL_PLAINTEXT",
    "sasl.username": "nrtctl",
    "sasl.password": PASSWORD,
}
MECHANISMS = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., LocalBroker]]:
    made = []

    def broker(*arguments: str) -> LocalBroker:
        directory = tmp_path_factory.mktemp("login")
        password = directory / "password"
        password.write_text(PASSWORD + "\n")
        found = LocalBroker(directory, "--password-file", str(password), *arguments)
        found.start()
        made.append(found)
        return found

    yield broker
    for each in made:
        assert each.stop() == 0


@pytest.fixture(scope="module")
def strict(make: Callable[..., LocalBroker]) -> LocalBroker:
    """Nobody is known: as where the system does not tell whose a connection is."""
    return make("--ask-everybody", "--login-seconds", "2")


@pytest.fixture(scope="module")
def kind(make: Callable[..., LocalBroker]) -> LocalBroker:
    """As `up` starts it on Linux."""
    return make()


def logged_in(wire: Callable[[str], Wire], broker: LocalBroker) -> Wire:
    connection = wire(broker.bootstrap)
    assert connection.call("sasl_handshake", 1, mechanism="PLAIN").error_code == ErrorCode.none
    token = f"\0nrtctl\0{PASSWORD}".encode()
    answer = connection.call("sasl_authenticate", 2, auth_bytes=token)
    assert answer.error_code == ErrorCode.none
    return connection


def test_the_user_who_started_it_needs_no_login(
    kind: LocalBroker, wire: Callable[[str], Wire]
) -> None:
    assert create_topic(wire(kind.bootstrap), "own").error_code == ErrorCode.none


def test_who_needs_no_login_may_log_in(kind: LocalBroker, wire: Callable[[str], Wire]) -> None:
    connection = logged_in(wire, kind)
    assert connection.call("list_groups", 2).error_code == ErrorCode.none


def test_another_user_may_do_nothing(kind: LocalBroker, strict: LocalBroker) -> None:
    """Where the tests cannot be another user, they are one that the broker does not know."""
    broker = kind if MAY_BE_ANOTHER else strict

    def attempt() -> list[str]:
        found = []
        for api, served in VERSIONS.items():
            if api in (Api.API_VERSIONS, Api.SASL_HANDSHAKE):
                continue
            connection = Wire(broker.bootstrap)
            connection.send_frame(struct.pack(">hhih", api, served.lowest, 1, -1) + bytes(40))
            try:
                connection.receive_frame()
                found.append(api.name)
            except Closed:
                pass
            connection.close()
        return found

    assert (as_other_user(attempt) if MAY_BE_ANOTHER else attempt()) == []
    log = broker.log.read_text()
    assert "PRODUCE without a login" in log or "PRODUCE" not in log
    assert "without a login" in log
    assert "`nrtctl status --connect` prints what a client needs" in log
    if MAY_BE_ANOTHER:
        assert f"(user {OTHER_USER} of this machine)" in log


def test_another_user_with_the_password_comes_in(
    kind: LocalBroker, wire: Callable[[str], Wire]
) -> None:
    def attempt() -> int:
        return int(logged_in(Wire, kind).call("list_groups", 2).error_code)

    assert (as_other_user(attempt) if MAY_BE_ANOTHER else attempt()) == 0


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_librdkafka(
    strict: LocalBroker, mechanism: str, wire: Callable[[str], Wire], group: str
) -> None:
    topic = f"confluent-{mechanism}"
    create_topic(logged_in(wire, strict), topic)
    settings = LOGIN | {"bootstrap.servers": strict.bootstrap, "sasl.mechanism": mechanism}
    producer = Producer(settings)
    for number in range(100):
        producer.produce(topic, str(number))
    assert producer.flush(20) == 0
    consumer = Consumer(settings | {"group.id": group, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    values: list[bytes | None] = []
    while len(values) < 100:
        values += [message.value() for message in consumer.consume(100, 20)]
    consumer.commit(asynchronous=False)
    consumer.close()
    assert values == [str(number).encode() for number in range(100)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sasl.password": "no", "sasl.mechanism": "PLAIN"}, "the user or the password is wrong"),
        ({"sasl.password": "no", "sasl.mechanism": "SCRAM-SHA-256"}, "password is wrong"),
        ({"sasl.username": "no", "sasl.mechanism": "SCRAM-SHA-256"}, "password is wrong"),
        (
            {"sasl.mechanism": "OAUTHBEARER", "enable.sasl.oauthbearer.unsecure.jwt": "true"}
            | {"sasl.oauthbearer.config": "principal=nrtctl"},
            "supported mechanisms: SCRAM-SHA-256,SCRAM-SHA-512,PLAIN",
        ),
    ],
)
def test_a_client_is_told_why_it_is_refused(
    strict: LocalBroker, change: dict[str, str], words: str
) -> None:
    heard: list[str] = []
    settings: dict[str, Any] = LOGIN | {
        "bootstrap.servers": strict.bootstrap,
        "error_cb": lambda error: heard.append(error.str()),
        "log_level": 0,
        "reconnect.backoff.ms": 500,
    }
    admin = AdminClient(settings | change)
    with pytest.raises(KafkaException):
        admin.list_topics(timeout=1)
    admin.poll(0)
    assert any(words in line for line in heard), heard


@pytest.mark.skipif(shutil.which("kcat") is None, reason="kcat is not installed")
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_kcat(
    strict: LocalBroker, mechanism: str, wire: Callable[[str], Wire], tmp_path: Path
) -> None:
    """Its librdkafka is an old one."""
    topic = f"kcat-{mechanism}"
    create_topic(logged_in(wire, strict), topic)

    def kcat(*arguments: str, given: str = "") -> str:
        settings = LOGIN | {"sasl.mechanism": mechanism}
        flags = [part for key, value in settings.items() for part in ("-X", f"{key}={value}")]
        return subprocess.run(
            ["kcat", "-b", strict.bootstrap, *flags, *arguments],
            input=given,
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        ).stdout

    kcat("-P", "-t", topic, given="one\ntwo\n")
    assert kcat("-C", "-t", topic, "-e", "-q") == "one\ntwo\n"


@pytest.mark.parametrize(
    ("mechanism", "module"),
    [
        ("SCRAM-SHA-256", "scram.ScramLoginModule"),
        pytest.param("PLAIN", "plain.PlainLoginModule", marks=pytest.mark.long),
    ],
)
def test_java(
    strict: LocalBroker, apache_tools: ApacheTools, mechanism: str, module: str, tmp_path: Path
) -> None:
    config = tmp_path / "client.properties"
    config.write_text(
        f"security.protocol=SASL_PLAINTEXT\nsasl.mechanism={mechanism}\n"
        f"sasl.jaas.config=org.apache.kafka.common.security.{module} required "
        f'username="nrtctl" password="{PASSWORD}";\n'
    )
    topic = f"java-{mechanism}"
    apache_tools.run(
        "TopicCommand",
        *("--bootstrap-server", strict.bootstrap, "--command-config", str(config)),
        *("--create", "--topic", topic, "--partitions", "3"),
    )
    shown = apache_tools.run(
        "TopicCommand",
        *("--bootstrap-server", strict.bootstrap, "--command-config", str(config), "--list"),
    )
    assert topic in shown.split()


def test_the_login_of_clients_before_sasl_authenticate(
    strict: LocalBroker, wire: Callable[[str], Wire]
) -> None:
    """SaslHandshake v0: bare tokens follow, as kafka-python 2.0 sends them."""
    connection = wire(strict.bootstrap)
    assert connection.call("sasl_handshake", 0, mechanism="PLAIN").error_code == ErrorCode.none
    connection.send_frame(f"\0nrtctl\0{PASSWORD}".encode())
    assert connection.receive_frame() == b""
    assert connection.call("list_groups", 2).error_code == ErrorCode.none
    refused = wire(strict.bootstrap)
    refused.call("sasl_handshake", 0, mechanism="PLAIN")
    refused.send_frame(b"\0nrtctl\0x")
    with pytest.raises(Closed):
        refused.receive_frame()


def test_the_steps_cannot_be_left_out(strict: LocalBroker, wire: Callable[[str], Wire]) -> None:
    token = f"\0nrtctl\0{PASSWORD}".encode()
    early = wire(strict.bootstrap)
    early.send("sasl_authenticate", 2, auth_bytes=token)
    with pytest.raises(Closed):
        early.receive_frame()
    between = wire(strict.bootstrap)
    between.call("sasl_handshake", 1, mechanism="SCRAM-SHA-256")
    between.call("sasl_authenticate", 2, auth_bytes=b"n,,n=nrtctl,r=x")
    between.send("list_groups", 2)
    with pytest.raises(Closed):
        between.receive_frame()
    wrong = wire(strict.bootstrap)
    wrong.call("sasl_handshake", 1, mechanism="PLAIN")
    answer = wrong.call("sasl_authenticate", 2, auth_bytes=b"\0nrtctl\0x")
    assert answer.error_code == ErrorCode.sasl_authentication_failed
    assert "password is wrong" in answer.error_message
    with pytest.raises(Closed):
        wrong.call("list_groups", 2)


def test_versions_are_told_before_a_login_and_nothing_long_is_read(
    strict: LocalBroker, wire: Callable[[str], Wire]
) -> None:
    connection = wire(strict.bootstrap)
    assert connection.call("api_versions", 2).error_code == ErrorCode.none
    connection.socket.sendall(struct.pack(">i", 20_000) + b"x")
    with pytest.raises(Closed):
        connection.receive_frame()


def test_a_login_that_does_not_come_ends_the_connection(
    strict: LocalBroker, wire: Callable[[str], Wire]
) -> None:
    connection = wire(strict.bootstrap)
    connection.call("api_versions", 2)
    with pytest.raises(Closed):
        connection.receive_frame()
    assert "no login within 2 s" in strict.log.read_text()
