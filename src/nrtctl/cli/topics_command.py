"""`nrtctl topics`: what there is. What changes topics is in `topics_change_command`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nrtctl.cli.common_options import for_any_pipeline
from nrtctl.cli.meant import every_part
from nrtctl.cli.results import Block, Document, Note, Result, Rows, Table
from nrtctl.cli.session import Session
from nrtctl.cli.whose import of_topic, the_topic, whose
from nrtctl.config.counted import counted

if TYPE_CHECKING:
    from nrtctl.kafka.log_dirs import Sizes
    from nrtctl.kafka.topic_admin import TopicAdmin
    from nrtctl.kafka.topic_states import Setting, TopicState

Topic = Annotated[
    str | None,
    typer.Argument(metavar="TOPIC", help="The name of the topic; otherwise the pipeline's topic."),
]
LISTED = ("topic", "partitions", "replication_factor", "messages", "size", "note")
PARTITIONS = (
    "partition", "leader", "replicas", "in_sync", "log_start", "log_end", "messages", "size",
)  # fmt: skip


def topic_admin(session: Session) -> TopicAdmin:
    from nrtctl.kafka.topic_admin import TopicAdmin

    address = session.addresses.bootstrap_servers
    return TopicAdmin(session.config.kafka, address=address, clock=session.clock)


@for_any_pipeline
def list_topics(
    session: Session,
    pattern: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATTERN", help="List only topics with these names; * stands for any text."
        ),
    ] = None,
    internal: Annotated[
        bool,
        typer.Option("--internal", help="Include Kafka's own topics, whose names begin with __."),
    ] = False,
) -> Result:
    """List topics with their partitions, messages and sizes."""
    from fnmatch import fnmatchcase

    from nrtctl.view import words

    admin = topic_admin(session)
    patterns = pattern or ["*"]
    names = [
        name
        for name in admin.names()
        if any(fnmatchcase(name, each) for each in patterns)
        and (internal or pattern or not name.startswith("__"))
    ]
    states, told = admin.states(names) if names else ([], None)
    pipelines = every_part(session)
    rows = [
        (
            each.name,
            len(each.partitions),
            each.replication_factor,
            each.messages,
            each.size,
            _note(each, whose(of_topic(pipelines, each.name))),
        )
        for each in states
    ]
    shown = [(*row[:4], words.size(row[4]), row[5]) for row in rows]
    said = [] if told is None else unknown_sizes(told)
    if not states:
        said.append(Note(f"there is no topic{' that matches' if pattern else ''}"))
    numbers = (False, True, True, True, True, False)
    return Rows(Table(LISTED, rows), [Table(titles(LISTED), shown, numbers)], said=said)


def titles(columns: Sequence[str]) -> Sequence[str]:
    """Columns as a person reads them."""
    return [each.replace("_", " ") for each in columns]


def _note(topic: TopicState, owner: str) -> str:
    from nrtctl.view.words import ranges

    found = [owner] if owner else []
    if topic.leaderless:
        found.append(f"no leader: {ranges(topic.leaderless)}")
    if topic.under_replicated:
        found.append(f"not in sync: {ranges(topic.under_replicated)}")
    return "; ".join(found)


def unknown_sizes(told: Sizes) -> list[Note]:
    return [
        Note(f"the sizes on broker {number} are unknown: {why}")
        for number, why in told.unknown.items()
    ]


@for_any_pipeline
def describe(
    session: Session,
    topic: Topic = None,
    all_settings: Annotated[
        bool,
        typer.Option(
            "--all-settings", help="In a table, also show settings that have their default value."
        ),
    ] = False,
) -> Result:
    """Describe a topic: partitions, leaders, sizes, messages, settings and their origin."""
    admin = topic_admin(session)
    name = the_topic(session, topic)
    found, told = admin.state(name)
    settings = admin.settings(name)
    owner = whose(of_topic(every_part(session), name))
    return Document(
        _as_dict(found, settings, owner),
        _shown(found, settings, owner, all_settings),
        said=unknown_sizes(told),
    )


def _as_dict(topic: TopicState, settings: list[Setting], owner: str) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "topic": topic.name,
        "topic_id": topic.topic_id or None,
        "pipeline": bool(owner),
        "replication_factor": topic.replication_factor,
        "messages": topic.messages,
        "size": topic.size,
        "partitions": [asdict(each) | {"messages": each.messages} for each in topic.partitions],
        "settings": [asdict(each) for each in settings],
    }


def _shown(
    topic: TopicState, settings: list[Setting], owner: str, all_settings: bool
) -> Iterator[Block]:
    from nrtctl.view import words

    by_name = {each.name: each for each in settings}
    note = _note(topic, owner)
    policy = _value(by_name, "cleanup.policy")
    most = "at most " if "compact" in policy else ""
    lines = {
        "topic": topic.name + (f" ({note})" if note else ""),
        "id": topic.topic_id or "-",
        "partitions": f"{len(topic.partitions):,}, replication factor {topic.replication_factor}",
        "messages": "-" if topic.messages is None else f"{most}{topic.messages:,}",
        "size": words.size(topic.size),
        "kept": _kept(by_name),
    }
    for title, text in lines.items():
        yield f"{title:<11} {text}"
    yield ""
    rows = [
        (
            each.partition,
            each.leader,
            ",".join(map(str, each.replicas)),
            ",".join(map(str, each.in_sync)),
            each.log_start,
            each.log_end,
            each.messages,
            words.size(each.size),
        )
        for each in topic.partitions
    ]
    yield Table(titles(PARTITIONS), rows, (True,) * len(PARTITIONS))
    shown = [each for each in settings if all_settings or each.origin != "default"]
    if shown:
        yield ""
        values = [(each.name, each.value, each.origin, each.default) for each in shown]
        yield Table(("setting", "value", "origin", "default"), values, (False,) * 4)
    if left := len(settings) - len(shown):
        yield Note(
            f"{counted(left, 'setting')} with the default value; --all-settings shows them as well"
        )


def _value(settings: dict[str, Setting], name: str) -> str:
    found = settings.get(name)
    return "" if found is None or found.value is None else found.value


def _kept(settings: dict[str, Setting]) -> str:
    """How long, and how much: what Kafka deletes by itself."""
    from nrtctl.config.units import format_duration
    from nrtctl.view.words import size

    policy = _value(settings, "cleanup.policy") or "delete"
    if "delete" not in policy:
        return "the newest message of each key, forever (cleanup.policy = compact)"
    kept = []
    if (value := _value(settings, "retention.ms")).isdigit():
        origin = settings["retention.ms"].origin
        kept.append(f"{format_duration(int(value) / 1000)} (retention.ms, {origin})")
    if (value := _value(settings, "retention.bytes")).isdigit():
        origin = settings["retention.bytes"].origin
        kept.append(f"{size(int(value))} a partition (retention.bytes, {origin})")
    text = ", ".join(kept) or "forever"
    return f"{text}; of older messages, the newest of each key" if "compact" in policy else text
