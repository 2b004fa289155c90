"""A consumer at work, shown on stderr. Used by `consume`, `demo` and `replay load`.

On a terminal the last line says at any time what it does. Everywhere a line is printed when its
state changes, and none is repeated.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nrtctl.cli.diagnostics import Diagnostics, Ticker
from nrtctl.cli.waits import Waits

if TYPE_CHECKING:
    from nrtctl.consumer.insert import Stored as InsertStored
    from nrtctl.consumer.observer import Membership
    from nrtctl.consumer.partition import Partition
    from nrtctl.store.batch import Batch

LOOK_SECONDS = 0.25
SETTLED_SECONDS = 1.0
"""For which the partitions of a consumer have to be the same before they are told."""
RATE_SECONDS = 5.0
"""Over which the rate is that is shown."""


class Stored:
    """How many messages all consumers of a command have stored, and what those do that store none.
    On a terminal, a line that lives says so."""

    def __init__(self) -> None:
        self._ticker = Ticker(4)
        self._records = 0
        self._recent: deque[tuple[float, int]] = deque()
        self._insert = ""
        self._states: dict[int, str] = {}

    def add(self, say: Diagnostics, who: int, records: int, seconds: float) -> None:
        """One insert. Args: who: of the consumers; seconds: that it took."""
        now = time.monotonic()
        self._records += records
        self._states.pop(who, None)
        self._recent.append((now, records))
        while now - self._recent[0][0] > RATE_SECONDS:
            self._recent.popleft()
        span = max(1.0, now - self._recent[0][0])
        rate = sum(each for _, each in self._recent) / span
        self._insert = f", {rate:,.0f}/s, {records:,} in {seconds * 1000:.0f} ms"
        if self._ticker.due():
            self._show(say)

    def rests(self, say: Diagnostics, who: int, state: str) -> None:
        """A consumer stores nothing, and why."""
        if self._states.get(who) != state:
            self._states[who] = state
            self._show(say)

    def _show(self, say: Diagnostics) -> None:
        told = list(dict.fromkeys(self._states.values()))
        what = self._insert if not told else f"; {told[0]}"
        if len(told) > 1:
            what += f" (and {len(told) - 1} more)"
        say.live(f"{self._records:,} stored{what}" if self._records else what.lstrip("; "))

    def done(self, say: Diagnostics) -> None:
        say.live("")


class ConsumerProgress:
    """Told of each insert and of each wait; counts both.

    Args:
        stored: of the whole command; None: of this consumer alone.
        lasting: it has no end of its own: say which partitions it reads.
    """

    def __init__(
        self, say: Diagnostics, stored: Stored | None = None, *, lasting: bool = False
    ) -> None:
        self._say = say
        self._stored = stored or Stored()
        self._waits = Waits(say)
        self._lasting = lasting
        self._look_at = 0.0
        self._since = ""
        self._told: tuple[int, ...] | None = None
        self._seen: tuple[tuple[int, ...], float] = ((), time.monotonic())

    @property
    def waits(self) -> int:
        return self._waits.count

    def stored(self, batches: Sequence[Batch], stored: InsertStored) -> None:
        records = sum(len(batch.offsets) for batch in batches) - stored.before
        self._waits.over()
        self._since = ""
        self._stored.add(self._say, id(self), records, stored.seconds)

    def turned(self, partitions: Mapping[int, Partition], group: Membership) -> None:
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_SECONDS
        if self._lasting:
            self._tell_partitions(tuple(sorted(partitions)), now)
        if state := self._state(partitions, group):
            self._stored.rests(self._say, id(self), state)

    def _tell_partitions(self, numbers: tuple[int, ...], now: float) -> None:
        """Say which ones it reads, once they stay."""
        from nrtctl.view.words import ranges

        if numbers != self._seen[0]:
            self._seen = (numbers, now)
        if numbers == self._told or now - self._seen[1] < SETTLED_SECONDS:
            return
        if self._told is None and not numbers:
            return
        what = f"partition{'s' if len(numbers) > 1 else ''} {ranges(numbers)}"
        text = f"reading {what if numbers else 'no partition'}"
        if self._told is not None:
            before = ranges(self._told) if self._told else "none"
            text = f"the group has rebalanced: {text}, before {before}"
        self._say.note(text)
        self._told = numbers

    def _state(self, partitions: Mapping[int, Partition], group: Membership) -> str:
        """What it does while it stores nothing; empty: it is about to store something."""
        waited = self._waits.lasting
        if waited is not None:
            reason, began = waited
            self._since = ""
            since = _clock(time.monotonic() - began)
            if reason.startswith("Kafka does not "):
                return f"Kafka away since {since}, nothing is lost"
            return f"waiting since {since}, nothing is lost: {reason}"
        if group.rests:
            return "paused until `nrtctl resume`"
        if not group.joined:
            return "waiting for the group to assign its partitions"
        if not partitions:
            return "waiting for a partition: other consumers of the group have all of them"
        if any(each.batch is not None or len(each.buffer) for each in partitions.values()):
            self._since = ""
            return ""
        self._since = self._since or _clock(0)
        return f"waiting for messages since {self._since}"

    def note(self, text: str) -> None:
        self._say.note(text)

    def waiting(self, reason: str, seconds: float) -> None:
        self._waits.waiting(reason, seconds)

    def done(self) -> None:
        self._stored.done(self._say)


def _clock(ago: float) -> str:
    """The time of day, so many seconds ago."""
    return time.strftime("%H:%M:%S", time.localtime(time.time() - ago))
