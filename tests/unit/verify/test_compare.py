"""What `verify` says of a topic, against a count of every single offset."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nrtctl.kafka.partitions import LogPartition
from nrtctl.pipeline import Pipeline
from nrtctl.store.intents import FIRST, Incarnation, OffsetRange
from nrtctl.verify import compare
from nrtctl.verify.compare import under_way
from nrtctl.verify.report import PartitionReport, Report
from tests.unit.verify.memory import MemoryLog, MemoryRows, Stored, joined

PIPELINE = Pipeline(topic="t", table="events", fields={"a": "String"})
TOPIC = Incarnation(FIRST, "id")
HIGHEST = 60


@pytest.fixture(autouse=True, scope="module")
def _rows_in_memory() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare, "rows_in", MemoryRows)
        yield


def verify(
    log: MemoryLog, stored: Stored, *, topic: Incarnation = TOPIC, lost: tuple[str, ...] = ()
) -> Report:
    return compare.verify(
        stored, PIPELINE, database="d", group="g", log=log, topic=topic, lost=lost
    )


def declared(end: int) -> str:
    return f"nrtctl1:events:{end}:e"


@dataclass(frozen=True)
class World:
    """One partition: its log, the group, what is stored."""

    log_start: int
    log_end: int
    committed: int | None
    pending_to: int | None
    messages: frozenset[int]
    damaged: frozenset[int]
    rows: dict[int, tuple[int, int]]

    @property
    def entry(self) -> LogPartition:
        metadata = "" if self.pending_to is None else declared(self.pending_to)
        return LogPartition(0, self.log_start, self.log_end, self.committed, metadata)

    def report(self) -> Report:
        log = MemoryLog([[self.entry]], {0: set(self.messages)}, {0: set(self.damaged)})
        return verify(log, Stored({0: self.rows}))


places = st.integers(0, HIGHEST)
counts = st.sampled_from([(1, 0), (1, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2), (2, 1)])


@st.composite
def worlds(draw: st.DrawFn) -> World:
    log_start, log_end = sorted((draw(places), draw(places)))
    committed = draw(st.none() | places)
    pending_to = None
    if committed is not None and draw(st.booleans()):
        pending_to = committed + draw(st.integers(1, 20))
    inside = st.sets(st.integers(log_start, max(log_start, log_end - 1)), max_size=40)
    messages = draw(inside) if log_end > log_start else set[int]()
    damaged = draw(st.sets(st.sampled_from(sorted(messages)), max_size=8)) if messages else set()
    rows: dict[int, tuple[int, int]] = {}
    for start, length in draw(st.lists(st.tuples(places, st.integers(1, 25)), max_size=4)):
        rows |= {offset: draw(counts) for offset in range(start, start + length)}
    return World(
        log_start, log_end, committed, pending_to, frozenset(messages), frozenset(damaged), rows
    )


def listed(offsets: list[int]) -> list[list[int]]:
    return [[span.start, span.end] for span in joined(offsets)]


def expected(world: World) -> PartitionReport:
    """By the words of `PartitionReport`, offset by offset."""
    rows, committed = world.rows, world.committed
    passed = 0 if committed is None else committed
    checked = range(world.log_start, min(passed, world.log_end))
    without = [offset for offset in range(HIGHEST + 100) if offset not in rows]
    missing = [n for n in without if n in checked and n in world.messages - world.damaged]
    lost = [n for n in without if n in checked and n in world.damaged]
    if committed is not None:
        lost += [n for n in without if committed <= n < world.log_start]
    duplicated = [n for n, held in sorted(rows.items()) if sum(held) > 1]
    pending = None if world.pending_to is None else range(passed, world.pending_to)
    claimed = min(passed if pending is None else pending.stop, world.log_end)
    return PartitionReport(
        partition=0,
        log_start=world.log_start,
        log_end=world.log_end,
        committed=committed,
        lag=len(range(max(world.log_start, passed), world.log_end)),
        stored=sum(held[0] for held in rows.values()),
        dead_letters=sum(held[1] for held in rows.values()),
        missing=len(missing),
        duplicated=sum(sum(held) - 1 for held in rows.values()),
        in_both=sum(held[0] > 0 and held[1] > 0 for held in rows.values()),
        pending=None if pending is None else [pending.start, pending.stop],
        pending_rows=sum(sum(held) for n, held in rows.items() if n in (pending or ())),
        lost=len(lost),
        unchecked=len([n for n in without if min(rows, default=n) < n < world.log_start
                       and n < passed]),
        ahead=sum(sum(held) for n, held in rows.items() if claimed <= n < world.log_end),
        beyond=sum(sum(held) for n, held in rows.items() if n >= world.log_end),
        missing_ranges=listed(missing),
        duplicated_ranges=listed(duplicated),
        lost_ranges=listed(sorted(lost)),
        more_ranges=0,
        rows=sum(held[0] for held in rows.values()),
    )  # fmt: skip


@given(worlds())
def test_every_offset_is_accounted_for(world: World) -> None:
    report = world.report()
    (partition,) = report.partitions
    assert partition == expected(world)
    for name in ("stored", "dead_letters", "missing", "duplicated", "lost", "lag"):
        assert getattr(report, name) == getattr(partition, name)
    assert report.ok is not any(
        (partition.missing, partition.duplicated, partition.lost, report.problems)
    )


WHOLE = World(
    log_start=10,
    log_end=30,
    committed=30,
    pending_to=None,
    messages=frozenset(range(10, 30)),
    damaged=frozenset(),
    rows=dict.fromkeys(range(5, 30), (1, 0)),
)


def test_nothing_is_said_where_nothing_is_wrong() -> None:
    report = WHOLE.report()
    assert (report.problems, report.notes, report.ok) == ([], [], True)
    assert (report.topic, report.table, report.group) == ("t", "events", "g")
    assert (report.stored, report.lag) == (25, 0)


@pytest.mark.parametrize("taken", range(10, 30))
def test_a_row_that_is_taken_away_is_missing(taken: int) -> None:
    rows = {offset: held for offset, held in WHOLE.rows.items() if offset != taken}
    report = replace(WHOLE, rows=rows).report()
    assert (report.missing, report.ok) == (1, False)
    assert report.partitions[0].missing_ranges == [[taken, taken + 1]]


def notes(world: World) -> list[str]:
    report = world.report()
    assert report.problems == []
    return report.notes


def problems(world: World) -> list[str]:
    return world.report().problems


def test_a_batch_under_way_is_no_loss() -> None:
    pending = replace(WHOLE, committed=20, pending_to=30, rows=dict.fromkeys(range(10, 21), (1, 0)))
    assert pending.report().ok
    assert notes(pending) == [
        "a batch is declared and may still be in progress (partition 0: 20–29); 1 row of it stored "
        "so far, and the rest does not count as missing"
    ]


def test_batches_under_way_are_one_note() -> None:
    (one,) = WHOLE.report().partitions
    reports = [
        replace(one, partition=number, pending=[10 * number, 10 * number + 9], pending_rows=2)
        for number in range(6)
    ]
    assert under_way(reports) == [
        "6 batches are declared and may still be in progress (partition 0: 0–8, 1: 10–18, "
        "2: 20–28, 3: 30–38, …); 12 rows of them stored so far, and the rest does not count as "
        "missing"
    ]
    assert under_way([]) == []


def test_rows_ahead_of_the_group_are_noted() -> None:
    assert notes(replace(WHOLE, committed=27)) == [
        "partition 0: 3 rows are ahead of the group's offset, which was probably moved back; they "
        "are not stored a second time"
    ]
    assert notes(replace(WHOLE, committed=None))[0].startswith("partition 0: 25 rows are ahead")


def test_what_kafka_has_forgotten_is_noted() -> None:
    rows = {n: (1, 0) for n in range(3, 30) if n not in (7, 8)}
    (note,) = notes(replace(WHOLE, rows=rows))
    assert note.startswith("partition 0: 2 offsets below the log start without a row")


def test_damage_is_lost_where_no_row_names_it() -> None:
    rows = {n: (1, 0) for n in range(10, 30) if n not in (12, 13, 15)}
    world = replace(WHOLE, rows=rows, damaged=frozenset({11, 12, 13}))
    report = world.report()
    assert (report.lost, report.missing) == (2, 1)
    assert report.partitions[0].lost_ranges == [[12, 14]]
    (note,) = report.notes
    assert note.startswith("partition 0: 11–13 is damaged in Kafka")
    assert "2 offsets have no row" in note


def test_damage_behind_what_is_committed_is_not_looked_at() -> None:
    rows = dict.fromkeys(range(10, 12), (1, 0))
    world = replace(WHOLE, committed=13, rows=rows, damaged=frozenset({12, 13, 14}))
    report = world.report()
    assert report.partitions[0].lost_ranges == [[12, 13]]
    (note,) = report.notes
    assert "12 is damaged" in note


def test_rows_beyond_the_log_are_a_problem() -> None:
    rows = {**WHOLE.rows, 30: (1, 0), 40: (1, 1)}
    (problem,) = problems(replace(WHOLE, rows=rows))
    assert problem.startswith("partition 0: 3 rows are at or beyond the log's end 30")


def test_a_group_beyond_the_log_is_a_problem() -> None:
    assert problems(replace(WHOLE, committed=30)) == []
    (problem,) = problems(replace(WHOLE, committed=31))
    assert problem.startswith("partition 0: the group's offset is 31, but the log ends at 30")


def test_metadata_of_another_table_is_noted_and_passed() -> None:
    entry = LogPartition(0, 10, 30, 20, "nrtctl1:other:30:e")
    log = MemoryLog([[entry]], {0: set(range(10, 30))})
    report = verify(log, Stored({0: dict.fromkeys(range(10, 20), (1, 0))}))
    assert report.partitions[0].pending is None
    assert len(report.notes) == 1
    assert report.notes[0].startswith("partition 0: ")
    assert report.ok


def test_a_partition_that_only_the_table_knows_is_compared_with_an_empty_log() -> None:
    log = MemoryLog([[WHOLE.entry]], {0: set(WHOLE.messages)})
    report = verify(log, Stored({0: WHOLE.rows, 3: {7: (1, 0)}}))
    assert [each.partition for each in report.partitions] == [0, 3]
    assert (report.partitions[1].log_end, report.partitions[1].beyond) == (0, 1)
    assert not report.ok


def test_a_consumer_that_goes_on_meanwhile_is_asked_about_again() -> None:
    """Its rows are seen before its offsets are: they are neither ahead nor beyond."""
    messages = {0: set(range(10, 50))}
    before, after = replace(WHOLE, log_end=35).entry, LogPartition(0, 10, 50, 45)
    rows = dict.fromkeys(range(10, 45), (1, 0))
    moved = MemoryLog([[before], [after]], messages)
    report = verify(moved, Stored({0: rows}))
    assert (report.partitions[0].ahead, report.partitions[0].beyond) == (0, 0)
    assert (report.problems, report.notes, moved.asked) == ([], [], 2)
    still = MemoryLog([[before], [after]], messages)
    verify(still, Stored({0: dict.fromkeys(range(10, 30), (1, 0))}))
    assert still.asked == 1


def test_a_group_that_has_committed_nothing_is_asked_about_again() -> None:
    log = MemoryLog([[LogPartition(0, 0, 30, None)], [LogPartition(0, 0, 30, 30)]])
    report = verify(log, Stored({0: {0: (1, 0)}}))
    assert (log.asked, report.partitions[0].ahead) == (2, 0)


def test_rows_and_offsets_of_an_earlier_topic_are_noted() -> None:
    entries = [replace_earlier(WHOLE.entry, 0, 9), replace_earlier(WHOLE.entry, 1, None)]
    log = MemoryLog([entries], {0: set(WHOLE.messages), 1: set(WHOLE.messages)})
    stored = Stored({0: WHOLE.rows, 1: WHOLE.rows}, {1: (40, 1), 2: (50, 0)})
    report = verify(log, stored, topic=Incarnation(2, "id"))
    earlier, offsets = report.notes
    assert earlier.startswith("40 rows and 1 dead letter belong to incarnation 1 of the topic")
    assert "is incarnation 2" in earlier
    assert offsets.startswith("the group's offsets of 1 partition belong to an earlier topic")
    assert report.ok


def replace_earlier(entry: LogPartition, partition: int, earlier: int | None) -> LogPartition:
    return LogPartition(
        partition, entry.log_start, entry.log_end, entry.committed, entry.metadata, earlier
    )


def test_a_topic_that_is_made_again_meanwhile_is_a_problem() -> None:
    log = MemoryLog([[WHOLE.entry]], {0: set(WHOLE.messages)}, id_now="another")
    (problem,) = verify(log, Stored({0: WHOLE.rows})).problems
    assert "created again during the comparison" in problem


def test_what_the_tables_have_lost_is_a_problem_each() -> None:
    log = MemoryLog([[WHOLE.entry]], {0: set(WHOLE.messages)})
    report = verify(log, Stored({0: WHOLE.rows}), lost=("a view is gone", "a column is gone"))
    assert (report.problems, report.ok) == (["a view is gone", "a column is gone"], False)


def test_ranges_that_are_not_listed_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nrtctl.verify.report.MOST_RANGES", 2)
    rows = {n: (2, 0) if n % 4 == 0 else (1, 0) for n in range(10, 30) if n % 2 == 0}
    report = replace(WHOLE, rows=rows).report()
    (partition,) = report.partitions
    assert (partition.missing, len(partition.missing_ranges)) == (10, 2)
    assert (partition.duplicated, len(partition.duplicated_ranges)) == (5, 2)
    assert partition.more_ranges == 8 + 3


def test_totals_are_sums_over_the_partitions() -> None:
    entries = [LogPartition(n, 10, 30, 28) for n in (0, 1)]
    log = MemoryLog([entries], {n: set(range(10, 30)) for n in (0, 1)})
    rows = {n: (1, 0) for n in range(10, 30) if n != 20} | {11: (1, 1)}
    report = verify(log, Stored({0: rows, 1: rows}))
    assert (report.stored, report.dead_letters, report.missing) == (38, 2, 2)
    assert (report.duplicated, report.lost, report.lag) == (2, 0, 4)


def test_a_range_is_empty_where_the_group_is_behind_the_log() -> None:
    assert compare.checked_range(LogPartition(0, 10, 30, 10)) is None
    assert compare.checked_range(LogPartition(0, 10, 30, 11)) == OffsetRange(10, 11)
