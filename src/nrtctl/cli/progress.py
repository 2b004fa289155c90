"""A consumer at work, shown on stderr. Used by `consume`, `demo` and `replay load`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nrtctl.cli.diagnostics import Diagnostics, Ticker
from nrtctl.cli.waits import Waits

if TYPE_CHECKING:
    from nrtctl.consumer.insert import Stored
    from nrtctl.store.batch import Batch


class ConsumerProgress:
    """Told of each insert and of each wait; counts both."""

    def __init__(self, say: Diagnostics) -> None:
        self._say = say
        self._ticker = Ticker(4)
        self._began = time.monotonic()
        self._records = 0
        self._waits = Waits(say)

    @property
    def waits(self) -> int:
        return self._waits.count

    def stored(self, batches: Sequence[Batch], stored: Stored) -> None:
        rows = sum(len(batch.offsets) for batch in batches) - stored.before
        self._records += rows
        self._waits.over()
        if self._say.interactive and self._ticker.due():
            rate = self._records / max(0.001, time.monotonic() - self._began)
            text = f"\r{self._records:,} stored, {rate:,.0f}/s, {rows:,} in "
            self._say.console.file.write(f"{text}{stored.seconds * 1000:.0f} ms   ")
            self._say.console.file.flush()

    def turned(self, partitions: object, group: object) -> None:
        """Nothing to show."""

    def note(self, text: str) -> None:
        self._say.note(text)

    def waiting(self, reason: str, seconds: float) -> None:
        self._waits.waiting(reason, seconds)

    def done(self) -> None:
        if self._say.interactive and self._records:
            self._say.console.file.write("\n")
