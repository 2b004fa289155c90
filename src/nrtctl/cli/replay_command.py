"""`nrtctl replay offsets` and `nrtctl replay undo`: move the group, and back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nrtctl.cli.command_line import command_line
from nrtctl.cli.common_options import Execute, Group, Partitions, use_group
from nrtctl.cli.option_values import parsed
from nrtctl.cli.results import Document, Result, Table
from nrtctl.cli.session import Session
from nrtctl.config.counted import counted

if TYPE_CHECKING:
    from nrtctl.replay.move import Moved
    from nrtctl.replay.plan import Wish

COLUMNS = ("partition", "before", "after", "read_again", "skipped", "note")

Wait = Annotated[bool, typer.Option("--wait", help="Wait until all members have left the group.")]
Timeout = Annotated[
    str | None,
    typer.Option(
        "--timeout", metavar="DURATION", help="With --wait, wait no longer than this: 90s or 5m."
    ),
]
UndoFile = Annotated[
    Path | None,
    typer.Option(
        "--undo-file",
        metavar="FILE",
        help="Write the file for `nrtctl replay undo` here; otherwise its name is "
        "nrtctl-undo-TIME.json.",
    ),
]


def offsets(
    session: Session,
    to_earliest: Annotated[
        bool, typer.Option("--to-earliest", help="Move to the start of the log.")
    ] = False,
    to_latest: Annotated[
        bool, typer.Option("--to-latest", help="Move to the end of the log.")
    ] = False,
    to_current: Annotated[
        bool,
        typer.Option(
            "--to-current",
            help="Stay at the committed offsets, or move to the nearest ones in the log.",
        ),
    ] = False,
    to_offset: Annotated[
        int | None, typer.Option(metavar="OFFSET", min=0, help="Move to this offset.")
    ] = None,
    to_datetime: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Move to the first message at or after this time, as in 2026-01-01T00:00Z.",
        ),
    ] = None,
    by_duration: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION",
            help="Move to the first message that is no older than this: 1h30m or PT1H30M.",
        ),
    ] = None,
    shift_by: Annotated[
        int | None,
        typer.Option(
            metavar="COUNT",
            help="Move this many offsets forward, or backward if the number is negative.",
        ),
    ] = None,
    from_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Move to the offsets in this file, which has a line topic,partition,offset "
            "for each partition.",
        ),
    ] = None,
    offset: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE",
            help="Move to this place: start, end, 47 (an offset), +3 (after the start), -3 "
            "(before the end), @-1h or @2026-01-01T00:00Z.",
        ),
    ] = None,
    partition: Partitions = None,
    group: Group = None,
    execute: Execute = False,
    wait: Wait = False,
    timeout: Timeout = None,
    undo_file: UndoFile = None,
) -> Result:
    """Move the group's committed offsets. Changes nothing without --execute.

    The group must have no members while its offsets are moved.
    """
    from nrtctl.config.named_files import named_text
    from nrtctl.errors import ConfigError
    from nrtctl.kafka.offsets import Place, Point, before, format_time, parse_point, parse_span
    from nrtctl.replay.plan import Current, Shift, parse_file

    use_group(session, group)
    now = session.clock.time()
    given: list[tuple[list[str], Wish | dict[int, Wish]]] = []
    try:
        if to_earliest:
            given.append((["--to-earliest"], Point(Place.START)))
        if to_latest:
            given.append((["--to-latest"], Point(Place.END)))
        if to_current:
            given.append((["--to-current"], Current()))
        if to_offset is not None:
            given.append((["--to-offset", str(to_offset)], Point(Place.OFFSET, to_offset)))
        if to_datetime is not None:
            point = parse_point(f"@{to_datetime}", now)
            given.append((["--to-datetime", format_time(point.value)], point))
        if by_duration is not None:
            point = Point(Place.TIME, before(now, parse_span(by_duration)))
            given.append((["--to-datetime", format_time(point.value)], point))
        if shift_by is not None:
            given.append((["--shift-by", str(shift_by)], Shift(shift_by)))
        if offset is not None:
            point = parse_point(offset, now)
            given.append((["--offset", str(point)], point))
        if from_file is not None:
            lines = parse_file(named_text(from_file), session.config.pipeline.topic)
            wishes: dict[int, Wish] = {n: Point(Place.OFFSET, at) for n, at in lines.items()}
            given.append((["--from-file", str(from_file)], wishes))
    except OSError as error:
        raise ConfigError(f"{from_file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if len(given) != 1:
        raise ConfigError(
            "more than one option says where to move the group"
            if given
            else ("no option says where to move the group"),
            hint="use one of --to-earliest, --to-latest, --to-offset, --to-datetime, "
            "--by-duration, --shift-by, --to-current, --from-file or --offset",
        )
    words, wish = given[0]
    words += [word for number in partition or () for word in ("--partition", str(number))]
    words = ["offsets", *words]
    return _replay(session, words, wish, partition or (), execute, wait, timeout, undo_file)


def undo(
    session: Session,
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="The undo file that `nrtctl replay offsets` wrote."),
    ],
    execute: Execute = False,
    wait: Wait = False,
    timeout: Timeout = None,
    undo_file: UndoFile = None,
) -> Result:
    """Move the group back to where it was. Changes nothing without --execute."""
    from nrtctl.errors import ConfigError
    from nrtctl.replay.move import wishes_of
    from nrtctl.replay.undo import read

    found = read(file)
    use_group(session, found.group)
    pipeline = session.config.pipeline
    for name, then, is_now in (
        ("topic", found.topic, pipeline.topic),
        ("table", found.table, pipeline.table),
    ):
        if then != is_now:
            raise ConfigError(
                f"{file} belongs to {name} {then}, but the configuration names {is_now}",
                hint=f"add --set pipeline.{name}={then}",
            )
    wishes = wishes_of(found.offsets, session.config)
    words = ["undo", str(file)]
    return _replay(
        session, words, wishes, (), execute, wait, timeout, undo_file, topic_id=found.topic_id
    )


def _replay(
    session: Session,
    words: list[str],
    wish: Wish | dict[int, Wish],
    partitions: Sequence[int],
    execute: bool,
    wait: bool,
    timeout: str | None,
    undo_file: Path | None,
    *,
    topic_id: str = "",
) -> Result:
    from nrtctl.errors import ConfigError
    from nrtctl.kafka.offsets import format_time, parse_span
    from nrtctl.replay.move import Mover

    if timeout is not None and not wait:
        raise ConfigError("--timeout can only be used with --wait", hint="add --wait")
    patience = None if timeout is None else parsed(parse_span, timeout, "--timeout")
    now = format_time(round(session.clock.time() * 1000)).replace(":", "")
    moved = Mover(
        session.config,
        session.addresses,
        session.clickhouse(),
        clock=session.clock,
        note=session.say.note,
        warn=session.say.warn,
    ).run(
        wish,
        partitions,
        execute=execute,
        wait=wait,
        patience=patience,
        undo_file=undo_file or Path(f"nrtctl-undo-{now}.json"),
        topic_id=topic_id,
    )
    return _result(moved, command_line(session, ["replay", *words, "--execute"]))


def _result(moved: Moved, command: str) -> Result:
    rows = [(e.partition, e.before, e.after, e.read_again, e.skipped, e.note) for e in moved.moves]
    again, skipped = moved.read_again, moved.skipped
    numbers = f"{counted(again, 'offset')} to read again, {skipped:,} skipped"
    if moved.executed:
        words = f"the group was moved: {numbers}"
    elif any(each.moves for each in moved.moves):
        words = f"nothing was changed: {numbers}; to do it, run: {command}"
    else:
        words = "there is nothing to move"
    table = Table(COLUMNS, rows)
    data = {
        "group": moved.group,
        "topic": moved.topic,
        "executed": moved.executed,
        "read_again": again,
        "skipped": skipped,
        "partitions": list(table.as_dicts()),
        "undo_file": None if moved.undo_file is None else str(moved.undo_file),
        "command": command,
    }
    return Document(data, [table, words])
