"""Every field of a message is told, with the verdict of the chain itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nrtctl.dead_letters.letters import faults_of, list_sql
from nrtctl.dead_letters.selection import Selection
from nrtctl.schema import field_faults
from nrtctl.schema.field_faults import Finding, finding
from nrtctl.schema.trial import Trial
from nrtctl.stack.trial_engine import Asked, Own, Values
from tests.plugins.pipeline_engine import Engine

FIELDS = {
    "id": "UInt32",
    "name": "String",
    "at": "DateTime64(3, 'UTC')",
    "note": "Nullable(String)",
    "tags": "Array(String)",
}
GOOD = {"id": 1, "name": "a", "at": "2024-05-06T07:08:09Z", "tags": []}
MESSAGES: list[Any] = [
    GOOD,
    {**GOOD, "note": None},
    {**GOOD, "note": "x"},
    {**GOOD, "id": "x", "name": 5, "at": "yesterday", "tags": {}},
    {"id": None, "note": 1},
    {},
    [],
    b"{",
    b"",
    None,
    b"\xff",
    b'{"id":1,"id":2}',
]
VALUES = [m if m is None or isinstance(m, bytes) else json.dumps(m).encode() for m in MESSAGES]


def test_every_wrong_field_of_a_letter_is_named(engine: Engine) -> None:
    engine.up(fields=FIELDS)
    engine.send(*VALUES)
    sql = list_sql(engine.pipeline, engine.database, Selection(), None)
    names, rows = engine.client.query_named(sql)
    at = names.index("faults")
    found = {row[names.index("offset")]: [finding(each) for each in row[at]] for row in rows}
    assert found[3] == [
        Finding("id", "id", "seen", '"x"', "UInt32"),
        Finding("name", "name", "seen", "5", "String"),
        Finding("at", "at", "seen", '"yesterday"', "DateTime64(3, 'UTC')"),
        Finding("tags", "tags", "seen", "{}", "Array(String)"),
    ]
    assert [(each.field, each.state) for each in found[4]] == [
        ("id", "null"), ("name", "missing"), ("at", "missing"), ("note", "seen"),
        ("tags", "missing"),
    ]  # fmt: skip
    assert [each.field for each in found[5]] == ["id", "name", "at", "tags"]
    assert all(found[offset] == [] for offset in (6, 7, 8, 9, 10))
    here = Selection(partitions=(0,), offsets=(3, 4)).where(engine.pipeline)
    assert faults_of(engine.client, engine.pipeline, engine.database, here) == found[3]


def test_what_stands_in_an_objects_place_is_said_of_each_field_below_it(engine: Engine) -> None:
    paths = {"qty": ["a", "b", "qty"], "first": ["tags", 0], "id": ["id"]}
    engine.up(fields={name: {"type": "UInt32", "from": path} for name, path in paths.items()})
    engine.send(b'{"a":{"b":"x"},"tags":{},"id":-1}', b'{"a":{"b":null},"tags":[],"id":1}')
    sql = list_sql(engine.pipeline, engine.database, Selection(), None)
    names, rows = engine.client.query_named(sql)
    wrong, missing = ([finding(each) for each in row[names.index("faults")]] for row in rows)
    assert wrong == [
        Finding("qty", "qty", "seen", '"x"', "an object at a.b"),
        Finding("first", "first", "seen", "{}", "an array at tags"),
        Finding("id", "id", "seen", "-1", "UInt32"),
    ]
    assert missing == [
        Finding("qty", "qty", "missing", "", "UInt32"),
        Finding("first", "first", "missing", "", "UInt32"),
    ]


def test_fields_may_have_any_name(engine: Engine) -> None:
    names = ("reason", "field", "value", "key", "headers", "faults", "x", "purged_at", "n", "s")
    engine.up(fields=dict.fromkeys(names, "UInt8"))
    engine.send(b"{}")
    here = Selection().where(engine.pipeline)
    found = faults_of(engine.client, engine.pipeline, engine.database, here)
    assert tuple(each.field for each in found) == names
    listed = engine.client.query(list_sql(engine.pipeline, engine.database, Selection(), None))
    assert len(listed) == 1


def test_a_fault_inside_a_field_is_named_by_its_place(engine: Engine) -> None:
    item = "Tuple(sku String, qty Nullable(UInt8))"
    engine.up(fields={"items": f"Array({item})", "m": "Map(String, UInt8)", "id": "UInt8"})
    bad = b'{"items":[{"sku":"a"},{"qty":1}],"m":{"a b":300},"id":"x"}'
    engine.send(bad, b'{"items":[{"sku":"a","sku":"b"}],"m":{},"id":1}')
    sql = list_sql(engine.pipeline, engine.database, Selection(), None)
    names, rows = engine.client.query_named(sql)
    first, second = ([finding(each) for each in row[names.index("faults")]] for row in rows)
    assert [(each.place, each.state) for each in first] == [
        ("items[1].sku", "missing"), ("m", "seen"), ("id", "seen"),
    ]  # fmt: skip
    assert [(each.place, each.wanted) for each in second] == [
        ("items[0].sku", "an object without duplicate keys")
    ]


def test_what_the_record_has_is_told_as_well(engine: Engine) -> None:
    engine.up(
        fields={
            "customer": {"type": "UInt64", "from": "key"},
            "kind": {"type": "UInt8", "from": {"header": "kind"}},
            "at": {"type": "DateTime64(3, 'UTC')", "from": {"record": "timestamp"}},
            "id": "UInt8",
        }
    )
    engine.send(b'{"id":"x"}')
    here = Selection().where(engine.pipeline)
    assert faults_of(engine.client, engine.pipeline, engine.database, here) == [
        Finding("customer", "customer", "seen", "k", "UInt64"),
        Finding("kind", "kind", "missing", "", "UInt8"),
        Finding("id", "id", "seen", '"x"', "UInt8"),
    ]


def test_a_purged_letter_has_no_faults(engine: Engine) -> None:
    engine.up(fields=FIELDS)
    engine.send(b'{"id":"x"}')
    table = f"{engine.database}.{engine.pipeline.dead_letters}"
    update = f"ALTER TABLE {table} UPDATE value = NULL WHERE 1"
    engine.client.command(update, {"mutations_sync": 2})
    here = Selection(purged=True).where(engine.pipeline)
    assert faults_of(engine.client, engine.pipeline, engine.database, here) == []


def test_a_long_value_is_cut(engine: Engine) -> None:
    engine.up(fields={"id": "UInt32"})
    engine.send(b'{"id":"%s"}' % (b"x" * 1000))
    here = Selection().where(engine.pipeline)
    (found,) = faults_of(engine.client, engine.pipeline, engine.database, here)
    assert found.text == '"' + "x" * (field_faults.MOST_TEXT - 1) + "…"


@pytest.fixture(params=["own table", "within the statement"])
def values(request: pytest.FixtureRequest, engine: Engine) -> Values:
    if request.param == "own table":
        return Own(engine.client)
    return Asked(engine.client)


def test_a_trial_gives_the_verdicts_of_the_chain(engine: Engine, values: Values) -> None:
    engine.up(
        fields=FIELDS,
        columns={"twice": "throwIf(name = 'throws') + id * 2"},
        rejects={"too large": "id > 100"},
    )
    messages = [
        *VALUES,
        json.dumps({**GOOD, "id": 200}).encode(),
        json.dumps({**GOOD, "name": "throws"}).encode(),
    ]
    trial = Trial(values, engine.pipeline)
    values.hold([(b"k", value, 5, [("h", b"\xff"), ("n", None)]) for value in messages], 0)
    trial.ask(0, len(messages) - 1)
    reasons: dict[str, int] = {}
    thrown = messages.pop()
    for fate in engine.fates(*messages):
        if isinstance(fate, str):
            reason = fate.partition(":")[0]
            reasons[reason] = reasons.get(reason, 0) + 1
    assert thrown is not None
    assert dict(trial.reasons) == {**reasons, "insert failed": 1}
    assert trial.stored == 3
    tally = trial.fields["id"]
    assert (tally.wrong, tally.missing, tally.null, tally.refused) == (1, 1, 1, 3)
    assert tally.first_message == 4
    assert [each.number for each in trial.examples][:2] == [4, 5]
    assert "throwIf" in trial.examples[-1].error or trial.examples[-1].reason != "insert failed"


NUMBERS = [
    "0.9999999999999999999", "12345678901234567890123", "-1.50", "1E+2", "1.0000000000000000001",
    "-0.0", "18446744073709551616", '[1.50,{"~":"~n1.0"}]', '"~s1.10"',
]  # fmt: skip


@pytest.mark.parametrize("rows", [None, ["x"]])
def test_a_number_is_shown_as_it_was_written(engine: Engine, rows: list[str] | None) -> None:
    engine.up(fields={"n": "UUID"}, **({"rows": rows} if rows else {}))
    messages = [f'{{"n":{number}}}' for number in NUMBERS]
    if rows:
        messages = [f'{{"x":[{message}]}}' for message in messages]
    engine.send(*(message.encode() for message in messages))
    sql = list_sql(engine.pipeline, engine.database, Selection(), None)
    names, found = engine.client.query_named(sql)
    faults = {row[names.index("offset")]: row[names.index("faults")] for row in found}
    assert [finding(faults[at][0]).text for at in range(len(NUMBERS))] == NUMBERS
