"""What the numbers mean, in one word with its cause."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nrtctl.stats.snapshot import Group, Member, PartitionLag, Problem
from nrtctl.stats.verdict import PATIENCE, TOLERABLE, Evidence, judge

STABLE = Group("g", "stable", [Member("m", "nrtctl", "127.0.0.1", [0, 1])])


def partition(number: int, lag: int, age: float | None = None) -> PartitionLag:
    return PartitionLag(number, 0, lag, 0, lag, age, None, None, None)


def evidence(
    *, lag: int = 0, seconds: float | None = 0.0, produced: float = 0.0, consumed: float = 0.0
) -> Evidence:
    lags = [partition(0, lag), partition(1, 0)]
    return Evidence([], lags, STABLE, {0: 0.0, 1: 99.0}, produced, consumed, seconds)


AWAY = Problem("registry", "the schema registry does not answer", None, True)
BEHIND = evidence(lag=1000, seconds=60.0, produced=100.0, consumed=50.0)


@pytest.mark.parametrize(
    ("seen", "state", "cause"),
    [
        (evidence(), "ok", "everything"),
        (evidence(lag=10, seconds=1.0, produced=9, consumed=1), "ok", "10 records wait, 1.0 s"),
        (BEHIND, "falling behind", "100 records/s come in, 50 are stored; 1,000 are waiting"),
        (replace(BEHIND, consumed=300.0), "ok", "drained in 5 s"),
        (replace(BEHIND, lag_seconds=None), "ok", "1,000 records wait"),
        (
            replace(
                BEHIND,
                lag_seconds=None,
                lag=[partition(0, 5), partition(1, 2, age=30.0)],
                quiet={},
            ),
            "falling behind",
            "7 are waiting, the oldest for 30 s",
        ),
        (replace(BEHIND, lag_seconds=0.0, quiet={0: 20.0}), "stalled", "partition 0"),
        (replace(BEHIND, lag_seconds=None, quiet={0: 20.0}), "stalled", "partition 0"),
        (replace(BEHIND, quiet={0: 20.0}), "stalled", "partition 0: no offset committed for 20 s"),
        (replace(BEHIND, problems=[AWAY]), "falling behind", "100 records/s come in"),
        (
            replace(BEHIND, quiet={0: 20.0}, problems=[AWAY]),
            "stalled",
            "no offset committed for 20 s; the schema registry does not answer",
        ),
        (
            replace(BEHIND, quiet={0: 20.0}, held={0: 7000}),
            "stalled",
            "a producer has not ended (in partition 0 since offset 7,000)",
        ),
        (
            replace(BEHIND, quiet={0: 20.0}, parts_most=3000, parts_limit=3000),
            "stalled",
            "3,000 parts, inserts are refused",
        ),
        (
            replace(BEHIND, quiet={0: 20.0}, group=Group("g", "stable", [Member("", "", "", [1])])),
            "stalled",
            "no member has it",
        ),
        (
            replace(BEHIND, quiet={0: 20.0}, group=replace(STABLE, state="preparing_rebalance")),
            "stalled",
            "preparing rebalance",
        ),
        (replace(BEHIND, group=Group("g", "empty", [])), "stopped", "1,000 records wait"),
        (
            replace(BEHIND, group=replace(STABLE, paused_since="2026-01-01 09:00:00")),
            "paused",
            "since 2026-01-01 09:00:00 (UTC), until `nrtctl resume`; 1,000 records wait",
        ),
        (
            replace(BEHIND, problems=[Problem("kafka", "no broker", None, True)]),
            "Kafka gone",
            "no broker",
        ),
        (
            replace(BEHIND, problems=[Problem("clickhouse", "no server", None, True)]),
            "ClickHouse gone",
            "no server",
        ),
        (
            replace(BEHIND, problems=[Problem("clickhouse", "no table", None, False)]),
            "unknown",
            "no table",
        ),
        (replace(evidence(), problems=[Problem("metrics", "no", None, False)]), "ok", "everything"),
        (replace(evidence(), group=None), "unknown", "not been asked"),
    ],
)  # fmt: skip
def test_each_verdict(seen: Evidence, state: str, cause: str) -> None:
    verdict = judge(seen)
    assert verdict.state == state
    assert cause in verdict.cause


def test_a_lag_of_the_flush_interval_is_health() -> None:
    """With batch.max_wait = 30 s offsets move twice a minute, and that is as it should be."""
    seen = replace(BEHIND, lag_seconds=32.0, quiet={0: 31.0})
    assert judge(seen).state == "stalled"
    assert judge(replace(seen, batch_wait=30.0)).state == "ok"
    late = replace(seen, batch_wait=30.0, lag_seconds=95.0, quiet={0: 95.0})
    assert judge(late).state == "stalled"


@given(
    lag=st.integers(0, 10**6),
    seconds=st.none() | st.floats(0, 1e5),
    produced=st.none() | st.floats(0, 1e5),
    consumed=st.none() | st.floats(0, 1e5),
    quiet=st.floats(0, 100),
    members=st.booleans(),
)
def test_what_holds_for_all(
    lag: int,
    seconds: float | None,
    produced: float | None,
    consumed: float | None,
    quiet: float,
    members: bool,
) -> None:
    group = STABLE if members else Group("g", "empty", [])
    verdict = judge(
        Evidence([], [partition(0, lag)], group, {0: quiet}, produced, consumed, seconds)
    )
    assert verdict.cause
    assert (verdict.state == "stopped") == (not members and lag > 0)
    assert (verdict.state == "idle") == (not members and lag == 0)
    if lag == 0 and members:
        assert verdict.state == "ok"
    if verdict.state == "stalled":
        assert lag
        assert quiet >= PATIENCE
    if verdict.state == "falling behind":
        assert produced is not None
        assert consumed is not None
        assert seconds is not None
        assert consumed <= produced
        assert seconds > TOLERABLE
