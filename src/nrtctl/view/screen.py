"""The whole screen as lines: which blocks stand where, and which go where there is no room.

Pure: a snapshot, its history, the state of the view and a size give exactly that many lines. Used
by `live`, and by the picture in the README. `overview` is the screen of several pipelines.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement, pairwise

from rich.text import Text

from nrtctl.stats.snapshot import Snapshot
from nrtctl.view import blocks, words
from nrtctl.view.blocks import Block, Drawing, Maker
from nrtctl.view.colours import BAD, COURSE, GOOD, WARN
from nrtctl.view.glyphs import Glyphs
from nrtctl.view.history import History
from nrtctl.view.printable import printable
from nrtctl.view.state import State
from nrtctl.view.table import folded

VERDICTS = {
    "ok": ("good", f"bold {GOOD}"),
    "falling behind": ("warn", f"bold {WARN}"),
    "idle": ("unknown", "bold dim"),
    "paused": ("unknown", "bold"),
    "unknown": ("unknown", "bold"),
}
FAULT = ("bad", f"bold {BAD}")
GAP = 3
ROOMY = 28
"""Lines from which on a blank one stands below the verdict."""

ORDER: list[Maker] = [
    blocks.flow, blocks.latency, blocks.partitions, blocks.breakdown, blocks.stored,
    blocks.inserts, blocks.consumers, blocks.metrics,
]  # fmt: skip
"""The blocks from the top, column after column."""
IN_ONE_COLUMN: list[Maker] = [
    blocks.flow, blocks.breakdown, blocks.latency, blocks.partitions, blocks.stored,
    blocks.inserts, blocks.consumers, blocks.metrics,
]  # fmt: skip

HELP = (
    ("p, space", "pause the screen; the numbers are still collected"),
    ("s", "write the snapshot as JSON to a file"),
    ("/", "filter: partition 3, dead letter null, a reason, a consumer, a metric"),
    ("enter, esc", "keep the filter, remove it"),
    ("down, up", "scroll down, scroll up"),
    ("?", "this help"),
    ("q, Ctrl-C", "end"),
    ("", ""),
    ("in, out", "growth of the log ends, and of the group's offsets"),
    ("lag, oldest", "records that are not stored yet, and the age of the oldest"),
    ("drained", "when the lag is gone at the current rates"),
    ("at most", "the number after a sparkline is its highest value; its bottom is 0"),
    ("p50 p95 p99", "from the record's timestamp to its row, every row of the window"),
    ("newest row", "its age"),
    ("slow, full", "parts in a partition at which ClickHouse slows or refuses inserts"),
    ("! and !!", "above a metric's thresholds warn and crit"),
)


@dataclass(frozen=True, slots=True)
class Size:
    width: int
    height: int


def draw(
    shot: Snapshot | None,
    past: History,
    state: State,
    size: Size,
    glyphs: Glyphs,
    *,
    now: float,
    interval: float,
) -> list[Text]:
    """`size.height` lines, none wider than `size.width`.

    Args:
        shot: None before the first look has ended.
        now: seconds since the epoch.
        interval: seconds between two looks.
    """
    body: list[Text]
    if shot is None:
        head, body, cut = [Text(" nrtctl stats: waiting for the first numbers")], [], False
    else:
        head = _head(shot, state, size.width, glyphs, now=now, interval=interval)
        if size.height >= ROOMY:
            head.append(Text(""))
        room = size.height - len(head) - 1
        drawing = Drawing(shot, past, glyphs, state.filter)
        body, cut = _body(drawing, state, size.width, max(0, room))
    if state.help:
        body, cut = help_lines(HELP, size.width), False
    right = words.looks(shot.window_seconds, interval) if shot else ""
    back = "" if state.opened is None else "  esc all pipelines"
    keys = f" ? help{back}  p pause  s snapshot  / filter  q quit"
    if size.width < 60 or len(keys) > size.width:
        keys = f" ? help{back and ' esc all'} p pause / filter q quit"
    return page(head, body, foot(state, size.width, keys, right, cut=cut, glyphs=glyphs), size)


def page(head: Sequence[Text], body: Sequence[Text], last: Text, size: Size) -> list[Text]:
    """Exactly the lines of the terminal, none wider than it is."""
    lines = [*head, *body][: max(0, size.height - 1)]
    lines += [Text("")] * (size.height - 1 - len(lines))
    lines.append(last)
    for line in lines:
        line.no_wrap = True
        line.truncate(size.width, overflow="crop")
    return lines[-size.height :] if size.height > 0 else []


def clock_of(time_of_look: float, state: State, *, now: float, interval: float) -> str:
    age = now - time_of_look
    clock = time.strftime("%H:%M:%S", time.localtime(time_of_look))
    if state.paused:
        return f"PAUSED at {clock}"
    return f"{words.seconds(age)} old" if age > 2 * interval + 2 else clock


def titled(title: str, clock: str, width: int) -> Text:
    """The first line."""
    space = width - len(clock) - 1
    first = Text(printable(title)[: max(0, space - 1)].ljust(space), style="bold")
    late = "PAUSED" in clock or "old" in clock
    return first.append(clock, style=f"bold {WARN}" if late else "dim")


def _head(
    shot: Snapshot, state: State, width: int, glyphs: Glyphs, *, now: float, interval: float
) -> list[Text]:
    title = f" {shot.topic} {glyphs.marks['arrow']} {shot.table}"
    if state.opened is not None:
        title = f" {state.opened}: {title.lstrip()}"
    if width >= 60:
        title += f"  group {shot.group}"
    first = titled(title, clock_of(shot.time, state, now=now, interval=interval), width)
    mark, style = VERDICTS.get(shot.verdict.state, FAULT)
    verdict = Text(f" {glyphs.marks[mark]} {printable(shot.verdict.state)}", style=style)
    if shot.verdict.cause:
        verdict.append(f"  {printable(shot.verdict.cause)}", style="not bold default")
    lines = [first, *folded(verdict, width, 2)]
    for each in [each for each in shot.errors if each.message != shot.verdict.cause][:2]:
        named = "" if each.source == "metrics" else f"{each.source}: "
        problem = Text(f"   {named}{printable(each.message)}", style=BAD)
        lines += folded(problem, width, 1)
    for hint in [each.hint for each in shot.errors if each.message == shot.verdict.cause][:1]:
        if hint:
            lines += folded(Text(f"   hint: {printable(hint)}", style=COURSE), width, 2)
    return lines


def foot(state: State, width: int, keys: str, right: str, *, cut: bool, glyphs: Glyphs) -> Text:
    """The last line. Args: cut: something was left out."""
    if state.editing:
        return Text(f" filter: {state.filter}_   enter keeps it, esc removes it", style="reverse")
    if state.note:
        return Text(f" {printable(state.note)}", style="reverse")
    left = keys + (f"  {glyphs.marks['down']} more" if cut else "")
    if state.filter:
        left = f" filter: {state.filter}  (esc removes it)"
    space = width - len(left) - len(right)
    return Text(left + (" " * space + right if space > 1 else ""), style="reverse")


def help_lines(meanings: Sequence[tuple[str, str]], width: int) -> list[Text]:
    key_width = 12
    lines = [Text("")]
    for key, meaning in meanings:
        line = Text(f" {key:<{key_width}}", style="bold").append(meaning, style="not bold default")
        lines += folded(line, width, 2, key_width + 1)
    return lines


def _body(drawing: Drawing, state: State, width: int, height: int) -> tuple[list[Text], bool]:
    number = 3 if width >= 150 else 2 if width >= 76 else 1
    each_width = (width - 1 - GAP * (number - 1)) // number
    laid, cut = [], False
    order = IN_ONE_COLUMN if number == 1 else ORDER
    there = [block for make in order if (block := make(drawing, each_width)) is not None]
    for made in balanced(there, number):
        made = made[min(state.skip, max(0, len(made) - 1)) :]
        lines, less = _column(made, each_width, height, drawing.glyphs)
        laid.append(lines)
        cut = cut or less
    rows = []
    for at in range(max(map(len, laid), default=0)):
        row = Text("")
        for column in laid:
            cell = column[at].copy() if at < len(column) else Text("")
            cell.truncate(each_width, overflow="crop", pad=True)
            row.append(" " if column is laid[0] else " " * GAP)
            row.append_text(cell)
        row.rstrip()
        rows.append(row)
    return rows, cut


def balanced(made: Sequence[Block], number: int) -> list[Sequence[Block]]:
    """The blocks in that many columns, in their order, so that the highest is as low as can be."""

    def height(column: Sequence[Block]) -> int:
        return sum(2 + len(each.head) + len(each.rows) for each in column)

    ways = [
        [made[a:b] for a, b in pairwise((0, *cuts, len(made)))]
        for cuts in combinations_with_replacement(range(1, len(made) + 1), number - 1)
    ]
    return min(ways, key=lambda way: sorted(map(height, way), reverse=True), default=[made])


def _column(
    made: Sequence[Block], width: int, height: int, glyphs: Glyphs
) -> tuple[list[Text], bool]:
    """Blocks under one another, and whether something was left out. On a low screen no blank line
    stands between them where something would be."""
    gap = 1
    shown = fit(made, height)
    if height < ROOMY and (len(shown) < len(made) or any(n < len(b.rows) for b, n in shown)):
        gap = 0
        shown = fit([block for block, _ in shown], height, gap)
    lines: list[Text] = []
    cut = len(shown) < len(made)
    for block, rows in shown:
        if lines and gap:
            lines.append(Text(""))
        title = Text(block.title[:width], style="bold")
        title.append(f" {glyphs.rule * (width - len(block.title) - 1)}", style="dim")
        lines += [title, *block.head]
        if rows < len(block.rows):
            cut = True
            more = len(block.rows) - rows + 1
            lines += block.rows[: rows - 1]
            lines.append(Text(f"{glyphs.gap} {more:,} more", style="dim"))
        else:
            lines += block.rows
    return lines[:height], cut


def fit(made: Sequence[Block], height: int, gap: int = 1) -> list[tuple[Block, int]]:
    """The blocks that there is room for, in their order, each with its number of rows.

    A block takes its title, its head, its rows and `gap` blank lines above, which the first does
    not have. First all get their least, by rank; then the rest goes round, a row at a time.
    """
    left = height + gap
    given: dict[int, int] = {}
    for at in sorted(range(len(made)), key=lambda at: made[at].rank):
        least = min(made[at].least, len(made[at].rows))
        needs = 1 + gap + len(made[at].head) + least
        if needs <= left or not given:
            given[at] = least
            left -= needs
    while left > 0:
        hungry = [at for at in sorted(given) if given[at] < len(made[at].rows)]
        if not hungry:
            break
        for at in hungry[:left]:
            given[at] += 1
            left -= 1
    return [(made[at], given[at]) for at in sorted(given)]
