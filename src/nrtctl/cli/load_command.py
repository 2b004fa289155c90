"""`nrtctl replay load`: replace the rows of a range by what the pipeline makes of it now."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from nrtctl.cli.consume_command import Watcher
from nrtctl.cli.diagnostics import INTERRUPTED, Diagnostics, Interrupts, Ticker
from nrtctl.cli.options import Session
from nrtctl.cli.replay_command import Execute, command_line

if TYPE_CHECKING:
    from nrtctl.consumer.buffer import Batch

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

    def stored(self, batch: Batch, seconds: float) -> None:
        self._loaded += batch.span.end - batch.span.start
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
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a load that was interrupted.")
    ] = False,
    execute: Execute = False,
) -> None:
    """Replace the rows of a range, read from Kafka again. Dry unless --execute.

    The group is not touched: only what it has stored is loaded again.
    """
    from nrtctl import faultpoints
    from nrtctl.errors import CheckFailed, ConfigError, NrtctlError
    from nrtctl.offsets import parse_range
    from nrtctl.replay.load import Load, Part, summary

    faultpoints.arm()
    progress = Progress(session.say)
    work = Load(
        session.config,
        session.addresses,
        session.clickhouse(),
        clock=session.clock,
        observer=progress,
        waiting=progress.waiting,
        note=session.say.note,
        rate=rate,
    )
    spans = work.unfinished()
    if spans and not resume:
        raise NrtctlError(
            f"a load of {session.config.pipeline.table} is not finished, and rows are missing "
            "until it is",
            hint="`nrtctl replay load --resume --execute` goes on with it",
        )
    if resume:
        if not spans:
            raise NrtctlError("no load was interrupted")
        parts = [Part(number, span, "") for number, span in spans.items()]
        words = ["load", "--resume"]
    else:
        try:
            first, last = parse_range(offset, session.clock.time())
        except ValueError as error:
            raise ConfigError(str(error)) from error
        parts = work.plan(first, last, partition or ())
        spans = {each.partition: each.span for each in parts if each.span is not None}
        words = ["load", "--offset", f"{first}:{last}"]
        words += [word for number in partition or () for word in ("--partition", str(number))]
    if rate is not None:
        words += ["--rate", f"{rate:g}"]
    found = summary(parts, "dry", None)
    if execute and spans:
        if not resume:
            work.begin(spans)
        progress.total, progress.before = found["offsets"], work.done(spans)
        with Interrupts(work.stop, session.say.note):
            try:
                finished = work.run(spans)
            finally:
                progress.done()
        check = None
        if finished:
            check = work.check(spans)
            work.finish()
        found = summary(parts, "loaded" if finished else "stopped", check)
    found["command"] = command_line(session, words)
    if not session.out.table:
        session.out.object(found)
    else:
        columns = ("partition", "start", "end", "note")
        session.out.rows(columns, [tuple(each[n] for n in columns) for each in found["partitions"]])
        session.out.text({
            "dry": f"nothing was changed; to load {found['offsets']:,} offsets again: "
            f"{found['command']}" if spans else "nothing to load",
            "loaded": f"{found['offsets']:,} offsets loaded again: {found['missing']} missing, "
            f"{found['duplicated']} duplicated",
            "stopped": "stopped; `nrtctl replay load --resume --execute` goes on",
        }[found["state"]])  # fmt: skip
    if found["state"] == "stopped":
        raise SystemExit(INTERRUPTED)
    if found["missing"] or found["duplicated"]:
        raise CheckFailed(
            f"{found['missing']} missing, {found['duplicated']} duplicated in the range",
            hint="`nrtctl verify --repair` shows what would mend it",
        )
