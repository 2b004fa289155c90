"""Messages that were fetched and cannot be decoded yet, since the schema registry is away. Asked by
`loop`.

Nothing more is fetched while there are some; they are tried again after growing pauses. A partition
that leaves takes its messages along: whoever gets it fetches them again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from nrtctl.clock import Clock
from nrtctl.kafka.formats.wire import RegistryAway
from nrtctl.kafka.partitions import Fetched

FIRST_WAIT, LONGEST_WAIT = 0.2, 10.0
"""Seconds between two tries."""


class Undecoded:
    """Args:
    waiting: told (reason, seconds) before each pause; `note`: that it is over.
    """

    def __init__(
        self,
        clock: Clock,
        waiting: Callable[[str, float], None],
        note: Callable[[str], None],
    ) -> None:
        self._clock = clock
        self._waiting = waiting
        self._note = note
        self._messages: dict[int, list[Fetched]] = {}
        self._again_at = 0.0
        self._wait = FIRST_WAIT

    def __bool__(self) -> bool:
        """Whether messages are held."""
        return bool(self._messages)

    def take(self, partition: int, messages: Sequence[Fetched], buffer: Callable[[], int]) -> int:
        """What `buffer` returns, which decodes and buffers the messages; 0: they are held.

        While some are held, all are: a message that is buffered before an earlier one of its
        partition would take its place.
        """
        if self._messages:
            self._messages.setdefault(partition, []).extend(messages)
            return 0
        try:
            return buffer()
        except RegistryAway as away:
            self._messages.setdefault(partition, []).extend(messages)
            self._waiting(away.message, self._wait)
            self._again_at = self._clock.monotonic() + self._wait
            self._wait = min(LONGEST_WAIT, self._wait * 2)
            return 0

    def again(self, take: Callable[[int, list[Fetched]], None]) -> None:
        """Try what is held, where that is due. Args: take: calls `take`, given a partition and its
        messages."""
        if not self._messages or self._clock.monotonic() < self._again_at:
            return
        held, self._messages = self._messages, {}
        for partition, messages in held.items():
            take(partition, messages)
        if not self._messages and self._wait > FIRST_WAIT:
            self._wait = FIRST_WAIT
            self._note("the schema registry answers again")

    def forget(self, partitions: Iterable[int]) -> None:
        for number in partitions:
            self._messages.pop(number, None)
