"""`nrtctl groups`: consumer groups, their members, what they have committed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nrtctl.cli.common_options import for_any_pipeline
from nrtctl.cli.confirming import Yes, confirm
from nrtctl.cli.meant import every_part
from nrtctl.cli.results import Block, Document, Note, Result, Rows, Table, Warn
from nrtctl.cli.session import Session
from nrtctl.cli.whose import of_group, the_config, whose
from nrtctl.config.counted import counted

if TYPE_CHECKING:
    from nrtctl.kafka.group_states import GroupMember, GroupOffset, GroupState
    from nrtctl.kafka.groups import GroupsAdmin


def _admin(session: Session) -> GroupsAdmin:
    from nrtctl.kafka.groups import GroupsAdmin

    address = session.addresses.bootstrap_servers
    return GroupsAdmin(session.config.kafka, address=address, clock=session.clock)


@for_any_pipeline
def list_groups(
    session: Session,
    pattern: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATTERN", help="List only groups with these names; * stands for any text."
        ),
    ] = None,
) -> Result:
    """List consumer groups with their state."""
    from fnmatch import fnmatchcase

    patterns = pattern or ["*"]

    def wanted(name: str) -> bool:
        return any(fnmatchcase(name, each) for each in patterns)

    found, errors = _admin(session).list(wanted)
    pipelines = every_part(session)
    rows = [
        (
            each.group,
            each.state,
            each.kind,
            whose(of_group(pipelines, each.group)),
        )
        for each in found
    ]
    said: list[Note | Warn] = [Warn(f"some groups may be missing: {error}") for error in errors]
    if not found:
        said.append(Note(f"there is no consumer group{' that matches' if pattern else ''}"))
    return Rows(Table(("group", "state", "type", "note"), rows), said=said)


@for_any_pipeline
def describe(
    session: Session,
    group: Annotated[
        str | None,
        typer.Argument(
            metavar="GROUP", help="The name of the group; otherwise the pipeline's group."
        ),
    ] = None,
) -> Result:
    """Describe a consumer group: members, offsets, lag, and what nrtctl has noted in them."""
    name = group or the_config(session).consumer.group
    found = _admin(session).state(name)
    owner = whose(of_group(every_part(session), name))
    return Document(_as_dict(found, owner), _shown(found, owner))


def _as_dict(group: GroupState, owner: str) -> dict[str, Any]:
    return {
        "group": group.group,
        "pipeline": bool(owner),
        "state": group.state,
        "type": group.kind,
        "foreign": group.foreign,
        "protocol": group.protocol or None,
        "coordinator": group.coordinator or None,
        "lag": group.lag,
        "tables": list(group.tables),
        "members": [
            {
                "client_id": each.client_id,
                "host": each.host,
                "member_id": each.member_id,
                "instance_id": each.instance_id,
                "partitions": [{"topic": t, "partition": n} for t, n in each.partitions],
            }
            for each in group.members
        ],
        "offsets": [
            {
                "topic": each.topic,
                "partition": each.partition,
                "committed": each.committed,
                "log_start": each.log_start,
                "log_end": each.log_end,
                "lag": each.lag,
                "lost": each.lost,
                "client_id": each.client_id,
                "metadata": each.metadata,
                "table": each.table,
                "pending": each.pending and [each.pending.start, each.pending.end],
            }
            for each in group.offsets
        ],
    }


def _shown(group: GroupState, owner: str) -> Iterator[Block]:
    lag = "-" if group.lag is None else counted(group.lag, "message")
    shares = f", assigned by {group.protocol}" if group.protocol else ""
    lines = {
        "group": group.group + (f" ({owner})" if owner else ""),
        "state": f"{group.state}, {counted(len(group.members), 'member')}{shares}",
        "coordinator": group.coordinator or "-",
        "lag": lag,
        "nrtctl": _noted(group),
    }
    for title, text in lines.items():
        yield f"{title:<12} {text}"
    if group.members:
        yield ""
        yield Table(
            ("client", "host", "instance", "partitions"),
            [(each.client_id, each.host, each.instance_id, _held(each)) for each in group.members],
        )
    if group.offsets:
        yield ""
        columns = ("topic", "partition", "committed", "log end", "lag", "client", "note")
        rows = [
            (e.topic, e.partition, e.committed, e.log_end, e.lag, e.client_id, _note(e))
            for e in group.offsets
        ]
        yield Table(columns, rows, (False, True, True, True, True, False, False))


def _noted(group: GroupState) -> str:
    if group.foreign:
        return (
            f"nothing: its members are not consumers ({group.kind}), so no partitions are "
            "assigned to them"
        )
    if not group.tables:
        return "nothing: nrtctl has not committed in this group"
    own = sum(each.table is not None for each in group.offsets)
    return (
        f"{counted(own, 'offset')} of {len(group.offsets):,}, stored into {', '.join(group.tables)}"
    )


def _held(member: GroupMember) -> str:
    from nrtctl.view.words import ranges

    topics: dict[str, list[int]] = {}
    for topic, number in member.partitions:
        topics.setdefault(topic, []).append(number)
    return "; ".join(f"{topic} {ranges(numbers)}" for topic, numbers in topics.items()) or "none"


def _note(offset: GroupOffset) -> str:
    found = []
    if offset.lost:
        found.append(f"{counted(offset.lost, 'message')} deleted before it")
    if offset.log_end is None:
        found.append("this partition no longer exists")
    if offset.pending is not None:
        found.append(f"{offset.pending} is pending")
    elif offset.table is not None:
        found.append("everything before it is stored")
    elif offset.metadata:
        found.append(f"metadata: {offset.metadata[:40]}")
    return "; ".join(found)


@for_any_pipeline
def delete(
    session: Session,
    group: Annotated[list[str], typer.Argument(metavar="GROUP", help="The names of the groups.")],
    pipeline_group: Annotated[
        bool,
        typer.Option(
            "--pipeline-group",
            help="Also delete groups of nrtctl, whose offsets say what is already stored.",
        ),
    ] = False,
    yes: Yes = False,
) -> Result:
    """Delete consumer groups that have no members. Asks for confirmation first."""
    from nrtctl.errors import NrtctlError

    admin = _admin(session)
    states = [admin.state(name) for name in dict.fromkeys(group)]
    for each in states:
        _refuse(each, pipeline_group)
    for each in states:
        offsets = counted(len(each.offsets), "committed offset")
        what = f"group {each.group} with {offsets}"
        confirm(f"Delete {what}?", f"{what} would be deleted", yes=yes)
    done: list[str] = []
    for each in states:
        try:
            admin.delete(each.group)
        except NrtctlError as error:
            if done:
                error.message += f" (deleted before it: {', '.join(done)})"
            raise
        done.append(each.group)
    return Rows(
        Table(("group", "deleted"), [(name, True) for name in done]),
        [f"deleted group {name}" for name in done],
    )


def _refuse(group: GroupState, told: bool) -> None:
    """Raises NrtctlError: it is in use, or the pipeline needs it and the user has not said so."""
    from nrtctl.errors import NrtctlError

    if group.members:
        who = ", ".join(f"{each.client_id} at {each.host}" for each in group.members[:3])
        more = ", …" if len(group.members) > 3 else ""
        raise NrtctlError(
            f"group {group.group!r} has {counted(len(group.members), 'member')}: {who}{more}",
            hint="stop them, and run the same command again",
        )
    if group.tables and not told:
        raise NrtctlError(
            f"the offsets of group {group.group!r} say what is already stored in "
            f"{', '.join(group.tables)}; without them the next `nrtctl consume` reads the "
            'whole topic again, or only new messages if consumer.start = "latest"',
            hint="`nrtctl replay offsets` moves them; --pipeline-group deletes them",
        )
