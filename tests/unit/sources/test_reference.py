"""The generator: what an event looks like, that sessions are sessions, and that a seed is one."""

from __future__ import annotations

import json
import random
import uuid
from collections import Counter, defaultdict
from itertools import pairwise
from typing import Any

import pytest

from nrtctl.clock import ManualClock
from nrtctl.producer.sources import Record
from nrtctl.producer.sources.pools import END, FUNNEL, LANDING_PAGES
from nrtctl.producer.sources.reference_events import BLOCK, KEYS, ReferenceEvents

START_MS = 1_700_000_000_000
COUNT = 30_000


def make(seed: int = 7, **options: Any) -> ReferenceEvents:
    return ReferenceEvents(seed, clock=ManualClock(), **{"users": 500, **options})


def values(records: list[Record]) -> list[dict[str, Any]]:
    return [json.loads(value or b"") for _, value, _, _ in records]


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return make(start_ms=START_MS, interval_ms=2.0).take(COUNT)


@pytest.fixture(scope="module")
def events(records: list[Record]) -> list[dict[str, Any]]:
    return values(records)


def test_its_keys_are_known(events: list[dict[str, Any]]) -> None:
    assert set().union(*events) == KEYS


def test_every_event_has_the_fields_of_its_type_and_no_other(
    events: list[dict[str, Any]],
) -> None:
    common = {
        "event_id", "user_id", "session_id", "event_type", "event_timestamp",
        "request_latency_ms", "status",
    }  # fmt: skip
    for event in events:
        expected = set(common)
        if event["event_type"] in {"VIEW_PRODUCT", "ADD_TO_CART"}:
            expected.add("product_id")
            assert 1 <= event["product_id"] <= 10_000
        if event["status"] == "ERROR":
            expected.add("error_code")
            assert 400 <= event["error_code"] <= 599
        assert event.keys() == expected
        assert 1 <= event["request_latency_ms"] <= 60_000


def test_ids_are_version_4_uuids_and_events_are_keyed_by_user(
    records: list[Record], events: list[dict[str, Any]]
) -> None:
    for name in ("event_id", "user_id", "session_id"):
        parsed = {uuid.UUID(event[name]) for event in events}
        assert {each.version for each in parsed} == {4}
        assert {each.variant for each in parsed} == {uuid.RFC_4122}
    assert len({event["event_id"] for event in events}) == COUNT
    for (key, _, timestamp, mark), event in zip(records, events, strict=True):
        assert key == event["user_id"].encode()
        assert timestamp is None
        assert mark is None


def test_one_in_ten_is_an_error_and_latencies_have_a_long_tail(
    events: list[dict[str, Any]],
) -> None:
    errors = Counter(event["status"] for event in events)["ERROR"]
    assert 0.09 < errors / COUNT < 0.11
    latencies = sorted(event["request_latency_ms"] for event in events)
    assert latencies[COUNT * 99 // 100] > 4 * latencies[COUNT // 2]
    assert sum(latencies) / COUNT > latencies[COUNT // 2]


def test_sessions_follow_the_funnel_one_user_one_session_at_a_time(
    events: list[dict[str, Any]],
) -> None:
    sessions: dict[str, list[dict[str, Any]]] = defaultdict(list)
    order: dict[str, list[str]] = defaultdict(list)
    for event in events:
        sessions[event["session_id"]].append(event)
        if order[event["user_id"]][-1:] != [event["session_id"]]:
            order[event["user_id"]].append(event["session_id"])
    for session in sessions.values():
        assert len({event["user_id"] for event in session}) == 1
        types = [event["event_type"] for event in session]
        assert types[0] in {name for name, _ in LANDING_PAGES}
        for before, after in pairwise(types):
            assert after in {name for name, _ in FUNNEL[before]} - {END}
        for before_, after_ in pairwise(session):
            assert before_["event_timestamp"] <= after_["event_timestamp"]
            if after_["event_type"] == "ADD_TO_CART":
                assert after_["product_id"] == before_["product_id"]
    for visits in order.values():
        assert len(visits) == len(set(visits)), "a session was left and taken up again"
    assert sum(len(visits) > 1 for visits in order.values()) > 400, "users come back"
    assert 3 < COUNT / len(sessions) < 8


def test_the_same_seed_is_the_same_bytes_however_it_is_taken() -> None:
    once = make(start_ms=START_MS).take(5 * BLOCK)
    source = make(start_ms=START_MS)
    pieces: list[Record] = []
    sizes = random.Random(1)
    while len(pieces) < 5 * BLOCK:
        pieces += source.take(min(sizes.randint(1, 700), 5 * BLOCK - len(pieces)))
    assert pieces == once


def test_without_a_start_only_the_times_differ() -> None:
    fixed, live = values(make(start_ms=START_MS).take(2000)), values(make().take(2000))
    assert fixed != live
    for event in [*fixed, *live]:
        del event["event_timestamp"]
    assert fixed == live


def test_seeds_share_no_event_user_or_session() -> None:
    ones, twos = values(make(seed=1).take(5000)), values(make(seed=2).take(5000))
    for name in ("event_id", "user_id", "session_id"):
        assert not {event[name] for event in ones} & {event[name] for event in twos}


def test_event_times_follow_the_clock_and_never_go_back() -> None:
    clock = ManualClock(1_700_000_000.0)
    source = ReferenceEvents(1, clock=clock, users=50)
    times = [event["event_timestamp"] for event in values(source.take(10))]
    clock.advance(1.0)
    times += [event["event_timestamp"] for event in values(source.take(10))]
    clock.advance(-5.0)
    times += [event["event_timestamp"] for event in values(source.take(10))]
    assert times == sorted(times)
    assert times[0] == START_MS
    assert times[10] == START_MS + 100
    assert times[-1] == START_MS + 1000


def test_a_start_counts_event_times_by_the_interval(events: list[dict[str, Any]]) -> None:
    assert [event["event_timestamp"] for event in events[:4]] == [
        START_MS, START_MS + 2, START_MS + 4, START_MS + 6,
    ]  # fmt: skip


@pytest.mark.parametrize("users", [1, 2, 7])
def test_few_users(users: int) -> None:
    found = {event["user_id"] for event in values(make(users=users).take(2000))}
    assert len(found) == users
