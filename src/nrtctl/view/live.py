"""The live view: looks, keys and the screen together. Called by `nrtctl stats` on a terminal."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from nrtctl.stats.snapshot import Shots, Snapshot, as_dict
from nrtctl.view import glyphs
from nrtctl.view.history import History
from nrtctl.view.looking import Looker
from nrtctl.view.overview import draw_overview, rows_of
from nrtctl.view.screen import draw
from nrtctl.view.state import Action, State, press
from nrtctl.view.terminal import Terminal

REDRAW = 1.0
"""Seconds after which the screen is drawn again without news: the age of the last look grows."""


def watch(look: Callable[[], Shots], *, interval: float, console: Console) -> None:
    """Show the pipeline, or the overview of several, until `q`, SIGTERM, or the terminal's end.

    Args:
        look: one look; called on a thread of its own.
        interval: seconds between two looks.
        console: on a terminal.

    Raises:
        KeyboardInterrupt: Ctrl-C; the terminal is as it was before.
    """
    _View(look, interval, console).run()


class _View:
    def __init__(self, look: Callable[[], Shots], interval: float, console: Console) -> None:
        self._interval = interval
        self._glyphs = glyphs.for_encoding(console.encoding)
        self._terminal = Terminal(console)
        self._pasts: dict[str, History] = {}
        self._arrived: list[Shots] = []
        self._failure: BaseException | None = None
        self._shown: Shots = {}
        self._state = State()
        self._looker = Looker(look, interval, publish=self._publish, failed=self._fail)

    def run(self) -> None:
        with self._terminal:
            self._looker.start()
            try:
                while not self._terminal.ended:
                    self._show()
                    for key in self._terminal.wait(REDRAW):
                        self._state, action = press(self._state, key, self._rows())
                        if action is Action.QUIT:
                            return
                        if action is Action.SNAPSHOT:
                            self._write()
                    if self._failure is not None:
                        raise self._failure
            finally:
                self._looker.stop()

    def _publish(self, shots: Shots) -> None:
        self._arrived.append(shots)
        self._terminal.wake()

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        self._terminal.wake()

    def _rows(self) -> list[str]:
        """Of the overview; none where one pipeline is shown in depth."""
        if len(self._shown) < 2 or self._state.opened is not None:
            return []
        return rows_of(self._shown, self._state.filter)

    def _in_depth(self) -> tuple[Snapshot | None, History]:
        name = self._state.opened if self._state.opened is not None else next(iter(self._shown), "")
        return self._shown.get(name), self._pasts.get(name, History())

    def _show(self) -> None:
        while self._arrived:
            shots = self._arrived.pop(0)
            for name, shot in shots.items():
                self._pasts.setdefault(name, History()).add(shot)
            if not self._state.paused:
                self._shown = shots
        size, now = self._terminal.size, time.time()
        if len(self._shown) > 1 and self._state.opened is None:
            lines = draw_overview(
                self._shown,
                self._pasts,
                self._state,
                size,
                self._glyphs,
                now=now,
                interval=self._interval,
            )
        else:
            lines = draw(
                *self._in_depth(),
                self._state,
                size,
                self._glyphs,
                now=now,
                interval=self._interval,
            )
        self._terminal.show(lines)

    def _write(self) -> None:
        if not self._shown:
            note = "there is no snapshot yet"
        else:
            opened = self._state.opened
            shots = self._shown if opened is None else {opened: self._shown[opened]}
            when = max(shot.time for shot in shots.values())
            try:
                note = f"wrote {write_snapshot(as_dict(shots), when, Path.cwd())}"
            except OSError as error:
                note = f"not written: {error.strerror}: {error.filename}"
        self._state = replace(self._state, note=note)


def write_snapshot(data: Mapping[str, Any], when: float, directory: Path) -> str:
    """Write it as JSON to a new file; its name, made of the time of the look.

    Raises:
        OSError: it cannot be written.
    """
    stem = time.strftime("nrtctl-stats-%Y%m%dT%H%M%SZ", time.gmtime(when))
    for number in range(1, 1000):
        path = directory / (f"{stem}.json" if number == 1 else f"{stem}-{number}.json")
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            continue
        with os.fdopen(descriptor, "w") as file:
            json.dump(data, file, indent=2)
            file.write("\n")
        return path.name
    raise FileExistsError(
        17, "there are already a thousand files from this second", str(directory / stem)
    )
