"""Whether Kafka still answers where nothing comes from it: asked now and then.

librdkafka tries again by itself for ever, and a fetch that gets nothing looks like an idle topic.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaException

from nrtctl.clock import Clock
from nrtctl.kafka.error_codes import heard_refusal
from nrtctl.kafka.refusals import ClientLog

QUIET_SECONDS = 3.0
"""Without a message before Kafka is asked; and between two questions."""

ANSWER_SECONDS = 1.5

READ_AT_START = "start this command again if a password, certificate or setting has changed"
"""A client keeps what it was made with: a refusal does not end by itself then."""


class Silence:
    """Args:
    ask: a question that Kafka answers at once, given the seconds that it may take; None: it did,
        else why it did not.
    waiting: told (reason, seconds until the next question) while it does not answer.
    note: told when it answers again.
    """

    def __init__(
        self,
        clock: Clock,
        ask: Callable[[float], str | None],
        waiting: Callable[[str, float], None],
        note: Callable[[str], None],
    ) -> None:
        self._clock = clock
        self._ask = ask
        self._waiting = waiting
        self._note = note
        self._heard = self._asked = clock.monotonic()
        self._away = False

    def ended(self) -> None:
        """Something came."""
        now = self._clock.monotonic()
        if self._away:
            self._away = False
            self._note(f"Kafka answers again, after {now - self._heard:.0f} s")
        self._heard = now

    def lasts(self) -> None:
        """Nothing came just now."""
        now = self._clock.monotonic()
        if now - max(self._heard, self._asked) < QUIET_SECONDS:
            return
        why = self._ask(ANSWER_SECONDS)
        self._asked = self._clock.monotonic()
        if why is None:
            self.ended()
            return
        self._away = True
        self._waiting(f"{why}; this passes when Kafka answers again", QUIET_SECONDS)


def why_silent(client: Any, topic: str, address: str, timeout: float) -> str | None:
    """Why Kafka does not answer within `timeout` seconds; None: it does."""
    heard: ClientLog | None = getattr(client, "heard", None)
    try:
        client.list_topics(topic, timeout=timeout)
    except KafkaException as error:
        if (refusal := heard_refusal(client, address)) is not None:
            return f"{refusal.message}; {READ_AT_START}"
        said = heard.last() if heard is not None else None
        return f"Kafka does not answer at {address}: {said or error.args[0].str()}"
    if heard is not None:
        heard.answered()
    return None
