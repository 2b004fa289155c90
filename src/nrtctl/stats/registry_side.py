"""Whether the schema registry answers, for pipelines whose messages need it. Used by `watcher` and
`connections`.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from nrtctl.clock import Clock
from nrtctl.config.model import Config
from nrtctl.config.servers import SchemaRegistry
from nrtctl.errors import NrtctlError
from nrtctl.stack.addresses import Addresses

if TYPE_CHECKING:
    from nrtctl.kafka.formats.registry import Registry

EVERY = 5.0
"""Seconds between two questions, however often it is looked and however many pipelines ask."""


class RegistrySide:
    """The registry of the pipelines of one file. May be asked by several threads at once.

    Args:
        timeout: seconds that an answer may take; None: what the configuration says.
    """

    def __init__(self, state_dir: Path, *, timeout: float | None, clock: Clock) -> None:
        self._state_dir = state_dir
        self._timeout = timeout
        self._clock = clock
        self._lock = threading.Lock()
        self._registry: Registry | None = None
        self._settings: SchemaRegistry | None = None
        self._asked_at = -EVERY
        self._found: NrtctlError | None = None

    def trouble(self, config: Config) -> NrtctlError | None:
        """Why the registry does not answer; None: it does, or the pipeline needs none."""
        if not config.pipeline.needs_registry:
            return None
        with self._lock:
            if (now := self._clock.monotonic()) - self._asked_at >= EVERY:
                self._found = self._ask(config)
                self._asked_at = now
            return self._found

    def _ask(self, config: Config) -> NrtctlError | None:
        try:
            settings = Addresses(config, self._state_dir).with_registry(config).schema_registry
            if self._registry is None or settings != self._settings:
                self._registry, self._settings = self._open(settings), settings
            self._registry.check()
        except NrtctlError as error:
            return error
        return None

    def _open(self, settings: SchemaRegistry) -> Registry:
        from nrtctl.kafka.formats.registry import Registry

        self.close()
        if self._timeout is not None:
            shorter = min(self._timeout, settings.timeout)
            settings = settings.model_copy(update={"timeout": shorter})
        return Registry(settings)

    def close(self) -> None:
        if self._registry is not None:
            self._registry.close()
            self._registry = None
