"""`nrtctl topics`: what makes, changes and deletes topics."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from nrtctl.cli.command_line import again
from nrtctl.cli.common_options import Execute, Partitions, for_any_pipeline
from nrtctl.cli.confirming import Unneeded, Yes, confirm, growing, refuse_unstored
from nrtctl.cli.meant import every_part
from nrtctl.cli.results import Block, Document, Note, Result, Rows, Table
from nrtctl.cli.session import Session
from nrtctl.cli.topics_command import Topic, topic_admin
from nrtctl.cli.whose import of_topic, the_topic
from nrtctl.config.counted import counted

if TYPE_CHECKING:
    from nrtctl.kafka.offsets import Point
    from nrtctl.kafka.topic_admin import TopicAdmin
    from nrtctl.kafka.topic_states import TopicState, Unstored

Name = Annotated[str, typer.Argument(metavar="TOPIC", help="The name of the topic.")]


@for_any_pipeline
def create(
    session: Session,
    topic: Name,
    partitions: Annotated[
        int | None,
        typer.Option(
            "--partitions",
            metavar="COUNT",
            min=1,
            help="Create the topic with this many partitions; otherwise with as many as the "
            "brokers' num.partitions says.",
        ),
    ] = None,
    replication_factor: Annotated[
        int | None,
        typer.Option(
            "--replication-factor",
            metavar="COUNT",
            min=1,
            help="Keep this many replicas of each partition; otherwise as many as the brokers' "
            "default.replication.factor says.",
        ),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--setting",
            metavar="KEY=VALUE",
            help="Give the topic this setting, as in retention.ms=7d; may be repeated.",
        ),
    ] = None,
) -> Result:
    """Create a topic."""
    from nrtctl.kafka.topic_admin import checked_settings

    settings = checked_settings(setting or ())
    topic_admin(session).create(topic, partitions, replication_factor, settings)
    data = {
        "topic": topic,
        "partitions": partitions,
        "replication_factor": replication_factor,
        "settings": settings,
    }
    return Document(data, [f"created topic {topic}"])


@for_any_pipeline
def delete(
    session: Session,
    topic: Annotated[list[str], typer.Argument(metavar="TOPIC", help="The names of the topics.")],
    unstored: Unneeded = False,
    yes: Yes = False,
) -> Result:
    """Delete topics and all their messages. Asks for confirmation first."""
    from nrtctl.view.words import size

    admin = topic_admin(session)
    states, _ = admin.states(topic)
    for each in states:
        _keep_unstored(session, admin, each.name, lambda left: left.messages, told=unstored)
    for each in states:
        held = "-" if each.messages is None else counted(each.messages, "message")
        disk = "" if each.size is None else f", {size(each.size)}"
        what = (
            f"topic {each.name} with {held} in {counted(len(each.partitions), 'partition')}{disk}"
        )
        note = _deleted_note(session, each)
        confirm(f"{note}Delete {what}?", f"{what} would be deleted", yes=yes)
    for each in states:
        admin.delete(each.name)
    return Rows(
        Table(("topic", "deleted"), [(each.name, True) for each in states]),
        [f"deleted topic {each.name}" for each in states],
    )


def _keep_unstored(
    session: Session,
    admin: TopicAdmin,
    topic: str,
    lost: Callable[[Unstored], int],
    *,
    told: bool,
) -> None:
    """Args: lost: of what is left to store, how many messages would be deleted.

    Raises:
        NrtctlError: a pipeline has not stored them, or is loading them again, and the user has not
            said that they may be.
    """
    from nrtctl.errors import NrtctlError
    from nrtctl.replay.unfinished import RESUME, is_under_way

    address = session.addresses.bootstrap_servers
    for each in of_topic(every_part(session), topic):
        if not told and is_under_way(each.config, address=address, clock=session.clock):
            raise NrtctlError(
                f"a load that is not finished has deleted rows of {each.config.pipeline.table}, "
                f"and needs their messages in topic {topic!r}",
                hint=f"{RESUME}; --unstored deletes the messages anyway",
            )
        left = admin.unstored(each.config)
        refuse_unstored(topic, left, lost(left), told=told)


def _deleted_note(session: Session, topic: TopicState) -> str:
    if not of_topic(every_part(session), topic.name):
        return ""
    return (
        f"{topic.name} is a pipeline's topic. What is already in ClickHouse stays there, but "
        "`nrtctl replay load` and `nrtctl verify` can no longer read the messages.\n"
    )


@for_any_pipeline
def set_settings(
    session: Session,
    topic: Name,
    setting: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE",
            help="The settings, as in retention.ms=7d or segment.bytes=64MiB.",
        ),
    ] = None,
    unset: Annotated[
        list[str] | None,
        typer.Option(
            "--unset",
            metavar="KEY",
            help="Remove this setting from the topic, so that the brokers' value applies; may "
            "be repeated.",
        ),
    ] = None,
    unstored: Unneeded = False,
) -> Result:
    """Change settings of a topic. Settings that are not named stay as they are."""
    from nrtctl.errors import ConfigError
    from nrtctl.kafka.topic_admin import checked_settings
    from nrtctl.kafka.topic_states import shortens

    wanted = checked_settings(setting or ())
    back = list(dict.fromkeys(unset or ()))
    if not wanted and not back:
        raise ConfigError(
            "no setting was given", hint=f"`nrtctl topics set {topic} retention.ms=7d` sets one"
        )
    if both := wanted.keys() & set(back):
        raise ConfigError(f"{min(both)} is both set and unset")
    admin = topic_admin(session)
    before = {each.name: each for each in admin.settings(topic)}
    after: dict[str, str | None] = {**wanted}
    for name in back:
        found = before.get(name)
        after[name] = None if found is None else found.default
    if any(
        shortens(name, before[name].value, value) for name, value in after.items() if name in before
    ):
        _keep_unstored(session, admin, topic, lambda left: left.messages, told=unstored)
    admin.configure(topic, wanted, back)
    rows = [
        (topic, name, before[name].value if name in before else None, value)
        for name, value in after.items()
    ]
    table = Table(("topic", "setting", "before", "after"), rows)
    return Rows(table, [_changed(*row, is_set=row[1] in wanted) for row in rows])


def _changed(topic: str, name: str, old: str | None, new: str | None, *, is_set: bool) -> str:
    what = f"{name} = {new}" if is_set else f"{name} is no longer set"
    now = "" if is_set or new is None else f", so {new} holds"
    return f"topic {topic}: {what}{now} (before: {'-' if old is None else old})"


@for_any_pipeline
def add_partitions(
    session: Session,
    topic: Name,
    to: Annotated[
        int,
        typer.Option(
            "--to", metavar="COUNT", min=1, help="Give the topic this many partitions in all."
        ),
    ],
    yes: Yes = False,
) -> Result:
    """Give a topic more partitions. Asks for confirmation if it has messages.

    Kafka cannot take partitions away again.
    """
    from nrtctl.errors import ConfigError

    admin = topic_admin(session)
    marks = admin.marks(topic)
    if to <= len(marks):
        raise ConfigError(
            f"topic {topic!r} has {counted(len(marks), 'partition')}, and Kafka cannot remove any",
            hint=f"--to needs a number above {len(marks)}",
        )
    if any(end for _, end in marks.values()):
        confirm(
            growing(topic, len(marks), to),
            f"there are messages in topic {topic!r}: after this, messages with the same key "
            "may go to another partition than before, so that their order is not kept",
            yes=yes,
        )
    admin.grow(topic, to)
    shown: list[Block] = [f"topic {topic} has {counted(to, 'partition')} instead of {len(marks)}"]
    if of_topic(every_part(session), topic):
        shown.append(Note(f"set pipeline.partitions = {to} in nrtctl.toml as well"))
    return Document({"topic": topic, "before": len(marks), "partitions": to}, shown)


@for_any_pipeline
def purge(
    session: Session,
    before: Annotated[
        str,
        typer.Option(
            "--before",
            metavar="PLACE",
            help="Delete the messages before this place: end, 47, +3, -3, @-7d or "
            "@2026-01-01T00:00Z.",
        ),
    ],
    topic: Topic = None,
    partition: Partitions = None,
    unstored: Unneeded = False,
    execute: Execute = False,
) -> Result:
    """Delete a topic's messages up to a place. Changes nothing without --execute."""
    from nrtctl.cli.option_values import place_in_log

    admin = topic_admin(session)
    name = the_topic(session, topic)
    marks = _chosen(name, admin.marks(name), partition)
    point = place_in_log(before, "--before", session.clock)
    targets = _targets(admin, name, marks, point)

    def lost(left: Unstored) -> int:
        return sum(
            max(0, end - left.partitions[number])
            for number, end in targets.items()
            if number in left.partitions
        )

    _keep_unstored(session, admin, name, lost, told=unstored)
    wanted = {number: at for number, at in targets.items() if at > marks[number][0]}
    starts = admin.purge(name, wanted) if execute and wanted else {}
    rows = [
        (number, low, high, starts.get(number, targets[number]), targets[number] - low)
        for number, (low, high) in marks.items()
    ]
    total = sum(row[4] for row in rows)
    command = again({"--before": str(point)})
    columns = ("partition", "log_start", "log_end", "before", "messages")
    table = Table(columns, rows)
    data = {
        "topic": name,
        "executed": execute,
        "messages": total,
        "partitions": list(table.as_dicts()),
        "command": command,
    }
    what = f"{counted(total, 'message')} of topic {name}"
    shown: list[Block] = [table, f"{what} {'were' if execute else 'would be'} deleted"]
    if not execute and total:
        shown.append(f"nothing was changed; to do it, run: {command}")
    return Document(data, shown)


def _chosen(
    topic: str, marks: dict[int, tuple[int, int]], wanted: list[int] | None
) -> dict[int, tuple[int, int]]:
    """Raises ConfigError: there is no such partition."""
    from nrtctl.errors import ConfigError

    for number in wanted or ():
        if number not in marks:
            raise ConfigError(
                f"there is no partition {number}: topic {topic!r} has "
                f"{counted(len(marks), 'partition')}"
            )
    return {number: marks[number] for number in sorted(wanted or marks)}


def _targets(
    admin: TopicAdmin, topic: str, marks: dict[int, tuple[int, int]], point: Point
) -> dict[int, int]:
    """Where each log would begin."""
    from nrtctl.kafka.offsets import Place, in_log

    at = admin.at_time(topic, marks, point.value) if point.place is Place.TIME else {}
    return {
        number: in_log(point, low, high, at.get(number)) for number, (low, high) in marks.items()
    }
