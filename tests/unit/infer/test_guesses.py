"""What values of a sample become: the smallest story of each kind."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nrtctl.pipeline.infer.columns import columns
from nrtctl.pipeline.infer.seen import Sample

UUID = "5f1d8a3e-7c53-4b6b-9e0a-222222222222"


def sample(*messages: Any, cells: bool = False) -> Sample:
    made = Sample(cells=cells)
    for message in messages:
        made.add(message if isinstance(message, bytes) else json.dumps(message).encode())
    return made


def fields(*messages: Any, cells: bool = False) -> dict[str, Any]:
    """Name to what the configuration would say; JSON: it is a column of SQL."""
    found, _ = columns(sample(*messages, cells=cells))
    return {
        each.name: each.options["type"] if len(each.options) == 1 else each.options
        for each in found
    }


def of(name: str, *values: Any, cells: bool = False) -> Any:
    return fields(*({name: value} for value in values), cells=cells)[name]


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([1, 2], "UInt32"),
        ([-1, 2], "Int32"),
        ([2**32], "UInt64"),
        ([-(2**31) - 1], "Int64"),
        ([2**64], "UInt128"),
        ([1, 2.5], "Float64"),
        ([True, False], "Bool"),
        (["x"], "String"),
        (["a", "a", "b", "b"], "LowCardinality(String)"),
        ([UUID, UUID.upper()], "UUID"),
        (["192.0.2.1"], "IPv4"),
        (["192.0.2.1", "2001:db8::1"], "IPv6"),
        (["2024-02-29"], "Date32"),
        (["2024-05-06T07:08:09Z", "2024-05-06 09:08:09.5+02:00"], "DateTime64(3, 'UTC')"),
        (["2024-05-06T07:08:09.123456Z"], "DateTime64(6, 'UTC')"),
        ([[1, 2], [3]], "Array(UInt32)"),
        ([["a", None]], "Array(Nullable(String))"),
        ([[["a"]]], "Array(Array(String))"),
    ],
)
def test_values_of_one_kind_get_their_type(values: list[Any], wanted: str) -> None:
    assert of("x", *values) == wanted


@pytest.mark.parametrize(
    "texts",
    [
        ["2024-05-06T07:08:09Z", "yesterday"],
        ["2024-02-30"],
        ["2024-05-06T24:00:00Z"],
        ["0001-01-01T00:00:00Z"],
        ["192.0.2.01"],
        ["192.0.2.1:8080"],
        ["fe80::1%eth0"],
        [UUID[:-1]],
        ["2024-05-06T07:08:09.1234567891Z"],
        ["2024-05-06T07:08Z", "today"],
    ],
)
def test_one_text_that_does_not_fit_strictly_makes_it_a_string(texts: list[str]) -> None:
    assert of("x", *texts) == "String"


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("created", 1686089970, {"type": "DateTime('UTC')", "epoch": "s"}),
        ("ts_ms", 1705312800112, {"type": "DateTime64(3, 'UTC')", "epoch": "ms"}),
        ("changed", 1705312800123456, {"type": "DateTime64(6, 'UTC')", "epoch": "us"}),
        ("time", 1714979289123456789, {"type": "DateTime64(9, 'UTC')", "epoch": "ns"}),
        ("createdAt", 1714979289.25, {"type": "DateTime64(3, 'UTC')", "epoch": "s"}),
        ("x", 1705312800112, {"type": "DateTime64(3, 'UTC')", "epoch": "ms"}),
        ("x", 1705312800, "UInt32"),
        ("order_id", 1705312800112, "UInt64"),
        ("time", 12, "UInt32"),
        ("sold_on", 19737, {"type": "Date32", "epoch": "d"}),
        ("x", 19737, "UInt32"),
    ],
)
def test_epochs_are_told_by_their_size_and_their_name(name: str, value: Any, wanted: Any) -> None:
    assert of(name, value) == wanted


def test_missing_and_null_make_a_field_nullable() -> None:
    assert fields({"a": 1, "b": 1, "c": 1}, {"a": 1, "b": None}) == {
        "a": "UInt32",
        "b": "Nullable(UInt32)",
        "c": "Nullable(UInt32)",
    }


def test_a_missing_parent_makes_what_is_below_nullable() -> None:
    assert fields({"a": {"b": 1}}, {"a": None}, {}) == {
        "a_b": {"type": "Nullable(UInt32)", "from": ["a", "b"]}
    }


def test_keys_that_are_no_identifiers_get_a_path() -> None:
    assert fields({"@timestamp": 1, "a.b": 2, "größe": 3, "2fa": 4, "_id": "x", "名": 5}) == {
        "timestamp": {"type": "UInt32", "from": "@timestamp"},
        "a_b": {"type": "UInt32", "from": "a.b"},
        "grosse": {"type": "UInt32", "from": "größe"},
        "f_2fa": {"type": "UInt32", "from": "2fa"},
        "id": {"type": "String", "from": "_id"},
        "f": {"type": "UInt32", "from": "名"},
    }


def test_two_places_never_have_one_name() -> None:
    assert fields({"a_b": 1, "a": {"b": 2}, "a.b": 3}) == {
        "a_b": "UInt32",
        "a_b_2": {"type": "UInt32", "from": ["a", "b"]},
        "a_b_3": {"type": "UInt32", "from": "a.b"},
    }


def test_a_key_named_key_is_told_from_the_records_key() -> None:
    found = fields({"key": {"key": 1}, "-key": 2})
    assert found["key_key"]["from"] == ["key", "key"]
    assert fields({"key": "k"}) == {"key": "String"}


def test_objects_whose_keys_are_data_are_maps() -> None:
    labels = {"app.kubernetes.io/name": "web", "team": "a"}
    assert fields({"m": labels}, {"m": {}}) == {"m": "Map(String, String)"}
    assert fields({"m": labels}, {}) == {"m": {"type": "Map(String, String)", "default": {}}}
    counts = [{"m": {f"user{n}": n}} for n in range(30)]
    assert fields(*counts) == {"m": "Map(String, UInt32)"}


def test_arrays_of_objects_are_tuples() -> None:
    assert of("items", [{"sku": "a", "qty": 1}, {"sku": "b"}], []) == (
        "Array(Tuple(sku String, qty Nullable(UInt32)))"
    )


def test_what_is_nested_deeply_is_kept_as_its_text() -> None:
    assert of("x", [{"a": [{"b": 1}]}]) == "Array(Tuple(a Array(Tuple(b UInt32))))"
    assert of("x", [{"a": [{"b": [1]}]}]) == {"type": "String", "json": "text"}


def test_arrays_that_may_be_missing_are_empty_there() -> None:
    assert fields({"id": 1, "tags": ["a"]}, {"id": 2}, {"id": 3, "tags": None})["tags"] == {
        "type": "Array(String)",
        "default": [],
    }


def test_a_zero_time_stands_for_nothing_only_among_times() -> None:
    zero = "0001-01-01T00:00:00Z"
    assert of("at", zero, "2024-05-06T07:08:09Z")["empty"] == {"as": "null", "texts": [zero]}
    assert of("at", zero, "192.0.2.1") == "String"
    assert of("at", zero, zero) == "String"


def test_texts_that_stand_for_nothing_are_null() -> None:
    assert of("x", UUID, "") == {"type": "Nullable(UUID)", "empty": "null"}
    assert of("x", "192.0.2.1", "-", "") == {
        "type": "Nullable(IPv4)",
        "empty": {"as": "null", "texts": ["", "-"]},
    }
    assert of("x", "", "-") == "String"


@pytest.mark.parametrize(
    ("cells", "wanted"),
    [
        (["7", "8"], "UInt32"),
        (["007", "8"], "String"),
        (["1.0", "2.0"], "Float64"),
        (["1e5"], "Float64"),
        (["1.5E+06", "2"], "Float64"),
        (["12E5", "99"], "String"),
        (["true", "False"], "Bool"),
        (["7", None], "Nullable(UInt32)"),
        (["2024-01-02 03:04:05"], "DateTime64(3, 'UTC')"),
        (["31.12.2023"], {"type": "Date32", "format": "%d.%m.%Y"}),
        (["+5"], "String"),
        (["1,234"], "String"),
        (["1 234"], "String"),
        (["1,234.5", "0.99", "-3"], {"type": "Decimal(18, 4)", "accept": ["thousands"]}),
        (["1'234.50", "1'234"], {"type": "Decimal(18, 4)", "accept": ["thousands"]}),
        (["1,234,567", "12"], {"type": "UInt32", "accept": ["thousands"]}),
        (["1,234.56789"], "String"),
        (["1,234.5", "1.234,5"], "String"),
        (["1,234.5", "007"], "String"),
        (["0,99", "3"], {"type": "Decimal(18, 4)", "accept": ["decimal comma"]}),
        (
            ["1.234,56"],
            {"type": "Decimal(18, 4)", "accept": ["decimal comma", "thousands"]},
        ),
    ],
)
def test_cells_of_a_text_file_are_numbers_where_all_are(cells: list[Any], wanted: Any) -> None:
    assert of("x", *cells, cells=True) == wanted


def test_a_version_is_no_number() -> None:
    made = fields({"version": "1.10", "app_version": "1.9", "size": "1.10"}, cells=True)
    assert made == {"version": "String", "app_version": "String", "size": "Float64"}


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([1, "2"], "UInt32"),
        ([1, "x"], {"type": "String", "accept": ["numbers"]}),
        ([1.5, True, "x"], {"type": "String", "accept": ["numbers", "booleans"]}),
        ([True, 0, 1], {"type": "Bool", "accept": ["0/1"]}),
        ([True, "True", "yes"], {"type": "Bool", "accept": ["yes/no", "any case"]}),
        ([1.5, "NaN"], {"type": "Float64", "accept": ["nan"]}),
        ([2**256], {"type": "String", "accept": ["numbers"]}),
        ([2**60, 0.5], {"type": "String", "accept": ["numbers"]}),
    ],
)
def test_several_kinds_in_one_place_are_kept_without_loss(values: list[Any], wanted: Any) -> None:
    assert of("x", *values) == wanted


def test_not_a_number_is_accepted_by_a_float() -> None:
    assert fields(b'{"a":NaN}', b'{"a":1.5}', b'{"a":-Infinity}') == {
        "a": {"type": "Float64", "accept": ["nan"]}
    }


def test_not_a_number_beside_long_ones_does_not_round_them() -> None:
    text = {"type": "String", "values": "text", "accept": ["nan"]}
    assert fields(
        b'{"a":NaN,"b":1e400,"c":NaN}', b'{"a":1180591620717411303425,"b":0.5,"c":9}'
    ) == {
        "a": text,
        "b": {"type": "Float64", "accept": ["nan"]},
        "c": {"type": "Float64", "accept": ["nan"]},
    }


def test_not_a_number_among_other_values_is_kept_as_a_word() -> None:
    text = {"type": "String", "json": "text", "accept": ["nan"]}
    found = fields(
        b'{"a":NaN,"b":[NaN,"x"],"c":1,"d":true}',
        b'{"a":"off","b":[{"d":1}],"c":-Infinity,"d":NaN}',
    )
    assert found == {
        "d": {"type": "String", "values": "text", "accept": ["nan"]},
        "a": {"type": "String", "values": "text", "accept": ["nan"]},
        "b": text,
        "c": {"type": "Float64", "accept": ["nan"]},
    }


def test_what_an_array_or_map_accepts_is_about_its_values() -> None:
    assert of("x", [1, "a"]) == {"type": "Array(String)", "accept": ["numbers"]}
    assert of("x", [[1, "a"]]) == {"type": "Array(Array(String))", "accept": ["numbers"]}
    assert of("x", [{"a b": 1, "c": "d"}]) == {
        "type": "Array(Map(String, String))",
        "accept": ["numbers"],
    }
    assert of("x", [{"a": [1, "b"]}]) == {"type": "String", "json": "text"}
    assert of("labels", {"a": 1, "b": "x", "c": None}) == {
        "type": "Map(String, Nullable(String))",
        "accept": ["numbers"],
    }
    assert of("x", [1, [2]]) == {"type": "String", "json": "text"}


def test_objects_and_arrays_in_one_place_are_kept_as_their_text() -> None:
    text = {"type": "Nullable(String)", "json": "text"}
    assert fields({"x": {"a": 1}}, {"x": []}, {}) == {"x": text}
    assert of("x", {"a": 1}, 5) == {"type": "String", "values": "text"}


def test_digits_in_a_json_string_stay_text_and_are_noted() -> None:
    found, _ = columns(sample({"code": "200", "n": "1"}, {"code": "404", "n": "12"}))
    assert [each.guess.type for each in found] == ["String", "String"]
    assert found[0].guess.notes == ("digits only: UInt64 would do as well",)


def test_money_is_a_decimal_by_its_name_and_noted() -> None:
    found, _ = columns(sample({"total_amount": 9.5}))
    assert found[0].guess.type == "Decimal(18, 4)"
    assert found[0].guess.notes == ("taken to be money, by its name",)
    assert of("total_amount", 9.123456) == "Float64"


def test_nothing_but_null_is_noted() -> None:
    found, _ = columns(sample({"x": None, "y": 1}))
    assert found[0].guess.written == "Nullable(String)"
    assert found[0].guess.notes == ("only null in the sample",)


def test_an_empty_object_is_no_field_and_is_said() -> None:
    found, left = columns(sample({"x": {}, "y": 1}))
    assert [each.name for each in found] == ["y"]
    assert left == ["x is always an empty object, so no field was made of it."]


@pytest.mark.parametrize(
    "message",
    [b"", b"{", b"[1]", b'"x"', b"\xff", b'{"\\ud800":1}', b"{}{}", b'{"a":"\\x"}'],
)
def test_what_is_no_object_is_counted_and_no_field(message: bytes) -> None:
    made = sample(message, {"a": 1})
    assert made.others.total() == 1
    assert made.messages == 2
    assert [each.name for each in columns(made)[0]] == ["a"]


@pytest.mark.parametrize("broken", [b'"\\ud800"', b'"a\tb"', b'"\xff"'])
def test_text_that_is_none_is_accepted_by_its_field_alone(broken: bytes) -> None:
    found, _ = columns(sample(b'{"a":%s,"c":"x"}' % broken, {"a": "", "c": ""}))
    assert found[0].guess.options["accept"] == ["broken text"]
    assert not found[-1].guess.options


def test_a_key_with_a_line_break_is_read_beside_broken_text() -> None:
    found, _ = columns(sample(b'{"a\\nb":{"c\\td":1},"e":"\\ud800"}'))
    assert [each.path for each in found] == [("a\nb",), ("e",)]


def test_a_number_of_any_length_is_kept_as_its_text() -> None:
    """Python makes no int of more than 4,300 digits."""
    made = sample(b'{"a":1%b}' % (b"0" * 5000), b'{"a":-1%b}' % (b"0" * 400))
    assert not made.others
    assert columns(made)[0][0].options == {"type": "String", "accept": ["numbers"]}


LONG, LONGER, POWER = "0.12345678901234567891", f"0.{'123456789' * 9}", "1.2345678901234567891e5"


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (f"[{LONG}, 1]", {"type": "String", "json": "text"}),
        (f"[[{LONG}]]", {"type": "String", "json": "text"}),
        (f'[{{"a": {LONG}}}]', {"type": "String", "json": "text"}),
        (f'[{LONG}, "x"]', {"type": "String", "json": "text"}),
        ("[9007199254740993, 0.5]", {"type": "Array(String)", "accept": ["numbers"]}),
        ("[9007199254740992, 0.5]", "Array(Float64)"),
        (LONGER, {"type": "String", "values": "text"}),
        (POWER, {"type": "String", "values": "text"}),
        (f'{{"a/b": {LONG}}}', {"type": "Decimal(38, 20)", "from": ["x", "a/b"],
                                "accept": ["spellings"]}),
    ],
)  # fmt: skip
def test_numbers_that_a_double_would_change_are_none(value: str, wanted: Any) -> None:
    (found,) = fields(b'{"x": %b}' % value.encode()).values()
    assert found == wanted


def test_numbers_that_a_double_would_change_among_others() -> None:
    text = {"type": "String", "values": "text"}
    (found,) = fields(b'{"x": %b}' % LONG.encode(), {"x": "a"}).values()
    assert found == text
    (found,) = fields(b'{"x": 9007199254740993}', {"x": "NaN"}, b'{"x": 0.5}').values()
    assert found == {"type": "String", "accept": ["numbers"]}
    assert of("x", LONGER, "0.5", cells=True) == of("x", POWER, "0.5", cells=True) == "String"


def test_amounts_of_many_digits_have_room() -> None:
    wide = {"type": "Decimal(38, 4)", "accept": ["spellings"]}
    assert of("price", 123456789012345, 0.5) == wide
    assert of("price", "123456789012345.5", "0.5", cells=True) == wide
    assert of("price", 12345678901234, 0.5) == "Decimal(18, 4)"
    assert of("price", float("1e40"), 0.5) == "Float64"


def test_seconds_of_more_digits_than_a_time_takes_are_numbers() -> None:
    assert of("ts", 1714979289.1234567) == "Float64"
    assert of("ts", 1714979289.123456) == {"type": "DateTime64(6, 'UTC')", "epoch": "s"}


@pytest.mark.parametrize(
    ("row", "lacks"),
    [
        ({"1": "4", "2.5": "5", "2026-01-05": "6", "-3,5": ""}, True),
        ({"1": "4", "b": "5"}, False),
        ({"id": "1"}, False),
        ({"u1": "u2", "Ada": "Ada"}, True),
        ({"u1": "u2", "12.50": "7.00"}, True),
        ({"u1": "u2", "2026-01-05 10:00:00": "2026-01-06 10:00:00"}, True),
        ({"host": "a", "192.0.2.1": "192.0.2.7"}, True),
        ({"country": "DE", "2019": "5", "2020": "6"}, False),
        ({"host": "a", "99.9": "n/a"}, False),
    ],
)
def test_a_header_of_numbers_or_values_is_perhaps_a_row(row: dict[str, str], lacks: bool) -> None:
    assert sample(row, cells=True).lacks_names is lacks
    assert not sample(row).lacks_names


@pytest.mark.parametrize(
    ("cells", "wanted"),
    [
        (
            ["1", "NA", "3"],
            {"type": "Nullable(UInt32)", "empty": {"as": "null", "texts": ["NA"]}},
        ),
        (
            ["1.5", "\\N", "-"],
            {"type": "Nullable(Float64)", "empty": {"as": "null", "texts": ["-", "\\N"]}},
        ),
        (["NA", "NULL"], "String"),
        (["1", "NA", "x"], "String"),
        (
            ["0000-00-00 00:00:00", "2024-05-06 07:08:09"],
            {
                "type": "Nullable(DateTime64(3, 'UTC'))",
                "empty": {"as": "null", "texts": ["0000-00-00 00:00:00"]},
            },
        ),
    ],
)
def test_cells_that_mean_no_value_leave_the_others_numbers(cells: list[str], wanted: Any) -> None:
    assert of("x", *cells, cells=True) == wanted


@pytest.mark.parametrize(
    ("texts", "form", "kind"),
    [
        (["12/31/2024 1:05 PM", "1/2/2025 11:30 am"], "%m/%d/%Y %I:%M %p", "DateTime('UTC')"),
        (["12/31/2024 01:05:09 PM"], "%m/%d/%Y %I:%M:%S %p", "DateTime('UTC')"),
        (["31/12/2024 13:05"], "%d/%m/%Y %H:%M", "DateTime('UTC')"),
        (["1.2.2024", "31.12.2024"], "%d.%m.%Y", "Date32"),
        (["31-Dec-2024", "1-jan-2025"], "%d-%b-%Y", "Date32"),
        (["December 31, 2024"], "%B %d, %Y", "Date32"),
    ],
)
def test_times_of_spreadsheets(texts: list[str], form: str, kind: str) -> None:
    assert of("x", *texts) == {"type": kind, "format": form}


def test_numbers_of_more_digits_than_a_double_keeps_are_decimals() -> None:
    def taken(name: str, *numbers: str) -> Any:
        return fields(*(f'{{"{name}":{number}}}'.encode() for number in numbers))[name]

    exact = {"type": "Decimal(38, 19)", "accept": ["spellings"]}
    assert taken("rate", "0.1234567890123456789", "1.5", "7") == exact
    assert of("rate", "0.1234567890123456789", "2", cells=True) == exact
    assert taken("price", "12.25", "1") == "Decimal(18, 4)"
    spelt = {"type": "Decimal(38, 4)", "accept": ["spellings"]}
    assert taken("price", "123456789012345.25") == spelt
    assert taken("rate", "0.1", str(1 / 3), "1e300") == "Float64"
    assert taken("rate", f"0.{'1' * 90}") == {"type": "String", "values": "text"}


@pytest.mark.parametrize("name", ["lsn", "bytes", "file_offset", "ord"])
def test_what_grows_has_64_bits(name: str) -> None:
    assert of(name, 1) == "UInt64"
    assert of("count", 1) == "UInt32"


def test_json_in_a_string_has_a_word_on_it() -> None:
    found, _ = columns(sample({"Message": '{"a": 1}'}, {"Message": "[]"}))
    assert found[0].guess.type == "String"
    assert found[0].guess.notes[0].startswith('JSON in a string: with unpack = ["Message"]')
    found, _ = columns(sample({"Message": '{"a": 1}'}, {"Message": "{no"}))
    assert not found[0].guess.notes
