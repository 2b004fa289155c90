"""The parts of the screen, each made from a snapshot for a width. Pure; arranged by `screen`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rich.text import Text

from nrtctl.config.counted import counted
from nrtctl.stats.snapshot import Metric, PartitionLag, Snapshot
from nrtctl.stats.verdict import TOLERABLE
from nrtctl.view import words
from nrtctl.view.glyphs import Glyphs
from nrtctl.view.history import History, metric_series
from nrtctl.view.printable import printable
from nrtctl.view.table import Column, lay

NOT_SOON = "not soon"
LEVELS = {"ok": "", "warn": "yellow", "crit": "bold red"}
LEVEL_MARKS = {"ok": "", "warn": " !", "crit": " !!"}
"""What says the level where there is no colour."""


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

    def course(self, label: str, value: str, series: str, width: int, style: str = "") -> Text:
        """One number and how it came there."""
        text = f"{label:<10}{value:>11}"
        spark = self.glyphs.sparkline(self.past.of(series), width - len(text) - 2)
        return Text(text, style=style).append("  ").append(spark, style="cyan")


Maker = Callable[[Drawing, int], Block | None]


def flow(drawing: Drawing, width: int) -> Block:
    shot = drawing.shot
    lines = [
        ("in", words.rate(shot.produced_per_second), "produced_per_second", ""),
        ("out", words.rate(shot.consumed_per_second), "consumed_per_second", ""),
        (
            "rejected",
            words.rate(shot.dead_letters_per_second),
            "dead_letters_per_second",
            "yellow" if shot.dead_letters_per_second else "",
        ),
        ("lag", words.count(shot.lag_records), "lag_records", ""),
        ("oldest", words.seconds(shot.lag_seconds), "lag_seconds", ""),
    ]
    rows = [drawing.course(*line[:3], width, line[3]) for line in lines]
    return Block("Records a second, lag", [], rows, 4, 0)


def latency(drawing: Drawing, width: int) -> Block:
    shot = drawing.shot
    found = shot.end_to_end_latency_seconds
    values = {"p50": found.p50, "p95": found.p95, "p99": found.p99}
    rows = [
        drawing.course(name, words.seconds(value), name, width) for name, value in values.items()
    ]
    fresh = words.seconds(shot.freshness_seconds)
    rows.append(drawing.course("newest row", fresh, "freshness_seconds", width))
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
            _drained(each),
            words.rate(each.produced_per_second),
            words.rate(each.consumed_per_second),
            words.NONE if each.committed is None else f"{each.committed:,}",
            f"{each.log_end:,}",
        )
        for each in shown
    ]
    styles = ["yellow" if _drained(each) == NOT_SOON else "" for each in shown]
    heading, lines = lay(columns, rows, width, styles)
    return Block("Partitions", [heading], lines or [_nothing(drawing)], 2, 2)


def _drained(partition: PartitionLag) -> str:
    """A lag that is as old as batches are is there while all is well."""
    if not partition.lag_records:
        return "now"
    if partition.drained_in_seconds is not None:
        return f"in {words.seconds(partition.drained_in_seconds)}"
    young = partition.lag_seconds is not None and partition.lag_seconds <= TOLERABLE
    return "steadily" if young else NOT_SOON


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
    _, rows = lay(columns, cells, width, ["yellow" if speed else "" for _, _, speed in reasons])
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
        style = "bold red" if near else "yellow" if 2 * most >= parts.delayed_from > 0 else ""
        rows.append(
            Text(
                f"active parts {words.count(parts.active)}, most {words.count(most)}"
                f"{' !!' if near else ''}",
                style=style,
            )
        )
        limits = f" {words.count(parts.delayed_from)} slow, {words.count(parts.refused_from)} full"
        bar = drawing.glyphs.bar(most, parts.refused_from, min(24, width - len(limits)))
        rows.append(Text(bar, style=style or "cyan").append(limits, style="dim"))
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
    if not rows:
        none = Text("no consumer is running", style="bold yellow")
        return Block(title, [], [_nothing(drawing) if group.members else none], 1, 5)
    return Block(title, [heading], rows, 1, 5)


def breakdown(drawing: Drawing, width: int) -> Block | None:
    by = drawing.shot.by
    if by is None:
        return None
    if by.error is not None:
        error = Text(printable(by.error), style="bold red")
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


def metrics(drawing: Drawing, width: int) -> Block | None:
    rows = [line for metric in drawing.shot.metrics for line in _metric(drawing, metric, width)]
    if not drawing.shot.metrics:
        return None
    return Block("Your metrics", [], rows or [_nothing(drawing)], 3, 6)


def _metric(drawing: Drawing, metric: Metric, width: int) -> list[Text]:
    name = printable(metric.name)
    if metric.error is not None:
        if not drawing.wanted(f"metric {name}"):
            return []
        return [Text(f"{name}: {printable(metric.error)}", style="bold red")]
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
    room = max(10, width - 24)
    label_width = min(max(map(len, labels)), room)
    value_width = max(map(len, values))
    rest = width - label_width - value_width - 3
    highest = max((abs(each.value) for each in shown if each.value is not None), default=0.0)
    lines = [] if plain else [Text(f"{name},{unit}" if unit else name, style="dim")]
    for label, value, each in zip(labels, values, shown, strict=True):
        line = Text(
            f"{_cut(label, label_width):<{label_width}} {value:>{value_width}}",
            style=LEVELS[each.level],
        )
        if metric.display == "sparkline":
            course = drawing.past.of(metric_series(metric, each))
            line.append("  ").append(drawing.glyphs.sparkline(course, min(rest, 40)), style="cyan")
        elif metric.display == "bar":
            bar = drawing.glyphs.bar(abs(each.value or 0.0), highest, min(rest, 30))
            line.append("  ").append(bar, style="cyan")
        elif plain:
            line.append(unit, style="dim")
        lines.append(line)
    return lines


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _nothing(drawing: Drawing) -> Text:
    return Text("nothing matches the filter" if drawing.filter else words.NONE, style="dim")
