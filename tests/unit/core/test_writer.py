"""Storing a batch against a table in memory that fails as ClickHouse does."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping, Sequence
from threading import Event
from typing import Any

import pytest

from nrtctl.clickhouse.client import AccessRefused, ClickHouseGone, QueryError
from nrtctl.clickhouse.queries import Rows, pieces_of
from nrtctl.clock import ManualClock, notices
from nrtctl.errors import NrtctlError
from nrtctl.store.batch import Batch
from nrtctl.store.envelope import row_encoder
from nrtctl.store.intents import OffsetRange
from nrtctl.store.intents.delivery import Mode
from nrtctl.store.pressure import Pressure
from nrtctl.store.target import Target
from nrtctl.store.tokens import RepairTokens
from nrtctl.store.writer import Abandoned, IntentRefused, Writer


class Table:
    """Rows by offset, with deduplication tokens and failures that a test lines up."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.tokens: list[str] = []
        self.failures: list[Callable[[Callable[[], None]], None]] = []

    def insert(
        self, table: str, columns: Sequence[str], body: Rows, settings: Mapping[str, Any]
    ) -> None:
        token = str(settings["insert_deduplication_token"])
        size = len(row_encoder("t", 1, 0)(0, 0, None, b"v"))
        body = b"".join(pieces_of(body))
        offsets = [struct.unpack_from("<q", body, at + 10)[0] for at in range(0, len(body), size)]

        def land() -> None:
            if token not in self.tokens:
                self.rows += offsets
                self.tokens.append(token)

        if self.failures:
            self.failures.pop(0)(land)
        else:
            land()

    def query(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> list[tuple[Any, ...]]:
        if "system.mutations" in sql:
            return []
        if sql.startswith("SELECT _partition, count()"):
            spans = re.findall(
                r"_partition = (\d+) AND \(\(_offset >= (\d+) AND _offset < (\d+)", sql
            )
            half = spans[: len(spans) // 2]  # the dead letters are asked for the same
            inside = {
                p: [o for o in self.rows if int(low) <= o < int(high)] for p, low, high in half
            }
            return [(p, len(f), len(set(f)), sum(f)) for p, f in inside.items() if f]
        low, high = map(int, re.findall(r"_offset >= (\d+) AND _offset < (\d+)", sql)[0])
        found = [offset for offset in self.rows if low <= offset < high]
        return [(found, [], 0)]

    def command(self, sql: str, settings: Mapping[str, Any] | None = None) -> None:
        if "dead_letters" not in sql:
            spans = re.findall(r"_offset >= (\d+) AND _offset < (\d+)", sql)
            inside = [range(int(low), int(high)) for low, high in spans]
            self.rows = [offset for offset in self.rows if not any(offset in r for r in inside)]


class Harness:
    def __init__(self) -> None:
        self.table = Table()
        self.clock = ManualClock()
        self.intents: list[tuple[int, OffsetRange]] = []
        self.refuse = False
        target = Target("t", "nrt", "events_landing", "events", "dead_letters", {}, 1)
        self.writer = Writer(
            target,
            self.table,
            declare=self._declare,
            lease=10,
            clock=self.clock,
            pressure=Pressure("nrt", ("events",), ManualClock()),
            waiting=lambda reason, seconds: self.clock.advance(self.patience),
        )
        self.patience = 0.0

    def _declare(self, partition: int, span: OffsetRange, look: bool) -> float:
        if self.refuse:
            raise IntentRefused
        self.intents.append((partition, span))
        return self.clock.monotonic()

    def write(self, *, mode: Mode = Mode.NEW, give_up: Event | None = None) -> None:
        offsets = [10, 11, 13]
        encode = row_encoder("t", 1, 0)
        rows = [encode(offset, 0, None, b"v") for offset in offsets]
        batch = Batch.of_rows(0, "a1", OffsetRange(10, 15), offsets, rows)
        self.writer.write(batch, mode, None, give_up or Event())


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> Harness:
    monkeypatch.setattr("nrtctl.store.writer.Backoff.next", lambda self: _count(self))
    return Harness()


def _count(backoff: Any) -> float:
    backoff.attempt += 1
    return 0.0


def _gone(land: Callable[[], None]) -> None:
    raise ClickHouseGone("cut before it was carried out")


def _gone_after(land: Callable[[], None]) -> None:
    land()
    raise ClickHouseGone("cut before the answer")


def _failing(code: int) -> Callable[[Callable[[], None]], None]:
    def fail(land: Callable[[], None]) -> None:
        raise QueryError(f"code {code}", code)

    return fail


def test_the_intent_comes_before_the_insert(harness: Harness) -> None:
    harness.write()
    assert harness.intents == [(0, OffsetRange(10, 15))]
    assert harness.table.rows == [10, 11, 13]


def test_it_is_said_that_an_insert_is_not_answered_and_not_for_each(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    heard = Event()
    monkeypatch.setattr(notices, "AFTER_SECONDS", 0.0)

    def hear(text: str) -> None:
        said.append(text)
        heard.set()

    def late(land: Callable[[], None]) -> None:
        assert heard.wait(60)
        land()

    monkeypatch.setattr(notices, "_listener", hear)
    harness.table.failures += [late, late]
    harness.write()
    harness.table.rows.clear()
    harness.table.tokens.clear()
    harness.write()
    assert len(said) == 1
    assert "ClickHouse, which has not answered yet" in said[0]


def test_a_refused_intent_inserts_nothing(harness: Harness) -> None:
    harness.refuse = True
    with pytest.raises(IntentRefused):
        harness.write()
    assert harness.table.tokens == []


@pytest.mark.parametrize("failure", [_gone, _gone_after, _failing(252), _failing(241)])
def test_a_passing_fault_is_waited_out_and_every_row_stored_once(
    harness: Harness, failure: Callable[[Callable[[], None]], None]
) -> None:
    harness.table.failures = [failure] * 3
    harness.write()
    assert sorted(harness.table.rows) == [10, 11, 13]


def test_a_spent_token_without_its_rows_does_not_lose_them(harness: Harness) -> None:
    harness.table.tokens = ["t/0/a1/10-15"]
    harness.write(mode=Mode.RESUME)
    assert sorted(harness.table.rows) == [10, 11, 13]


def test_what_is_there_in_part_is_replaced(harness: Harness) -> None:
    harness.table.rows = [11]
    harness.table.tokens = ["t/0/a1/10-15"]
    harness.write(mode=Mode.RESUME)
    assert sorted(harness.table.rows) == [10, 11, 13]


def test_a_doubled_range_is_replaced(harness: Harness) -> None:
    harness.table.rows = [10, 10, 11, 13, 99]
    harness.table.tokens = ["t/0/a1/10-15"]
    harness.write(mode=Mode.RESUME)
    assert sorted(harness.table.rows) == [10, 11, 13, 99]


def test_an_old_intent_is_declared_again_before_the_next_try(harness: Harness) -> None:
    harness.patience = 11
    harness.table.failures = [_gone]
    harness.write()
    assert len(harness.intents) >= 2


def test_a_lost_partition_is_noticed_at_the_next_try(harness: Harness) -> None:
    harness.patience = 11

    def lose(land: Callable[[], None]) -> None:
        harness.refuse = True
        raise ClickHouseGone("away")

    harness.table.failures = [lose]
    with pytest.raises(IntentRefused):
        harness.write()
    assert harness.table.rows == []


def test_giving_up_leaves_the_intent(harness: Harness) -> None:
    give_up = Event()
    give_up.set()
    harness.table.failures = [_gone] * 5
    with pytest.raises(Abandoned):
        harness.write(give_up=give_up)
    assert harness.table.rows == []


def test_gaps_are_filled_without_intents_and_what_is_there_stays(harness: Harness) -> None:
    encode = row_encoder("t", 1, 0)
    offsets = [10, 11, 13]
    rows = [encode(offset, 0, None, b"v") for offset in offsets]
    harness.table.rows = [12]
    harness.table.failures = [_failing(252), _gone_after, _gone]
    batch = Batch.of_gaps(0, offsets, rows, RepairTokens("t", 0))
    harness.writer.write(batch, Mode.FILL, None, Event())
    assert harness.intents == []
    assert sorted(harness.table.rows) == [10, 11, 12, 13]
    assert harness.table.tokens == [RepairTokens("t", 0).insert(batch.span, offsets, 0)]


def _shared(partition: int, name: str = "ab") -> Batch:
    offsets = [10 + 10 * partition, 11 + 10 * partition]
    rows = [row_encoder("t", 1, partition)(offset, 0, None, b"v") for offset in offsets]
    span = OffsetRange(offsets[0], offsets[1] + 1)
    return Batch.of_rows(partition, "a1", span, offsets, rows, name)


def test_batches_of_several_partitions_go_in_one_insert(harness: Harness) -> None:
    now = harness.clock.monotonic()
    assert harness.writer.write_together([_shared(0), _shared(1)], now, Event())
    assert harness.table.rows == [10, 11, 20, 21]
    assert harness.table.tokens == ["t/~ab"]


@pytest.mark.parametrize("failure", [_gone, _gone_after, _failing(252), _failing(241)])
def test_a_passing_fault_of_a_shared_insert_is_waited_out_together(
    harness: Harness, failure: Callable[[Callable[[], None]], None]
) -> None:
    """A server that has too many parts is not asked for an insert of each batch."""
    harness.table.failures = [failure] * 3
    now = harness.clock.monotonic()
    assert harness.writer.write_together([_shared(0), _shared(1)], now, Event())
    assert harness.table.rows == [10, 11, 20, 21]
    assert harness.table.tokens == ["t/~ab"]


@pytest.mark.parametrize("rows", [[], [10, 11], [10, 11, 20, 21, 21]])
def test_what_a_count_does_not_find_whole_is_stored_alone(
    harness: Harness, rows: list[int]
) -> None:
    batches, now = [_shared(0), _shared(1)], harness.clock.monotonic()
    harness.table.failures = [_gone]
    harness.table.tokens, harness.table.rows = ["t/~ab"], rows
    assert not harness.writer.write_together(batches, now, Event())
    for batch in batches:
        harness.writer.write(batch, Mode.NEW, now, Event())
    assert sorted(harness.table.rows) == [10, 11, 20, 21]


@pytest.mark.parametrize("code", [60, 6])
def test_a_shared_insert_that_is_refused_for_good_goes_apart(harness: Harness, code: int) -> None:
    """Whose message it was, or what to mend, only each of them alone can tell."""
    harness.table.failures = [_failing(code)]
    batches, now = [_shared(0), _shared(1)], harness.clock.monotonic()
    assert not harness.writer.write_together(batches, now, Event())
    for batch in batches:
        harness.writer.write(batch, Mode.NEW, now, Event())
    assert sorted(harness.table.rows) == [10, 11, 20, 21]
    assert harness.table.tokens == ["t/~ab", "t/1/a1/20-22/r1"]


def test_a_shared_insert_is_given_up_with_its_lease(harness: Harness) -> None:
    harness.patience = 4
    harness.table.failures = [_gone] * 50
    now = harness.clock.monotonic()
    assert not harness.writer.write_together([_shared(0), _shared(1)], now, Event())
    assert len(harness.table.failures) == 47


def test_nothing_is_sent_together_late_or_after_one_has_left(harness: Harness) -> None:
    gone, now = Event(), harness.clock.monotonic()
    gone.set()
    assert not harness.writer.write_together([_shared(0), _shared(1)], now, gone)
    harness.clock.advance(11)
    assert not harness.writer.write_together([_shared(0), _shared(1)], now, Event())
    assert harness.table.tokens == []


def _unauthorised(land: Callable[[], None]) -> None:
    raise AccessRefused("wrong password", 516)


def test_the_grant_that_is_missing_is_named(harness: Harness) -> None:
    def refused(land: Callable[[], None]) -> None:
        raise AccessRefused("it lacks a right", 497, hint="`GRANT INSERT ON t TO u` gives it")

    harness.table.failures = [refused]
    with pytest.raises(NrtctlError, match="it lacks a right; `GRANT INSERT ON t TO u` gives it"):
        harness.write()


@pytest.mark.parametrize("failure", [_failing(60), _failing(62), _unauthorised])
def test_what_will_not_pass_stops_with_a_hint(
    harness: Harness, failure: Callable[[Callable[[], None]], None]
) -> None:
    harness.table.failures = [failure]
    with pytest.raises(NrtctlError, match="10–14 cannot be stored") as caught:
        harness.write()
    assert "nothing is lost" in str(caught.value.hint)
    assert harness.table.rows == []
