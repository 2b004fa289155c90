"""The list of commands. A command's module imports what it needs when it runs, not before."""

from __future__ import annotations

import inspect
from typing import Annotated, Any

import typer

from nrtctl import __version__
from nrtctl.cli import (
    bench_command,
    config_command,
    consume_command,
    dashboard_command,
    demo_command,
    dlq_command,
    doctor_command,
    down_command,
    init_command,
    load_command,
    produce_command,
    query_command,
    replay_command,
    stats_command,
    status_command,
    up_command,
    verify_command,
)
from nrtctl.cli.options import SHARED, command, root_options

app = typer.Typer(
    name="nrtctl",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Kafka to ClickHouse in near real time, with proof that nothing was lost.",
)


def _version(value: bool) -> None:
    if value:
        print(f"nrtctl {__version__}")
        raise typer.Exit


def _root() -> Any:
    shared = [
        inspect.Parameter(
            f"shared_{name}",
            inspect.Parameter.KEYWORD_ONLY,
            default=False if name in {"quiet", "verbose", "debug"} else None,
            annotation=annotation,
        )
        for name, annotation in SHARED.items()
    ]
    version = inspect.Parameter(
        "version",
        inspect.Parameter.KEYWORD_ONLY,
        default=False,
        annotation=Annotated[
            bool, typer.Option("--version", help="The version.", callback=_version, is_eager=True)
        ],
    )

    def root(**given: Any) -> None:
        root_options(**given)

    parameters = [*shared, version]
    root.__doc__ = root_options.__doc__
    root.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    root.__annotations__ = {each.name: each.annotation for each in parameters}
    return root


app.callback()(_root())
app.command("demo")(command(demo_command.demo))
app.command("init")(command(init_command.init))
app.command("up")(command(up_command.up))
app.command("down")(command(down_command.down))
app.command("status")(command(status_command.status))
app.command("doctor")(command(doctor_command.doctor))
app.command("produce")(command(produce_command.produce))
app.command("consume")(command(consume_command.consume))
app.command("stats")(command(stats_command.stats))
app.command("dashboard")(command(dashboard_command.dashboard))
app.command("verify")(command(verify_command.verify))
app.command("query")(command(query_command.query))

dlq = typer.Typer(help="Dead letters: find them, mend them, send them again.")
dlq.command("list")(command(dlq_command.list_letters))
dlq.command("show")(command(dlq_command.show))
dlq.command("replay")(command(dlq_command.replay))
dlq.command("purge")(command(dlq_command.purge))
app.add_typer(dlq, name="dlq", no_args_is_help=True)

replay = typer.Typer(help="Read again: move the group's offsets, and back, or load a range again.")
replay.command("offsets")(command(replay_command.offsets))
replay.command("undo")(command(replay_command.undo))
replay.command("load")(command(load_command.load))
app.add_typer(replay, name="replay", no_args_is_help=True)

bench = typer.Typer(help="What this machine can do, measured in a stack of its own.")
bench.command("produce")(command(bench_command.produce))
bench.command("ingest")(command(bench_command.ingest))
bench.command("latency")(command(bench_command.latency))
bench.command("all")(command(bench_command.everything))
app.add_typer(bench, name="bench", no_args_is_help=True)

config = typer.Typer(help="The configuration: show it, check it, describe it.")
config.command("show")(command(config_command.show))
config.command("validate")(command(config_command.validate))
config.command("schema")(command(config_command.schema))
app.add_typer(config, name="config", no_args_is_help=True)
