"""What a `produce --ledger` run recorded, against what became of it, message by message.

Called by `nrtctl verify --ledger`. The entries are sorted in a temporary SQLite database on disk,
and compared a window of offsets at a time, so memory stays bounded.
"""

from __future__ import annotations

import base64
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from nrtctl.clickhouse.queries import Statements
from nrtctl.errors import ConfigError
from nrtctl.pipeline import Pipeline
from nrtctl.producer.ledger import Ledger, identity
from nrtctl.store.incarnations import Incarnations
from nrtctl.store.intents import Incarnation, OffsetRange
from nrtctl.store.rows import SLICE, TopicRows
from nrtctl.store.several_rows import rows_in
from nrtctl.store.target import Target

MOST_EXAMPLES = 20
LONGEST_VALUE = 65_536
"""Bytes of a dead letter's value that are fetched to compare it; a longer one is not compared, nor
is one that was purged."""


@dataclass(slots=True)
class LedgerReport:
    """Counts of messages (of rows: `repeated`, `foreign`, `landed_anyway`).

    Attributes:
        entries: all of the ledgers; `failed`: those that the producer gave up.
        left_out: messages that the pipeline's `when` leaves out, whatever they were expected to be.
        waiting: acknowledged, not stored, and not yet committed by the group: lag.
        right: there, with the fate, reason and identity that were recorded.
        lost: acknowledged, committed by the group, and no row.
        changed: the row at that offset carries another event.
        other_fate: stored instead of a dead letter, or the other way round.
        other_reason: a dead letter for another reason.
        unidentified: right, but the row does not tell which event it is (no `event_id`).
        repeated: rows between the ledger's offsets that carry one of its events once more.
        foreign: rows between the ledger's offsets that it does not know.
        landed_anyway: rows of messages that the producer gave up. No difference.
        torn: a producer was killed; it may have sent more, so `foreign` is no difference then.
        reasons: dead letters by reason: [expected, found].
    """

    entries: int = 0
    failed: int = 0
    left_out: int = 0
    waiting: int = 0
    right: int = 0
    lost: int = 0
    changed: int = 0
    other_fate: int = 0
    other_reason: int = 0
    unidentified: int = 0
    repeated: int = 0
    foreign: int = 0
    landed_anyway: int = 0
    torn: bool = False
    reasons: dict[str, list[int]] = field(default_factory=dict)
    examples: list[dict[str, Any]] = field(default_factory=list)

    @property
    def differences(self) -> dict[str, int]:
        names = ["lost", "changed", "other_fate", "other_reason", "repeated"]
        if not self.torn:
            names.append("foreign")
        return {name: getattr(self, name) for name in names if getattr(self, name)}

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "ok": not self.differences}

    def example(self, kind: str, partition: int, offset: int, text: str) -> None:
        if len(self.examples) < MOST_EXAMPLES:
            where = {"partition": partition, "offset": offset}
            self.examples.append({"difference": kind, **where, "what": text})


class _Expected(NamedTuple):
    partition: int
    offset: int
    expect: str
    reason: str | None
    id: str | None


class _Found(NamedTuple):
    dead: bool
    reason: str
    id: str | None
    identified: bool
    left_out: bool = False


def compare(
    queries: Statements,
    pipeline: Pipeline,
    *,
    database: str,
    ledgers: Sequence[Ledger],
    committed: Mapping[int, int | None],
    topic: Incarnation,
    now: Incarnation,
) -> LedgerReport:
    """Compare every entry with the rows.

    Args:
        committed: the group's committed offset by partition, asked before the rows are read.
        topic: the one that the ledgers are of (`topic_of`); `now`: the one that is there. Of
            another one nothing is waited for: what was not stored is lost.

    Raises:
        ConfigError: a ledger is of another topic.
        NrtctlError: a ledger is damaged.
        QueryError, ClickHouseGone: from `queries`.
    """
    for ledger in ledgers:
        if ledger.topic != pipeline.topic:
            raise ConfigError(
                f"{ledger.path} belongs to topic {ledger.topic!r}, but the pipeline's topic "
                f"is {pipeline.topic!r}",
                hint="choose another pipeline with --config or --set pipeline.topic=…",
            )
    with closing(sqlite3.connect("")) as book:
        report = LedgerReport()
        _fill(book, ledgers, report)
        rows = rows_in(queries, Target.of(pipeline, database, topic.number))
        gone = topic.number != now.number
        _Comparison(queries, pipeline, rows, book, None if gone else committed, report).run()
    return report


def topic_of(ledgers: Sequence[Ledger], now: Incarnation, topics: Incarnations) -> Incarnation:
    """The one topic of the name that all of the ledgers are of; `now` where they do not say it.

    Raises:
        ConfigError: they are of several, or of one that the database has never met.
    """
    ids = sorted({each.topic_id for each in ledgers} - {""})
    if len(ids) > 1:
        raise ConfigError(
            "the topic was deleted and created again between the runs that wrote these ledgers",
            hint="give the ledgers of one topic at a time",
        )
    if not ids or ids[0] == now.topic_id:
        return now
    for each in topics.known():
        if each.topic_id == ids[0]:
            return Incarnation(each.number, each.topic_id)
    raise ConfigError(
        f"the ledger belongs to a topic with the id {ids[0]}, from which this database has "
        "stored nothing",
        hint="the topic was created again before it was consumed, or the ledger belongs to another "
        "Kafka",
    )


def _fill(book: sqlite3.Connection, ledgers: Iterable[Ledger], report: LedgerReport) -> None:
    book.execute("CREATE TABLE entries (partition, offset, expect, reason, id)")

    def rows() -> Iterator[tuple[Any, ...]]:
        for ledger in ledgers:
            for entry in ledger:
                report.entries += 1
                report.failed += entry.failed is not None
                yield entry.partition, entry.offset, entry.expect, entry.reason, entry.id
            report.torn = report.torn or ledger.torn

    book.executemany("INSERT INTO entries VALUES (?, ?, ?, ?, ?)", rows())
    book.execute("CREATE INDEX by_offset ON entries (partition, offset)")


class _Comparison:
    def __init__(
        self,
        queries: Statements,
        pipeline: Pipeline,
        rows: TopicRows,
        book: sqlite3.Connection,
        committed: Mapping[int, int | None] | None,
        report: LedgerReport,
    ) -> None:
        self._queries = queries
        self._rows = rows
        self._named = "event_id" in pipeline.fields
        self._book = book
        self._committed = committed
        self._report = report
        self._expected: Counter[str] = Counter()
        self._found: Counter[str] = Counter()
        self._ids_indexed = False

    def run(self) -> None:
        next_offset: dict[int, int] = {}
        for window in self._windows():
            partition, first, last = window[0].partition, window[0].offset, window[-1].offset
            start = next_offset.get(partition, first)
            if first - start > SLICE:
                between = OffsetRange(start, first)
                self._report.foreign += self._rows.count(partition, between)
                start = first
            self._window(partition, OffsetRange(start, last + 1), window)
            next_offset[partition] = last + 1
        self._report.reasons = {
            reason: [self._expected[reason], self._found[reason]]
            for reason in sorted(self._expected.keys() | self._found.keys())
        }

    def _windows(self) -> Iterator[list[_Expected]]:
        """Entries of one partition and at most `SLICE` offsets, ascending."""
        window: list[_Expected] = []
        for row in self._book.execute(
            "SELECT * FROM entries WHERE offset IS NOT NULL ORDER BY partition, offset"
        ):
            entry = _Expected(*row)
            if window and (
                entry.partition != window[0].partition or entry.offset - window[0].offset >= SLICE
            ):
                yield window
                window = []
            window.append(entry)
        if window:
            yield window

    def _window(self, partition: int, span: OffsetRange, window: list[_Expected]) -> None:
        there = self._there(partition, span)
        for entry in window:
            self._entry(entry, there.get(entry.offset))
        known = {entry.offset for entry in window}
        for offset in sorted(there.keys() - known):
            self._extra(partition, offset, there[offset])

    def _there(self, partition: int, span: OffsetRange) -> dict[int, _Found]:
        """What is at each offset; of a row and a dead letter, the row."""
        stored, dead = self._rows.where(partition, span)
        if self._rows.target.several:
            stored = f"{stored} AND {self._rows.whole(partition, span)}"
            dead = f"{dead} AND _rows > 0"
        name = "toString(event_id)" if self._named else "''"
        rows = self._queries.query(
            f"SELECT _offset, 0 AS dead, '' AS reason, {name} AS id, 0 AS long, "
            f"CAST(NULL, 'Nullable(String)') AS body, 0 AS skipped "
            f"FROM {self._rows.table} WHERE {stored} "
            f"UNION ALL SELECT _offset, 1, toString(reason), '', "
            f"length(ifNull(value, '')) > {LONGEST_VALUE} OR purged_at IS NOT NULL, "
            f"if(length(ifNull(value, '')) > {LONGEST_VALUE}, NULL, base64Encode(value)), "
            f"{self._rows.target.is_left_out} "
            f"FROM {self._rows.dead_letters} WHERE {dead}"
        )
        found: dict[int, _Found] = {}
        for offset, is_dead, reason, name, long, body, skipped in rows:
            if skipped:
                found.setdefault(int(offset), _Found(True, "", None, False, left_out=True))
            elif is_dead:
                value = None if body is None else base64.b64decode(body)
                each = _Found(True, str(reason), identity(value), not long)
                found.setdefault(int(offset), each)
            else:
                found[int(offset)] = _Found(False, "", str(name) or None, self._named)
        return found

    def _entry(self, entry: _Expected, found: _Found | None) -> None:
        report, where = self._report, (entry.partition, entry.offset)
        if found is None and self._waits(entry):
            report.waiting += 1
            return
        if found is not None and found.left_out:
            report.left_out += 1
            return
        self._count_reasons(entry, found)
        if found is None:
            report.lost += 1
            report.example("lost", *where, f"event {entry.id} was acknowledged and has no row")
            return
        fate = "dead_letter" if found.dead else "stored"
        if _other_event(entry, found):
            report.changed += 1
            report.example("changed", *where, f"sent {entry.id}, found {found.id}")
        elif entry.expect not in {fate, "either"}:
            report.other_fate += 1
            because = f" ({found.reason})" if found.dead else ""
            report.example("other_fate", *where, f"expected {entry.expect}, found {fate}{because}")
        elif found.dead and entry.reason not in {None, found.reason}:
            report.other_reason += 1
            text = f"expected {entry.reason!r}, found {found.reason!r}"
            report.example("other_reason", *where, text)
        else:
            report.right += 1
            report.unidentified += not _comparable(entry, found)

    def _waits(self, entry: _Expected) -> bool:
        """Whether the group has not come to it yet."""
        if self._committed is None:
            return False
        committed = self._committed.get(entry.partition)
        return committed is None or entry.offset >= committed

    def _count_reasons(self, entry: _Expected, found: _Found | None) -> None:
        if entry.reason is not None:
            self._expected[entry.reason] += 1
        if found is not None and found.dead:
            self._found[found.reason] += 1

    def _extra(self, partition: int, offset: int, found: _Found) -> None:
        acknowledged = self._acknowledged(found.id) if found.identified and found.id else None
        if acknowledged is False:
            self._report.landed_anyway += 1
        elif acknowledged:
            self._report.repeated += 1
            self._report.example(
                "repeated", partition, offset, f"{found.id} is stored a second time"
            )
        else:
            self._report.foreign += 1
            text = f"{found.id or 'an event'} is in none of the given ledgers"
            self._report.example("foreign", partition, offset, text)

    def _acknowledged(self, name: str) -> bool | None:
        """Whether the ledger has the event as acknowledged; None: it does not know it."""
        if not self._ids_indexed:
            self._book.execute("CREATE INDEX by_id ON entries (id COLLATE NOCASE)")
            self._ids_indexed = True
        found = self._book.execute(
            "SELECT max(offset IS NOT NULL) FROM entries WHERE id = ? COLLATE NOCASE", (name,)
        ).fetchone()[0]
        return None if found is None else bool(found)


def _comparable(entry: _Expected, found: _Found) -> bool:
    """Whether the row tells which event it is: a stored row keeps its event_id, not its bytes."""
    return found.identified and (found.dead or (entry.id is not None and entry.id[:3] != "b2:"))


def _other_event(entry: _Expected, found: _Found) -> bool:
    if not _comparable(entry, found):
        return False
    return (entry.id or "").lower() != (found.id or "").lower()
