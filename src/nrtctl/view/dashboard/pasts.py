"""The charts of a time range, as a page asks for them. Used by `serve`.

All browsers share one answer until the next step of the range has ended, and one of them waits for
it while the others wait for that one. What no row can tell, what waits in Kafka and for how long,
and how many parts and consumers there were, is known as far as this dashboard has watched.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from nrtctl.errors import ConfigError, NrtctlError, WaitTimeout
from nrtctl.stats.at_once import at_once
from nrtctl.stats.past import RANGES, Range, Series, watched_at
from nrtctl.view.dashboard.board import COURSE

Asked = Callable[[str, Range], dict[str, Any]]
Watched = Callable[[str], Mapping[str, Series]]

AT_ONCE = 2
"""Pipelines whose past is counted at the same time for a page that shows all of them."""

MOST_SECONDS = 8.0
"""After which such a page is told what is known."""


class Pasts:
    """May be called from several threads.

    Args:
        look_back: what `stats.past` says of a pipeline.
        watched: series of the looks at a pipeline.
        names: of all pipelines.
    """

    def __init__(
        self,
        look_back: Asked,
        watched: Watched,
        names: Sequence[str] = ("",),
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._look_back = look_back
        self._watched = watched
        self._names = names
        self._now = now
        self._lock = threading.Lock()
        self._locks: dict[tuple[str, str], threading.Lock] = {}
        self._kept: dict[tuple[str, str], tuple[float, dict[str, Any]]] = {}

    def __call__(self, pipeline: str, asked: Mapping[str, str]) -> dict[str, Any]:
        """Raises ConfigError: there is no such range; NrtctlError as `look_back`."""
        name = _range(asked)
        key, range_ = (pipeline, name), RANGES[name]
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            until, found = self._kept.get(key, (0.0, {}))
            if self._now() >= until:
                found = self._look_back(pipeline, range_)
                self._kept[key] = (self._now() + range_.step, found)
        series = found["series"]
        seen = watched_at(series["time"], range_.step, self._watched(pipeline))
        for name in seen.keys() & series.keys():
            both = zip(seen[name], series[name], strict=True)
            seen[name] = [counted if look is None else look for look, counted in both]
        return {**found, "series": {**series, **seen}}

    def of_all(self, _pipeline: str, asked: Mapping[str, str]) -> dict[str, Any]:
        """What the overview draws of each pipeline, and why nothing is known of some. Where there
        is no time for all, those come first that were counted longest ago, and the others are told
        as they were.

        Raises:
            ConfigError: there is no such range.
        """
        range_ = RANGES[_range(asked)]
        known = {name: self._kept.get((name, _range(asked)), (0.0, {})) for name in self._names}
        errors: dict[str, str] = {}
        pipelines: dict[str, dict[str, Series]] = {}
        end = self._now() + MOST_SECONDS

        def look(name: str) -> None:
            found = known[name][1]
            try:
                if self._now() < end:
                    found = self(name, asked)
                elif not found:
                    raise WaitTimeout("it was not counted in time, and comes first the next time")
            except NrtctlError as error:
                errors[name] = error.message
                return
            pipelines[name] = {
                each: found["series"][each] for each in COURSE if each in found["series"]
            }

        at_once([partial(look, name) for name in sorted(known, key=lambda n: known[n][0])], AT_ONCE)
        told = {name: pipelines[name] for name in self._names if name in pipelines}
        return {"step_seconds": range_.step, "pipelines": told, "errors": errors}


def _range(asked: Mapping[str, str]) -> str:
    name = asked.get("range", "")
    if name not in RANGES:
        raise ConfigError(f"{name!r} is not a range", hint=f"one of {', '.join(RANGES)}")
    return name
