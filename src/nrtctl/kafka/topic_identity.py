"""Whether the topic of the name is still the one that is read.

A topic that is deleted and made again has another id. `consumer.topic_check` says when to ask.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaException

from nrtctl.clock import Clock, SystemClock
from nrtctl.errors import NrtctlError
from nrtctl.kafka import topics
from nrtctl.kafka.error_codes import Meaning, forgotten, meaning_of
from nrtctl.kafka.patience import answered
from nrtctl.store.intents import Incarnation


class TopicMadeAgain(NrtctlError):
    """Another topic has the name now. Nothing of it was stored under the number of the earlier."""

    def __init__(self, topic: str) -> None:
        super().__init__(
            f"topic {topic!r} was deleted and created again while it was being read",
            hint="run the same command again to read the current topic",
        )


ANSWER_SECONDS = 60.0
"""The client says sooner that there is no answer, unless it has forgotten the request."""


class TopicGone(NrtctlError):
    """The topic was deleted."""

    def __init__(self, topic: str) -> None:
        super().__init__(f"topic {topic!r} does not exist", hint="`nrtctl up` creates it")


@dataclass(frozen=True, slots=True)
class Answer:
    """`why`: the question was not answered; empty: it is the same topic."""

    why: str = ""


class TopicIdentity:
    """Args:
    topic: the name; `incarnation`: the topic whose rows are stored.
    ask: asks Kafka which topic has the name now (`topics.ask_topic_id`).
    """

    def __init__(
        self,
        topic: str,
        incarnation: Incarnation,
        ask: Callable[[], Future[Any]],
        *,
        clock: Clock | None = None,
    ) -> None:
        self._topic = topic
        self._incarnation = incarnation
        self._ask = ask
        self._clock = clock or SystemClock()
        self._question: Future[Any] | None = None
        self._asked = 0.0

    @property
    def has_id(self) -> bool:
        """Whether this topic can be told from another one."""
        return bool(self._incarnation.topic_id)

    def ask(self) -> None:
        """Ask, and do not wait."""
        self._question, self._asked = self._ask(), self._clock.monotonic()

    def answer(self) -> Answer | None:
        """What has become of the question; None: it is not answered yet, or none was asked.

        Raises:
            TopicMadeAgain, TopicGone
        """
        question = self._question
        if question is None:
            return None
        is_late = self._clock.monotonic() - self._asked > ANSWER_SECONDS
        if not (is_late or question.done()):
            return None
        self._question = None
        try:
            if is_late and not question.done():
                raise forgotten()
            self._check(question)
        except KafkaException as error:
            reason = f"Kafka does not say whether topic {self._topic!r} is still the same one: "
            return Answer(reason + error.args[0].str())
        return Answer()

    def recheck(self) -> None:
        """Ask, and wait for the answer: something has happened that a new topic would explain.

        Raises:
            TopicMadeAgain, TopicGone
        """
        if not self.has_id:
            return
        with suppress(KafkaException):
            self._check(self._ask())

    def close(self) -> None:
        """Let go of the client that is asked: its threads and connections end with it."""
        self._ask, self._question = Future, None

    def _check(self, question: Future[Any]) -> None:
        """Raises KafkaException: it was not answered."""
        try:
            found = topics.topic_id_of(answered(question, ANSWER_SECONDS))
        except KafkaException as error:
            if meaning_of(error) is Meaning.UNKNOWN_TOPIC:
                raise TopicGone(self._topic) from error
            raise
        if self.has_id and found != self._incarnation.topic_id:
            raise TopicMadeAgain(self._topic)
