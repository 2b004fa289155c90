"""Whether Kafka still answers where nothing comes from it: asked now and then. Used by `group`.

librdkafka tries again by itself for ever, and a fetch that gets nothing looks like an idle topic.
"""

from __future__ import annotations

from collections.abc import Callable

from nrtctl.clock import Clock

QUIET_SECONDS = 3.0
"""Without a message before Kafka is asked; and between two questions."""

ANSWER_SECONDS = 1.5


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
        self._waiting(f"{why}; it ends when it answers", QUIET_SECONDS)
