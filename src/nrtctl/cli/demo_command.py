"""`nrtctl demo`: the whole pipeline on this machine, ending with a check of its own counts."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nrtctl.cli.diagnostics import Interrupts
from nrtctl.cli.options import Session

if TYPE_CHECKING:
    from nrtctl.stats.snapshot import Snapshot

KEPT = Path("nrtctl-demo")


def demo(
    session: Session,
    count: Annotated[int, typer.Option(min=1, help="Events to send.")] = 100_000,
    invalid: Annotated[float, typer.Option(min=0, max=100, help="Bad ones, in percent.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Of the generated events.")] = 1,
    keep: Annotated[
        bool, typer.Option("--keep", help=f"Leave the stack running, in ./{KEPT}.")
    ] = False,
) -> None:
    """Start a stack, send events, store them, verify: proof in a minute. No Docker, no JVM."""
    from nrtctl.errors import CheckFailed, ConfigError
    from nrtctl.stack import local
    from nrtctl.stack.spawn import check_installed

    if session.options["config"] or session.options["profile"]:
        raise ConfigError(
            "demo runs the reference pipeline, in a directory of its own",
            hint="with a configuration: `nrtctl up`, `produce`, `consume --until-end`, `verify`",
        )
    check_installed()
    directory = _directory(keep)
    state_dir = directory.resolve() / ".nrtctl"
    session.environ = {"HOME": str(directory.resolve())}
    session.options["config"] = directory.resolve() / "nrtctl.toml"
    session.options["set"] += [f"local.state_dir={state_dir}", "stack.kind=local"]
    try:
        result, shot = _run(session, count, invalid, seed, keep)
    except BaseException as error:
        local.stop(state_dir)
        failed = isinstance(error, Exception)
        for each in (state_dir / "kafka", state_dir / "clickhouse") if failed else (directory,):
            shutil.rmtree(each, ignore_errors=True)
        if failed and (state_dir / "logs").exists():
            session.say.note(f"the logs are left in {state_dir / 'logs'}")
        raise
    if not keep:
        local.stop(state_dir)
        shutil.rmtree(directory, ignore_errors=True)
    if session.out.table:
        picture(session, result, shot)
    else:
        session.out.object(result)
    if keep:
        session.say.note(
            f"the stack is running. Next:\n  cd {directory}\n  nrtctl stats --once\n"
            '  nrtctl query "SELECT * FROM event_metrics LIMIT 5"\n  nrtctl down --volumes'
        )
    if not result["ok"]:
        raise CheckFailed(
            "the counts do not agree: {produced:,} produced, {stored:,} stored + {dead_letters:,} "
            "dead letters, {missing:,} missing, {duplicated:,} duplicated, "
            "{rollup_events:,} in the rollup".format_map(result)
        )


def _directory(keep: bool) -> Path:
    """A new one, with the reference pipeline on free ports."""
    from nrtctl.config.load import template, template_on_free_ports
    from nrtctl.errors import ConfigError, NrtctlError

    if keep and KEPT.exists():
        raise ConfigError(
            f"./{KEPT} exists already",
            hint=f"`cd {KEPT} && nrtctl down --volumes`, then remove the directory",
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


def _run(
    session: Session, count: int, invalid: float, seed: int, keep: bool
) -> tuple[dict[str, Any], Snapshot]:
    from nrtctl.bootstrap import bootstrap
    from nrtctl.cli.consume_command import Watcher
    from nrtctl.cli.stats_command import look
    from nrtctl.clock import SystemClock
    from nrtctl.consumer.run import make_loop
    from nrtctl.kafka_log import KafkaLog
    from nrtctl.producer import run_producer
    from nrtctl.sources.faults import Faulty
    from nrtctl.sources.reference import ReferenceEvents
    from nrtctl.stack import local
    from nrtctl.store.current import current_topic
    from nrtctl.verify import verify

    began = time.monotonic()
    config, clock, stop = session.config, SystemClock(), threading.Event()
    say = session.say
    running = local.start(config, session.loaded.state_dir, attached=not keep)
    addresses = session.addresses
    client = session.clickhouse()
    bootstrap(config, addresses, client)
    say.note(f"stack ready in {time.monotonic() - began:.1f} s")
    source = Faulty(
        ReferenceEvents(seed, clock=clock),
        seed=seed,
        invalid=invalid,
        fields=config.pipeline.fields,
    )
    began_to_send = time.monotonic()
    with Interrupts(stop.set, say.note):
        sent, error = run_producer(
            config.kafka,
            source,
            config.pipeline.topic,
            address=addresses.bootstrap_servers,
            clock=clock,
            stop=stop,
            count=count,
        )
    if error is not None:
        raise error
    if stop.is_set():
        raise KeyboardInterrupt
    say.note(f"sent {sent.acknowledged:,} events in {time.monotonic() - began_to_send:.1f} s")
    began_to_store = time.monotonic()
    watcher = Watcher(say)
    loop = make_loop(
        config,
        addresses,
        clock=clock,
        observer=watcher,
        waiting=watcher.waiting,
        until_end=True,
    )

    def interrupt() -> None:
        stop.set()
        loop.stop()

    with Interrupts(interrupt, say.note):
        stored = loop.run()
    watcher.done()
    if stop.is_set():
        raise KeyboardInterrupt
    say.note(f"stored {stored.records:,} in {time.monotonic() - began_to_store:.1f} s")
    topic = current_topic(config, addresses, client)
    log = KafkaLog(config, addresses, topic=topic)
    report = verify(
        client,
        config.pipeline,
        database=config.clickhouse.database,
        group=config.consumer.group,
        log=log,
        topic=topic,
    )
    rolled = client.query(
        f"SELECT sum(total_events) FROM {config.clickhouse.database}.event_metrics"
    )[0][0]
    shot = look(session, window=3600, interval=0.1)
    agree = report.stored + report.dead_letters == sent.acknowledged
    result = {
        "produced": sent.acknowledged,
        "failed": sent.failed,
        "consumed": stored.records,
        "stored": report.stored,
        "dead_letters": report.dead_letters,
        "missing": report.missing,
        "duplicated": report.duplicated,
        "rollup_events": int(rolled),
        "seconds": round(time.monotonic() - began, 3),
        "ok": report.ok and agree and not sent.failed and int(rolled) == report.stored,
    }
    del running  # the processes end with their handles
    return result, shot


def picture(session: Session, result: dict[str, Any], shot: Snapshot) -> None:
    from rich.console import Console
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    from nrtctl.cli.diagnostics import color_options
    from nrtctl.printable import printable

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
    style = "green" if result["ok"] else "red"
    options: Any = color_options(str(session.options["color"] or "auto"))
    Console(highlight=False, **options).print(
        Panel(
            table,
            title="producer → Kafka → consumer → ClickHouse",
            subtitle=f"{verdict}, {result['seconds']:.1f} s",
            border_style=style,
            expand=False,
        )
    )
