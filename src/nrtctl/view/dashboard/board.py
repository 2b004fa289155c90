"""What all browsers see: the newest snapshot and the course of its numbers. Used by `app`.

One looker writes on its thread, many requests read on the event loop. A reader that is slow misses
snapshots; it never holds up the looker, and nothing queues for it.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable
from typing import Any

from nrtctl.stats.snapshot import Snapshot
from nrtctl.view.history import History

CAPACITY = 600
"""Looks that a new page is shown the course of."""


class Board:
    """Made and read on `loop`; `publish` and `fail` may be called from any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._past = History(CAPACITY)
        self._changed = asyncio.Condition()
        self._number = 0
        self._newest = ""
        self.failure: BaseException | None = None
        self.closed = False
        self.on_close: Callable[[], None] = lambda: None

    @property
    def number(self) -> int:
        """How many snapshots there were."""
        return self._number

    @property
    def newest(self) -> str:
        """The snapshot as JSON; empty before the first."""
        return self._newest

    def course(self) -> str:
        """JSON: series by name, oldest first."""
        return to_json(self._past.all())

    async def after(self, number: int, seconds: float) -> int | None:
        """Wait for a snapshot after `number`: its number, the same one after `seconds`, or None at
        the end.
        """
        async with self._changed:
            try:
                async with asyncio.timeout(seconds):
                    await self._changed.wait_for(lambda: self._number > number or self.closed)
            except TimeoutError:
                return number
        return None if self.closed else self._number

    def publish(self, shot: Snapshot) -> None:
        text = to_json(shot.as_dict())
        self._soon(self._add(shot, text))

    def fail(self, error: BaseException) -> None:
        self.failure = error
        self._soon(self.close())
        self._loop.call_soon_threadsafe(self.on_close)

    async def close(self) -> None:
        """End all who wait."""
        async with self._changed:
            self.closed = True
            self._changed.notify_all()

    async def _add(self, shot: Snapshot, text: str) -> None:
        async with self._changed:
            self._past.add(shot)
            self._newest = text
            self._number += 1
            self._changed.notify_all()

    def _soon(self, work: Any) -> None:
        try:
            asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError:
            work.close()


def to_json(value: Any) -> str:
    """On one line; what is no number in JSON is null."""
    return json.dumps(_plain(value), separators=(",", ":"), allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
