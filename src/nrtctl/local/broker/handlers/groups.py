"""Membership of consumer groups: the requests of the classic group protocol, and their admin."""

from __future__ import annotations

from typing import Any

from nrtctl.local.broker.groups.coordinator import Join
from nrtctl.local.broker.groups.group import Group, State
from nrtctl.local.broker.groups.rebalance import join_error, sync_error
from nrtctl.local.broker.handlers import allowed
from nrtctl.local.broker.handlers.context import Context, Reply
from nrtctl.local.broker.wire.codec import milliseconds
from nrtctl.local.broker.wire.errors import ErrorCode, Refused


def join_group(context: Context, request: Any, reply: Reply) -> None:
    """v0–9: answered when the generation is agreed on."""
    session = milliseconds(request.session_timeout)
    rebalance = milliseconds(request.rebalance_timeout) if context.version >= 1 else session
    context.finish_to_leave = lambda: reply(
        join_error(ErrorCode.rebalance_in_progress, request.member_id)
    )
    context.broker.coordinator.join(
        Join(
            group_id=request.group_id,
            member_id=request.member_id,
            instance_id=getattr(request, "group_instance_id", None),
            client_id=context.client_id,
            client_host=context.client_host,
            session_timeout_ms=session,
            rebalance_timeout_ms=rebalance,
            protocol_type=request.protocol_type,
            protocols=[(protocol.name, protocol.metadata) for protocol in request.protocols],
            needs_member_id=context.version >= 4,
            can_skip_assignment=context.version >= 9,
            connection=context.connection,
        ),
        reply,
    )


def sync_group(context: Context, request: Any, reply: Reply) -> None:
    """v0–5: answered when the leader has sent the assignments."""
    context.finish_to_leave = lambda: reply(sync_error(ErrorCode.rebalance_in_progress))
    context.broker.coordinator.sync(
        request.group_id,
        request.generation_id,
        request.member_id,
        getattr(request, "group_instance_id", None),
        (getattr(request, "protocol_type", None), getattr(request, "protocol_name", None)),
        {entry.member_id: entry.assignment for entry in request.assignments},
        reply,
    )


def heartbeat(context: Context, request: Any, reply: Reply) -> None:
    """v0–4."""
    code = context.broker.coordinator.heartbeat(
        request.group_id,
        request.generation_id,
        request.member_id,
        getattr(request, "group_instance_id", None),
    )
    reply({"error_code": code})


def leave_group(context: Context, request: Any, reply: Reply) -> None:
    """v0–5: one member, or from v3 several."""
    coordinator = context.broker.coordinator
    if context.version < 3:
        code = coordinator.leave(request.group_id, request.member_id, None)
        reply({"error_code": code})
        return
    if not coordinator.has_group(request.group_id):
        reply({"error_code": ErrorCode.unknown_member_id, "members": ()})
        return
    members = [
        {
            "member_id": member.member_id,
            "group_instance_id": member.group_instance_id,
            "error_code": coordinator.leave(
                request.group_id, member.member_id, member.group_instance_id
            ),
        }
        for member in request.members
    ]
    reply({"error_code": ErrorCode.none, "members": members})


def describe_groups(context: Context, request: Any, reply: Reply) -> None:
    """v0–6: an unknown group is Dead, from v6 GROUP_ID_NOT_FOUND as well."""
    groups = []
    operations = allowed.if_asked(request, "include_authorized_operations", allowed.GROUP)
    for group_id in request.groups:
        group = context.broker.coordinator.groups.get(group_id)
        if group is not None:
            groups.append(_describe(group) | {"authorized_operations": operations})
            continue
        described = {"group_id": group_id, "group_state": "Dead", "members": ()}
        if context.version >= 6:
            described |= {
                "error_code": ErrorCode.group_id_not_found,
                "error_message": f"Group {group_id} not found.",
            }
        groups.append(described | {"authorized_operations": allowed.NOT_ASKED})
    reply({"groups": groups})


def _describe(group: Group) -> dict[str, Any]:
    is_stable = group.state is State.STABLE
    return {
        "error_code": ErrorCode.none,
        "error_message": None,
        "group_id": group.group_id,
        "group_state": group.state.value,
        "protocol_type": group.protocol_type or "",
        "protocol_data": (group.protocol or "") if is_stable else "",
        "members": [
            {
                "member_id": member.member_id,
                "group_instance_id": member.instance_id,
                "client_id": member.client_id,
                "client_host": member.client_host,
                "member_metadata": member.metadata(group.protocol) if is_stable else b"",
                "member_assignment": member.assignment if is_stable else b"",
            }
            for member in group.members.values()
        ],
    }


def list_groups(context: Context, request: Any, reply: Reply) -> None:
    """v0–5: filtered by state (v4) and type (v5); all groups are of type classic."""
    states = {state.lower() for state in getattr(request, "states_filter", ())}
    types = {type_.lower() for type_ in getattr(request, "types_filter", ())}
    reply(
        {
            "error_code": ErrorCode.none,
            "groups": [
                {
                    "group_id": group.group_id,
                    "protocol_type": group.protocol_type or "",
                    "group_state": group.state.value,
                    "group_type": "classic",
                }
                for group in context.broker.coordinator.groups.values()
                if (not states or group.state.value.lower() in states)
                and (not types or "classic" in types)
            ],
        }
    )


def delete_groups(context: Context, request: Any, reply: Reply) -> None:
    """v0–2: empty groups only, with their committed offsets."""
    answers = []
    for group_id in request.groups_names:
        code = ErrorCode.none
        try:
            context.broker.coordinator.delete(group_id)
        except Refused as refused:
            code = refused.code
        except OSError:
            code = ErrorCode.kafka_storage_error
        answers.append({"group_id": group_id, "error_code": code})
    reply({"results": answers})
