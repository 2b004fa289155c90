"""Faults: shares, kinds, and that a seed gives the same ones however they are taken."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from nrtctl.clock import ManualClock
from nrtctl.producer.sources import Record
from nrtctl.producer.sources.faults import (
    KINDS,
    MAX_DISTANCE,
    MAX_LATE_MS,
    MIN_LATE_MS,
    Faulty,
    spoiled,
)
from nrtctl.producer.sources.files.jsonl import JsonLines
from nrtctl.producer.sources.marks import DUPLICATE, FOREIGN, INVALID, LATE, MARKS, expectation
from nrtctl.producer.sources.reference_events import ReferenceEvents
from nrtctl.schema.reasons import REASONS

START_MS = 1_700_000_000_000
FIELDS = {
    "event_id": "UUID", "user_id": "UUID", "session_id": "UUID", "event_type": "String",
    "event_timestamp": "Int64", "request_latency_ms": "UInt32", "status": "String",
    "error_code": "Nullable(UInt16)", "product_id": "Nullable(UInt32)",
}  # fmt: skip


def faulty(**shares: float) -> Faulty:
    source = ReferenceEvents(7, clock=ManualClock(), users=100, start_ms=START_MS)
    return Faulty(source, seed=7, fields=FIELDS, **shares)


def test_shares() -> None:
    records = faulty(late=5, duplicate=10, invalid=3).take(20_000)
    marks = Counter(mark for _, _, _, mark in records)
    fresh = len(records) - marks[DUPLICATE]
    assert 0.04 < marks[LATE] / fresh < 0.06
    assert 0.09 < marks[DUPLICATE] / fresh < 0.11
    assert 0.025 < sum(marks[kind] for kind in INVALID) / fresh < 0.035


def test_late_events_are_minutes_to_hours_late_and_otherwise_the_same() -> None:
    good = faulty().take(2000)
    ages = []
    for before, after in zip(good, faulty(late=100).take(2000), strict=True):
        old, new = json.loads(before[1] or b""), json.loads(after[1] or b"")
        ages.append(old.pop("event_timestamp") - new.pop("event_timestamp"))
        assert (old, before[0], after[3]) == (new, after[0], LATE)
    assert MIN_LATE_MS <= min(ages) < 5 * 60_000
    assert 3_600_000 < max(ages) <= MAX_LATE_MS


def test_a_duplicate_is_the_same_message_again_soon_after() -> None:
    records = faulty(duplicate=20).take(5000)
    first: dict[bytes, int] = {}
    seen = 0
    for position, (key, value, _, mark) in enumerate(records):
        assert value is not None
        if mark == DUPLICATE:
            seen += 1
            assert records[first[value]][:2] == (key, value)
            assert position - first[value] <= 2 * MAX_DISTANCE
        else:
            assert value not in first
            first[value] = position
    assert seen > 500


def test_at_the_end_of_the_input_no_duplicate_is_left_out(
    write: Callable[..., str], drain: Callable[..., list[Record]]
) -> None:
    source = JsonLines(write(b"".join(b'{"n":%d}\n' % n for n in range(10))))
    records = drain(Faulty(source, seed=1, duplicate=100, fields={}), 3)
    assert Counter(value for _, value, _, _ in records) == {b'{"n":%d}' % n: 2 for n in range(10)}
    assert {mark for _, _, _, mark in records} == {FOREIGN}


def test_the_same_faults_however_they_are_taken() -> None:
    shares = {"late": 5.0, "duplicate": 5.0, "invalid": 5.0}
    once = faulty(**shares).take(3000)
    source, pieces, sizes = faulty(**shares), list[Record](), random.Random(2)
    while len(pieces) < 3000:
        pieces += source.take(min(sizes.randint(1, 90), 3000 - len(pieces)))
    assert pieces == once


def test_bad_messages_take_turns_and_keep_their_keys() -> None:
    good, bad = faulty().take(100), faulty(invalid=100).take(100)
    assert [mark for _, _, _, mark in bad] == [KINDS[n % len(KINDS)] for n in range(100)]
    assert [key for key, *_ in bad] == [key for key, *_ in good]


def parsed(kind: str) -> Any:
    good = faulty().take(1)[0][1] or b""
    value = spoiled(kind, good, FIELDS, random.Random(3))
    assert value is not None
    return json.loads(value)


@pytest.mark.parametrize("kind", ["not_json", "truncated", "second_object", "empty"])
def test_not_json(kind: str) -> None:
    with pytest.raises(json.JSONDecodeError):
        parsed(kind)


def test_what_each_kind_does() -> None:
    good = json.loads(faulty().take(1)[0][1] or b"")
    assert spoiled("tombstone", b"{}", FIELDS, random.Random(1)) is None
    assert isinstance(parsed("not_an_object"), list)
    assert len(good.keys() - parsed("missing_field").keys()) == 1
    assert list(parsed("null_field").values()).count(None) == 1
    assert "surely wrong" in parsed("wrong_type").values()
    assert max(v for v in parsed("huge_number").values() if isinstance(v, int)) > 2**128
    assert parsed("duplicate_key") == good
    with pytest.raises(UnicodeDecodeError):
        (spoiled("invalid_utf8", b"{}", FIELDS, random.Random(1)) or b"").decode()
    deep = spoiled("deep_nesting", b"", FIELDS, random.Random(1)) or b""
    assert deep.count(b"{") == deep.count(b"}") == 2000


@pytest.mark.parametrize("kind", KINDS)
def test_any_pipeline_and_any_message_can_be_spoiled(kind: str) -> None:
    for fields in ({}, {"a": "String"}, {"a": "Nullable(Int8)"}, {"a": "Int8"}):
        for value in (b"", b"no json", b"[1]", b'{"a":1}', b'{"b":1}'):
            spoiled(kind, value, fields, random.Random(1))


def test_every_mark_has_an_expectation_and_every_reason_is_one_of_the_pipeline() -> None:
    assert {expectation(mark) for mark in MARKS} == {"stored", "dead_letter", "either"}
    assert set(INVALID.values()) == set(REASONS)
    with pytest.raises(ValueError, match="no mark"):
        expectation("nonsense")
