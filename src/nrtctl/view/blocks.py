"""The parts of the screen, each made from a snapshot for a width. Pure; arranged by `screen`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from nrtctl.config.counted import counted
from nrtctl.stats.metrics_run import named
from nrtctl.stats.snapshot import Metric, MetricValue, PartitionLag, Snapshot
from nrtctl.stats.verdict import WELL
from nrtctl.view import words
from nrtctl.view.colours import BAD, COURSE, WARN
from nrtctl.view.glyphs import Glyphs
from nrtctl.view.history import History, metric_series
from nrtctl.view.printable import printable
from nrtctl.view.table import Column, folded, lay

NOT_SOON = "not soon"
LEVELS = {"ok": "", "warn": WARN, "crit": f"bold {BAD}"}
LEVEL_MARKS = {"ok": "", "warn": " !", "crit": " !!"}
"""What says the level where there is no colour."""


LEAST_SPARK = 6
MOST_WIDTH = 11
"""Of the highest value behind a course, so that the courses under each other end together."""

Say = Callable[[float | None], str]


@dataclass(frozen=True, slots=True)
class Block:
    """`head` lines always show with the block; of `rows` as many as there is room for.

    `least`: rows below which the block is left out (fewer where it has fewer). `rank`: where there
    is no room for all, the lowest stay.
    """

    title: str
    head: list[Text]
    rows: list[Text]
    least: int
    rank: int


@dataclass(frozen=True, slots=True)
class Drawing:
    """What a block is drawn from."""

    shot: Snapshot
    past: History
    glyphs: Glyphs
    filter: str = ""

    def wanted(self, label: str) -> bool:
        """Whether every word of the filter is in the label of a row."""
        return all(word in label.lower() for word in self.filter.lower().split())

    def course(
        self, label: str, series: str, value: float | None, say: Say, width: int, style: str = ""
    ) -> Text:
        """One number and how it came there, from 0 to the highest value that is shown of it."""
        text = f"{label:<10}{say(value):>9}"
        room = width - len(text) - 2
        values = self.past.of(series)[-max(0, room) :]
        highest = max((each for each in values if each is not None), default=0.0)
        most = f" {self.glyphs.most}{say(highest)}" if highest > 0 else ""
        beside = max(0, min(MOST_WIDTH, room - LEAST_SPARK))
        spark = self.glyphs.sparkline(values, room - beside)
        line = Text(text, style=style).append("  ").append(spark, style=COURSE)
        return line.append(most if len(most) <= beside else "", style="dim")


Maker = Callable[[Drawing, int], Block | None]

BUILT_IN = frozenset(
    {
        "produced_per_second", "consumed_per_second", "stored_per_second",
        "dead_letters_per_second", "lag_records", "lag_seconds", "freshness_seconds",
        "end_to_end_latency_seconds", "stored", "dead_letters", "dead_letters_by_reason",
        "dead_letters_by_reason_per_second", "active_parts",
    }
)  # fmt: skip
"""Numbers of the snapshot that have a place of their own on the screen."""


def flow(drawing: Drawing, width: int) -> Block:
    shot = drawing.shot
    rejected = shot.dead_letters_per_second
    rows = [
        drawing.course("in", "produced_per_second", shot.produced_per_second, words.rate, width),
        drawing.course("out", "consumed_per_second", shot.consumed_per_second, words.rate, width),
        drawing.course(
            "rejected",
            "dead_letters_per_second",
            rejected,
            words.rate,
            width,
            "bold" if rejected else "",
        ),
        drawing.course("lag", "lag_records", shot.lag_records, words.count, width),
        drawing.course("oldest", "lag_seconds", shot.lag_seconds, words.seconds, width),
    ]
    return Block("Records a second, lag", [], rows, 4, 0)


def latency(drawing: Drawing, width: int) -> Block:
    shot = drawing.shot
    found = shot.end_to_end_latency_seconds
    values = {"p50": found.p50, "p95": found.p95, "p99": found.p99}
    rows = [
        drawing.course(name, name, value, words.seconds, width) for name, value in values.items()
    ]
    fresh = shot.freshness_seconds
    rows.append(drawing.course("newest row", "freshness_seconds", fresh, words.seconds, width))
    return Block("Latency, produced to stored", [], rows, 3, 1)


def partitions(drawing: Drawing, width: int) -> Block:
    columns = [
        Column("p"),
        Column("lag"),
        Column("oldest", 1),
        Column("drained", 2),
        Column("in", 3),
        Column("out", 4),
        Column("committed", 5),
        Column("log end", 6),
    ]
    shown = [each for each in drawing.shot.lag if drawing.wanted(f"partition {each.partition}")]
    rows = [
        (
            str(each.partition),
            words.count(each.lag_records),
            words.seconds(each.lag_seconds),
            _drained(each, drawing.shot),
            words.rate(each.produced_per_second),
            words.rate(each.consumed_per_second),
            words.NONE if each.committed is None else f"{each.committed:,}",
            f"{each.log_end:,}",
        )
        for each in shown
    ]
    styles = [WARN if _drained(each, drawing.shot) == NOT_SOON else "" for each in shown]
    heading, lines = lay(columns, rows, width, styles)
    return Block("Partitions", [heading], lines or [_nothing(drawing)], 2, 2)


def _drained(partition: PartitionLag, shot: Snapshot) -> str:
    """A lag that is as old as batches are is there while all is well, as the verdict says."""
    if not partition.lag_records:
        return "now"
    age, well = partition.lag_seconds, shot.verdict.state in WELL
    young = age is not None and age <= shot.tolerable_lag_seconds
    if young or (well and partition.drained_in_seconds is None):
        return "steadily"
    if partition.drained_in_seconds is None:
        return NOT_SOON
    return f"in {words.seconds(partition.drained_in_seconds)}"


def stored(drawing: Drawing, width: int) -> Block:
    shot = drawing.shot
    whole = f"rows stored {words.count(shot.stored)}, {words.rate(shot.stored_per_second)}"
    dead = f"dead letters {words.count(shot.dead_letters)}"
    reasons = [
        (reason, number, shot.dead_letters_by_reason_per_second.get(reason))
        for reason, number in shot.dead_letters_by_reason.items()
        if drawing.wanted(f"dead letter {reason}")
    ]
    columns = [Column("", text=True, least=10), Column(""), Column("", 1)]
    cells = [
        (f"  {printable(reason)}", words.count(number), words.rate(speed))
        for reason, number, speed in reasons
    ]
    _, rows = lay(columns, cells, width, ["bold" if speed else "" for _, _, speed in reasons])
    if shot.dead_letters and not rows:
        rows = [_nothing(drawing)]
    return Block("Rows and dead letters", [Text(whole), Text(dead)], rows, 1, 3)


def inserts(drawing: Drawing, width: int) -> Block:
    batches, parts = drawing.shot.batches, drawing.shot.parts
    rows = []
    if batches is not None:
        took = words.seconds(batches.insert_seconds)
        rows += [
            Text(
                f"batches {words.count(batches.count)}, {words.rate(batches.per_second)}, "
                f"insert {took}"
            ),
            Text(
                f"rows each {words.count(batches.rows_mean)}, most {words.count(batches.rows_max)}"
            ),
        ]
    if parts is not None:
        most = parts.most_in_a_partition
        near = 0 < parts.delayed_from <= most
        style = f"bold {BAD}" if near else WARN if 2 * most >= parts.delayed_from > 0 else ""
        rows.append(
            Text(
                f"active parts {words.count(parts.active)}, most {words.count(most)}"
                f"{' !!' if near else ''}",
                style=style,
            )
        )
        limits = f" {words.count(parts.delayed_from)} slow, {words.count(parts.refused_from)} full"
        bar = drawing.glyphs.bar(most, parts.refused_from, min(24, width - len(limits)))
        rows.append(Text(bar, style=style or COURSE).append(limits, style="dim"))
    return Block("Batches, parts", [], rows or [Text(words.NONE)], 2, 4)


def consumers(drawing: Drawing, width: int) -> Block | None:
    group = drawing.shot.consumers
    if group is None:
        return None
    members = sorted(
        (
            each
            for each in group.members
            if drawing.wanted(f"consumer {each.client_id} {each.member_id} {each.host}")
        ),
        key=lambda each: (each.client_id, each.member_id),
    )
    columns = [
        Column("client", text=True),
        Column("host", 2, text=True),
        Column("partitions", text=True),
    ]
    cells = [
        (
            printable(each.client_id),
            printable(each.host.lstrip("/")),
            words.ranges(each.partitions),
        )
        for each in members
    ]
    heading, rows = lay(columns, cells, width, ["" for _ in cells])
    title = f"Consumers, group {printable(group.state).replace('_', ' ')}"
    if group.state == "dead" and not group.members:
        title = "Consumers, no group yet"
    if not rows:
        calm = drawing.shot.verdict.state in WELL
        none = Text("no consumer is running", style="dim" if calm else f"bold {WARN}")
        return Block(title, [], [_nothing(drawing) if group.members else none], 1, 5)
    return Block(title, [heading], rows, 1, 5)


def breakdown(drawing: Drawing, width: int) -> Block | None:
    by = drawing.shot.by
    if by is None:
        return None
    if by.error is not None:
        error = Text(printable(by.error), style=f"bold {BAD}")
        return Block(f"By {printable(by.column)}", [], [error], 1, 2)
    columns = [
        Column(printable(by.column), text=True, least=16),
        Column("rows", 3),
        Column("per second"),
        Column("p50", 2),
        Column("p95", 4),
        Column("p99", 1),
    ]
    cells = [
        (
            printable(each.value),
            words.count(each.rows),
            words.rate(each.per_second),
            words.seconds(each.end_to_end_latency_seconds.p50),
            words.seconds(each.end_to_end_latency_seconds.p95),
            words.seconds(each.end_to_end_latency_seconds.p99),
        )
        for each in by.slices
        if drawing.wanted(f"{by.column} {each.value}")
    ]
    heading, rows = lay(columns, cells, width, ["" for _ in cells])
    if by.more:
        rows.append(Text(f"and {counted(by.more, 'more value')}", style="dim"))
    return Block(f"By {printable(by.column)}", [heading], rows or [_nothing(drawing)], 2, 2)


def repeats(metric: Metric) -> bool:
    """Whether it says nothing but a number that has a place of its own, within its thresholds."""
    return metric.source in BUILT_IN and metric.level == "ok" and metric.error is None


def metrics(drawing: Drawing, width: int) -> Block | None:
    """All but those that only repeat what stands above; a filter looks among all."""
    own = [each for each in drawing.shot.metrics if drawing.filter or not repeats(each)]
    if not own:
        return None
    rows: list[Text] = []
    for _, group in groupby(own, key=_joined):
        together = list(group)
        if len(together) > 1:
            rows += _table(drawing, together, width)
        else:
            rows += _metric(drawing, together[0], width)
    return Block("Your metrics", [], rows or [_nothing(drawing)], 3, 6)


def _joined(metric: Metric) -> tuple[str, ...]:
    """What is equal of metrics that stand in one table: tables with the same dimensions."""
    together = metric.display == "table" and metric.dimensions and metric.error is None
    return ("", *metric.dimensions) if together else (metric.name,)


def _table(drawing: Drawing, together: Sequence[Metric], width: int) -> list[Text]:
    """Metrics side by side, a row for each value of their dimensions."""
    cells: dict[tuple[str, ...], dict[str, MetricValue]] = {}
    for metric in together:
        for each in metric.values:
            of = tuple(map(str, each.dimensions.values()))
            if drawing.wanted(f"metric {metric.name} {' '.join(of)}"):
                cells.setdefault(of, {})[metric.name] = each
    shown = [each for each in together if any(each.name in row for row in cells.values())]
    if not shown:
        return []
    columns = [
        Column(printable(", ".join(shown[0].dimensions)), text=True, least=14),
        *(Column(printable(each.name), at) for at, each in enumerate(shown)),
    ]
    rows, styles = [], []
    for of, values in cells.items():
        found = [values.get(each.name) for each in shown]
        level = max((each.level for each in found if each), key=list(LEVELS).index, default="ok")
        styles.append(LEVELS[level])
        texts = [
            words.number(each.value) + LEVEL_MARKS[each.level] if each else words.NONE
            for each in found
        ]
        rows.append((printable(", ".join(of)), *texts))
    heading, lines = lay(columns, rows, width, styles)
    return [heading, *lines]


def _metric(drawing: Drawing, metric: Metric, width: int) -> list[Text]:
    name = printable(metric.name)
    if metric.error is not None:
        if not drawing.wanted(f"metric {name}"):
            return []
        why = metric.error.removeprefix(named(metric.name))
        return folded(Text(f"{name}: {printable(why)}", style=f"bold {BAD}"), width, 2)
    shown = [
        each
        for each in metric.values
        if drawing.wanted(f"metric {name} {' '.join(map(str, each.dimensions.values()))}")
    ]
    if not shown:
        return []
    unit = "" if metric.unit in {"", "1"} else f" {printable(metric.unit)}"
    plain = len(shown) == 1 and not shown[0].dimensions
    labels = [
        name if plain else "  " + printable(", ".join(map(str, each.dimensions.values())) or name)
        for each in shown
    ]
    values = [words.number(each.value) + LEVEL_MARKS[each.level] for each in shown]
    beside = 12 if metric.display in {"sparkline", "bar"} else len(unit) if plain else 0
    room = max(10, width - max(map(len, values)) - 3 - beside)
    label_width = min(max(map(cell_len, labels)), room)
    value_width = max(map(len, values))
    rest = width - label_width - value_width - 3
    highest = max((abs(each.value) for each in shown if each.value is not None), default=0.0)
    lines = [] if plain else [Text(f"{name},{unit}" if unit else name, style="dim")]
    for label, value, each in zip(labels, values, shown, strict=True):
        line = Text(f"{_cut(label, label_width)} {value:>{value_width}}", style=LEVELS[each.level])
        if metric.display == "sparkline":
            course = drawing.past.of(metric_series(metric, each))
            line.append("  ").append(drawing.glyphs.sparkline(course, min(rest, 40)), style=COURSE)
        elif metric.display == "bar":
            bar = drawing.glyphs.bar(abs(each.value or 0.0), highest, min(rest, 30))
            line.append("  ").append(bar, style=COURSE)
        elif plain:
            line.append(unit, style="dim")
        lines.append(line)
    return lines


def _cut(text: str, width: int) -> str:
    """On so many columns of the terminal."""
    short = text if cell_len(text) <= width else set_cell_size(text, width - 1) + "…"
    return set_cell_size(short, width)


def _nothing(drawing: Drawing) -> Text:
    return Text("nothing matches the filter" if drawing.filter else words.NONE, style="dim")
