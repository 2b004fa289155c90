"""What is said of groups: lag, what is lost, and what of the metadata is nrtctl's."""

from __future__ import annotations

import pytest

from nrtctl.kafka.group_states import GroupMember, GroupOffset, GroupState, offsets_of
from nrtctl.store.intents import OffsetRange, table_of


def offset(
    committed: int | None, start: int | None, end: int | None, metadata: str = ""
) -> GroupOffset:
    return GroupOffset("t", 0, committed, start, end, None, metadata)


@pytest.mark.parametrize(
    ("committed", "start", "end", "lag", "lost"),
    [
        (3, 0, 10, 7, 0),
        (10, 0, 10, 0, 0),
        (12, 0, 10, 0, 0),
        (3, 5, 10, 5, 2),
        (None, 0, 10, None, 0),
        (3, None, None, None, 0),
        (0, 10, 10, 0, 10),
    ],
)
def test_lag_and_what_is_lost(
    committed: int | None, start: int | None, end: int | None, lag: int | None, lost: int
) -> None:
    found = offset(committed, start, end)
    assert (found.lag, found.lost) == (lag, lost)


@pytest.mark.parametrize(
    ("metadata", "table", "pending"),
    [
        ("", None, None),
        ("another program's", None, None),
        ("nrtctl1:events:-:3a04f4a2#700e23fe", "events", None),
        ("nrtctl1:events:20:3a04f4a2#700e23fe", "events", OffsetRange(10, 20)),
        ("nrtctl1:events:20:3a04f4a2#700e23fe~abc", "events", OffsetRange(10, 20)),
        ("nrtctl1:events:5:3a04f4a2", "events", None),
        ("nrtctl9:events:20:x", "events", None),
    ],
)
def test_what_is_ours(metadata: str, table: str | None, pending: OffsetRange | None) -> None:
    found = offset(10, 0, 30, metadata)
    assert table_of(metadata) == found.table
    assert (found.table, found.pending) == (table, pending)


def test_partitions_of_members_and_of_offsets_are_one_list() -> None:
    member = GroupMember("c", "h", "m", None, (("b", 0), ("a", 1)))
    found = offsets_of({("a", 1): (5, ""), ("a", 0): (3, "")}, {("a", 1): (0, 9)}, [member])
    assert [(each.topic, each.partition) for each in found] == [("a", 0), ("a", 1), ("b", 0)]
    assert [each.client_id for each in found] == [None, "c", "c"]
    assert [each.lag for each in found] == [None, 4, None]
    state = GroupState("g", "stable", "classic", "range", "h:1", (member,), found)
    assert state.lag == 4
    assert state.tables == ()
    assert GroupState("g", "empty", "classic", "", "", (), ()).lag is None
