"""`nrtctl replay load`: replace the rows of a range by what the pipeline makes of it now, or fill
another table and make it the table."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nrtctl.cli.command_line import command_line
from nrtctl.cli.common_options import Execute, Partitions, one_server
from nrtctl.cli.diagnostics import INTERRUPTED, Diagnostics, Interrupts, Ticker
from nrtctl.cli.progress import ConsumerProgress
from nrtctl.cli.results import Block, Document, Note, Result, Table
from nrtctl.cli.session import Session
from nrtctl.config.counted import counted

if TYPE_CHECKING:
    from nrtctl.config.model import Config
    from nrtctl.consumer.insert import Stored
    from nrtctl.replay.load import Load
    from nrtctl.replay.loading import Loading
    from nrtctl.replay.swap import Swap
    from nrtctl.store.batch import Batch

WIDTH = 24


class Progress(ConsumerProgress):
    """A bar, the rate and the time that is left, on a terminal."""

    def __init__(self, say: Diagnostics) -> None:
        super().__init__(say)
        self._ticks = Ticker(4)
        self._start = time.monotonic()
        self._loaded = 0
        self.total = 0
        self.before = 0

    def stored(self, batches: Sequence[Batch], stored: Stored) -> None:
        self._loaded += sum(batch.span.end - batch.span.start for batch in batches)
        if self._ticks.due():
            self._say.live(self.line(time.monotonic() - self._start))

    def turned(self, partitions: object, group: object) -> None:
        """The bar stays."""

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
        typer.Option(
            metavar="FROM:TO",
            help="Load only this range: 100:200, @-1h:end or @2026-01-01T00:00Z:+9.",
            show_default="everything",
        ),
    ] = ":",
    partition: Partitions = None,
    rate: Annotated[
        float | None,
        typer.Option(metavar="NUMBER", min=100, help="Load at most this many messages per second."),
    ] = None,
    table: Annotated[
        str | None,
        typer.Option(
            "--into",
            metavar="TABLE",
            help="Load into this other table, which is created for the load.",
        ),
    ] = None,
    swap: Annotated[
        bool,
        typer.Option(
            "--swap",
            help="Once the other table is verified, exchange it with the pipeline's table.",
        ),
    ] = False,
    wait: Annotated[
        bool,
        typer.Option("--wait", help="With --swap, wait until all members have left the group."),
    ] = False,
    leave_older: Annotated[
        bool,
        typer.Option(
            "--leave-older",
            help="With --swap, allow rows from before the range to remain in the old table.",
        ),
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue a load that was interrupted.")
    ] = False,
    abandon: Annotated[
        bool,
        typer.Option(
            "--abandon", help="With --into, drop that table and give up the load into it."
        ),
    ] = False,
    execute: Execute = False,
) -> Result:
    """Replace rows by reading their messages again. Changes nothing without --execute.

    The consumer group is not touched, and only what it has stored is loaded again. With --into,
    another table is filled with what the current pipeline makes of the messages; --swap then makes
    it the pipeline's table.
    """
    from nrtctl.cli.garbage_collection import CONSUMING, collect_rarely
    from nrtctl.replay.ranges import summary

    if swap:
        one_server(session, "nrtctl replay load --swap")
    _refuse(table, swap, wait, leave_older, resume, abandon, partition)
    collect_rarely(CONSUMING)
    progress = Progress(session.say)
    loading = _loading(
        session, progress, table, rate=rate, swap=swap, wait=wait, leave_older=leave_older
    )
    work = loading.work
    if abandon:
        return _abandon(session, work, loading.late, execute)
    now = session.clock.time()
    parts = loading.parts(offset, partition or (), now=now, resume=resume)
    found, purged = summary(parts, "dry", None, table), work.purged(parts)
    if execute:

        def begun(before: int) -> None:
            progress.total, progress.before = found["offsets"], before

        state, check = loading.run(begun, _while_loading(session, loading, progress))
        found = summary(parts, state, check, table)
    found["purged"] = purged
    words = ["load"] + (["--into", table] if table is not None else [])
    words += ["--resume"] if loading.resumed else _range_words(offset, partition, now)
    for name, given in (("--swap", swap), ("--wait", wait), ("--leave-older", leave_older)):
        words += [name] * given
    words += ["--rate", f"{rate:g}"] if rate is not None else []
    found["command"] = command_line(session, ["replay", *words, "--execute"])
    shown = _shown(work, found, session.config)
    return Document(found, shown, failure=_failure(found, table))


def _loading(
    session: Session,
    progress: Progress,
    table: str | None,
    *,
    rate: float | None,
    swap: bool,
    wait: bool,
    leave_older: bool,
) -> Loading:
    from nrtctl.replay.load import Load
    from nrtctl.replay.loading import Loading
    from nrtctl.replay.swap import Swap

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
    return Loading(work, exchange, swap=swap)


@contextmanager
def _while_loading(session: Session, loading: Loading, progress: Progress) -> Iterator[None]:
    with (
        Interrupts(loading.work.stop, session.say.note),
        _alone(session, loading.exchange),
    ):
        try:
            yield
        finally:
            progress.done()


def _range_words(offset: str, partition: list[int] | None, now: float) -> list[str]:
    """The same range, with times that do not move."""
    from nrtctl.kafka.offsets import parse_range

    first, last = parse_range(offset, now)
    numbers = [word for number in partition or () for word in ("--partition", str(number))]
    return ["--offset", f"{first}:{last}", *numbers]


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
        raise ConfigError(f"{'--swap' if swap else '--abandon'} can only be used with --into TABLE")
    if not swap and not resume and (wait or leave_older):
        raise ConfigError(f"{'--wait' if wait else '--leave-older'} can only be used with --swap")
    if swap and partition:
        raise ConfigError("--swap exchanges whole tables and cannot be used with --partition")
    if abandon and (swap or resume):
        raise ConfigError("--abandon gives up a load and cannot be used with --swap or --resume")


def _abandon(session: Session, work: Load, late: bool, execute: bool) -> Result:
    from nrtctl.errors import NrtctlError

    table = work.pipeline.table
    if not work.unfinished():
        raise NrtctlError(f"there is no load into {table}")
    if late:
        raise NrtctlError(
            "the exchange of the tables has begun and can no longer be given up",
            hint=f"`{work.again}` finishes it",
        )
    command = command_line(session, ["replay", "load", "--into", table, "--abandon", "--execute"])
    if execute:
        work.abandon()
    return Document(
        {"state": "abandoned" if execute else "dry", "into": table, "command": command},
        [
            f"{table} was dropped, and the load into it was given up"
            if execute
            else f"nothing was changed; to drop {table} and its dead letters, run: {command}"
        ],
    )


def _alone(session: Session, exchange: Swap | None) -> AbstractContextManager[None]:
    """An exchange moves dead letters, and two would undo each other."""
    from nrtctl.dead_letters.lock import alone

    if exchange is None:
        return nullcontext()
    config = session.config
    return alone(
        session.addresses.clickhouse_url, config.clickhouse.database, config.pipeline.dead_letters
    )


def _shown(work: Load, found: dict[str, Any], config: Config) -> Iterator[Block]:
    own = config.pipeline.table
    columns = ("partition", "start", "end", "note")
    yield Table(columns, [tuple(each[n] for n in columns) for each in found["partitions"]])
    table = work.pipeline.table
    counts = f"{found['missing']} missing, {found['duplicated']} duplicated"
    yield {
        "dry": f"nothing was changed; to load {counted(found['offsets'], 'offset')} again, run: "
        f"{found['command']}" if found["offsets"] else "there is nothing to load",
        "loaded": f"{counted(found['offsets'], 'offset')} loaded again: {counts}",
        "swapped": f"{own} is now the new table; the old one is {table}, which gets no more rows",
        "stopped": f"stopped; `{work.again}` continues",
    }[found["state"]]  # fmt: skip
    if found["purged"]:
        yield Note(
            f"{counted(found['purged'], 'purged dead letter')} in the range: the messages are read "
            "from Kafka, so that what was erased is there again"
        )
    if found["state"] == "loaded" and work.other:
        yield Note(
            f"to exchange it with {own}, run: {work.again} --swap --wait"
            if config.clickhouse.cluster is None
            else f"to go on with it, set pipeline.table to {table} and consumer.group to a new "
            "name, and run `nrtctl up`; docs/clusters.md has the steps"
        )


def _failure(found: dict[str, Any], table: str | None) -> BaseException | None:
    from nrtctl.errors import CheckFailed

    if found["state"] == "stopped":
        return SystemExit(INTERRUPTED)
    if not found["missing"] and not found["duplicated"]:
        return None
    return CheckFailed(
        f"{found['missing']} missing, {found['duplicated']} duplicated in the range",
        hint="`nrtctl verify --repair` shows how to repair this"
        if table is None
        else f"`nrtctl replay load --into {table} --abandon --execute` gives it up",
    )
