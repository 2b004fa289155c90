"""How far a command has come with the messages of files, said once it takes a while. Used by `try`
and `init`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nrtctl.clock.notices import AFTER_SECONDS
from nrtctl.config.counted import counted

if TYPE_CHECKING:
    from nrtctl.cli.diagnostics import Diagnostics
    from nrtctl.producer.sources.files import Read, Records

LIVE_SECONDS = 0.25
NOTE_SECONDS = 30.0
"""Between two notes, where no line can live."""


class ReadingProgress:
    """Counts messages as they are read.

    Args:
        what: is done with them, as in `trying`.
        records: where they come from, which knows how far it is; None: it is not known.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        say: Diagnostics,
        what: str,
        records: Records | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say = say
        self._what = what
        self._records = records
        self._clock = clock
        self._messages = 0
        self._next_live, self._next_note = clock() + LIVE_SECONDS, clock() + NOTE_SECONDS

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Say it while what is within takes longer than a moment, whatever that is at."""
        first = threading.Timer(AFTER_SECONDS, self._tell)
        first.daemon = True
        first.start()
        try:
            yield
        finally:
            first.cancel()
            first.join()
            self._say.live("")

    def _tell(self) -> None:
        if self._say.interactive:
            self._say.live(self._text())
        else:
            self._say.note(self._text())

    def of(self, reads: Iterable[Read]) -> Iterator[Read]:
        """The same, counted."""
        for read in reads:
            self._messages += 1
            now = self._clock()
            if now >= self._next_live:
                self._next_live = now + LIVE_SECONDS
                self._say.live(self._text())
            if now >= self._next_note and not self._say.interactive:
                self._next_note = now + NOTE_SECONDS
                self._say.note(self._text())
            yield read

    def _text(self) -> str:
        text = self._what
        if self._messages:
            text += f": {counted(self._messages, 'message')} so far"
        here = None if self._records is None else self._records.position
        if here is None:
            return text
        name, done, size = here
        return f"{text}, {min(100, 100 * done // max(1, size))} % of {name} read"
