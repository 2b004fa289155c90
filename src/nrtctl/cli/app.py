"""The list of commands. A command's module is imported when it is called, and imports what it needs
when it runs."""

from __future__ import annotations

import inspect
from typing import Annotated, Any

import typer

from nrtctl import __version__
from nrtctl.cli.listing import WIDTH, Group, Listing
from nrtctl.cli.options import SHARED, root_options

DLQ: Listing = {
    "list": (
        "The dead letters, in offset order, and how many there are of each reason.",
        "dlq_command:list_letters",
    ),
    "show": (
        "One dead letter whole: key, headers, value, reason, and what was tried.",
        "dlq_command:show",
    ),
    "replay": (
        "Send dead letters through the present pipeline again. Dry unless --execute.",
        "dlq_command:replay",
    ),
    "purge": (
        "Erase key, value and headers of dead letters; their offsets stay. Dry unless --execute.",
        "dlq_command:purge",
    ),
}

REPLAY: Listing = {
    "offsets": (
        "Move the group's offsets. Dry unless --execute; the group must have no members.",
        "replay_command:offsets",
    ),
    "undo": (
        "Move the group back to where it stood before. Dry unless --execute.",
        "replay_command:undo",
    ),
    "load": (
        "Replace the rows of a range, read from Kafka again. Dry unless --execute.",
        "load_command:load",
    ),
}

INCARNATIONS: Listing = {
    "list": (
        "Each topic that had the pipeline's name, and how many rows the table has of it.",
        "incarnations_command:list_incarnations",
    ),
    "drop": (
        "Delete the rows and dead letters of earlier topics. Dry unless --execute.",
        "incarnations_command:drop",
    ),
}

BENCH: Listing = {
    "produce": (
        "Events a second into a topic, generated and from a file; beside kcat where that is there.",
        "bench_command:produce",
    ),
    "ingest": (
        "Rows a second from a topic into the table, and the ratio to what the engine itself does.",
        "bench_command:ingest",
    ),
    "latency": (
        "Milliseconds from a message to its row being queryable, at a steady rate.",
        "bench_command:latency",
    ),
    "all": (
        "All three, latency at 20,000 and at 1,000 events a second. Takes some minutes.",
        "bench_command:everything",
    ),
}

CONFIG: Listing = {
    "show": (
        "Show the settings that are in force. Secrets are masked.",
        "config_command:show",
    ),
    "validate": (
        "Check a configuration without touching Kafka or ClickHouse.",
        "config_command:validate",
    ),
    "schema": ("Print the JSON Schema of nrtctl.toml.", "config_command:schema"),
}

COMMANDS: Listing = {
    "demo": (
        "Start a stack, send events, store them, verify: proof in a minute. No Docker, no JVM.",
        "demo_command:demo",
    ),
    "init": (
        "Write nrtctl.toml and metrics.json: the reference pipeline, ready to be changed.",
        "init_command:init",
    ),
    "up": (
        "Start the stack, wait until it answers, create topic, tables, views and projections.",
        "up_command:up",
    ),
    "down": (
        "Stop what `up` started. Data is kept unless --volumes is given.",
        "down_command:down",
    ),
    "status": (
        "Show the stack: addresses, processes, data. Exit 3 if a part is down or does not answer.",
        "status_command:status",
    ),
    "doctor": (
        "Check what the pipeline needs and say what mends it. Exit 5 if a check fails.",
        "doctor_command:doctor",
    ),
    "produce": (
        "Send events: generated, or those of a file. Exit 1 if any was not delivered.",
        "produce_command:produce",
    ),
    "consume": (
        "Store the topic's messages; with -o jsonl print them instead, without a group.",
        "consume_command:consume",
    ),
    "stats": (
        "Lag, rates, freshness, latency, rows, batches, dead letters, parts, consumers, metrics.",
        "stats_command:stats",
    ),
    "dashboard": (
        "The numbers of `stats` as a live page, until Ctrl-C. Read-only, on loopback only.",
        "dashboard_command:dashboard",
    ),
    "verify": (
        "Compare Kafka's offsets with ClickHouse's rows. Exit 5 if anything differs.",
        "verify_command:verify",
    ),
    "query": (
        "Run SQL on ClickHouse and print the rows. Read-only unless --write.",
        "query_command:query",
    ),
    "dlq": ("Dead letters: find them, mend them, send them again.", DLQ),
    "replay": (
        "Read again: move the group's offsets, and back, or load a range again.",
        REPLAY,
    ),
    "incarnations": (
        "A topic that was deleted and made again: the rows of each topic of the name.",
        INCARNATIONS,
    ),
    "bench": ("What this machine can do, measured in a stack of its own.", BENCH),
    "config": ("The configuration: show it, check it, describe it.", CONFIG),
}


class Root(Group):
    def __init__(self, **given: Any) -> None:
        super().__init__(listing=COMMANDS, **given)


app = typer.Typer(
    name="nrtctl",
    cls=Root,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], **WIDTH},
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
