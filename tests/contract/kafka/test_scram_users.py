"""SCRAM users made by clients: both brokers keep them alike, and with the local one they log in."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, cast

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._scram import (
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialUpsertion,
)
from kio.schema.errors import ErrorCode

from tests.plugins.kafka_wire import Wire
from tests.plugins.local_broker import LocalBroker
from tests.plugins.waiting import eventually

SHA_256, SHA_512 = 1, 2
PASSWORD = "one-password"


def upsertion(user: str, mechanism: int = SHA_256, iterations: int = 4096) -> dict[str, Any]:
    salted = hashlib.pbkdf2_hmac("sha256", b"secret", b"salt", 4096)
    return {
        "name": user,
        "mechanism": mechanism,
        "iterations": iterations,
        "salt": b"salt",
        "salted_password": salted,
    }


def alter(
    connection: Wire, *upsertions: dict[str, Any], deletions: tuple[tuple[str, int], ...] = ()
) -> dict[str, int]:
    answer = connection.call(
        "alter_user_scram_credentials",
        0,
        deletions=[{"name": name, "mechanism": mechanism} for name, mechanism in deletions],
        upsertions=upsertions,
    )
    return {each.user: each.error_code for each in answer.results}


def described(connection: Wire, *names: str) -> dict[str, Any]:
    """By user: mechanism and iterations of each of its credentials, or the code of an error."""
    wanted = [{"name": name} for name in names] or None
    answer = connection.call("describe_user_scram_credentials", 0, users=wanted)
    assert answer.error_code == ErrorCode.none
    return {
        each.user: each.error_code
        or {info.mechanism: info.iterations for info in each.credential_infos}
        for each in answer.results
    }


def test_a_user_is_made_changed_and_removed(connection: Wire, group: str) -> None:
    user = group
    assert described(connection, user) == {user: ErrorCode.resource_not_found}
    assert alter(connection, upsertion(user)) == {user: 0}
    eventually(lambda: described(connection, user) == {user: {SHA_256: 4096}}, "the user")
    assert alter(connection, upsertion(user, SHA_512, 8192)) == {user: 0}
    both = {SHA_256: 4096, SHA_512: 8192}
    eventually(lambda: described(connection, user) == {user: both}, "its second credentials")
    assert described(connection)[user] == both
    assert alter(connection, upsertion(user, SHA_256, 5000)) == {user: 0}
    eventually(lambda: described(connection)[user][SHA_256] == 5000, "other iterations")
    assert alter(connection, deletions=((user, SHA_512),)) == {user: 0}
    eventually(lambda: described(connection, user) == {user: {SHA_256: 5000}}, "one to go")
    assert alter(connection, deletions=((user, SHA_256),)) == {user: 0}
    gone = {user: ErrorCode.resource_not_found}
    eventually(lambda: described(connection, user) == gone, "none")
    assert user not in described(connection)


def test_what_no_user_may_have_is_refused_and_the_others_are_made(
    connection: Wire, group: str
) -> None:
    bad = [
        upsertion(f"{group}-few", iterations=4095),
        upsertion(f"{group}-many", iterations=16385),
        upsertion(f"{group}-unknown", mechanism=3),
        upsertion(f"{group}-twice"),
        upsertion(f"{group}-twice", SHA_512),
        upsertion(""),
        upsertion(f"{group}-good"),
    ]
    unacceptable = ErrorCode.unacceptable_credential
    assert alter(connection, *bad, deletions=((f"{group}-none", SHA_256),)) == {
        f"{group}-few": unacceptable,
        f"{group}-many": unacceptable,
        f"{group}-unknown": ErrorCode.unsupported_sasl_mechanism,
        f"{group}-twice": ErrorCode.duplicate_resource,
        "": unacceptable,
        f"{group}-good": ErrorCode.none,
        f"{group}-none": ErrorCode.resource_not_found,
    }
    good = f"{group}-good"
    eventually(lambda: described(connection, good) == {good: {SHA_256: 4096}}, "the good one")
    assert not {name for name in described(connection) if name.startswith(group)} - {good}
    assert described(connection, good, good) == {good: ErrorCode.duplicate_resource}


@pytest.fixture
def with_password(tmp_path: Path) -> Iterator[LocalBroker]:
    """Nobody is known."""
    password = tmp_path / "password"
    password.write_text(PASSWORD + "\n")
    broker = LocalBroker(tmp_path, "--password-file", str(password), "--ask-everybody")
    broker.start()
    yield broker
    assert broker.stop() == 0


def client(broker: LocalBroker, user: str, password: str, mechanism: str) -> AdminClient:
    return AdminClient(
        {
            "bootstrap.servers": broker.bootstrap,
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": mechanism,
            "sasl.username": user,
            "sasl.password": password,
            "log_level": 0,
            "reconnect.backoff.max.ms": 500,
        }
    )


@pytest.mark.parametrize("mechanism", [ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512])
def test_a_user_logs_in_after_a_crash_too_and_not_once_it_is_gone(
    with_password: LocalBroker, wire: Callable[[str], Wire], mechanism: ScramMechanism
) -> None:
    name = mechanism.name.replace("_", "-")
    own = client(with_password, "nrtctl", PASSWORD, name)
    info = ScramCredentialInfo(mechanism, 4096)
    made: list[UserScramCredentialAlteration] = [
        UserScramCredentialUpsertion("ada, (1=2)", info, b"p\xc3\xa9")
    ]
    own.alter_user_scram_credentials(made)["ada, (1=2)"].result()
    with_password.kill()
    with_password.start()
    ada = client(with_password, "ada, (1=2)", "pé", name)
    assert ada.list_topics(timeout=30).brokers
    assert set(all_users(ada)) == {"nrtctl", "ada, (1=2)"}
    for user, password in (("ada, (1=2)", "no"), ("nobody", "pé")):
        with pytest.raises(KafkaException):
            client(with_password, user, password, name).list_topics(timeout=1)
    made[0] = UserScramCredentialUpsertion("nrtctl", info, b"other")
    with pytest.raises(KafkaException, match="the stack's own login"):
        own.alter_user_scram_credentials(made)["nrtctl"].result()


def all_users(admin: AdminClient) -> Any:
    return cast("Future[Any]", admin.describe_user_scram_credentials()).result()
