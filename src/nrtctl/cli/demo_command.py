"""`nrtctl demo`: the whole pipeline on this machine, ending with a check of its own counts."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nrtctl.cli.common_options import SEED
from nrtctl.cli.diagnostics import Interrupts
from nrtctl.cli.results import Block, Document, Drawing, Note, Result
from nrtctl.cli.session import Session
from nrtctl.config.counted import counted

if TYPE_CHECKING:
    from nrtctl.producer.run import Produced
    from nrtctl.stats.snapshot import Snapshot
    from nrtctl.verify.report import Report

KEPT = Path("nrtctl-demo")


def demo(
    session: Session,
    count: Annotated[
        int, typer.Option(metavar="COUNT", min=1, help="Send this many events.")
    ] = 100_000,
    invalid: Annotated[
        float,
        typer.Option(
            metavar="PERCENT",
            min=0,
            max=100,
            help="Replace this share of the events with invalid ones.",
        ),
    ] = 1.0,
    seed: Annotated[int, SEED] = 1,
    keep: Annotated[
        bool, typer.Option("--keep", help=f"Leave the stack running, with its files in ./{KEPT}.")
    ] = False,
) -> Result:
    """Run the whole pipeline on this machine and check its result. Needs no Docker and no Java."""
    from nrtctl.errors import CheckFailed, ConfigError
    from nrtctl.stack import local
    from nrtctl.stack.spawn import check_installed

    if any(session.options[name] for name in ("config", "profile", "pipeline")):
        raise ConfigError(
            "`nrtctl demo` runs the reference pipeline, so it takes no configuration",
            hint="to run one, use `nrtctl up`, `produce`, `consume --until-end` and `verify`",
        )
    check_installed()
    directory = _directory(keep)
    state_dir = directory.resolve() / ".nrtctl"
    session.environ = {"HOME": str(directory.resolve())}
    session.options["config"] = directory.resolve() / "nrtctl.toml"
    session.options["set"] += [f"local.state_dir={state_dir}", "stack.kind=local"]
    try:
        result, shot = Demo(session).run(count=count, invalid=invalid, seed=seed, keep=keep)
    except BaseException as error:
        local.stop(state_dir)
        failed = isinstance(error, Exception)
        for each in (state_dir / "kafka", state_dir / "clickhouse") if failed else (directory,):
            shutil.rmtree(each, ignore_errors=True)
        if failed and (state_dir / "logs").exists():
            session.say.note(f"the logs are kept in {state_dir / 'logs'}")
        raise
    if not keep:
        local.stop(state_dir)
        shutil.rmtree(directory, ignore_errors=True)
    running = Note(
        f"the stack is running. Next:\n  cd {directory}\n  nrtctl stats --once\n"
        '  nrtctl query "SELECT * FROM event_metrics LIMIT 5"\n  nrtctl down --volumes'
    )
    differs = CheckFailed(
        "the counts do not agree: {produced:,} produced, {stored:,} stored, {dead_letters:,} "
        "in the dead letters, {missing:,} missing, {duplicated:,} duplicated, "
        "{rollup_events:,} in the rollup".format_map(result)
    )
    return Document(
        result,
        picture(result, shot),
        said=[running] * keep,
        failure=None if result["ok"] else differs,
    )


def _directory(keep: bool) -> Path:
    """A new one, with the reference pipeline on free ports."""
    from nrtctl.config.load import template, template_on_free_ports
    from nrtctl.errors import ConfigError, NrtctlError

    if keep and KEPT.exists():
        raise ConfigError(
            f"./{KEPT} exists already",
            hint=f"run `cd {KEPT} && nrtctl down --volumes`, then remove the directory",
        )
    try:
        directory = KEPT if keep else Path(tempfile.mkdtemp(prefix="nrtctl-demo-"))
        directory.mkdir(exist_ok=True)
        (directory / "nrtctl.toml").write_text(template_on_free_ports(), encoding="utf-8")
        for name in ("metrics.json", "metrics.schema.json"):
            (directory / name).write_text(template(name), encoding="utf-8")
    except OSError as error:
        raise NrtctlError(f"{error.filename}: cannot be written: {error.strerror}") from error
    return directory


class Demo:
    """One run, step by step. `stop`: Ctrl-C was pressed."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._say = session.say
        self._config = session.config
        self._began = time.monotonic()
        self._stop = threading.Event()

    def run(
        self, *, count: int, invalid: float, seed: int, keep: bool
    ) -> tuple[dict[str, Any], Snapshot]:
        """Raises KeyboardInterrupt: it was stopped."""
        from nrtctl.cli.stats_command import look

        running = self._start(keep)
        sent = self._send(count, invalid, seed)
        consumed = self._store()
        report, rolled_up = self._check()
        shot = look(self._session, window=3600, interval=0.1)
        agree = report.stored + report.dead_letters == sent.acknowledged
        result = {
            "produced": sent.acknowledged,
            "failed": sent.failed,
            "consumed": consumed,
            "stored": report.stored,
            "dead_letters": report.dead_letters,
            "missing": report.missing,
            "duplicated": report.duplicated,
            "rollup_events": rolled_up,
            "seconds": round(time.monotonic() - self._began, 3),
            "ok": report.ok and agree and not sent.failed and rolled_up == report.stored,
        }
        del running  # the processes end with their handles
        return result, shot

    def _start(self, keep: bool) -> object:
        from nrtctl.stack import local
        from nrtctl.stack.bootstrap import bootstrap

        session = self._session
        running = local.start(self._config, session.loaded.state_dir, attached=not keep)
        bootstrap(self._config, session.addresses, session.clickhouse())
        self._say.note(f"stack ready in {time.monotonic() - self._began:.1f} s")
        return running

    def _send(self, count: int, invalid: float, seed: int) -> Produced:
        from nrtctl.producer.run import run_producer
        from nrtctl.producer.sources.faults import Faulty
        from nrtctl.producer.sources.reference_events import ReferenceEvents

        pipeline = self._config.pipeline
        source = Faulty(
            ReferenceEvents(seed, clock=self._session.clock),
            seed=seed,
            invalid=invalid,
            fields=pipeline.places_to_types,
        )
        began = time.monotonic()
        with Interrupts(self._stop.set, self._say.note):
            sent, error = run_producer(
                self._config.kafka,
                source,
                pipeline.topic,
                address=self._session.addresses.bootstrap_servers,
                clock=self._session.clock,
                stop=self._stop,
                count=count,
            )
        if error is not None:
            raise error
        self._end_if_stopped()
        seconds = time.monotonic() - began
        self._say.note(f"sent {counted(sent.acknowledged, 'event')} in {seconds:.1f} s")
        return sent

    def _store(self) -> int:
        """How many messages are stored, as rows or as dead letters."""
        from nrtctl.cli.consumed_words import stored_words
        from nrtctl.cli.garbage_collection import CONSUMING, collect_rarely
        from nrtctl.cli.progress import ConsumerProgress
        from nrtctl.consumer.result import consumed
        from nrtctl.consumer.run import Options, make_loop

        addresses = self._session.addresses
        began = time.monotonic()
        collect_rarely(CONSUMING)
        progress = ConsumerProgress(self._say)
        loop = make_loop(
            self._config,
            addresses,
            Options(until_end=True),
            clock=self._session.clock,
            observer=progress,
            waiting=progress.waiting,
        )

        def interrupt() -> None:
            self._stop.set()
            loop.stop()

        with Interrupts(interrupt, self._say.note):
            stored = loop.run()
        progress.done()
        self._end_if_stopped()
        seconds = time.monotonic() - began
        done = consumed(self._config, addresses, stored, seconds=seconds, waits=progress.waits)
        self._say.note(f"{stored_words(done.records, done.dead_letters)} in {seconds:.1f} s")
        return stored.records

    def _check(self) -> tuple[Report, int]:
        """What `verify` finds, and the events in the rollup."""
        from nrtctl.kafka.log import KafkaLog
        from nrtctl.stack.current_topic import current_topic
        from nrtctl.verify.run import report

        config, client = self._config, self._session.clickhouse()
        topic = current_topic(config, self._session.addresses, client)
        log = KafkaLog(config, self._session.addresses.bootstrap_servers, topic=topic)
        found = report(config, client, log, topic)
        ((events,),) = client.query(
            f"SELECT sum(total_events) FROM {config.clickhouse.database}.event_metrics"
        )
        return found, int(events)

    def _end_if_stopped(self) -> None:
        if self._stop.is_set():
            raise KeyboardInterrupt


def picture(result: dict[str, Any], shot: Snapshot) -> Iterator[Block]:
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    from nrtctl.view.colours import BAD, GOOD
    from nrtctl.view.printable import printable

    latency = shot.end_to_end_latency_seconds
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", style="bold")
    table.add_column()
    table.add_row(f"{result['produced']:,}", "events produced → Kafka")
    table.add_row(f"{result['stored']:,}", "rows stored → ClickHouse")
    table.add_row(f"{result['dead_letters']:,}", "dead letters, each with its reason:")
    for reason, number in shot.dead_letters_by_reason.items():
        table.add_row(f"{number:,}", Text(f"  {printable(reason)}"))
    table.add_row(f"{result['missing']:,}", "missing")
    table.add_row(f"{result['duplicated']:,}", "duplicated")
    table.add_row(f"{result['rollup_events']:,}", "events in the rollup event_metrics")
    if latency.p99 is not None:
        table.add_row(f"{latency.p99:.1f} s", "p99 from produced to queryable (a backlog)")
    verdict = "every event is accounted for" if result["ok"] else "the counts do not agree"
    style = GOOD if result["ok"] else BAD
    yield Drawing(
        Panel(
            table,
            title="producer → Kafka → consumer → ClickHouse",
            subtitle=f"{verdict}, {result['seconds']:.1f} s",
            border_style=style,
            expand=False,
        )
    )
