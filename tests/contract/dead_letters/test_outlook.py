"""What a fix would make of one dead letter, over the real engine: its rows, or what is wrong."""

from __future__ import annotations

from typing import Any

from nrtctl.dead_letters.outlook import Outlook, outlook
from nrtctl.dead_letters.selection import as_fix, one_letter
from nrtctl.schema.field_faults import Finding
from tests.plugins.pipeline_engine import REFERENCE, Engine


def seen(engine: Engine, offset: int, fix: str = "value", **more: Any) -> Outlook:
    here = one_letter(1, 0, offset, purged=False)
    found = outlook(engine.client, engine.pipeline, engine.database, here, fix=fix, **more)
    assert found is not None
    return found


def rows(engine: Engine, found: Outlook) -> list[dict[str, Any]]:
    names, values = engine.client.query_named(found.rows)
    return [dict(zip(names, map(str, row), strict=True)) for row in values]


def test_a_letter_is_told_as_the_pipeline_would_take_it(engine: Engine) -> None:
    engine.up(**REFERENCE)
    engine.send(b'{"id":"x","kind":null,"ms":5}', b'{"id":2000,"kind":"k","ms":5}', b"\xff\xfe{}")
    before = engine.query("SELECT * FROM {db}.dead_letters ORDER BY _offset")
    wrong = seen(engine, 0)
    assert wrong.rejection is not None
    assert (wrong.rejection.reason, wrong.rejection.field) == ("wrong type", "id")
    assert wrong.faults == [
        Finding("id", "id", "seen", '"x"', "UInt32"),
        Finding("kind", "kind", "null", "null", "LowCardinality(String)"),
    ]
    half = seen(engine, 0, """replaceOne(value, '"x"', '7')""")
    assert [each.field for each in half.faults] == ["kind"]
    text = as_fix('{"id":7,"kind":"ä\'\\\\","ms":5}'.encode())
    right = seen(engine, 0, text)
    assert (right.rejection, right.faults) == (None, [])
    at = "1970-01-01 00:00:00.005000"
    assert rows(engine, right) == [{"id": "7", "kind": "ä'\\", "ms": "5", "at": at}]
    ruled = seen(engine, 1)
    assert ruled.rejection is not None
    assert (ruled.rejection.reason, ruled.faults) == ("too large", [])
    bytes_ = seen(engine, 2)
    assert bytes_.rejection is not None
    assert bytes_.rejection.reason == "invalid UTF-8"
    gone = one_letter(1, 0, 9, purged=False)
    assert outlook(engine.client, engine.pipeline, engine.database, gone, fix="value") is None
    assert engine.query("SELECT * FROM {db}.dead_letters ORDER BY _offset") == before
    assert engine.stored("id") == {}


def test_where_the_sql_throws_the_servers_words_are_told(engine: Engine) -> None:
    engine.up(fields={"text": "String"}, columns={"n": "toUInt8(text)"})
    engine.up(fields={"text": "String", "more": "String"}, columns={"n": "toUInt8(text)"})
    engine.send(b'{"text":"1"}')
    found = seen(engine, 0, as_fix(b'{"text":"no number","more":""}'))
    assert found.rejection is not None
    assert found.rejection.reason == "insert failed"
    assert "no number" in found.rejection.error
    fixed = seen(engine, 0, as_fix(b'{"text":"5","more":""}'))
    assert rows(engine, fixed) == [{"text": "5", "more": "", "n": "5"}]


def test_of_a_message_with_several_rows_all_are_told(engine: Engine) -> None:
    engine.up(rows=["items"], fields={"sku": "String", "n": "UInt8"})
    engine.send(b'{"items":[{"sku":"a","n":1},{"sku":"b","n":"x"}]}', b'{"items":5}')
    found = seen(engine, 1, as_fix(b'{"items":[{"sku":"a","n":1},{"sku":"b","n":2}]}'))
    assert (found.rejection, found.faults) == (None, [])
    assert rows(engine, found) == [{"sku": "a", "n": "1"}, {"sku": "b", "n": "2"}]
    wrong = seen(engine, 1, as_fix(b'{"items":[{"sku":"a","n":1},{"sku":"b","n":"x"}]}'))
    assert [each.place for each in wrong.faults] == ["items[1].n"]


def test_a_fix_that_gives_another_result_each_time_is_told(engine: Engine) -> None:
    engine.up(fields={"a": "String"})
    engine.send(b"no")
    for sql, functions in {
        "toString(generateUUIDv4())": ["generateUUIDv4"],
        "toString(Now() + RAND() % 2)": ["now", "rand"],
        "hex(randomString(4))": ["randomString"],
        "arrayStringConcat(arrayMap(x -> toString(now64()), [1, 2]))": ["now64"],
        "upper('randomString()')": [],
        "formatDateTime(toDateTime(0), '%F')": [],
        "version()": [],
    }.items():
        found = seen(engine, 0, f"""concat('{{"a":"', {sql}, '"}}')""")
        assert found.rejection is None, sql
        assert sorted(map(str.lower, found.varying)) == sorted(map(str.lower, functions)), sql
