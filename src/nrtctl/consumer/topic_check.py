"""Which batches were seen to be of the topic that is read, and when Kafka is asked. Pure.

A topic that is deleted and made again counts its offsets anew, and the client library goes on
fetching at the offset where it stood, from the new one. A topic's id never comes back: so where the
id is asked for after a batch was fetched, and is the one that was there before, all of its messages
are of that topic. The question is asked while the intent is on its way, one question for all the
batches that were begun before it. `kafka.topic_identity` asks.
"""

from __future__ import annotations

from collections.abc import Iterable

ASK_AGAIN = 0.2
"""Seconds after a question that was not answered."""
IDLE = 5.0
"""Seconds after the last question, where nothing is fetched: nothing else says that a topic is
gone."""


class TopicCheck:
    """Questions are numbered; a batch needs the answer to one that was asked after it was fetched.

    Args:
        has_id: whether the topic can be told from another one; else there is nothing to ask.
        now: monotonic seconds, as everywhere here.
    """

    def __init__(self, *, has_id: bool, now: float) -> None:
        self._has_id = has_id
        self._open = False
        self._asked = 0
        self._answered = 0
        self._ask_at = 0.0
        self._asked_at = now
        self._needs: dict[int, int] = {}

    def batches_begun(self, partitions: Iterable[int], now: float) -> bool:
        """All messages of their batches are fetched; whether a question is to be asked now."""
        if not self._has_id:
            return False
        ask = not self._open
        if ask:
            self._begin(now)
        for number in partitions:
            self._needs[number] = self._asked if ask else self._asked + 1
        return ask

    def is_checked(self, partition: int) -> bool:
        return self._needs.get(partition, 0) <= self._answered

    def forget(self, partition: int) -> None:
        self._needs.pop(partition, None)

    def confirmed(self) -> None:
        """The question was answered: it is the same topic."""
        self._open = False
        self._answered = self._asked

    def not_answered(self, now: float) -> None:
        """The next question has the same number, so that what waited for this one waits for it."""
        self._open = False
        self._asked -= 1
        self._ask_at = now + ASK_AGAIN

    def asks(self, now: float) -> bool:
        """Whether a question is to be asked now: a batch was begun since the last, or nothing was
        for a while."""
        if self._open or not self._has_id or now < self._ask_at:
            return False
        wanted = any(number > self._answered for number in self._needs.values())
        if not wanted and now - self._asked_at < IDLE:
            return False
        self._begin(now)
        return True

    def _begin(self, now: float) -> None:
        self._open = True
        self._asked += 1
        self._asked_at = now
