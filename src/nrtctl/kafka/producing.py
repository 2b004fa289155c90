"""The client that sends, and what it says when it does not: a `Refusal`. Used by `producer`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from confluent_kafka import KafkaError, KafkaException

from nrtctl.errors import NrtctlError
from nrtctl.kafka.error_codes import Meaning, meaning_of, translate

NotTaken = KafkaException
"""What `Client.produce` raises of a message, but for BufferError, where the queue is full. A
function around it would cost half as much again as the call."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a message was not taken or not delivered, or why the client cannot go on.

    `name` is Kafka's, such as `MSG_TIMED_OUT`.
    """

    name: str
    text: str
    meaning: Meaning | None
    error: KafkaError

    @staticmethod
    def of(error: KafkaError) -> Refusal:
        return Refusal(error.name(), error.str(), meaning_of(error), error)

    @staticmethod
    def raised(error: NotTaken) -> Refusal:
        return Refusal.of(error.args[0])

    def as_error(self, *, address: str, topic: str) -> NrtctlError:
        return translate(self.error, address=address, topic=topic)


class Client(Protocol):
    """The part of confluent_kafka's Producer that is used."""

    @property
    def produce(self) -> Callable[..., None]: ...
    def produce_batch(
        self, topic: str, messages: list[dict[str, Any]], *, on_delivery: Any
    ) -> int: ...
    def poll(self, timeout: float) -> int: ...
    def flush(self, timeout: float) -> int: ...
    def purge(self) -> None: ...
    def __len__(self) -> int: ...


def produce_batch(
    client: Client, topic: str, messages: list[dict[str, Any]], on_delivery: Any
) -> int | Refusal:
    """How many were taken; the others have their errors (`refusal_in`). A refusal: none was."""
    try:
        return client.produce_batch(topic, messages, on_delivery=on_delivery)
    except KafkaException as fatal:
        return Refusal.raised(fatal)


def refusal_in(message: dict[str, Any]) -> Refusal | None:
    """Of a message that `produce_batch` was given."""
    error = message.get("_error")
    return None if error is None else Refusal.of(error)


def refusal_of(code: int) -> Refusal:
    """Of a message that a `BulkClient` was given."""
    return Refusal.of(KafkaError(code))


def serve(call: Callable[[float], int], seconds: float) -> Refusal | None:
    """`poll` or `flush`. They raise what the client cannot live on with."""
    try:
        call(seconds)
    except KafkaException as fatal:
        return Refusal.raised(fatal)
    return None


class Health:
    """What librdkafka says of the brokers; its error callback."""

    def __init__(self, notice: Callable[[str], None], patience: float) -> None:
        self._notice = notice
        self._patience = patience
        self.connected = False
        """Set once Kafka has answered; before that, being away is an error, not a notice."""
        self.away = False
        self.fatal: Refusal | None = None

    def __call__(self, error: KafkaError) -> None:
        if error.fatal():
            self.fatal = Refusal.of(error)
        elif meaning_of(error) is Meaning.ALL_DOWN and self.connected and not self.away:
            self.away = True
            self._notice(
                "Kafka does not answer; still trying (each message is given up after "
                f"{self._patience:g} s)"
            )

    def answered(self) -> None:
        if self.away:
            self.away = False
            self._notice("Kafka answers again")
