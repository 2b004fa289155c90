"""What all browsers see: the newest snapshots and the course of their numbers. Used by `app`.

One looker writes on its thread, many requests read on the event loop. A reader that is slow misses
snapshots; it never holds up the looker, and nothing queues for it.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from typing import Any

from nrtctl.stats.past import Series
from nrtctl.stats.snapshot import Shots, Snapshot
from nrtctl.view.history import History, point

CAPACITY = 600
"""Looks that a new page is shown the course of."""

WATCHED_EVERY = 30.0
WATCHED = 2880
"""Of these looks, one each WATCHED_EVERY seconds, the numbers below are kept: a day."""

NOT_IN_ROWS = ("time", "lag_records", "lag_seconds", "parts", "consumers")
"""What is kept of them: what nobody can tell afterwards, or not all of it."""

ROW = (
    "time", "topic", "table", "group", "window_seconds", "verdict", "errors",
    "produced_per_second", "consumed_per_second", "dead_letters_per_second", "lag_records",
    "lag_seconds", "freshness_seconds", "end_to_end_latency_seconds", "stored", "dead_letters",
)  # fmt: skip
"""What the overview has of each snapshot."""

COURSE = (
    "time", "produced_per_second", "consumed_per_second", "dead_letters_per_second", "lag_records",
    "lag_seconds", "p99",
)  # fmt: skip
"""The series that the overview has of each pipeline."""


class Board:
    """Made and read on `loop`; `publish` and `fail` may be called from any thread.

    Args:
        names: of the pipelines, as the looks have them.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, names: Sequence[str] = ("",)) -> None:
        self._loop = loop
        self.names = list(names)
        self._pasts: dict[str, History] = defaultdict(lambda: History(CAPACITY))
        self._watched: dict[str, deque[tuple[float | None, ...]]] = defaultdict(
            lambda: deque(maxlen=WATCHED)
        )
        self._changed = asyncio.Condition()
        self._number = 0
        self._newest: dict[str, str] = {}
        self._points: dict[str, str] = {}
        self._rows = ""
        self.failure: BaseException | None = None
        self.closed = False
        self.on_close: Callable[[], None] = lambda: None

    @property
    def number(self) -> int:
        """How many looks there were."""
        return self._number

    def newest(self, name: str | None) -> str:
        """Its snapshot as JSON, empty before the first look; None: those of all, as
        `snapshot.as_dict` has them."""
        if name is not None:
            return self._newest.get(name, "")
        each = (f"{json.dumps(name)}:{text}" for name, text in self._newest.items())
        return f'{{"pipelines":{{{",".join(each)}}}}}'

    def point(self, name: str) -> str:
        """JSON: what the newest look adds to the course."""
        return self._points.get(name, "{}")

    def watched(self, name: str) -> dict[str, Series]:
        """The series NOT_IN_ROWS of a day, oldest first: sparse, and then the newest looks."""
        past = self._pasts[name]
        return {
            series: [each[at] for each in list(self._watched[name])] + list(past.of(series))
            for at, series in enumerate(NOT_IN_ROWS)
        }

    def rows(self) -> str:
        """JSON: what the overview shows of each pipeline."""
        return self._rows

    def course(self, name: str) -> str:
        """JSON: series by name, oldest first."""
        return to_json(self._pasts[name].all())

    def courses(self) -> str:
        """JSON: of each pipeline by its name, the series that the overview draws."""
        return to_json(
            {
                name: {series: past.of(series) for series in COURSE}
                for name, past in self._pasts.items()
            }
        )

    async def after(self, number: int, seconds: float) -> int | None:
        """Wait for a look after `number`: its number, the same one after `seconds`, or None at
        the end.
        """
        async with self._changed:
            try:
                async with asyncio.timeout(seconds):
                    await self._changed.wait_for(lambda: self._number > number or self.closed)
            except TimeoutError:
                return number
        return None if self.closed else self._number

    def publish(self, shots: Shots) -> None:
        each = {name: shot.as_dict() for name, shot in shots.items()}
        newest = {name: to_json(data) for name, data in each.items()}
        rows = {name: {key: data[key] for key in ROW} for name, data in each.items()}
        self._soon(self._add(shots, newest, to_json({"pipelines": rows})))

    def fail(self, error: BaseException) -> None:
        self.failure = error
        self._soon(self.close())
        self._loop.call_soon_threadsafe(self.on_close)

    async def close(self) -> None:
        """End all who wait."""
        async with self._changed:
            self.closed = True
            self._changed.notify_all()

    async def _add(self, shots: Shots, newest: dict[str, str], rows: str) -> None:
        async with self._changed:
            for name, shot in shots.items():
                self._pasts[name].add(shot)
                self._points[name] = to_json(point(shot))
                self._keep(name, shot)
            self._newest, self._rows = newest, rows
            self._number += 1
            self._changed.notify_all()

    def _keep(self, name: str, shot: Snapshot) -> None:
        kept, values = self._watched[name], point(shot)
        # Either way: a clock that is put back must not keep it from going on.
        if not kept or abs(shot.time - (kept[-1][0] or 0)) >= WATCHED_EVERY:
            kept.append(tuple(values[series] for series in NOT_IN_ROWS))

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
