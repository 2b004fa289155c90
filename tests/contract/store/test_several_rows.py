"""Messages of several rows each: what is whole, torn and doubled, as ClickHouse is asked."""

from __future__ import annotations

import threading
from collections import Counter
from random import Random

import pytest

from nrtctl.schema.ddl import BY_OFFSET
from nrtctl.store import doubles
from nrtctl.store.intents import OffsetRange, ranges_of
from nrtctl.store.several_rows import SeveralRows, rows_in
from nrtctl.store.target import Target
from tests.plugins.pipeline_engine import Engine
from tests.unit.exactly_once.several_rows import by_message, listed

END = 12
FEWEST = 6
Place = tuple[bool, int, int, int, int]
"""Whether it is a dead letter, offset, `_row`, `_rows`, second of the insert."""


def world(seed: int) -> list[Place]:
    """Rows of messages, some of which were lost, and some are there again."""
    random = Random(seed)
    found: list[Place] = []
    for offset in range(END):
        if random.random() < 0.2:
            continue
        for copy in range(1 + (random.random() < 0.25)):
            length, beside = random.randint(1, 4), random.random() < 0.2
            if random.random() < 0.15:
                made = [(True, offset, 0, 1, copy)]
            else:
                made = [
                    (False, offset, row, (length + beside) * (row == 0), copy)
                    for row in range(length)
                ]
                made += [(True, offset, length, 0, copy)] * beside
            for place in made:
                chance = random.random() * (1 if seed % 2 else 10)
                found += [place] * (0 if chance < 0.05 else 2 if chance < 0.1 else 1)
    return found


@pytest.fixture(
    params=[
        FEWEST,
        pytest.param(16, marks=pytest.mark.long),
        pytest.param(60, marks=pytest.mark.long),
    ]
)
def worlds(engine: Engine, request: pytest.FixtureRequest) -> dict[int, list[Place]]:
    """Each is a partition of the topic."""
    engine.up(rows=["x"], fields={"n": "Nullable(UInt8)"})
    made = {number: world(number) for number in range(request.param)}
    for dead, table in enumerate(("events", "dead_letters")):
        rows = ", ".join(
            f"('user_events', {number}, {offset}, {row}, {rows}, {1_700_000_000 + at})"
            for number, each in made.items()
            for letter, offset, row, rows, at in each
            if letter == bool(dead)
        )
        more = ", _target" if dead else ""
        named = "_topic, _partition, _offset, _row, _rows, _inserted_at"
        engine.client.command(
            f"INSERT INTO {engine.database}.{table} ({named}{more}) SELECT c1, c2, c3, c4, c5, "
            f"toDateTime(c6){', {}'.format(repr('events')) if dead else ''} FROM values({rows})"
        )
    return made


def wait(seconds: float) -> None:
    threading.Event().wait(seconds)


def rows_of(engine: Engine) -> SeveralRows:
    found = rows_in(engine.client, Target.of(engine.pipeline, engine.database, 1))
    assert isinstance(found, SeveralRows)
    return found


def entries(world: list[Place]) -> list[tuple[int, int, int]]:
    return [(offset, row, rows) for _, offset, row, rows, _ in world]


def whole(world: list[Place]) -> list[int]:
    return sorted(set(listed(entries(world), torn=0)))


def test_what_is_there_is_listed_and_counted_message_by_message(
    engine: Engine, worlds: dict[int, list[Place]]
) -> None:
    rows, span = rows_of(engine), OffsetRange(0, END)
    slices = rows.partitions()
    for number, world in worlds.items():
        there = sorted(listed(entries(world)))
        assert sorted(rows.listed(number, span).stored) == there
        among = rows.among(number, list(range(END)))
        assert sorted(among.stored) == sorted(listed(entries(world), torn=0))
        (count,) = rows.counts([(number, span)])
        right = len(set(there)) == len(there) and there == whole(world)
        assert count.of(whole(world)) == right or not there
        (found,) = slices[number]
        messages = by_message(entries(world))
        assert found.distinct == len(messages)
        assert found.torn == len(messages) - len(whole(world))
        assert found.rows == sum(not dead for dead, *_ in world)
        surplus = {n: messages[n][2] - messages[n][1] for n in whole(world)}
        assert found.doubled == sum(surplus.values())
        doubled = {each.offset: each.surplus for each in rows.doubles(number, [found])}
        assert doubled == {n: more for n, more in surplus.items() if more}
        gaps = [each for each in range(END) if each not in whole(world)]
        assert list(rows.gaps(number, [found], span)) == list(ranges_of(gaps))
        torn = [each for each in messages if each not in whole(world)]
        assert list(rows.torn(number, [found], span)) == list(ranges_of(sorted(torn)))


def test_of_doubled_messages_one_copy_stays_and_torn_ones_are_left_alone(
    engine: Engine, worlds: dict[int, list[Place]]
) -> None:
    rows = rows_of(engine)
    first = FEWEST // 2 if len(worlds) == FEWEST else 0  # a torn one comes late
    for number, world in list(worlds.items())[first:8]:
        doubles.remove(rows, number, below=END, sleep=wait)
        left = Counter(
            (offset, row, length)
            for offset, row, length in engine.query(
                "SELECT _offset, _row, _rows FROM {db}.events "
                f"WHERE _partition = {number} UNION ALL SELECT _offset, _row, _rows "
                f"FROM {{db}}.dead_letters WHERE _partition = {number}"
            )
        )
        assert sorted(set(listed(left.elements(), torn=0))) == whole(world)
        assert not [n for n in listed(left.elements()) if listed(left.elements()).count(n) > 1
                    and n in whole(world)]  # fmt: skip
        torn = Counter(each for each in entries(world) if each[0] not in whole(world))
        assert Counter({k: v for k, v in left.items() if k[0] not in whole(world)}) == torn


def test_a_table_of_single_rows_keeps_them_as_whole_messages(engine: Engine) -> None:
    """`rows` was not there when they were stored."""
    engine.up(fields={"n": "UInt8"})
    engine.send(b'{"n":1}', b'{"n":2}', b"[]")
    actions = engine.up(rows=["x"], fields={"n": "UInt8"})
    assert actions["events"] == "changed: + _row, _rows"
    assert actions[BY_OFFSET] == "changed"
    engine.send(b'{"x":[{"n":3},{"n":4}]}', b'{"x":[]}')
    rows = rows_of(engine)
    assert rows.counts([(0, OffsetRange(0, 9))])[0].of(range(5))
    assert [each.rows for each in rows.partitions()[0]] == [4]
    assert not list(rows.gaps(0, rows.partitions()[0], OffsetRange(0, 5)))
