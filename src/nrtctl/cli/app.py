"""The list of commands. A command's module is imported when it is called, and imports what it needs
when it runs."""

from __future__ import annotations

import inspect
import os
from typing import Annotated, Any

import typer

from nrtctl import __version__
from nrtctl.cli.common_options import root_options, shared_parameters, taking
from nrtctl.cli.lazy_group import WIDTH, Group, Listing

DLQ: Listing = {
    "list": (
        "List dead letters in offset order, and count them by reason.",
        "dlq_command:list_letters",
    ),
    "show": (
        "Show one dead letter: key, headers, value, reason, and what has been tried with it.",
        "dlq_command:show",
    ),
    "replay": (
        "Send dead letters through the current pipeline again. Changes nothing without --execute.",
        "dlq_command:replay",
    ),
    "purge": (
        "Erase the content of dead letters. Changes nothing without --execute.",
        "dlq_command:purge",
    ),
}

REPLAY: Listing = {
    "offsets": (
        "Move the group's committed offsets. Changes nothing without --execute.",
        "replay_command:offsets",
    ),
    "undo": (
        "Move the group back to where it was. Changes nothing without --execute.",
        "replay_command:undo",
    ),
    "load": (
        "Replace rows by reading their messages again. Changes nothing without --execute.",
        "replay_load_command:load",
    ),
}

INCARNATIONS: Listing = {
    "list": (
        "List the topics that have had the pipeline's name, and count the rows of each.",
        "incarnations_command:list_incarnations",
    ),
    "drop": (
        "Delete the rows and dead letters of earlier topics. Changes nothing without --execute.",
        "incarnations_command:drop",
    ),
}

TOPICS: Listing = {
    "list": (
        "List topics with their partitions, messages and sizes.",
        "topics_command:list_topics",
    ),
    "describe": (
        "Describe a topic: partitions, leaders, sizes, messages, settings and their origin.",
        "topics_command:describe",
    ),
    "create": ("Create a topic.", "topics_change_command:create"),
    "delete": (
        "Delete topics and all their messages. Asks for confirmation first.",
        "topics_change_command:delete",
    ),
    "set": (
        "Change settings of a topic. Settings that are not named stay as they are.",
        "topics_change_command:set_settings",
    ),
    "add-partitions": (
        "Give a topic more partitions. Asks for confirmation if it has messages.",
        "topics_change_command:add_partitions",
    ),
    "purge": (
        "Delete a topic's messages up to a place. Changes nothing without --execute.",
        "topics_change_command:purge",
    ),
}

GROUPS: Listing = {
    "list": (
        "List consumer groups with their state.",
        "groups_command:list_groups",
    ),
    "describe": (
        "Describe a consumer group: members, offsets, lag, and what nrtctl has noted in them.",
        "groups_command:describe",
    ),
    "delete": (
        "Delete consumer groups that have no members. Asks for confirmation first.",
        "groups_command:delete",
    ),
}

BENCH: Listing = {
    "produce": (
        "Measure how many events per second reach a topic, and compare with kcat if installed.",
        "bench_command:produce",
    ),
    "ingest": (
        "Measure how many rows per second get from a topic into the table, and compare.",
        "bench_command:ingest",
    ),
    "latency": (
        "Measure how long it takes until a message can be queried, at a steady rate.",
        "bench_command:latency",
    ),
    "all": (
        "Run all three benchmarks, latency at 20,000 and 1,000 events per second. Takes minutes.",
        "bench_command:everything",
    ),
}

CONFIG: Listing = {
    "show": (
        "Show the settings that are in use. Secrets are masked.",
        "config_command:show",
    ),
    "validate": (
        "Check a configuration without connecting to Kafka or ClickHouse.",
        "config_command:validate",
    ),
    "schema": ("Print the JSON Schema of nrtctl.toml.", "config_command:schema"),
}

COMPLETION: Listing = {
    "install": (
        "Let the Tab key complete nrtctl's commands and options in shells that you start "
        "from now on.",
        "completion_command:install",
    ),
    "show": (
        "Print the script that lets a shell complete nrtctl's commands and options.",
        "completion_command:show",
    ),
}

COMMANDS: Listing = {
    "demo": (
        "Run the whole pipeline on this machine and check its result. Needs no Docker and no Java.",
        "demo_command:demo",
    ),
    "init": (
        "Write nrtctl.toml and metrics.json: a complete pipeline, or one drafted from messages.",
        "init_command:init",
    ),
    "load": (
        "Store files of your own in ClickHouse, and show the commands that do it.",
        "load_command:load",
    ),
    "try": (
        "Show what the pipeline would do with the messages of files. Exits with 5 if it rejects "
        "any.",
        "try_command:try_",
    ),
    "up": (
        "Start the stack, and create or update the topic, tables, views and projections.",
        "up_command:up",
    ),
    "down": (
        "Stop what `nrtctl up` started. The data is kept unless --volumes is given.",
        "down_command:down",
    ),
    "status": (
        "Show addresses, processes and data of the stack. Exits with 3 if a part does not answer.",
        "status_command:status",
    ),
    "doctor": (
        "Check what the pipeline needs and say how to fix it. Exits with 5 if a check fails.",
        "doctor_command:doctor",
    ),
    "produce": (
        "Send messages, generated or from files or a URL. Exits with 1 if any was not delivered.",
        "produce_command:produce",
    ),
    "listen": (
        "Accept events over HTTP and put them into the pipeline's topic, until Ctrl-C.",
        "listen_command:listen",
    ),
    "consume": (
        "Store the topic's messages in ClickHouse; with -o jsonl, print them instead.",
        "consume_command:consume",
    ),
    "pause": (
        "Make the consumers of a pipeline store what they have read, and stop reading.",
        "pause_command:pause",
    ),
    "resume": ("Make the consumers of a paused pipeline read again.", "pause_command:resume"),
    "peek": (
        "Show the newest messages of a topic, or those from a given place in the log.",
        "peek_command:peek",
    ),
    "stats": (
        "Show lag, rates, latencies, rows, dead letters, consumers and metrics of the pipeline.",
        "stats_command:stats",
    ),
    "dashboard": (
        "Show the numbers of `nrtctl stats` on live web pages that only this machine can open.",
        "dashboard_command:dashboard",
    ),
    "verify": (
        "Compare Kafka's offsets with ClickHouse's rows. Exits with 5 if anything differs.",
        "verify_command:verify",
    ),
    "query": (
        "Run an SQL statement on ClickHouse and print the rows. Read-only unless --write is given.",
        "query_command:query",
    ),
    "dlq": ("Find dead letters, fix them, and send them again.", DLQ),
    "replay": (
        "Read messages again: move the group's offsets, move them back, or replace rows.",
        REPLAY,
    ),
    "incarnations": (
        "List and delete rows of earlier topics that had the same name as the pipeline's topic.",
        INCARNATIONS,
    ),
    "topics": ("List, describe, create, change, purge and delete topics.", TOPICS),
    "groups": ("List, describe and delete consumer groups.", GROUPS),
    "bench": ("Measure how fast the pipeline is on this machine.", BENCH),
    "config": ("Show the configuration, check it, or print its JSON Schema.", CONFIG),
    "completion": ("Let the Tab key complete commands and options.", COMPLETION),
}


class Root(Group):
    def __init__(self, **given: Any) -> None:
        super().__init__(listing=COMMANDS, **given)


app = typer.Typer(
    name="nrtctl",
    cls=Root,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], **WIDTH},
    help="Kafka to ClickHouse in near real time, with proof that nothing was lost.",
)


def _version(value: bool) -> None:
    if value:
        print(f"nrtctl {__version__}")
        raise typer.Exit


VERSION = inspect.Parameter(
    "version",
    inspect.Parameter.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", callback=_version, is_eager=True
        ),
    ],
)

if "_NRTCTL_COMPLETE" in os.environ:
    from typer._completion_classes import completion_init

    completion_init()

app.callback()(taking([*shared_parameters(), VERSION], root_options))
