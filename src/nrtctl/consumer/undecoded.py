"""Messages that were fetched and cannot be decoded yet, since the schema registry is away. Asked by
`loop`.

Nothing more is fetched while there are some; they are tried again after growing pauses. A partition
that leaves takes its messages along: whoever gets it fetches them again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from nrtctl.clock import Clock
from nrtctl.kafka.fetched import Run
from nrtctl.kafka.formats.wire import RegistryAway

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
        self._runs: dict[int, list[Run]] = {}
        self._again_at = 0.0
        self._wait = FIRST_WAIT

    def __bool__(self) -> bool:
        """Whether messages are held."""
        return bool(self._runs)

    def take(self, run: Run, buffer: Callable[[], int]) -> int:
        """What `buffer` returns, which decodes and buffers the messages; 0: they are held.

        While some are held, all are: a message that is buffered before an earlier one of its
        partition would take its place.
        """
        if self._runs:
            self._runs.setdefault(run.partition, []).append(run)
            return 0
        try:
            return buffer()
        except RegistryAway as away:
            self._runs.setdefault(run.partition, []).append(run)
            self._waiting(away.message, self._wait)
            self._again_at = self._clock.monotonic() + self._wait
            self._wait = min(LONGEST_WAIT, self._wait * 2)
            return 0

    def again(self, take: Callable[[Run], None]) -> None:
        """Try what is held, where that is due. Args: take: calls `Undecoded.take`."""
        if not self._runs or self._clock.monotonic() < self._again_at:
            return
        held, self._runs = self._runs, {}
        for runs in held.values():
            for run in runs:
                take(run)
        if not self._runs and self._wait > FIRST_WAIT:
            self._wait = FIRST_WAIT
            self._note("the schema registry answers again")

    def forget(self, partitions: Iterable[int]) -> None:
        for number in partitions:
            self._runs.pop(number, None)
