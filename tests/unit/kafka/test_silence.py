"""Why Kafka does not answer, as far as a client has heard."""

from __future__ import annotations

from types import SimpleNamespace

from confluent_kafka import KafkaError, KafkaException

from nrtctl.errors import ConnectError
from nrtctl.kafka.silence import why_silent


def silent(refusal: ConnectError | None) -> str | None:
    def list_topics(topic: str, timeout: float) -> None:
        raise KafkaException(KafkaError(KafkaError._TRANSPORT))

    heard = SimpleNamespace(refusal=lambda address: refusal, last=lambda: "Connection refused")
    client = SimpleNamespace(list_topics=list_topics, heard=heard)
    return why_silent(client, "t", "k:9092", 0.0)


def test_a_refusal_says_that_a_client_keeps_what_it_was_made_with() -> None:
    """After a password was changed a consumer waited for ever, for Kafka to `answer again`."""
    said = silent(ConnectError("it does not accept the user 'u' with this password"))
    assert said is not None
    assert said.startswith("it does not accept the user 'u' with this password; start this command")


def test_without_one_it_is_what_was_heard_last() -> None:
    assert silent(None) == "Kafka does not answer at k:9092: Connection refused"
