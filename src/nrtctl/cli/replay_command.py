"""`nrtctl replay offsets` and `nrtctl replay undo`: move the group, and back."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nrtctl.cli.command_line import command_line
from nrtctl.cli.options import Session

if TYPE_CHECKING:
    from nrtctl.replay.plan import Move, Wish

COLUMNS = ("partition", "before", "after", "read_again", "skipped", "note")

Execute = Annotated[bool, typer.Option("--execute", help="Do it; else it is only shown.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until the group's members have left.")]
Timeout = Annotated[
    str | None, typer.Option("--timeout", metavar="DURATION", help="Wait no longer.")
]
UndoFile = Annotated[
    Path | None, typer.Option("--undo-file", metavar="FILE", help="Where the way back is kept.")
]


def offsets(
    session: Session,
    to_earliest: Annotated[bool, typer.Option("--to-earliest", help="The log's start.")] = False,
    to_latest: Annotated[bool, typer.Option("--to-latest", help="The log's end.")] = False,
    to_current: Annotated[
        bool, typer.Option("--to-current", help="Where the group stands, within the log.")
    ] = False,
    to_offset: Annotated[int | None, typer.Option(min=0, help="This offset.")] = None,
    to_datetime: Annotated[
        str | None, typer.Option(metavar="TIME", help="The first record at or after a time.")
    ] = None,
    by_duration: Annotated[
        str | None, typer.Option(metavar="DURATION", help="So long before now: 1h30m or PT1H30M.")
    ] = None,
    shift_by: Annotated[
        int | None, typer.Option(metavar="N", help="So many on from where it stands, or back.")
    ] = None,
    from_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Lines of topic,partition,offset.")
    ] = None,
    offset: Annotated[
        str | None,
        typer.Option(metavar="PLACE", help="start, end, 47, +3, -3, @-1h, @2026-01-01T00:00Z."),
    ] = None,
    partition: Annotated[
        list[int] | None, typer.Option(help="Only this one; may be repeated.")
    ] = None,
    group: Annotated[str | None, typer.Option(help="Consumer group.")] = None,
    execute: Execute = False,
    wait: Wait = False,
    timeout: Timeout = None,
    undo_file: UndoFile = None,
) -> None:
    """Move the group's offsets. Dry unless --execute; the group must have no members."""
    from nrtctl.errors import ConfigError
    from nrtctl.offsets import Place, Point, before, format_time, parse_point, parse_span
    from nrtctl.replay.plan import Current, Shift, parse_file

    _use_group(session, group)
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
            lines = parse_file(from_file.read_text(), session.config.pipeline.topic)
            wishes: dict[int, Wish] = {n: Point(Place.OFFSET, at) for n, at in lines.items()}
            given.append((["--from-file", str(from_file)], wishes))
    except OSError as error:
        raise ConfigError(f"{from_file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if len(given) != 1:
        raise ConfigError(
            "say once where the group goes to" if given else "say where the group goes to",
            hint="--to-earliest, --to-latest, --to-offset, --to-datetime, --by-duration, "
            "--shift-by, --to-current, --from-file or --offset",
        )
    words, wish = given[0]
    words += [word for number in partition or () for word in ("--partition", str(number))]
    _replay(session, ["offsets", *words], wish, partition or (), execute, wait, timeout, undo_file)


def undo(
    session: Session,
    file: Annotated[Path, typer.Argument(help="What `replay offsets --execute` wrote.")],
    execute: Execute = False,
    wait: Wait = False,
    timeout: Timeout = None,
    undo_file: UndoFile = None,
) -> None:
    """Move the group back to where it stood before. Dry unless --execute."""
    from nrtctl.errors import ConfigError
    from nrtctl.offsets import Place, Point
    from nrtctl.replay.undo import read

    found = read(file)
    _use_group(session, found.group)
    pipeline = session.config.pipeline
    for name, then, is_now in (
        ("topic", found.topic, pipeline.topic),
        ("table", found.table, pipeline.table),
    ):
        if then != is_now:
            raise ConfigError(
                f"{file} is of {name} {then}, the configuration says {is_now}",
                hint=f"--set pipeline.{name}={then}",
            )
    start = Point(Place.START if session.config.consumer.start == "earliest" else Place.END)
    wishes: dict[int, Wish] = {
        number: start if at is None else Point(Place.OFFSET, at)
        for number, at in found.offsets.items()
    }
    _replay(session, ["undo", str(file)], wishes, (), execute, wait, timeout, undo_file)


def _use_group(session: Session, group: str | None) -> None:
    if group is not None:
        import json

        session.options["set"] = [*session.options["set"], f"consumer.group={json.dumps(group)}"]


def _replay(
    session: Session,
    words: list[str],
    wish: Wish | dict[int, Wish],
    partitions: Sequence[int],
    execute: bool,
    wait: bool,
    timeout: str | None,
    undo_file: Path | None,
) -> None:
    from nrtctl import faultpoints, kafka
    from nrtctl.errors import ConfigError, NrtctlError
    from nrtctl.kafka_log import KafkaLog
    from nrtctl.offsets import format_time, parse_span
    from nrtctl.replay import job, pending, undo
    from nrtctl.replay.group import OutsideGroup
    from nrtctl.replay.load import unfinished
    from nrtctl.replay.pending import at_rest
    from nrtctl.store.current import current_topic

    if timeout is not None and not wait:
        raise ConfigError("--timeout says how long --wait waits", hint="add --wait")
    try:
        patience = None if timeout is None else parse_span(timeout)
    except ValueError as error:
        raise ConfigError(f"--timeout: {error}") from error
    faultpoints.arm()
    config, addresses = session.config, session.addresses
    pipeline, clock = config.pipeline, session.clock
    topic = current_topic(config, addresses, session.clickhouse())
    log = KafkaLog(config, addresses, topic=topic)
    admin = kafka.make_admin(config.kafka, address=addresses.bootstrap_servers)
    group, loads = (
        OutsideGroup(
            admin,
            name,
            pipeline.topic,
            address=addresses.bootstrap_servers,
            timeout=config.kafka.connect_timeout,
            clock=clock,
        )
        for name in (
            config.consumer.group,
            job.job_group(config.consumer.group, pipeline.table),
        )
    )
    if execute and wait:
        group.wait_for_members(session.say.note, patience)
    entries = {each.partition: each for each in log.partitions()}
    moves = _plan(session, group, entries, wish, partitions)
    going = [each for each in moves if each.moves]
    held = {each.partition: pending.declared(entries[each.partition], pipeline.table, topic)
            for each in going}  # fmt: skip
    notes = {number: note for number, (_, note) in held.items() if note}
    for each in going:
        if config.consumer.delivery == "at-least-once" and each.read_again:
            session.say.warn(
                f"partition {each.partition}: consumer.delivery is at-least-once: what is read "
                "again is stored again"
            )
    path = undo_file or Path(
        f"nrtctl-undo-{format_time(round(clock.time() * 1000)).replace(':', '')}.json"
    )
    if not execute or not going:
        members = group.members()
        if members and going:
            session.say.warn(
                f"--execute will be refused while the group has members: "
                f"{'; '.join(map(str, members))}"
            )
        _show(session, moves, notes, words, executed=False, undo=None)
        return
    group.refuse_members()
    if unfinished(loads, sorted(entries)):
        raise NrtctlError(
            "a load is under way or was interrupted: two groups must not write the same rows",
            hint="`nrtctl replay load --resume --execute` finishes it",
        )
    undo.write(
        path,
        group=config.consumer.group,
        topic=pipeline.topic,
        table=pipeline.table,
        time=format_time(round(clock.time() * 1000)),
        entries=[entries[each.partition] for each in going],
    )
    session.say.note(f"the way back: nrtctl replay undo {shlex.quote(str(path))}")
    for number, (position, _) in held.items():
        if position is not None:
            pending.resolve(
                config,
                session.clickhouse(),
                topic,
                log,
                group,
                number,
                position,
                clock=clock,
                waiting=lambda why, seconds: session.say.warn(f"waiting: {why}"),
            )
    for entry in log.partitions():
        known = entries[entry.partition]
        resolved = held.get(entry.partition, (None, ""))[0] is not None
        if entry.partition in held and entry.committed != known.committed and not resolved:
            raise NrtctlError(
                f"partition {entry.partition}: the group has moved meanwhile, from "
                f"{known.committed} to {entry.committed}; nothing was moved",
                hint="run the same command again",
            )
    group.refuse_members()
    faultpoints.reach("replay-moving")
    moved = at_rest(pipeline.table, topic)
    group.commit_offsets({each.partition: (each.after or 0, moved) for each in going})
    faultpoints.reach("replay-moved")
    _show(session, moves, notes, words, executed=True, undo=path)


def _plan(
    session: Session,
    group: Any,
    entries: Mapping[int, Any],
    wish: Wish | dict[int, Wish],
    partitions: Sequence[int],
) -> list[Move]:
    from nrtctl.errors import ConfigError
    from nrtctl.offsets import Place, Point
    from nrtctl.replay.plan import chosen, move

    wishes = wish if isinstance(wish, dict) else dict.fromkeys(entries, wish)
    try:
        picked = chosen(entries.values(), partitions, wishes)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    times: dict[int, int | None] = {}
    if isinstance(wish, Point) and wish.place is Place.TIME:
        times = group.at_time([each.partition for each in picked], wish.value)
    start = session.config.consumer.start
    return [
        move(each, wishes[each.partition], at_time=times.get(each.partition), start=start)
        for each in picked
    ]


def _show(
    session: Session,
    moves: Sequence[Move],
    notes: Mapping[int, str],
    words: Sequence[str],
    *,
    executed: bool,
    undo: Path | None,
) -> None:
    def text(each: Move) -> str:
        return "; ".join(filter(None, (each.note, notes.get(each.partition, ""))))

    rows = [(e.partition, e.before, e.after, e.read_again, e.skipped, text(e)) for e in moves]
    command = command_line(session, ["replay", *words, "--execute"])
    again, skipped = (sum(getattr(e, name) for e in moves) for name in ("read_again", "skipped"))
    if not session.out.table:
        session.out.object({
            "group": session.config.consumer.group,
            "topic": session.config.pipeline.topic,
            "executed": executed,
            "read_again": again,
            "skipped": skipped,
            "partitions": [dict(zip(COLUMNS, row, strict=True)) for row in rows],
            "undo_file": None if undo is None else str(undo),
            "command": command,
        })  # fmt: skip
        return
    session.out.rows(COLUMNS, rows)
    if executed:
        session.out.text(f"moved: {again:,} to read again, {skipped:,} skipped")
    elif any(each.moves for each in moves):
        session.out.text(
            f"nothing was changed: {again:,} to read again, {skipped:,} skipped; "
            f"to do it: {command}"
        )
    else:
        session.out.text("nothing to move")
