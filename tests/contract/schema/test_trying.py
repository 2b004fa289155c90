"""What `nrtctl try` says of fields: the line that cures them, or that there is none."""

from __future__ import annotations

import json
from typing import Any

from nrtctl.clickhouse.client import ClickHouseClient
from nrtctl.pipeline import Pipeline
from nrtctl.producer.sources.files import Read
from nrtctl.producer.trying import Tried, tried
from nrtctl.stack.trial_engine import Own


def of(
    client: ClickHouseClient,
    fields: dict[str, Any],
    *messages: Any,
    key: bytes | None = None,
    headers: tuple[tuple[str, bytes | None], ...] = (),
) -> Tried:
    values = [m if isinstance(m, bytes) else json.dumps(m).encode() for m in messages]
    records = [Read(value, key, headers, None, "here") for value in values]
    return tried(Pipeline(fields=fields), records, Own(client))


def test_no_line_cures_a_local_time_that_clocks_skip(client: ClickHouseClient) -> None:
    fields = {"t": "DateTime('Europe/Berlin')"}
    found = of(client, fields, {"t": "2024-03-31T02:30:00"}, {"t": "2024-03-31T03:30:00"})
    (example,) = found.trial.examples
    assert found.cure("t") is None
    said = 't is "2024-03-31T02:30:00", which the clocks of Europe/Berlin skip'
    assert str(example.faults[0]) == said


def test_a_line_for_local_times_keeps_their_zone(client: ClickHouseClient) -> None:
    fields = {"t": "DateTime('Europe/Berlin')"}
    found = of(client, fields, {"t": "2024-05-06 07:08:09.25"})
    assert found.cure("t") == "t = \"DateTime64(3, 'Europe/Berlin')\""


def test_no_line_is_offered_for_a_value_in_a_key_and_the_right_one_for_a_header(
    client: ClickHouseClient,
) -> None:
    fields = {
        "id": {"type": "UInt8", "from": {"record": "key", "path": ["id"]}},
        "kind": {"type": "UInt8", "from": {"header": "kind"}},
        "v": "UInt8",
    }
    headers = (("trace", b"t"), ("kind", b"made"))
    found = of(client, fields, {"v": 1}, key=b'{"id": 300}', headers=headers)
    assert found.cure("id") is None
    assert found.cure("kind") == 'kind = { type = "Nullable(String)", from = { header = "kind" } }'
    assert (found.presence["id"].seen, found.presence["kind"].seen) == (1, 1)
    assert [str(each) for each in found.trial.examples[0].faults] == [
        "id is 300, not UInt8",
        "kind is made, not UInt8",
    ]


def test_no_line_is_offered_that_would_not_help_at_a_place_in_an_array(
    client: ClickHouseClient,
) -> None:
    fields = {
        "tag": {"type": "UInt8", "from": ["tags", 0]},
        "last": {"type": "Nullable(UInt8)", "from": ["tags", -1]},
        "there": {"type": "UInt8", "from": ["tags", 5], "accept": ["spaces"]},
    }
    found = of(client, fields, {"tags": ["x"]})
    assert (found.cure("tag"), found.cure("last")) == (None, None)
    line = 'there = { type = "Nullable(UInt8)", from = ["tags", 5], accept = ["spaces"] }'
    assert found.cure("there") == line


def test_a_place_in_a_message_that_is_an_array_is_the_field(client: ClickHouseClient) -> None:
    pipeline = Pipeline(rows=[], fields={"at": {"type": "UInt8", "from": ["$", 0]}})
    found = tried(pipeline, [Read(b'["x"]', None, (), None, "here")], Own(client))
    assert str(found.trial.examples[0].faults[0]) == 'at is "x", not UInt8'
    assert found.cure("at") is None


def test_the_rows_of_a_message_are_counted_and_each_is_seen(client: ClickHouseClient) -> None:
    fields: dict[str, Any] = {
        "batch": {"type": "UInt8", "from": ["$", "batch"]},
        "device": {"type": "String", "from": ["$", "devices", "*", "name"]},
        "n": "UInt8",
    }
    where: Any = {"from": ["devices", "values"], "bad": "leave out"}
    values: Any = ([{"n": 1}, {"n": -1}], [{"n": 2}, {"n": 3}], [])
    messages = [{"batch": 1, "devices": {"name": "d", "values": each}} for each in values]
    records = [Read(json.dumps(each).encode(), None, (), None, "here") for each in messages]
    found = tried(Pipeline(rows=where, fields=fields), records, Own(client))
    assert (found.trial.messages, found.trial.rows) == (3, 3)
    seen = {name: (found.presence[name].seen, found.presence[name].missing) for name in fields}
    assert seen == dict.fromkeys(("batch", "device", "n"), (4, 0))


def test_values_of_a_mended_message_are_shown_as_they_came(client: ClickHouseClient) -> None:
    fields = {"a": "Float64", "b": {"type": "Float64", "accept": ["nan"]}}
    found = of(client, fields, b'{"a": NaN, "b": 1e999}')
    assert [str(each) for each in found.trial.examples[0].faults] == ["a is NaN, not Float64"]


def test_text_for_an_object_is_cured_by_keeping_it_as_text(client: ClickHouseClient) -> None:
    fields: dict[str, Any] = {
        "o": "String", "p": {"type": "UInt8", "from": ["x", "y"]}, "q": "Nullable(String)",
        "r": {"type": "Float64", "accept": ["nan"]},
        "s": {"type": "String", "values": "text"},
    }  # fmt: skip
    messages = (
        b'{"o":{"a":1},"x":{"y":{"z":[]}},"q":{"r":1},"r":1,"s":{"t":NaN}}',
        b'{"o":{},"x":{"y":{}},"r":NaN,"s":"a"}',
        b'{"o":{},"x":{},"q":{"r":NaN},"r":1,"s":"a"}',
    )
    found = of(client, fields, *messages)
    assert [found.cure(name) for name in fields] == [
        'o = { type = "String", values = "text" }',
        'p = { type = "Nullable(String)", from = ["x", "y"], values = "text" }',
        'q = { type = "Nullable(String)", values = "text", accept = ["nan"] }',
        None,
        's = { type = "String", values = "text", accept = ["nan"] }',
    ]


def test_a_place_that_is_no_field_is_named(client: ClickHouseClient) -> None:
    fields = {"n": "UInt8"}
    rows = {"rows": ["m", ["a", "b"]], "fields": fields, "rejects": {"large": "n > 9"}}
    texts = [b'{"m":[{}]}', b'{"m":[{"b":[{"n":1},{"n":10}]}]}', b'{"m":[{"a":1,"a":2}]}']
    found = tried(
        Pipeline(**rows), [Read(each, None, (), None, "x") for each in texts], Own(client)
    )
    assert [(each.reason, each.error) for each in found.trial.examples] == [
        ("field missing", "m[0].a or b"), ("large", "m[0].b[1]"), ("duplicate key", "m[0]"),
    ]  # fmt: skip
    flat = Pipeline(fields=fields)
    (example,) = tried(flat, [Read(b"[]", None, (), None, "x")], Own(client)).trial.examples
    assert (example.reason, example.error) == ("not an object", "")
