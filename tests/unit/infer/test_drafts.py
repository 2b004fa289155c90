"""A draft as text: valid TOML that says what the draft says, whatever the keys are called."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nrtctl.pipeline.infer import names
from nrtctl.pipeline.infer.columns import Column, looser
from nrtctl.pipeline.infer.draft import Draft, draft
from nrtctl.pipeline.infer.guess import Guess
from nrtctl.pipeline.infer.seen import Sample
from nrtctl.pipeline.infer.text import written


def drafted(*messages: Any) -> Draft:
    sample = Sample()
    for message in messages:
        sample.add(message if isinstance(message, bytes) else json.dumps(message).encode())
    return draft(sample, source="x.jsonl", topic="orders", table="orders")


def test_the_text_says_what_the_draft_says() -> None:
    made = drafted({"id": 1, "@t": 1705312800112, "a": {"b": "x"}})
    text = written(made, '[kafka]\nbootstrap_servers = "k:9092"')
    tree = tomllib.loads(text)
    assert tree == {"kafka": {"bootstrap_servers": "k:9092"}, "pipeline": made.pipeline()}
    assert "# taken to be ms since 1970, only by its size" in text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.lists(st.dictionaries(st.text(max_size=6), JSON, max_size=4), min_size=1, max_size=4))
def test_any_messages_make_valid_toml_with_identifiers_for_names(messages: list[Any]) -> None:
    try:
        made = drafted(*messages)
    except ValueError:
        return
    tree = tomllib.loads(written(made, "[batch]"))
    assert tree["pipeline"] == made.pipeline()
    for name in tree["pipeline"]["fields"]:
        assert name.isascii()
        assert name.isidentifier()
        assert not name.startswith("_")


def test_few_values_then_the_time_sort_the_table() -> None:
    rows = [
        {"kind": k, "at": f"2024-05-06T07:08:0{n}Z", "id": n, "x": 0.5}
        for n, k in enumerate(["a", "b", "a", "b"])
    ]
    assert drafted(*rows).order_by == ("kind", "at")
    assert drafted({"x": 0.5, "order_id": 1}).order_by == ("order_id",)
    assert drafted({"x": 0.5}).order_by == ()


def test_nothing_nullable_sorts_the_table() -> None:
    assert drafted({"id": 1, "n": 1}, {"id": None, "n": 2}).order_by == ()


def test_a_sample_without_an_object_is_refused() -> None:
    with pytest.raises(ValueError, match="no message of the sample"):
        drafted([1], 2, {})
    with pytest.raises(ValueError, match="there is no message in it"):
        drafted()


def test_messages_that_nothing_can_store_are_said() -> None:
    assert drafted({"a": 1}, [1], [2], 3).remarks == (
        "2 messages of the sample with an array cannot be stored.",
        "1 message of the sample with a value that is not an object cannot be stored.",
    )


def test_messages_with_no_value_have_a_word_on_how_they_are_left_out() -> None:
    sample = Sample()
    for message in (b'{"a": 1}', None):
        sample.add(message)
    assert draft(sample, source="x", topic="t", table="t").remarks == (
        "1 message of the sample with no value cannot be stored.",
        'tombstones = "leave out" in the pipeline leaves messages with no value out.',
    )


def test_messages_that_another_setting_reads_have_a_word_on_it() -> None:
    value, cure = b"\0\0\0\0\x07\x02\x06abc", 'format = "avro"'
    with pytest.raises(ValueError, match=f"at least one key: {re.escape(cure)}"):
        drafted(value)
    assert cure in " ".join(drafted(value, {"a": 1}).remarks)


def test_messages_of_several_lines_are_rows_unless_others_are_none() -> None:
    lines = b'{"a":1}\n\n{"a":2}\n'
    for others in ((), ({"a": 3},)):
        made = drafted(lines, *others)
        assert made.pipeline()["rows"] == {"texts": "lines"}
        assert made.pipeline()["fields"] == {"a": "UInt32"}
        assert 'rows = { texts = "lines" }' in written(made, "")
    mixed = drafted(lines, {"a": 3}, None)
    assert "rows" not in mixed.pipeline()
    assert 'rows = { texts = "lines" }' in " ".join(mixed.remarks)


def column(guess: Guess) -> Column:
    return Column("x", ("x",), guess, 1, 1)


def test_what_was_missing_becomes_nullable_or_empty() -> None:
    assert looser(column(Guess("UInt32")), absent=True) == column(Guess("UInt32", nullable=True))
    empty = looser(column(Guess("Array(String)")), absent=True)
    assert empty is not None
    assert empty.options == {"type": "Array(String)", "default": []}


def test_what_was_wrong_becomes_text_then_any_text_then_a_column_of_sql_then_nothing() -> None:
    text = looser(column(Guess("UUID", nullable=True)), absent=False)
    assert text is not None
    assert text.options == {"type": "Nullable(String)", "accept": ["numbers", "booleans"]}
    assert text.guess.notes == ("UUID did not hold every value",)
    whole = looser(text, absent=False)
    assert whole is not None
    assert whole.options == {"type": "Nullable(String)", "values": "text"}
    raw = looser(whole, absent=False)
    assert raw is not None
    assert raw.raw
    assert raw.sql == "JSONExtractRaw(assumeNotNull(_value), 'x')"
    assert looser(raw, absent=False) is None


def test_text_that_is_no_uuid_to_the_engine_stays_text() -> None:
    made = drafted({"id": "0b7f1c2e-4d5a-4f60-9a71-33c4d5e6f7a8"})
    assert made.loosened({"id": False}).pipeline()["fields"] == {"id": "String"}


def test_what_no_type_holds_is_kept_as_text() -> None:
    made = drafted({"x": 1, "y": [1]}, {"x": 2, "y": 3})
    assert made.pipeline()["fields"] == {"x": "UInt32", "y": {"type": "String", "values": "text"}}


def test_a_pipeline_has_a_field_where_messages_give_none() -> None:
    made = drafted({"it's": [1]}).loosened({"it_s": False}).loosened({"it_s": False})
    assert made.pipeline()["fields"] == {
        "recorded_at": {"type": "DateTime64(3, 'UTC')", "from": {"record": "timestamp"}}
    }
    assert made.pipeline()["columns"] == {"it_s": "JSONExtractRaw(assumeNotNull(_value), 'it\\'s')"}


@pytest.mark.parametrize(
    ("file", "table"),
    [
        ("orders.jsonl", "orders"),
        ("/tmp/My Orders (2).csv.gz", "my_orders_2"),
        ("2015-01-01-15.json.gz", "events"),
        ("-", "events"),
        ("größe.parquet", "grosse"),
        ("a.b.jsonl.zst", "a_b"),
        ("2024-sales.csv", "t_2024_sales"),
        ("dead_letters.jsonl", "events"),
        ("x" * 300, "x" * 60),
    ],
)
def test_the_tables_name_comes_from_the_files(file: str, table: str) -> None:
    assert names.table_of(file) == table


def fields(made: Draft) -> dict[str, Any]:
    return dict(made.pipeline()["fields"])


@pytest.mark.parametrize("keys", [("101", "102"), ("2026-01-31T10:00Z", "2026-02-01T10:00Z")])
def test_keys_that_are_data_make_a_map_of_objects_too(keys: tuple[str, str]) -> None:
    made = drafted({"by": {keys[0]: {"n": 1}}}, {"by": {keys[1]: {"n": -2, "on": True}}})
    assert fields(made) == {"by": "Map(String, Tuple(n Int32, on Nullable(Bool)))"}


def test_names_with_dots_stay_fields() -> None:
    made = drafted({"by": {"a.b": {"n": 1}, "c.d": {"x": "y"}}})
    assert list(fields(made)) == ["by_a_b_n", "by_c_d_x"]


def of_a_file(types: dict[tuple[str, ...], str], *messages: Any) -> dict[str, Any]:
    sample = Sample(types={path: {"type": kind} for path, kind in types.items()})
    for message in messages:
        sample.add(json.dumps(message).encode())
    return fields(draft(sample, source="x", topic="t", table="t"))


def test_types_of_a_file_count_where_json_does_not_show_them() -> None:
    types: dict[tuple[str, ...], str] = {
        ("map",): "Map", ("empty",): "Map", ("n",): "Int64", ("at",): "Int64",
        ("price",): "Decimal(9, 2)", ("sum",): "Decimal(9, 2)", ("none",): "Float64",
        ("text",): "Int64", ("list",): "Array(Int16)", ("no_list",): "Array(Int16)",
        ("few",): "Map(String, Int64)", ("maps",): "Map", ("maps", "*"): "Map",
        ("listed", "*"): "Map", ("no_map",): "Map(String, Int64)",
    }  # fmt: skip
    message = {
        "map": {"a": 1}, "empty": {}, "n": 1, "at": 1710000000, "price": 1, "sum": "1.50",
        "none": None, "text": "x", "list": [1, None], "no_list": [], "few": {"a": 1},
        "maps": {"a": {"b": 1}}, "listed": [{"b": 1}], "no_map": None,
    }  # fmt: skip
    assert of_a_file(types, message) == {
        "map": "Map(String, UInt32)",
        "empty": "Map(String, String)",
        "n": "Int64",
        "at": {"type": "DateTime('UTC')", "epoch": "s"},
        "price": {"type": "Decimal(9, 2)", "accept": ["spellings"]},
        "sum": "Decimal(9, 2)",
        "none": "Nullable(Float64)",
        "text": "String",
        "list": "Array(Nullable(Int16))",
        "no_list": "Array(Int16)",
        "few": "Map(String, Int64)",
        "maps": "Map(String, Map(String, UInt32))",
        "listed": "Array(Map(String, UInt32))",
        "no_map": {"type": "Map(String, Int64)", "default": {}},
    }


def connect(name: str, value: Any, **more: Any) -> Any:
    field = {"type": "int64", "field": "x", "name": name, **more}
    after = {"type": "struct", "field": "after", "fields": [field]}
    schema = {"type": "struct", "name": "t.Envelope", "fields": [after]}
    return {"schema": schema, "payload": {"op": "c", "before": None, "after": {"x": value}}}


@pytest.mark.parametrize(
    ("name", "value", "more", "options"),
    [
        (
            "org.apache.kafka.connect.data.Decimal", "A+k=",
            {"parameters": {"scale": "2", "connect.decimal.precision": "10"}},
            {"type": "Decimal(10, 2)", "format": "base64"},
        ),
        (
            "org.apache.kafka.connect.data.Decimal", 10.25, {"parameters": {"scale": "2"}},
            {"type": "Decimal(38, 2)", "accept": ["spellings"]},
        ),
        ("io.debezium.time.Date", 3, {}, {"type": "Date32", "epoch": "d"}),
        ("io.debezium.time.MicroTime", 3_600_000_000, {}, {"type": "Time64(6)", "epoch": "us"}),
        (
            "io.debezium.time.NanoTimestamp", 7, {},
            {"type": "DateTime64(9, 'UTC')", "epoch": "ns"},
        ),
    ],
)  # fmt: skip
def test_the_schema_beside_a_payload_says_what_its_values_are(
    name: str, value: Any, more: dict[str, Any], options: dict[str, Any]
) -> None:
    made = drafted(connect(name, value, **more))
    found = fields(made)
    assert found["payload_after_x"] == {"from": ["payload", "after", "x"], **options}
    assert not [each for each in found if each.startswith("schema")]


def test_changes_leave_out_what_has_no_value_and_others_do_not() -> None:
    for message, left in ((connect("int64", 1), "leave out"), ({"id": 1}, None)):
        sample = Sample()
        sample.add(json.dumps(message).encode())
        sample.add(None)
        made = draft(sample, source="x", topic="t", table="t")
        assert made.tombstones == left
        assert made.pipeline().get("tombstones") == left
        assert tomllib.loads(written(made, ""))["pipeline"] == made.pipeline()


def of_cells(**columns: list[str | None]) -> dict[str, Any]:
    sample = Sample(cells=True)
    for row in zip(*columns.values(), strict=True):
        sample.add(json.dumps(dict(zip(columns, row, strict=True))).encode())
    return fields(draft(sample, source="x", topic="t", table="t"))


def test_what_databases_write_for_null_is_null_in_text_too() -> None:
    found = of_cells(name=["ann", "\\N"], other=[None, "\\N"])
    empty = {"as": "null", "texts": ["\\N"]}
    assert found == {
        "name": {"type": "Nullable(String)", "empty": empty},
        "other": "Nullable(String)",
    }


def test_eight_digits_are_a_day_by_the_name() -> None:
    day = {"type": "Date32", "format": "%Y%m%d"}
    assert of_cells(start_date=["20240131"], code=["20240131"]) == {
        "start_date": day,
        "code": "UInt64",
    }
    assert fields(drafted({"event_date": "20240229"})) == {"event_date": day}
    assert fields(drafted({"event_date": "20230229"})) == {"event_date": "String"}


def test_times_of_http_and_named_start() -> None:
    made = drafted({"sent": "Tue, 14 Nov 2023 22:13:21 GMT", "start": 1700000000})
    assert fields(made) == {
        "sent": {"type": "DateTime('UTC')", "format": "%a, %d %b %Y %H:%M:%S %z"},
        "start": {"type": "DateTime('UTC')", "epoch": "s"},
    }


def test_messages_that_are_no_json_are_drafted_as_text() -> None:
    made = drafted(b"web\t7", b"a b", {"x": 1})
    assert made.pipeline() == {
        "topic": "orders",
        "table": "orders",
        "format": "text",
        "fields": {"line": "String"},
    }
    assert tomllib.loads(written(made, ""))["pipeline"] == made.pipeline()
    with pytest.raises(ValueError, match='format = "text" in the pipeline'):
        drafted(b"web", [1])


def test_ids_of_a_small_sample_are_not_few() -> None:
    made = drafted(*[{"spanId": "ab", "kind": "x"}] * 4)
    assert fields(made) == {"spanId": "String", "kind": "LowCardinality(String)"}


def test_more_spellings_of_uuids_and_times() -> None:
    one = "0b7f1c2e-4d5a-4f60-9a71-33c4d5e6f7a8"
    at = "2024-05-06T07:08:09+02:00[Europe/Berlin]"
    made = drafted({"u": f"{{{one}}}", "at": at}, {"u": f"urn:uuid:{one}", "at": at})
    assert fields(made) == {
        "u": {"type": "UUID", "accept": ["wrapped"]},
        "at": {"type": "DateTime64(3, 'UTC')", "accept": ["iso 8601"]},
    }
