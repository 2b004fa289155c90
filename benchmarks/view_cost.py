"""CPU of one redraw of the live view, by the size of the terminal.

`python -m benchmarks.view_cost`
"""

from __future__ import annotations

import io
import time

from rich.console import Console
from rich.live import Live
from rich.text import Text

from nrtctl.view.glyphs import UNICODE
from nrtctl.view.history import History
from nrtctl.view.screen import Size, draw
from nrtctl.view.state import State
from tests.unit.view.sample import snapshot

REDRAWS = 50


def redraw_seconds(size: Size) -> float:
    shot, past = snapshot(partitions=12), History()
    for _ in range(600):
        past.add(shot)
    console = Console(file=io.StringIO(), force_terminal=True, width=size.width, height=size.height)
    with Live(console=console, screen=True, auto_refresh=False, redirect_stdout=False) as live:
        began = time.process_time()
        for _ in range(REDRAWS):
            lines = draw(shot, past, State(), size, UNICODE, now=shot.time, interval=1)
            live.update(Text("\n").join(lines), refresh=True)
        return (time.process_time() - began) / REDRAWS


if __name__ == "__main__":
    for size in (Size(80, 24), Size(120, 40), Size(200, 60)):
        print(f"{size.width}×{size.height}: {redraw_seconds(size) * 1000:.1f} ms")
