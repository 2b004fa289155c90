"""The live view: looks, keys and the screen together. Called by `nrtctl stats` on a terminal."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from nrtctl.stats.snapshot import Snapshot
from nrtctl.view import glyphs
from nrtctl.view.history import History
from nrtctl.view.looking import Looker
from nrtctl.view.screen import draw
from nrtctl.view.state import Action, State, press
from nrtctl.view.terminal import Terminal

REDRAW = 1.0
"""Seconds after which the screen is drawn again without news: the age of the last look grows."""


def watch(look: Callable[[], Snapshot], *, interval: float, console: Console) -> None:
    """Show the pipeline until `q`, SIGTERM, or the terminal's end.

    Args:
        look: one look; called on a thread of its own.
        interval: seconds between two looks.
        console: on a terminal.

    Raises:
        KeyboardInterrupt: Ctrl-C; the terminal is as it was before.
    """
    _View(look, interval, console).run()


class _View:
    def __init__(self, look: Callable[[], Snapshot], interval: float, console: Console) -> None:
        self._interval = interval
        self._glyphs = glyphs.for_encoding(console.encoding)
        self._terminal = Terminal(console)
        self._past = History()
        self._arrived: list[Snapshot] = []
        self._failure: BaseException | None = None
        self._shown: Snapshot | None = None
        self._state = State()
        self._looker = Looker(look, interval, publish=self._publish, failed=self._fail)

    def run(self) -> None:
        with self._terminal:
            self._looker.start()
            try:
                while not self._terminal.ended:
                    self._show()
                    for key in self._terminal.wait(REDRAW):
                        self._state, action = press(self._state, key)
                        if action is Action.QUIT:
                            return
                        if action is Action.SNAPSHOT:
                            self._write()
                    if self._failure is not None:
                        raise self._failure
            finally:
                self._looker.stop()

    def _publish(self, shot: Snapshot) -> None:
        self._arrived.append(shot)
        self._terminal.wake()

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        self._terminal.wake()

    def _show(self) -> None:
        while self._arrived:
            shot = self._arrived.pop(0)
            self._past.add(shot)
            if not self._state.paused:
                self._shown = shot
        self._terminal.show(
            draw(
                self._shown,
                self._past,
                self._state,
                self._terminal.size,
                self._glyphs,
                now=time.time(),
                interval=self._interval,
            )
        )

    def _write(self) -> None:
        if self._shown is None:
            note = "there is no snapshot yet"
        else:
            try:
                note = f"wrote {write_snapshot(self._shown, Path.cwd())}"
            except OSError as error:
                note = f"not written: {error.strerror}: {error.filename}"
        self._state = replace(self._state, note=note)


def write_snapshot(shot: Snapshot, directory: Path) -> str:
    """Write it as JSON to a new file; its name, made of the time of the look.

    Raises:
        OSError: it cannot be written.
    """
    stem = time.strftime("nrtctl-stats-%Y%m%dT%H%M%SZ", time.gmtime(shot.time))
    for number in range(1, 1000):
        path = directory / (f"{stem}.json" if number == 1 else f"{stem}-{number}.json")
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            continue
        with os.fdopen(descriptor, "w") as file:
            json.dump(shot.as_dict(), file, indent=2)
            file.write("\n")
        return path.name
    raise FileExistsError(
        17, "there are a thousand files of this second already", str(directory / stem)
    )
