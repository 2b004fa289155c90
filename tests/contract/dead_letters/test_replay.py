"""Replaying dead letters over the real engine: judged, stored once, whatever was there before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from nrtctl.clickhouse.client import ClickHouseClient
from nrtctl.clickhouse.queries import Rows
from nrtctl.clock import SystemClock
from nrtctl.dead_letters.letters import batches, pages
from nrtctl.dead_letters.purge import purge
from nrtctl.dead_letters.replay import AGAIN, Replay, Report
from nrtctl.dead_letters.selection import Selection, as_fix
from nrtctl.errors import ConfigError
from nrtctl.store.filling import filling
from nrtctl.store.target import Target
from tests.plugins.pipeline_engine import REFERENCE, Engine, events

EVERYTHING = Selection()


class Counting:
    """Passes calls on and counts them; an insert may be dropped (a spent token) or fail."""

    def __init__(self, client: ClickHouseClient) -> None:
        self._client = client
        self.calls: Counter[str] = Counter()
        self.swallow = 0

    def query(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> list[tuple[Any, ...]]:
        self.calls["poll" if "system." in sql else "query"] += 1
        return self._client.query(sql, parameters, settings)

    def command(self, sql: str, settings: Mapping[str, Any] | None = None) -> Any:
        self.calls[sql.split()[0]] += 1
        return self._client.command(sql, settings)

    def insert(
        self, table: str, columns: Sequence[str], body: Rows, settings: Mapping[str, Any]
    ) -> None:
        self.calls["insert"] += 1
        if self.swallow:
            self.swallow -= 1
            return
        self._client.insert(table, columns, body, settings)


def replay(
    engine: Engine,
    selection: Selection = EVERYTHING,
    *,
    execute: bool = True,
    storage: Counting | None = None,
    committed: int = 10**9,
    **more: Any,
) -> Report:
    work = Replay(
        storage or engine.client,
        engine.pipeline,
        replace(selection, incarnation=1),
        filling(
            Target.of(engine.pipeline, engine.database, 1),
            storage or engine.client,
            clock=SystemClock(),
            waiting=lambda reason, seconds: None,
            again=AGAIN,
        ),
        database=engine.database,
        committed={0: committed},
        **{"max_rows": 1000, "max_bytes": 10**7, **more},
        sleep=lambda seconds: None,
        clock=lambda: 1,
    )
    return work.run(Report(), execute=execute)


LAX = {**REFERENCE, "rejects": {}}


def test_a_mended_rule_lets_them_pass_once(engine: Engine) -> None:
    engine.up(**REFERENCE)
    engine.send(*events([1, 2000, 3000, 4]), b"no json")
    assert set(engine.rejected()) == {1, 2, 4}
    engine.up(**LAX)
    dry = replay(engine, execute=False)
    assert (dry.stored, dict(dry.rejected)) == (2, {"not JSON": 1})
    assert set(engine.rejected()) == {1, 2, 4}
    done = replay(engine)
    assert (done.stored, dict(done.rejected), done.already) == (2, {"not JSON": 1}, 0)
    assert done.reasons == {"too large": [2, 0, 0], "not JSON": [0, 1, 0]}
    assert engine.stored("id") == {0: (1,), 1: (2000,), 2: (3000,), 3: (4,)}
    assert engine.rejected() == {4: ("not JSON", "")}
    assert engine.value("SELECT sum(n) FROM {db}.by_kind") == 4
    again = replay(engine)
    assert (again.stored, again.letters) == (0, 1)
    log = "SELECT _offset, outcome, reason FROM {db}.dead_letters_log ORDER BY _offset, at"
    assert engine.query(log) == [
        (1, "stored", "too large"), (2, "stored", "too large"),
        (4, "rejected", "not JSON"), (4, "rejected", "not JSON"),
    ]  # fmt: skip


def test_another_pipeline_in_clickhouse_is_refused(engine: Engine) -> None:
    engine.up(**REFERENCE)
    engine.send(*events([2000]))
    engine.pipeline = engine.pipeline.model_copy(update={"rejects": {}})
    with pytest.raises(ConfigError, match="not the view"):
        replay(engine)
    assert set(engine.rejected()) == {0}


def test_a_fix_is_sent_instead_of_the_value(engine: Engine) -> None:
    engine.up(**REFERENCE)
    engine.send(b'{"id":"n/a","kind":"it\'s","ms":1}', b"\xff\xfe\x00", *events([7]))
    done = replay(engine, fix="replaceOne(value, '\"n/a\"', '5')", note="fixed")
    assert (done.stored, dict(done.rejected)) == (1, {"invalid UTF-8": 1})
    assert engine.stored("id", "kind")[0] == (5, "it's")
    assert engine.value("SELECT fix FROM {db}.dead_letters_log WHERE outcome = 'stored'") == "fixed"


def test_a_large_value_is_mended_by_hand_and_is_not_said_whole(engine: Engine) -> None:
    engine.up(**REFERENCE)
    padded = b'{"id":ID,"kind":"x","ms":1,"pad":"%s"}' % (b"y" * 300_000)
    engine.send(padded.replace(b"ID", b'"n/a"'))
    text = as_fix(padded.replace(b"ID", b"5"))
    with pytest.raises(ConfigError) as caught:
        replay(engine, fix=f"{text} +")
    assert "… (400," in caught.value.message
    assert len(caught.value.message) < 2000
    assert replay(engine, fix=text).stored == 1
    assert engine.stored("id") == {0: (5,)}


def test_letters_are_held_by_what_they_take_with_their_headers(engine: Engine) -> None:
    engine.up(**REFERENCE)
    engine.client.command(
        f"INSERT INTO {engine.database}.dead_letters (_target, _topic, _incarnation, _partition, "
        "_offset, headers, key, value, reason) SELECT 'events', 'user_events', 1, intDiv(number, "
        "3), number, [('h', repeat('x', 1000)), ('', NULL)], NULL, 'v', 'r' FROM numbers(5)"
    )
    (page,) = pages(engine.client, engine.pipeline, engine.database, "1")
    assert {each.size for each in page} == {1002}
    held = [[each.offset for each in some] for some in batches(page, 10, 2500)]
    assert held == [[0, 1], [2], [3, 4]]
    assert [len(some) for some in batches(page, 1, 2**30)] == [1] * 5


def test_sql_that_throws_leaves_only_its_own_letters(engine: Engine) -> None:
    engine.up(**REFERENCE)
    engine.send(*events([2000, 2001, 2002, 2003, 2004, 2005, 2006]))
    engine.up(**{**LAX, "columns": {"at": "fromUnixTimestamp64Milli(ms + throwIf(id = 2003))"}})
    done = replay(engine)
    assert (done.stored, dict(done.rejected)) == (6, {"insert failed": 1})
    assert set(engine.rejected()) == {3}
    assert "throwIf" in engine.value("SELECT error FROM {db}.dead_letters_log WHERE _offset = 3")


def test_what_the_consumer_has_not_passed_is_left_to_it(engine: Engine) -> None:
    engine.up(**REFERENCE)
    engine.send(*events([2000, 2001, 2002]))
    engine.up(**LAX)
    done = replay(engine, committed=2)
    assert (done.letters, done.stored, done.later) == (3, 2, 1)
    assert set(engine.rejected()) == {2}


def test_a_spent_token_is_seen_and_a_letter_reborn_is_stored_again(engine: Engine) -> None:
    engine.up(**REFERENCE)
    engine.send(*events([2000, 2001]), token="first")
    engine.up(**LAX)
    storage = Counting(engine.client)
    storage.swallow = 2
    assert replay(engine, storage=storage).stored == 2
    assert storage.calls["insert"] == 3
    assert set(engine.stored()) == {0, 1}
    engine.client.command(
        f"ALTER TABLE {engine.database}.events DELETE WHERE 1", {"mutations_sync": 2}
    )
    engine.up(**REFERENCE)
    engine.send(*events([2000, 2001]), token="second", offset=0)
    engine.up(**LAX)
    assert replay(engine).stored == 2
    assert set(engine.stored()) == {0, 1}
    assert engine.rejected() == {}


def test_an_offset_that_is_a_row_already_only_loses_its_letter(engine: Engine) -> None:
    engine.up(**REFERENCE)
    engine.send(*events([2000, 1]))
    engine.up(**LAX)
    engine.send(*events([2000]), offset=0, token="killed before the letter went")
    done = replay(engine)
    assert (done.already, done.stored) == (1, 0)
    assert set(engine.stored()) == {0, 1}
    assert engine.rejected() == {}


def test_a_letter_that_is_there_twice_becomes_one_row(engine: Engine) -> None:
    engine.up(**REFERENCE)
    engine.send(*events([2000]), token="a")
    engine.send(*events([2000]), token="b", offset=0)
    engine.up(**LAX)
    assert replay(engine).stored == 1
    assert set(engine.stored()) == {0}
    assert engine.rejected() == {}


def test_headers_and_bytes_reach_the_pipeline_unchanged(engine: Engine) -> None:
    columns = {**REFERENCE["columns"], "heads": "toString(_headers)", "k": "hex(_key)"}
    engine.up(**{**REFERENCE, "columns": columns})
    engine.client.command(
        f"INSERT INTO {engine.database}.events_landing "
        "(_topic, _partition, _offset, _timestamp, _headers, _key, _value) SELECT 'user_events', 0,"
        " 0, 5, [('a', 'x'), ('a', NULL), ('', unhex('00FF'))], unhex('FF00'), "
        """'{"id":2000,"kind":"k","ms":1}'"""
    )
    engine.up(**{**LAX, "columns": columns})
    assert replay(engine).stored == 1
    ((heads, key, at),) = engine.query(
        "SELECT hex(heads), k, toUnixTimestamp64Milli(_timestamp) FROM {db}.events"
    )
    expected = "toString([('a', 'x'), ('a', NULL), ('', unhex('00FF'))]"
    assert heads == engine.value(
        f"SELECT hex({expected}::Array(Tuple(name String, value Nullable(String)))))"
    )
    assert (key, at) == ("FF00", 5000)


def test_the_work_grows_by_batch_and_page_not_by_letter(engine: Engine) -> None:
    engine.up(**REFERENCE)
    counts = []
    for number in (500, 5_000):
        engine.up(**REFERENCE)
        engine.send(*events(range(2000, 2000 + number)))
        engine.up(**LAX)
        storage = Counting(engine.client)
        assert replay(engine, storage=storage, max_rows=2_500).stored == number
        counts.append(storage.calls)
    assert counts[0]["insert"] == 1
    assert counts[1]["insert"] == 2
    assert (
        counts[1]["query"] <= counts[0]["query"] + 2
    )  # what a batch holds, and what is there then
    assert counts[0]["ALTER"] == counts[1]["ALTER"] == 1


def test_a_purged_letter_keeps_its_offset_and_nothing_else(engine: Engine) -> None:
    engine.up(**REFERENCE)
    engine.send(*events([2000, 2001]), b"secret")
    chosen = Selection(reasons=("not JSON",))
    assert purge(engine.client, engine.pipeline, engine.database, chosen) == 1
    assert purge(engine.client, engine.pipeline, engine.database, chosen) == 0
    assert engine.rejected()[2] == ("not JSON", "")
    left = "SELECT key, value, headers, error FROM {db}.dead_letters WHERE purged_at IS NOT NULL"
    assert engine.query(left) == [(None, None, [], "")]
    engine.up(**LAX)
    assert replay(engine).letters == 2
