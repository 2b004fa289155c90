"""A consumer at work, shown on stderr. Used by `consume`, `demo` and `replay load`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nrtctl.cli.diagnostics import Diagnostics, Ticker
from nrtctl.cli.waits import Waits

if TYPE_CHECKING:
    from nrtctl.consumer.insert import Stored as InsertStored
    from nrtctl.store.batch import Batch


class Stored:
    """How many messages all consumers of a command have stored. On a terminal, a line that lives
    says so."""

    def __init__(self) -> None:
        self._ticker = Ticker(4)
        self._began = time.monotonic()
        self._records = 0

    def add(self, say: Diagnostics, records: int, seconds: float) -> None:
        """One insert. Args: seconds: that it took."""
        self._records += records
        if say.interactive and self._ticker.due():
            rate = self._records / max(0.001, time.monotonic() - self._began)
            text = f"\r{self._records:,} stored, {rate:,.0f}/s, {records:,} in "
            say.console.file.write(f"{text}{seconds * 1000:.0f} ms   ")
            say.console.file.flush()

    def done(self, say: Diagnostics) -> None:
        if say.interactive and self._records:
            say.console.file.write("\n")


class ConsumerProgress:
    """Told of each insert and of each wait; counts both.

    Args:
        stored: of the whole command; None: of this consumer alone.
    """

    def __init__(self, say: Diagnostics, stored: Stored | None = None) -> None:
        self._say = say
        self._stored = stored or Stored()
        self._waits = Waits(say)

    @property
    def waits(self) -> int:
        return self._waits.count

    def stored(self, batches: Sequence[Batch], stored: InsertStored) -> None:
        records = sum(len(batch.offsets) for batch in batches) - stored.before
        self._waits.over()
        self._stored.add(self._say, records, stored.seconds)

    def turned(self, partitions: object, group: object) -> None:
        """Nothing to show."""

    def note(self, text: str) -> None:
        self._say.note(text)

    def waiting(self, reason: str, seconds: float) -> None:
        self._waits.waiting(reason, seconds)

    def done(self) -> None:
        self._stored.done(self._say)
