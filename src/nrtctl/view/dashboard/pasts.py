"""The charts of a time range, as a page asks for them. Used by `serve`.

All browsers share one answer until the next step of the range has ended, and one of them waits for
it while the others wait for that one. What no row can tell, the age of what waits in Kafka and how
many parts and consumers there were, is known as far as this dashboard has watched.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from nrtctl.errors import ConfigError
from nrtctl.stats.past import RANGES, Range, Series, watched_at

Asked = Callable[[str, Range], dict[str, Any]]
Watched = Callable[[str], Mapping[str, Series]]


class Pasts:
    """May be called from several threads.

    Args:
        look_back: what `stats.past` says of a pipeline.
        watched: series of the looks at a pipeline.
    """

    def __init__(
        self, look_back: Asked, watched: Watched, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._look_back = look_back
        self._watched = watched
        self._now = now
        self._lock = threading.Lock()
        self._locks: dict[tuple[str, str], threading.Lock] = {}
        self._kept: dict[tuple[str, str], tuple[float, dict[str, Any]]] = {}

    def __call__(self, pipeline: str, asked: Mapping[str, str]) -> dict[str, Any]:
        """Raises ConfigError: there is no such range; NrtctlError as `look_back`."""
        name = asked.get("range", "")
        if name not in RANGES:
            raise ConfigError(f"range: {name!r} is none", hint=f"one of {', '.join(RANGES)}")
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
        return {**found, "series": {**seen, **series}}
