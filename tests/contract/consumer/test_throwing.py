"""SQL that throws: which messages become dead letters, and how many statements find them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from threading import Event
from typing import Any

import pytest

from nrtctl.clock import ManualClock, SystemClock
from nrtctl.schema import INSERT_SETTINGS
from nrtctl.store.batch import Batch
from nrtctl.store.chain import Chain
from nrtctl.store.envelope import row_encoder
from nrtctl.store.intents import OffsetRange
from nrtctl.store.intents.delivery import Mode
from nrtctl.store.pressure import Pressure
from nrtctl.store.target import Target
from nrtctl.store.throwing import Throwing
from nrtctl.store.writer import Writer
from tests.plugins.pipeline_engine import Engine

AT = "parseDateTimeBestEffort(JSONExtractString(assumeNotNull(_value), 'payload', 'at'))"
HIDDEN = "toDateTime(substring(JSONExtractString(assumeNotNull(_value), 'payload', 'at'), 1, 19))"
"""Whose twin is of no help."""
FIELDS = {"id": "UInt32"}


class Counting:
    """The client, and how many statements it has carried out."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.inserts = self.queries = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def insert(self, *given: Any) -> Any:
        self.inserts += 1
        return self._client.insert(*given)

    def query(self, *given: Any, **named: Any) -> Any:
        self.queries += 1
        return self._client.query(*given, **named)


def message(number: int, at: str) -> bytes:
    return json.dumps({"id": number, "payload": {"at": at}}).encode()


def messages(count: int, bad: set[int], form: str = "n/a") -> list[bytes]:
    """Args: form: of what is bad; with its number in it where it has a place for that."""
    good = "2024-05-06T07:08:09"
    return [message(each, form.format(each) if each in bad else good) for each in range(count)]


def write(
    engine: Engine, values: Sequence[bytes], mode: Mode = Mode.NEW, **throwing: Any
) -> tuple[Counting, list[str]]:
    """What was asked, and what was said."""
    storage, said = Counting(engine.client), []
    line, clock = engine.pipeline, SystemClock()
    settings: dict[str, Any] = {"pipeline": line, "database": engine.database} | throwing
    encode = row_encoder(line.topic, 1, 0)
    rows = [encode(offset, 1, b"k", value) for offset, value in enumerate(values)]
    target = Target(
        line.topic, engine.database, line.landing, line.table, line.dead_letters,
        INSERT_SETTINGS, 1,
    )  # fmt: skip
    Writer(
        target,
        storage,
        declare=lambda partition, span, look: clock.monotonic(),
        lease=600.0,
        clock=clock,
        pressure=Pressure(engine.database, (line.table,), clock),
        waiting=lambda reason, seconds: said.append(f"waiting: {reason}"),
        chain=Chain(line, engine.database, clock),
        throwing=Throwing(
            **settings,
            clock=ManualClock(),
            tell=said.append,
        ),
    ).write(Batch.of_rows(0, "e", OffsetRange(0, len(rows)), range(len(rows)), rows), mode,
            None, Event())  # fmt: skip
    return storage, said


def letters(engine: Engine) -> dict[int, tuple[str, str, str]]:
    """Offset to reason, field and error."""
    rows = engine.query("SELECT _offset, reason, field, error FROM {db}.dead_letters")
    found = {offset: (reason, field, error) for offset, reason, field, error in rows}
    assert len(found) == len(rows)
    return found


def check(engine: Engine, count: int, bad: set[int], field: str) -> None:
    found = letters(engine)
    assert set(found) == bad
    assert {(reason, column) for reason, column, _ in found.values()} == {("insert failed", field)}
    assert all(f"pipeline.columns.{field}: " in error for *_, error in found.values())
    assert set(engine.stored()) == set(range(count)) - bad


@pytest.mark.parametrize("every", [1, 100])
@pytest.mark.parametrize("count", [200, 10_000])
def test_a_column_that_throws_costs_a_few_statements(
    engine: Engine, count: int, every: int
) -> None:
    """However many messages it throws on: one of those with the same value stands for all."""
    engine.up(fields=FIELDS, columns={"at": AT, "twice": "id * 2"})
    bad = set(range(0, count, every))
    storage, said = write(engine, messages(count, bad))
    check(engine, count, bad, "at")
    assert storage.inserts <= 3
    assert storage.queries <= 12 + 5 * count // 1000
    (first,) = said
    assert f"the pipeline's SQL fails on 1 of {count:,} messages so far" in first


def test_values_that_differ_cost_a_statement_each(engine: Engine) -> None:
    """Each must have failed by the server's word, whatever looks like it."""
    engine.up(fields=FIELDS, columns={"at": AT, "twice": "id * 2"})
    bad = set(range(0, 100, 2))
    storage, _ = write(engine, messages(100, bad, "06/May/2024:07:08:{:02d}"))
    check(engine, 100, bad, "at")
    assert storage.inserts <= 3
    assert storage.queries <= len(bad) + 12
    assert all(f"07:08:{offset:02d}" in error for offset, (*_, error) in letters(engine).items())


def test_without_a_twin_the_groups_are_as_large_as_the_share_allows(engine: Engine) -> None:
    engine.up(fields=FIELDS, columns={"at": f"({HIDDEN}) :: DateTime"})
    bad = set(range(50, 500, 100))
    storage, _ = write(engine, messages(500, bad))
    check(engine, 500, bad, "at")
    assert storage.inserts <= 3
    assert storage.queries <= len(bad) * 12


def test_several_columns_rules_and_rollups_that_throw(engine: Engine) -> None:
    engine.up(
        fields={"id": "UInt32", "kind": "String"},
        columns={
            "a": "throwIf(id = 1, 'one')", "b": "toInt32(kind)", "c": "toString(b)",
            "ok": "id + 1",
        },
        rejects={"even": "id % 2 = throwIf(id = 5)", "odd one": "throwIf(id = 7) OR id = 9"},
        rollups={"r": {"by": {"d": "throwIf(kind = '32', 'd')"},
                       "values": {"n": "count()"}}},
    )  # fmt: skip
    kinds = {1: "3", 3: "x", 11: "32"}
    values = [
        json.dumps({"id": each, "kind": kinds.get(each, "12")}).encode() for each in range(13)
    ]
    values.append(b"no JSON")
    write(engine, values)
    found = letters(engine)
    assert {offset: found[offset][:2] for offset in found} == {
        **dict.fromkeys(range(0, 13, 2), ("even", "")),
        1: ("insert failed", "a"), 3: ("insert failed", "b"), 5: ("insert failed", ""),
        7: ("insert failed", ""), 9: ("odd one", ""), 11: ("insert failed", ""),
        13: ("not JSON", ""),
    }  # fmt: skip
    assert found[1][2].startswith("pipeline.columns.a: one")
    assert found[5][2].startswith("pipeline.rejects.'even': ")
    assert found[7][2].startswith("pipeline.rejects.'odd one': ")
    assert found[11][2].startswith("pipeline.rollups.r: ")
    assert set(engine.stored()) == set()


def test_what_cannot_be_found_is_halved(engine: Engine) -> None:
    """The views are of another configuration: what they throw on, only they know."""
    engine.up(fields=FIELDS, columns={"at": AT})
    other = engine.pipeline.model_copy(update={"columns": {}})
    storage, said = write(engine, messages(64, {5, 6}), pipeline=other)
    assert {offset: found[0] for offset, found in letters(engine).items()} == {
        5: "insert failed", 6: "insert failed",
    }  # fmt: skip
    assert storage.inserts > 10
    assert said == []
    again, _ = write(engine, messages(64, {5, 6}), Mode.RESUME)
    assert len(letters(engine)) == 2
    assert len(engine.stored()) == 62
    assert again.inserts > 2


def test_a_batch_that_is_taken_up_again_is_stored_once(engine: Engine) -> None:
    engine.up(fields=FIELDS, columns={"at": AT})
    values = messages(100, {5, 6, 99})
    for mode in (Mode.NEW, Mode.RESUME, Mode.RESUME, Mode.LOOK):
        write(engine, values, mode)
        check(engine, 100, {5, 6, 99}, "at")


def test_any_bytes_go_with_a_question(engine: Engine) -> None:
    engine.up(fields={"x": "String"}, columns={"n": "throwIf(x = 'bad', concat('b', 'ad'))"})
    texts = ["bad", "it's \\ {x:String} %s \n\t\0 `\"", "ü ключ 名 \U0001f600", "bad", "-- /* */;"]
    values = [json.dumps({"x": text}, ensure_ascii=False).encode() for text in texts]
    write(engine, [*values, b"\xff\x00'\\"])
    assert {offset: found[0] for offset, found in letters(engine).items()} == {
        0: "insert failed", 3: "insert failed", 5: "invalid UTF-8",
    }  # fmt: skip
    assert {x for (x,) in engine.stored("x").values()} == {texts[1], texts[2], texts[4]}
