"""The last line of a terminal, written over as long as a command is at work. Used by `diagnostics`.

What is printed meanwhile stands above it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nrtctl.view.printable import printable

if TYPE_CHECKING:
    from rich.console import Console

ERASE = "\r\x1b[K"


class LivingLine:
    """Shown by any thread."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._text = ""
        self._hidden = False

    def show(self, console: Console, text: str) -> None:
        """Instead of what stood there; empty: nothing does any more."""
        with self._lock:
            if text == self._text:
                return
            self._text = text
            self._draw(console)

    @contextmanager
    def aside(self, console: Console, *, ends_line: bool) -> Iterator[None]:
        """Print above it. Args: ends_line: the text that is printed does; it is drawn again."""
        with self._lock:
            if self._text and not self._hidden:
                console.file.write(ERASE)
            yield
            self._hidden = not ends_line
            if self._text and ends_line:
                self._draw(console)

    def _draw(self, console: Console) -> None:
        from rich.cells import cell_len, set_cell_size

        text, width = printable(self._text), max(1, console.width - 1)
        short = text if cell_len(text) <= width else set_cell_size(text, width - 1) + "…"
        console.file.write(ERASE + short)
        console.file.flush()
