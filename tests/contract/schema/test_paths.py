"""Fields that are read from another place than the key of their name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nrtctl.pipeline import Pipeline
from tests.plugins.pipeline_engine import Engine


def fates(engine: Engine, *messages: Any, **fields: Any) -> list[Any]:
    engine.up(fields=fields)
    texts = [each if isinstance(each, str) else json.dumps(each) for each in messages]
    return engine.fates(*(text.encode() for text in texts))


KEYS = (
    "@timestamp", "service.name", "a b", 'say "x"', "it's", "C:\\dir", "a`b", "größe", "名前",
    "😀", "$schema", "_id", "2fa", "", "null", "a,b)", "new\nline", "tab\t", "\0", "Tuple(x)",
    "key",
)  # fmt: skip


@pytest.mark.parametrize("keys", [KEYS, ("[]",)], ids=["any", "brackets"])
def test_a_key_may_be_any_text(engine: Engine, keys: tuple[str, ...]) -> None:
    fields: dict[str, Any] = {}
    for number, key in enumerate(keys):
        fields[f"outer{number}"] = {"type": "String", "from": [key]}
        fields[f"inner{number}"] = {"type": "Nullable(String)", "from": ["in", key]}
    values, inner = dict.fromkeys(keys, "v"), {"in": dict.fromkeys(keys, "w")}
    brackets = {"in": {"[]": 1, "[]]": 1, **inner["in"]}}
    stored = ("v", "w") * len(keys)
    found = fates(engine, {**values, **inner}, {**values, **brackets}, **fields)
    assert found == [stored, stored]
    for number, key in enumerate(keys):
        others = {each: "v" for each in keys if each != key}
        sent = ({**others, **inner}, {**values, key: 5, **inner}, {**values, "in": {key: "w"}})
        texts = (json.dumps(each).encode() for each in sent)
        one = (*(("v", None) * number), "v", "w", *(("v", None) * (len(keys) - number - 1)))
        assert engine.fates(*texts) == [
            f"field missing:outer{number}", f"wrong type:outer{number}", one,
        ]  # fmt: skip


NESTED = {
    "id": {"type": "UInt64", "from": ["payload", "id"]},
    "city": {"type": "Nullable(String)", "from": ["payload", "who", "city"]},
}
NESTED_CASES: dict[str, Any] = {
    '{"payload":{"id":1,"who":{"city":"B"}}}': (1, "B"),
    '{"payload":{"id":"2"}}': (2, None),
    '{"payload":{"id":3,"who":null}}': (3, None),
    '{"payload":{"id":4,"who":{}}}': (4, None),
    '{"payload":{"id":5,"who":{"city":null},"more":[null,1,{"id":7}]},"id":9}': (5, None),
    '{"payload":{"who":{"city":"B"}}}': "field missing:id",
    '{"payload":{"id":null}}': "field is null:id",
    '{"payload":null}': "field missing:id",
    '{"id":1,"city":"B"}': "field missing:id",
    '{"payload":{"id":-1}}': "wrong type:id",
    '{"payload":{"id":{"id":1}}}': "wrong type:id",
    '{"payload":{"id":1,"who":{"city":5}}}': "wrong type:city",
    '{"payload":[1,{"city":"B"}]}': "wrong type:id",
    '{"payload":[null,1]}': "wrong type:id",
    '{"payload":[ \\n null,1]}'.replace("\\n", "\n"): "wrong type:id",
    '{"payload":[]}': "wrong type:id",
    '{"payload":"{\\"id\\":1}"}': "wrong type:id",
    '{"payload":7}': "wrong type:id",
    '{"payload":{"id":1,"who":["x","B"]}}': "wrong type:city",
    '{"payload":{"id":1,"who":[null,"B"]}}': "wrong type:city",
    '{"payload":{"id":1,"who":[]}}': "wrong type:city",
    '{"payload":{"id":1,"who":false}}': "wrong type:city",
    '{"payload":{"id":1,"id":1}}': "duplicate key:",
    '{"payload":{"id":1,"x":{"y":1,"y":2}}}': (1, None),
    '{"payload":{"id":1,"x":1,"\\u0078":2}}': "duplicate key:",
    '{"payload":{"id":1,"who":{"city":"B","city":"C"}}}': "duplicate key:",
    '{"payload":{"id":1},"payload":{"id":1}}': "duplicate key:",
    '{"payload":{"who":{"a":1,"a":2}}}': "duplicate key:",
    '[{"id":1}]': "not an object:",
    '{"payload":{"id":1}': "not JSON:",
    '{"p\\u0061yload":{"\\u0069d":1}}': (1, None),
}


def test_a_nested_field_is_as_strict_as_a_flat_one(engine: Engine) -> None:
    assert dict(zip(NESTED_CASES, fates(engine, *NESTED_CASES, **NESTED), strict=True)) == (
        NESTED_CASES
    )


def test_objects_of_which_everything_is_optional(engine: Engine) -> None:
    fields = {
        "a": {"type": "Nullable(UInt8)", "from": ["o", "a"]},
        "b": {"type": "Nullable(UInt8)", "from": ["o", "p", "b"]},
    }
    cases: dict[str, Any] = {
        "{}": (None, None), '{"o":null}': (None, None), '{"o":{"a":1}}': (1, None),
        '{"o":{"p":{"b":2}}}': (None, 2), '{"o":{"p":null}}': (None, None),
        '{"o":[]}': "wrong type:a", '{"o":[null]}': "wrong type:a", '{"o":[1]}': "wrong type:a",
        '{"o":"x"}': "wrong type:a", '{"o":{"p":[]}}': "wrong type:b",
        '{"o":{"a":1,"p":0}}': "wrong type:b", '{"o":{"p":[null,2]}}': "wrong type:b",
        '{"o":{"x":1,"x":2}}': "duplicate key:", '{"x":1,"x":2}': "duplicate key:",
        "[]": "not an object:", "5": "not an object:", "": "empty message:",
    }  # fmt: skip
    assert dict(zip(cases, fates(engine, *cases, **fields), strict=True)) == cases


def test_an_index_counts_from_either_end(engine: Engine) -> None:
    fields = {
        "first": {"type": "String", "from": ["tags", 0]},
        "last": {"type": "Nullable(String)", "from": ["tags", -1]},
        "price": {"type": "Nullable(Decimal(9, 2))", "from": ["items", 1, "price"]},
        "deep": {"type": "Nullable(UInt8)", "from": ["grid", 0, 1]},
    }
    cases: dict[str, Any] = {
        '{"tags":["a"]}': ("a", "a", None, None),
        '{"tags":["a","b"],"items":[1,{"price":2.5}],"grid":[[1,2]]}': ("a", "b", 2.5, 2),
        '{"tags":["a"],"items":[1],"grid":[]}': ("a", "a", None, None),
        '{"tags":["a"],"items":null,"grid":[null]}': ("a", "a", None, None),
        '{"tags":[]}': "field missing:first",
        '{"tags":[null]}': "field is null:first",
        '{"tags":{"x":"a"}}': "wrong type:first",
        '{"tags":"a"}': "wrong type:first",
        '{"tags":[1]}': "wrong type:first",
        '{"tags":["a",1]}': "wrong type:last",
        '{"tags":["a"],"items":{"x":1,"y":{"price":1}}}': "wrong type:price",
        '{"tags":["a"],"items":[1,[5]]}': "wrong type:price",
        '{"tags":["a"],"items":[1,{"price":"x"}]}': "wrong type:price",
        '{"tags":["a"],"items":[1,{"price":1,"price":1}]}': "duplicate key:",
        '{"tags":["a"],"items":[{"a":1,"a":1}]}': ("a", "a", None, None),
        '{"tags":["a"],"grid":[{"a":1,"b":2}]}': "wrong type:deep",
    }
    found = fates(engine, *cases, **fields)
    got = [
        each if isinstance(each, str) else (*each[:2], each[2] and float(each[2]), each[3])
        for each in found
    ]
    assert dict(zip(cases, got, strict=True)) == cases


def test_several_fields_may_be_read_from_one_place(engine: Engine) -> None:
    fields = {
        "text": {"type": "String", "from": ["o", "n"]},
        "number": {"type": "UInt8", "from": ["o", "n"]},
        "again": {"type": "Nullable(UInt8)", "from": ["o", "n"]},
        "whole": {"type": "Map(String, String)", "from": "o"},
        "n": "Nullable(String)",
    }
    engine.up(fields=fields)
    assert engine.fates(b'{"o":{"n":"7"}}', b'{"o":{"n":7}}', b'{"o":{"n":"x"},"n":"y"}') == [
        ("7", 7, 7, {"n": "7"}, None),
        "wrong type:text",
        "wrong type:number",
    ]


def test_rules_and_columns_see_the_fields_by_their_names(engine: Engine) -> None:
    engine.up(
        fields={"at": {"type": "DateTime('UTC')", "from": "@at"}, "n": NESTED["id"]},
        columns={"twice": "n * 2"},
        rejects={"large": "n > 5"},
        order_by=("at",),
        key="n",
    )
    start = engine.send(
        b'{"@at":"2024-05-06T07:08:09Z","payload":{"id":2}}',
        b'{"@at":"2024-05-06T07:08:09Z","payload":{"id":6}}',
    )
    assert engine.stored("twice", since=start) == {start: (4,)}
    assert engine.rejected(since=start) == {start + 1: ("large", "")}


def test_a_pipeline_with_paths_that_is_applied_again_changes_nothing(engine: Engine) -> None:
    engine.up(fields=NESTED)
    assert {step.action for step in engine.steps(Pipeline(fields=NESTED))} == {"kept"}


def test_a_key_twice_is_seen_where_two_paths_lead_to_one_value(engine: Engine) -> None:
    found = fates(
        engine,
        '{"a":[{"b":1}]}',
        '{"a":[{"b":1}],"a":[]}',
        first={"type": "UInt8", "from": ["a", 0, "b"]},
        last={"type": "UInt8", "from": ["a", -1, "b"]},
    )
    assert found == [(1, 1), "duplicate key:"]


def test_the_text_of_an_array_keeps_its_digits_however_its_key_is_written(engine: Engine) -> None:
    text = '[1.00, {"x": 0.12345678901234567891}]'
    keys = "größe", r"gr\u00f6\u00dfe", r"gr\u00F6\u00DFe"
    messages = [f'{{"{key}": {text}}}' for key in keys]
    field = {"type": "String", "from": "größe", "json": "text"}
    assert fates(engine, *messages, whole=field) == [(text,)] * 3
