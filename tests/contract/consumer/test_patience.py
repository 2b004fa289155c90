"""Repair and replay while ClickHouse fails in ways that pass: they wait, say so, and go on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from nrtctl.clickhouse.client import ClickHouseClient, ClickHouseGone, QueryError
from nrtctl.clickhouse.patience import Patient
from nrtctl.clickhouse.queries import Rows, pieces_of
from nrtctl.clock import SystemClock
from nrtctl.dead_letters.replay import AGAIN as LETTERS_AGAIN
from nrtctl.dead_letters.replay import Replay, Report
from nrtctl.dead_letters.selection import Selection
from nrtctl.errors import NrtctlError
from nrtctl.kafka.partitions import LogPartition
from nrtctl.pipeline import Pipeline
from nrtctl.schema.apply import apply
from nrtctl.store.deletion import clear
from nrtctl.store.filling import filling
from nrtctl.store.intents import OffsetRange
from nrtctl.store.rows import TopicRows
from nrtctl.store.target import Target
from nrtctl.store.writer import Writer
from nrtctl.verify.repair import AGAIN, Repair
from tests.plugins.pipeline_engine import REFERENCE, Engine, events

PASSING = {
    252: "Too many parts (3000) in table",
    241: "Memory limit (total) exceeded",
    202: "Too many simultaneous queries",
    999: "Session expired (KEEPER_EXCEPTION)",
    100_000: "an error of a version to come",
}


class Failing:
    """The client. The calls fail in turn: refused with each of the codes, cut before they are
    carried out, or after; every fourth is let through."""

    def __init__(self, client: ClickHouseClient, codes: Sequence[int]) -> None:
        self._client = client
        self._codes = codes
        self._calls = 0

    def _failing(self, call: Any) -> Any:
        self._calls += 1
        code = self._codes[self._calls // 4 % len(self._codes)]
        match self._calls % 4:
            case 0:
                raise QueryError(f"code {code}: {PASSING[code]}", code)
            case 1:
                raise ClickHouseGone("cut before it was carried out")
            case 2:
                call()
                raise ClickHouseGone("cut before the answer")
        return call()

    def query(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> list[tuple[Any, ...]]:
        answer: list[tuple[Any, ...]] = self._failing(
            lambda: self._client.query(sql, parameters, settings)
        )
        return answer

    def command(self, sql: str, settings: Mapping[str, Any] | None = None) -> Any:
        return self._failing(lambda: self._client.command(sql, settings))

    def insert(self, *given: Any) -> None:
        self._failing(lambda: self._client.insert(*given))


@dataclass
class Message:
    at: int
    text: bytes

    def offset(self) -> int:
        return self.at

    def timestamp(self) -> tuple[int, int]:
        return (1, 1)

    def key(self) -> bytes | None:
        return b"k"

    def value(self) -> bytes | None:
        return self.text

    def headers(self) -> None:
        return None


class Log:
    def __init__(self, values: Sequence[bytes]) -> None:
        self._values = values

    def ends(self) -> dict[int, int]:
        return {0: len(self._values)}

    def topic_id(self) -> str:
        return ""

    def partitions(self) -> list[LogPartition]:
        return [LogPartition(0, 0, len(self._values), len(self._values))]

    def messages(
        self, partition: int, spans: Iterable[OffsetRange], damaged: Any = None
    ) -> Iterator[Message]:
        for span in spans:
            for offset in range(span.start, span.end):
                yield Message(offset, self._values[offset])


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nrtctl.store.writer.Backoff.next", lambda self: 0.0)


def writer(engine: Engine, storage: Any, said: list[str], again: str) -> Writer:
    return filling(
        Target.of(engine.pipeline, engine.database, 1),
        storage,
        clock=SystemClock(),
        waiting=lambda why, seconds: said.append(why),
        again=again,
    )


def repair(
    engine: Engine, storage: Any, values: Sequence[bytes], said: list[str] | None = None
) -> tuple[int, int]:
    said = [] if said is None else said
    target = Target.of(engine.pipeline, engine.database, 1)
    work = Repair(
        TopicRows(patient(storage, said), target),
        Log(values),
        writer(engine, storage, said, AGAIN),
        max_rows=1000,
        max_bytes=10**8,
        sleep=lambda seconds: None,
    )
    return work.execute()


def replay(engine: Engine, storage: Any, said: list[str] | None = None) -> int:
    said = [] if said is None else said
    work = Replay(
        patient(storage, said),
        engine.pipeline,
        Selection(incarnation=1),
        writer(engine, storage, said, LETTERS_AGAIN),
        database=engine.database,
        committed={0: 10**9},
        max_rows=1000,
        max_bytes=10**8,
        sleep=lambda seconds: None,
        clock=lambda: 1,
    )
    return work.run(Report(), execute=True).stored


def patient(storage: Any, said: list[str]) -> Patient:
    return Patient(
        storage, waiting=lambda why, seconds: said.append(why), sleep=lambda seconds: None
    )


def test_a_repair_waits_and_stores_each_message_once(engine: Engine) -> None:
    engine.up(**REFERENCE)
    values = [*events(range(20)), b"no json"]
    engine.send(*values[:5], offset=0)
    engine.send(*values[3:5], token="again", offset=3)
    said: list[str] = []
    assert repair(engine, Failing(engine.client, [252, 241, 202, 999]), values, said)[0] == 16
    assert set(engine.stored("id")) == set(range(20))
    assert engine.rejected() == {20: ("not JSON", "")}
    for words in ("merges have caught up", "enough memory", "less to do", "Keeper"):
        assert any(words in each for each in said), (words, said)


def test_a_replay_of_dead_letters_waits_and_stores_each_once(engine: Engine) -> None:
    engine.up(**REFERENCE)
    engine.send(*events([1, 2000, 3000, 4]), b"no json")
    engine.up(**{**REFERENCE, "rejects": {}})
    said: list[str] = []
    replay(engine, Failing(engine.client, [202, 252, 241]), said)
    assert engine.stored("id") == {0: (1,), 1: (2000,), 2: (3000,), 3: (4,)}
    assert engine.rejected() == {4: ("not JSON", "")}
    assert any("this passes when" in each for each in said)


def test_tables_are_made_and_changed_and_rows_deleted_whatever_passes(engine: Engine) -> None:
    """As `up` and `replay load` do: each statement may be carried out more than once."""
    said: list[str] = []
    storage = patient(Failing(engine.client, [202, 241, 999, 252]), said)
    before, after = Pipeline(**REFERENCE), Pipeline(**{**REFERENCE, "rejects": {}})
    assert {step.action for step in apply(storage, before, engine.database)} == {"made"}
    engine.pipeline = before
    engine.send(*events(range(20)))
    changed = [
        step.name for step in apply(storage, after, engine.database) if step.action != "kept"
    ]
    assert changed == ["events_landing_view"]
    table = f"{engine.database}.events"
    clear(storage, table, "_offset < 5", sleep=lambda seconds: None, again="nrtctl")
    assert set(engine.stored("id")) == set(range(5, 20))
    assert any("less to do" in each for each in said)


class Refusing:
    """The client; each insert of more than so many bytes, or each at all, is refused."""

    def __init__(self, client: ClickHouseClient, code: int, text: str, most: int = -1) -> None:
        self._client = client
        self._error = (text, code)
        self._most = most

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def insert(self, table: str, columns: Sequence[str], body: Rows, settings: Any) -> None:
        if sum(map(len, pieces_of(body))) > self._most and "landing" in table:
            raise QueryError(*self._error)
        self._client.insert(table, columns, body, settings)


WIDE = (252, "Too many partitions for single INSERT block (more than 100).")


def test_what_is_too_much_at_once_goes_in_halves(engine: Engine) -> None:
    engine.up(**REFERENCE)
    values = events(range(990, 1010))
    assert repair(engine, Refusing(engine.client, *WIDE, most=400), values) == (20, 0)
    assert len(engine.stored("id")) + len(engine.rejected()) == 20
    engine.up(**{**REFERENCE, "rejects": {}})
    assert replay(engine, Refusing(engine.client, *WIDE, most=400)) == 9
    assert len(engine.stored("id")) == 20


@pytest.mark.parametrize(
    ("code", "text", "named"),
    [(*WIDE, "max_partitions_per_insert_block"), (164, "readonly mode", "the right")],
)
def test_what_does_not_pass_ends_them_and_names_what_mends_it(
    engine: Engine, code: int, text: str, named: str
) -> None:
    engine.up(**REFERENCE)
    engine.send(*events([2000]))
    engine.up(**{**REFERENCE, "rejects": {}})
    storage = Refusing(engine.client, code, text)
    with pytest.raises(NrtctlError, match=named) as caught:
        repair(engine, storage, events([2000, 2001]))
    assert "run the same command again" in str(caught.value.hint)
    with pytest.raises(NrtctlError, match=named) as caught:
        replay(engine, storage)
    assert "run the same command again" in str(caught.value.hint)
    assert set(engine.rejected()) == {0}
