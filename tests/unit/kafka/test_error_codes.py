"""The table of Kafka's errors: every one has a row, and nothing else looks at a code."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException

import nrtctl
from nrtctl.errors import ConfigError, ConnectError, NrtctlError, WaitTimeout
from nrtctl.kafka import error_codes
from nrtctl.kafka.error_codes import (
    DAMAGE,
    FETCHED,
    TABLE,
    Meaning,
    Row,
    UnknownTopic,
    meaning_of,
    translate,
    unknown_topic,
)

SOURCE = Path(nrtctl.__file__).parent
CODES = {
    name: getattr(KafkaError, name)
    for name in dir(KafkaError)
    if name == name.upper() and isinstance(getattr(KafkaError, name), int)
}
NAMES = [name for _, names in TABLE for name in names.split()]
ROWS = {name: row for row, names in TABLE for name in names.split()}
CLASSES = {
    ConnectError: {
        Meaning.UNREACHABLE, Meaning.ALL_DOWN, Meaning.UNTRUSTED, Meaning.UNAUTHENTICATED,
        Meaning.UNAUTHORIZED, Meaning.GROUP_UNAUTHORIZED, Meaning.FENCED_INSTANCE,
    },
    ConfigError: {Meaning.INVALID, Meaning.UNSUPPORTED},
    UnknownTopic: {Meaning.UNKNOWN_TOPIC},
    WaitTimeout: {Meaning.TIMED_OUT, Meaning.RETRIABLE, Meaning.REBALANCING},
}  # fmt: skip
"""Other meanings are plain error_codes."""


def test_every_member_of_kafka_error_has_one_row() -> None:
    assert sorted(CODES) == sorted(NAMES)


def test_every_meaning_has_a_row() -> None:
    assert {row.meaning for row, _ in TABLE} == set(Meaning)


@pytest.mark.parametrize(("row", "names"), TABLE, ids=[names.split()[0] for _, names in TABLE])
def test_a_row_has_the_class_of_its_meaning_and_says_what_mends_it(row: Row, names: str) -> None:
    classes = [kind for kind, meanings in CLASSES.items() if row.meaning in meanings]
    assert [row.error] == (classes or [NrtctlError])
    assert bool(row.hint) == (row.meaning not in {Meaning.NO_ERROR, Meaning.END})


@pytest.mark.parametrize("name", CODES)
def test_every_error_of_the_client_becomes_one_of_ours(name: str) -> None:
    for error in (KafkaError(CODES[name]), KafkaException(KafkaError(CODES[name]))):
        ours = translate(error, address="a:1", topic="events")
        assert type(ours) is ROWS[name].error
        assert ours.hint == ROWS[name].hint
        assert "\n" not in ours.message
        assert "{" not in ours.message
        known = KafkaError(CODES[name]).str()
        assert known in ours.message or "'events' does not exist" in ours.message


@pytest.mark.parametrize(
    ("word", "meanings"),
    [
        ("AUTHORIZATION", {Meaning.UNAUTHORIZED, Meaning.GROUP_UNAUTHORIZED}),
        ("AUTHENTICATION", {Meaning.UNAUTHENTICATED}),
        ("SASL", {Meaning.UNAUTHENTICATED}),
        ("TIMED_OUT", {Meaning.TIMED_OUT}),
        ("UNKNOWN_TOPIC", {Meaning.UNKNOWN_TOPIC}),
    ],
)
def test_codes_of_a_kind_are_complete(word: str, meanings: set[Meaning]) -> None:
    assert {row.meaning for name, row in ROWS.items() if word in name} == meanings


def test_a_fatal_error_has_its_cause_in_its_words() -> None:
    words = f"Fatal error: {KafkaError(KafkaError.FENCED_INSTANCE_ID).str()}: rejoined"
    assert meaning_of(KafkaError(KafkaError._FATAL, words)) is Meaning.FENCED_INSTANCE
    assert meaning_of(KafkaError(KafkaError._FATAL)) is Meaning.FATAL


def test_a_fetch_has_answers_of_its_own() -> None:
    for name in FETCHED:
        error = KafkaError(CODES[name])
        assert meaning_of(error) not in DAMAGE
        assert meaning_of(error, fetched=True) in DAMAGE


def test_a_code_of_a_version_to_come_is_not_expected() -> None:
    error = KafkaError(30_000, "of a version to come")
    assert meaning_of(error) is Meaning.UNEXPECTED
    assert "of a version to come" in translate(error, address="a:1").message


def test_one_of_our_errors_means_what_it_was_raised_from() -> None:
    with (
        pytest.raises(NrtctlError) as caught,
        error_codes.translated("a:1", doing="it does not go"),
    ):
        raise KafkaException(KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED))
    assert meaning_of(caught.value) is Meaning.GROUP_UNAUTHORIZED
    assert caught.value.message.startswith("it does not go: Kafka at a:1 does not allow this: ")


def test_what_is_no_error_of_kafkas_means_nothing() -> None:
    for error in (None, NrtctlError("x"), OSError(), KafkaException("odd"), KafkaException()):
        assert meaning_of(error) is None
    assert "odd" in translate(KafkaException("odd"), address="a:1").message


def looks_at_codes(path: Path) -> bool:
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Attribute(value=ast.Name(id="KafkaError")):
                return True
            case ast.Call(func=ast.Attribute(attr="code" | "retriable")):
                return True
    return False


def test_only_the_table_looks_at_codes_of_kafka() -> None:
    found = {
        str(path.relative_to(SOURCE))
        for path in SOURCE.rglob("*.py")
        if not path.is_relative_to(SOURCE / "local") and looks_at_codes(path)
    }
    assert found == {"kafka/error_codes.py"}


def test_a_mistyped_topic_is_answered_with_the_one_that_is_spelled_alike() -> None:
    known = {"events": 4, "orders": 1, "__consumer_offsets": 50}
    assert str(unknown_topic("evnets", known).hint).startswith("did you mean 'events'? Otherwise `")
    plain = ROWS["UNKNOWN_TOPIC_OR_PART"].hint
    for topic, topics in (("payments", known), ("_consumer_offsets", known), ("evnets", {})):
        assert unknown_topic(topic, topics).hint == plain
