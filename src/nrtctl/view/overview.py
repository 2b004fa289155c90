"""The screen of several pipelines: a row each, and why those are not well that are not. Pure.

Used by `live`; one pipeline in depth is `screen`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from rich.text import Text

from nrtctl.config.counted import counted
from nrtctl.stats.snapshot import Shots, Snapshot
from nrtctl.stats.verdict import WELL
from nrtctl.view import words
from nrtctl.view.colours import COURSE
from nrtctl.view.glyphs import Glyphs
from nrtctl.view.history import History
from nrtctl.view.printable import printable
from nrtctl.view.screen import (
    FAULT,
    ROOMY,
    VERDICTS,
    Size,
    clock_of,
    foot,
    help_lines,
    page,
    titled,
)
from nrtctl.view.state import State, marked
from nrtctl.view.table import GAP, Column, folded, lay

COLUMNS = (
    Column("pipeline", text=True, least=14),
    Column("state", text=True, least=12),
    Column("lag"),
    Column("oldest", 2),
    Column("in", 3),
    Column("out", 1),
    Column("newest row", 4),
    Column("dead letters", 5),
    Column("p99", 6),
    Column("stored", 7),
)
LEAST_SPARK, MOST_SPARK = 8, 40
SPARK = "out, so far"

HELP = (
    ("down, up", "mark another pipeline"),
    ("enter", "show the marked one in depth; esc comes back"),
    ("p, space", "pause the screen; the numbers are still collected"),
    ("s", "write the snapshots as JSON to a file"),
    ("/", "filter by words of the name, the state, the topic, the table and the group"),
    ("enter, esc", "keep the filter, remove it"),
    ("?", "this help"),
    ("q, Ctrl-C", "end"),
    ("", ""),
    ("in, out", "growth of the log ends, and of the group's offsets"),
    ("lag, oldest", "records that are not stored yet, and the age of the oldest"),
    ("newest row", "its age"),
    ("p99", "from the record's timestamp to its row, of the rows of the window"),
)


def rows_of(shots: Shots, filter: str) -> list[str]:
    """The names of those that the filter keeps."""
    return [
        name
        for name, shot in shots.items()
        if all(
            word in f"{name} {shot.verdict.state} {shot.topic} {shot.table} {shot.group}".lower()
            for word in filter.lower().split()
        )
    ]


def draw_overview(
    shots: Shots,
    pasts: Mapping[str, History],
    state: State,
    size: Size,
    glyphs: Glyphs,
    *,
    now: float,
    interval: float,
) -> list[Text]:
    """`size.height` lines, none wider than `size.width`.

    Args:
        shots: two at least.
        now: seconds since the epoch.
        interval: seconds between two looks.
    """
    width = size.width
    keys = " ? help  enter open  p pause  s snapshot  / filter  q quit"
    if width < 60:
        keys = " ? help enter open / filter q quit"
    any_shot = next(iter(shots.values()))
    right = words.looks(any_shot.window_seconds, interval)
    oldest = min(shot.time for shot in shots.values())
    clock = clock_of(oldest, state, now=now, interval=interval)
    head = [titled(f" {counted(len(shots), 'pipeline')}", clock, width)]
    head += folded(_states(shots, glyphs), width, 2)
    if size.height >= ROOMY:
        head.append(Text(""))
    if state.help:
        body, cut = help_lines(HELP, width), False
    else:
        room = max(0, size.height - len(head) - 1)
        body, cut = _body(shots, pasts, state, Size(width, room), glyphs)
    return page(head, body, foot(state, width, keys, right, cut=cut, glyphs=glyphs), size)


def _states(shots: Shots, glyphs: Glyphs) -> Text:
    """How many are in which state, the worst first."""
    order = {"bad": 0, "warn": 1, "unknown": 2, "good": 3}
    found = Counter(shot.verdict.state for shot in shots.values())
    line = Text("")
    for state in sorted(found, key=lambda each: order[VERDICTS.get(each, FAULT)[0]]):
        mark, style = VERDICTS.get(state, FAULT)
        line.append("  " if line else " ")
        line.append(f"{glyphs.marks[mark]} {found[state]} {printable(state)}", style=style)
    return line


def _body(
    shots: Shots, pasts: Mapping[str, History], state: State, size: Size, glyphs: Glyphs
) -> tuple[list[Text], bool]:
    names = rows_of(shots, state.filter)
    if not names:
        return [Text(" nothing matches the filter", style="dim")], False
    heading, rows = _table(shots, names, pasts, size.width - 1, glyphs)
    at = names.index(marked(state, names))
    rows[at].stylize("reverse")
    why = _why(shots, names, size.width)
    room = max(1, size.height - 1)
    shown, cut = _around(rows, at, room)
    lines = [heading, *shown]
    left = size.height - len(lines) - 2
    reasons = [line for name in names for line in why.get(name, ())]
    if left > 0 and reasons:
        lines += [Text(""), Text(" Why", style="bold"), *reasons[:left]]
        cut = cut or len(reasons) > left
    return lines, cut


def _around(rows: list[Text], at: int, room: int) -> tuple[list[Text], bool]:
    """As many rows as there is room for, with the one that is marked."""
    if len(rows) <= room:
        return rows, False
    room = max(1, room - 1)
    first = min(max(0, at - room // 2), len(rows) - room)
    more = Text(f" {len(rows) - room:,} more", style="dim")
    return [*rows[first : first + room], more], True


def _table(
    shots: Shots, names: Sequence[str], pasts: Mapping[str, History], width: int, glyphs: Glyphs
) -> tuple[Text, list[Text]]:
    cells = [_cells(name, shots[name], glyphs) for name in names]
    styles = []
    for name in names:
        shot = shots[name]
        mark, style = VERDICTS.get(shot.verdict.state, FAULT)
        styles.append("" if mark == "good" else style.removeprefix("bold "))
    heading, rows = lay(COLUMNS, cells, width, styles)
    used = max(line.cell_len for line in (heading, *rows))
    room = min(MOST_SPARK, width - used - GAP)
    if room >= max(LEAST_SPARK, len(SPARK)):
        heading = _padded(heading, used + GAP).append(SPARK.rjust(room), style="dim")
        for at, name in enumerate(names):
            past = pasts[name].of("consumed_per_second") if name in pasts else ()
            spark = glyphs.sparkline(past, room)
            rows[at] = _padded(rows[at], used + GAP).append(spark, style=COURSE)
    return Text(" ").append_text(heading), [Text(" ").append_text(row) for row in rows]


def _padded(line: Text, width: int) -> Text:
    return line.append(" " * (width - line.cell_len))


def _cells(name: str, shot: Snapshot, glyphs: Glyphs) -> list[str]:
    mark, _ = VERDICTS.get(shot.verdict.state, FAULT)
    dead = words.count(shot.dead_letters)
    if shot.dead_letters_per_second:
        dead += f" +{words.rate(shot.dead_letters_per_second)}"
    return [
        printable(name),
        f"{glyphs.marks[mark]} {printable(shot.verdict.state)}",
        words.count(shot.lag_records),
        words.seconds(shot.lag_seconds),
        words.rate(shot.produced_per_second),
        words.rate(shot.consumed_per_second),
        words.seconds(shot.freshness_seconds),
        dead,
        words.seconds(shot.end_to_end_latency_seconds.p99),
        words.count(shot.stored),
    ]


def _why(shots: Shots, names: Sequence[str], width: int) -> dict[str, list[Text]]:
    """Of each that is not well, or has a problem: what it is."""
    found = {}
    for name in names:
        shot = shots[name]
        said = [] if shot.verdict.state in WELL else [shot.verdict.cause]
        said += [each.message for each in shot.errors]
        lines: list[Text] = []
        for text in dict.fromkeys(said):
            line = Text(f" {printable(name)}", style="bold")
            line.append(f"  {printable(text)}", style="not bold default")
            lines += folded(line, width, 2)
        if lines:
            found[name] = lines
    return found
