"""Looks at the pipelines of a file again and again. Used by everything that shows several.

    watchers = Watchers(session.pipelines, window=60)
    shots = watchers.look()           # name to snapshot; "" is the name of one without a name
    watchers.close()

One pipeline is looked at as `watcher` does. Several are asked side by side, by `MOST_THREADS` at
most and with clients that they share (`connections`), so a look takes about as long as the slowest
of them: a pipeline whose topic or table is missing says so in its own snapshot, and what all of
them miss is found out once.
"""

from __future__ import annotations

from collections.abc import Sequence

from nrtctl.clock import Clock, SystemClock
from nrtctl.config.load import Loaded
from nrtctl.errors import NrtctlError
from nrtctl.stats.at_once import at_once
from nrtctl.stats.connections import Servers
from nrtctl.stats.metrics_file import Metrics
from nrtctl.stats.snapshot import Snapshot
from nrtctl.stats.watcher import Watcher

MOST_THREADS = 8


class Watchers:
    """One thread at a time may call it.

    Args:
        pipelines: of one file; at least one.
        window, by, metrics, timeout: as of `Watcher`.

    Raises:
        ConfigError: `by` is no column.
    """

    def __init__(
        self,
        pipelines: Sequence[Loaded],
        *,
        window: float,
        by: str | None = None,
        metrics: Metrics | None = None,
        timeout: float | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        first = pipelines[0]
        self._servers = (
            Servers(first.config, first.state_dir, timeout=timeout, clock=self._clock)
            if len(pipelines) > 1
            else None
        )
        self._watchers = {
            each.pipeline or "": Watcher(
                each.config,
                each.state_dir,
                window=window,
                by=by,
                metrics=metrics.of(each.pipeline) if metrics else None,
                timeout=timeout,
                clock=self._clock,
                servers=self._servers,
            )
            for each in pipelines
        }

    @property
    def names(self) -> list[str]:
        return list(self._watchers)

    @property
    def failed(self) -> dict[str, list[NrtctlError]]:
        """What the last look met, by pipeline; only those that met something."""
        return {name: each.failed for name, each in self._watchers.items() if each.failed}

    def look(self) -> dict[str, Snapshot]:
        """A snapshot of each, in the file's order."""
        servers = self._servers
        if servers is None:
            return {name: each.look() for name, each in self._watchers.items()}
        servers.begin()
        watchers = list(self._watchers.values())
        asked = at_once([each.asked for each in watchers], MOST_THREADS)
        places = {place for each in asked if each.kafka for place in each.kafka.places()}
        known = servers.oldest(places)
        servers.end()
        return {
            name: watcher.judged(each.with_oldest(known))
            for (name, watcher), each in zip(self._watchers.items(), asked, strict=True)
        }

    def look_for_rates(self, interval: float) -> dict[str, Snapshot]:
        """Two looks, `interval` seconds apart, which rates take. Where no pipeline can be asked,
        there is one.

        Raises:
            NrtctlError: of a single pipeline: what a service did not answer.
        """
        if self._servers is None:
            return {name: each.look_for_rates(interval) for name, each in self._watchers.items()}
        shots = self.look()
        if len(self.failed) == len(shots):
            return shots
        self._clock.sleep(interval)
        return self.look()

    def close(self) -> None:
        for each in self._watchers.values():
            each.close()
        if self._servers is not None:
            self._servers.close()
