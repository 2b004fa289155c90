"""`nrtctl replay load`: replace the rows of a range by what the pipeline makes of it now, or fill
another table and make it the table."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nrtctl.cli.command_line import command_line
from nrtctl.cli.consume_command import Watcher
from nrtctl.cli.diagnostics import INTERRUPTED, Diagnostics, Interrupts, Ticker
from nrtctl.cli.options import Session, one_server
from nrtctl.cli.replay_command import Execute

if TYPE_CHECKING:
    from nrtctl.consumer.buffer import Batch
    from nrtctl.replay.job import Span
    from nrtctl.replay.load import Load
    from nrtctl.replay.ranges import Part, State
    from nrtctl.replay.swap import Swap

WIDTH = 24


class Progress(Watcher):
    """A bar, the rate and the time that is left, on a terminal."""

    def __init__(self, say: Diagnostics) -> None:
        super().__init__(say)
        self._ticks = Ticker(4)
        self._start = time.monotonic()
        self._loaded = 0
        self.total = 0
        self.before = 0

    def stored(self, batches: Sequence[Batch], seconds: float) -> None:
        self._loaded += sum(batch.span.end - batch.span.start for batch in batches)
        if self._say.interactive and self._ticks.due():
            self._say.console.file.write(f"\r{self.line(time.monotonic() - self._start)}   ")
            self._say.console.file.flush()

    def line(self, seconds: float) -> str:
        done = self.before + self._loaded
        share = min(1.0, done / max(1, self.total))
        rate = self._loaded / max(0.001, seconds)
        left = max(0, self.total - done) / max(1.0, rate)
        bar = "█" * round(share * WIDTH)
        return (
            f"{bar:░<{WIDTH}} {share:4.0%}  {done:,} of {self.total:,}, {rate:,.0f}/s, "
            f"{left:,.0f} s left"
        )


def load(
    session: Session,
    offset: Annotated[
        str,
        typer.Option(metavar="RANGE", help="FROM:TO: 100:200, @-1h:end, @2026-01-01T00:00Z:+9."),
    ] = ":",
    partition: Annotated[
        list[int] | None, typer.Option(help="Only this one; may be repeated.")
    ] = None,
    rate: Annotated[float | None, typer.Option(min=100, help="Records a second at most.")] = None,
    table: Annotated[
        str | None,
        typer.Option("--into", metavar="TABLE", help="Another table, which is made for it."),
    ] = None,
    swap: Annotated[
        bool, typer.Option("--swap", help="Exchange it with the table once it is verified.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="With --swap: wait until the group has no members.")
    ] = False,
    leave_older: Annotated[
        bool,
        typer.Option("--leave-older", help="With --swap: rows from before the range stay behind."),
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a load that was interrupted.")
    ] = False,
    abandon: Annotated[
        bool, typer.Option("--abandon", help="With --into: drop that table, forget the load.")
    ] = False,
    execute: Execute = False,
) -> None:
    """Replace the rows of a range, read from Kafka again. Dry unless --execute.

    The group is not touched: only what it has stored is loaded again. With --into it is another
    table that is filled, with the present pipeline; --swap makes it the table.
    """
    from nrtctl import faultpoints
    from nrtctl.errors import CheckFailed
    from nrtctl.replay.load import Load
    from nrtctl.replay.ranges import summary
    from nrtctl.replay.swap import Swap

    one_server(session, "nrtctl replay load")
    _refuse(table, swap, wait, leave_older, resume, abandon, partition)
    faultpoints.arm()
    progress = Progress(session.say)
    client = session.clickhouse()
    work = Load(
        session.config,
        session.addresses,
        client,
        table=table,
        clock=session.clock,
        observer=progress,
        waiting=progress.waiting,
        note=session.say.note,
        rate=rate,
    )
    exchange = None
    if table is not None:
        exchange = Swap(
            session.config,
            client,
            work,
            wait=wait,
            leave_older=leave_older,
            clock=session.clock,
            note=session.say.note,
        )
    spans = work.unfinished()
    late = exchange is not None and exchange.begun(spans)
    if abandon:
        _abandon(session, work, late, execute)
        return
    parts, words = _asked(session, work, spans, offset, partition, resume or (swap and late))
    for name, given in (("--swap", swap), ("--wait", wait), ("--leave-older", leave_older)):
        words += [name] * given
    words += ["--rate", f"{rate:g}"] if rate is not None else []
    resumed = bool(spans)
    spans = {each.partition: each.span for each in parts if each.span is not None}
    exchange = exchange if swap or late else None
    if exchange is not None and not late:
        exchange.refuse(spans)
    found = summary(parts, "dry", None, table)
    if execute and spans:
        if not resumed:
            work.begin(spans)
        progress.total, progress.before = found["offsets"], work.done(spans)
        with Interrupts(work.stop, session.say.note), _alone(session, exchange):
            try:
                finished = exchange.run(spans) if exchange else work.run(spans)
            finally:
                progress.done()
        check = exchange.checked if exchange else work.check(spans) if finished else None
        if finished and (exchange or not work.other):
            work.finish()
        state: State = "stopped" if not finished else "swapped" if exchange else "loaded"
        found = summary(parts, state, check, table)
    _show(session, work, found, words)
    if found["state"] == "stopped":
        raise SystemExit(INTERRUPTED)
    if found["missing"] or found["duplicated"]:
        raise CheckFailed(
            f"{found['missing']} missing, {found['duplicated']} duplicated in the range",
            hint="`nrtctl verify --repair` shows what would mend it"
            if table is None
            else f"`nrtctl replay load --into {table} --abandon --execute` gives it up",
        )


def _refuse(
    table: str | None,
    swap: bool,
    wait: bool,
    leave_older: bool,
    resume: bool,
    abandon: bool,
    partition: list[int] | None,
) -> None:
    from nrtctl.errors import ConfigError

    if table is None and (swap or abandon):
        raise ConfigError(
            f"{'--swap' if swap else '--abandon'} is about another table: add --into TABLE"
        )
    if not swap and not resume and (wait or leave_older):
        raise ConfigError(f"{'--wait' if wait else '--leave-older'} goes with --swap")
    if swap and partition:
        raise ConfigError("--swap exchanges whole tables: it goes without --partition")
    if abandon and (swap or resume):
        raise ConfigError("--abandon gives a load up: it goes without --swap and --resume")


def _asked(
    session: Session,
    work: Load,
    spans: Mapping[int, Span],
    offset: str,
    partition: list[int] | None,
    resume: bool,
) -> tuple[list[Part], list[str]]:
    """What is to be loaded, and the words that say it again."""
    from nrtctl.errors import ConfigError, NrtctlError
    from nrtctl.offsets import parse_range
    from nrtctl.replay.ranges import Part

    named = ["--into", work.pipeline.table] if work.other else []
    if not spans and resume:
        raise NrtctlError("no load was interrupted")
    if spans:
        work.refuse_change(spans)
        if not resume:
            table = work.pipeline.table
            whole = work.other and work.done(spans) == sum(s.end - s.start for s in spans.values())
            raise NrtctlError(
                f"{table} was loaded before, and not exchanged"
                if whole
                else f"a load of {table} is not finished"
                + ("" if work.other else ", and rows are missing until it is"),
                hint=f"`{work.again}{' --swap' if whole else ''}` goes on with it",
            )
        return [Part(number, s, "") for number, s in spans.items()], ["load", *named, "--resume"]
    try:
        first, last = parse_range(offset, session.clock.time())
    except ValueError as error:
        raise ConfigError(str(error)) from error
    words = ["load", *named, "--offset", f"{first}:{last}"]
    words += [word for number in partition or () for word in ("--partition", str(number))]
    return work.plan(first, last, partition or ()), words


def _abandon(session: Session, work: Load, late: bool, execute: bool) -> None:
    from nrtctl.errors import NrtctlError

    table = work.pipeline.table
    if not work.unfinished():
        raise NrtctlError(f"no load into {table} was begun")
    if late:
        raise NrtctlError(
            "the tables are being exchanged, which is not given up any more",
            hint=f"`{work.again}` finishes it",
        )
    command = command_line(session, ["replay", "load", "--into", table, "--abandon", "--execute"])
    if execute:
        work.abandon()
    if not session.out.table:
        state = "abandoned" if execute else "dry"
        session.out.object({"state": state, "into": table, "command": command})
    elif execute:
        session.out.text(f"{table} is dropped, and the load forgotten")
    else:
        session.out.text(f"nothing was changed; to drop {table} and its dead letters: {command}")


def _alone(session: Session, exchange: Swap | None) -> AbstractContextManager[None]:
    """An exchange moves dead letters, and two would undo each other."""
    from nrtctl.dead_letters.lock import alone

    if exchange is None:
        return nullcontext()
    config = session.config
    return alone(
        session.addresses.clickhouse_url, config.clickhouse.database, config.pipeline.dead_letters
    )


def _show(session: Session, work: Load, found: dict[str, Any], words: list[str]) -> None:
    found["command"] = command_line(session, ["replay", *words, "--execute"])
    if not session.out.table:
        session.out.object(found)
        return
    columns = ("partition", "start", "end", "note")
    session.out.rows(columns, [tuple(each[n] for n in columns) for each in found["partitions"]])
    table, own = work.pipeline.table, session.config.pipeline.table
    counts = f"{found['missing']} missing, {found['duplicated']} duplicated"
    session.out.text({
        "dry": f"nothing was changed; to load {found['offsets']:,} offsets again: "
        f"{found['command']}" if found["offsets"] else "nothing to load",
        "loaded": f"{found['offsets']:,} offsets loaded again: {counts}",
        "swapped": f"{own} is the new table now; the old one is {table}, and fed no more",
        "stopped": f"stopped; `{work.again}` goes on",
    }[found["state"]])  # fmt: skip
    if found["state"] == "loaded" and work.other:
        session.say.note(f"to make it {own}: {work.again} --swap --wait")
