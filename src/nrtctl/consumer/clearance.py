"""No batch is inserted before the topic was seen to be the one that it was fetched from.

A topic that is deleted and made again counts its offsets anew, and the client library goes on
fetching at the offset where it stood, from the new one. A topic's id never comes back: so where the
id is asked for after a batch was fetched, and is the one that was there before, all of its messages
are of that topic. The question is asked while the intent is on its way, one question for all the
batches that were taken before it. Used by `loop`, on its thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaException

from nrtctl import kafka
from nrtctl.clock import Clock
from nrtctl.errors import NrtctlError
from nrtctl.intents import Incarnation

ASK_AGAIN = 0.2
"""Seconds after a question that was not answered."""
IDLE = 5.0
"""Seconds after the last question, where nothing is fetched: nothing else says that a topic is
gone."""


class TopicMadeAgain(NrtctlError):
    """Another topic has the name now. Nothing of it was stored under the number of the earlier."""

    def __init__(self, topic: str) -> None:
        super().__init__(
            f"topic {topic!r} was deleted and made again while it was read",
            hint="run the same command again: it reads the topic that is there now",
        )


class TopicGone(NrtctlError):
    """The topic was deleted."""

    def __init__(self, topic: str) -> None:
        super().__init__(f"topic {topic!r} does not exist", hint="`nrtctl up` creates it")


class Clearance:
    """Args:
    topic: the name; `incarnation`: the topic whose rows are stored.
    ask: asks Kafka which topic has the name now (`kafka.ask_topic_id`).
    send: given a partition whose batch may be inserted, and when its intent was sent.
    waiting: told (reason, seconds) where there is no answer.
    """

    def __init__(
        self,
        topic: str,
        incarnation: Incarnation,
        ask: Callable[[], Future[Any]],
        send: Callable[[int, float | None], None],
        *,
        clock: Clock,
        waiting: Callable[[str, float], None],
    ) -> None:
        self._topic = topic
        self._incarnation = incarnation
        self._ask = ask
        self._send = send
        self._clock = clock
        self._waiting = waiting
        self._question: Future[Any] | None = None
        self._asked = 0
        self._answered = 0
        self._again_at = 0.0
        self._asked_at = clock.monotonic()
        self._needs: dict[int, int] = {}
        self._held: dict[int, float | None] = {}

    @property
    def pending(self) -> bool:
        """Whether an answer is waited for."""
        return bool(self._held)

    def taken(self, numbers: Sequence[int]) -> None:
        """Batches of these partitions were just taken; all their messages are fetched."""
        if not numbers or not self._incarnation.topic_id:
            return
        if self._question is None:
            self._begin()
            round_ = self._asked
        else:
            round_ = self._asked + 1
        for number in numbers:
            self._needs[number] = round_

    def declared(self, number: int, at: float | None) -> None:
        """The batch of the partition may be inserted, as far as the group goes."""
        self._held[number] = at
        self._release()

    def left(self, numbers: Sequence[int]) -> None:
        """These partitions are not ours any more, or their batches were given up."""
        for number in numbers:
            self._held.pop(number, None)
            self._needs.pop(number, None)

    def turn(self) -> None:
        """Take in the answer, and ask again where a batch was taken since the last question.

        Raises:
            TopicMadeAgain, TopicGone
        """
        question = self._question
        if question is not None and question.done():
            self._question = None
            try:
                found = kafka.topic_id_of(question.result())
            except KafkaException as error:
                self._not_answered(error)
            else:
                self.check(found)
                self._answered = self._asked
                self._release()
        if self._question is not None or not self._incarnation.topic_id:
            return
        now = self._clock.monotonic()
        wanted = any(round_ > self._answered for round_ in self._needs.values())
        if now >= self._again_at and (wanted or now - self._asked_at >= IDLE):
            self._begin()

    def check(self, topic_id: str) -> None:
        """Raises TopicMadeAgain: that is not the topic whose rows are stored."""
        if self._incarnation.topic_id and topic_id != self._incarnation.topic_id:
            raise TopicMadeAgain(self._topic)

    def recheck(self) -> None:
        """Ask, and wait for the answer: something has happened that a new topic would explain.

        Raises:
            TopicMadeAgain, TopicGone
        """
        if not self._incarnation.topic_id:
            return
        try:
            found = kafka.topic_id_of(self._ask().result())
        except KafkaException as error:
            if error.args[0].code() in kafka.UNKNOWN_TOPIC:
                raise TopicGone(self._topic) from error
        else:
            self.check(found)

    def _begin(self) -> None:
        self._asked += 1
        self._asked_at = self._clock.monotonic()
        self._question = self._ask()

    def _not_answered(self, error: KafkaException) -> None:
        """The next question has the same number, so that what waited for this one waits for it."""
        if error.args[0].code() in kafka.UNKNOWN_TOPIC:
            raise TopicGone(self._topic) from error
        self._asked -= 1
        self._again_at = self._clock.monotonic() + ASK_AGAIN
        reason = f"Kafka does not say whether topic {self._topic!r} is still the same one: "
        self._waiting(reason + error.args[0].str(), ASK_AGAIN)

    def _release(self) -> None:
        for number in [n for n in self._held if self._needs.get(n, 0) <= self._answered]:
            self._needs.pop(number, None)
            self._send(number, self._held.pop(number))
