"""The client that sends, and what it says when it does not: a `Refusal`. Used by `producer`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from confluent_kafka import KafkaError, KafkaException

from nrtctl.config.counted import counted
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


STORES_NOTHING = 5.0
"""Seconds without an acknowledgement after which it is said that messages wait."""


class Health:
    """What librdkafka says of the brokers; its error callback."""

    def __init__(self, notice: Callable[[str], None], patience: float) -> None:
        self._notice = notice
        self._patience = patience
        self.connected = False
        """Set once Kafka has answered; before that, being away is an error, not a notice."""
        self.away = False
        self.fatal: Refusal | None = None
        self._acknowledged = 0
        self._since: float | None = None
        self._refuses = False

    def __call__(self, error: KafkaError) -> None:
        if error.fatal():
            self.fatal = Refusal.of(error)
        elif meaning_of(error) is Meaning.ALL_DOWN and self.connected and not self.away:
            self.away = True
            self._notice(
                "Kafka does not answer; still trying (each message is given up after "
                f"{self._patience:g} s)"
            )

    def look(self, acknowledged: int, queued: int, now: float) -> None:
        """Say where Kafka answers, and stores nothing: to clients an error of its disk is one that
        passes, and they try again without a word.

        Args:
            acknowledged: messages so far; queued: messages that wait.
            now: monotonic seconds.
        """
        if acknowledged != self._acknowledged or not queued or self._since is None or self.away:
            if self._refuses and acknowledged != self._acknowledged:
                self._refuses = False
                self._notice("Kafka stores messages again")
            self._acknowledged, self._since = acknowledged, now
        elif not self._refuses and now - self._since >= STORES_NOTHING:
            self._refuses = True
            self._notice(
                f"Kafka answers, but has stored nothing for {STORES_NOTHING:g} s, and "
                f"{counted(queued, 'message waits', 'messages wait')}: its own log says why, as "
                "when its disk is full; still trying (each message is given up after "
                f"{self._patience:g} s)"
            )

    def answered(self) -> None:
        if self.away:
            self.away = False
            self._notice("Kafka answers again")
