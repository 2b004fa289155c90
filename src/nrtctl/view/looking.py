"""Looks at the pipelines once an interval, on a thread of its own: a look may wait for a server
that is gone, and the screen must not. Used by the terminal view and by the dashboard.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from nrtctl.stats.rest import seconds_until_next
from nrtctl.stats.snapshot import Shots


class Looker:
    """Calls `look` every `interval` seconds, or more rarely where looks are dear
    (`seconds_until_next`), and passes on what it gave.

    Args:
        look: one look; it tells of servers that are gone in the snapshots.
        publish: gets what each look found, on the looker's thread.
        failed: gets the exception that ended the looking: an error in the program.
    """

    def __init__(
        self,
        look: Callable[[], Shots],
        interval: float,
        *,
        publish: Callable[[Shots], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._look = look
        self._interval = interval
        self._publish = publish
        self._failed = failed
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="looker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, patience: float = 0.5) -> None:
        """A look that is under way may go on for longer; what it finds is dropped."""
        self._ended.set()
        self._thread.join(patience)

    def _run(self) -> None:
        try:
            while not self._ended.is_set():
                began = time.monotonic()
                shot = self._look()
                if not self._ended.is_set():
                    self._publish(shot)
                took = time.monotonic() - began
                self._ended.wait(seconds_until_next(shot, took, self._interval))
        except BaseException as error:  # noqa: BLE001
            self._failed(error)
