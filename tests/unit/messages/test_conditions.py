"""Conditions on messages: paths into a value, operators, and what compares with what."""

from __future__ import annotations

import pytest

from nrtctl.pipeline.condition import NOT_JSON, Message, holds, parsed
from nrtctl.pipeline.condition_text import parse_condition

VALUE = {
    "id": 7,
    "name": "Ada",
    "user": {"country": "DE", "odd key": 1, "a.b": [1, {"c": None}]},
    "items": [{"price": 9.5}, {"price": 12}],
    "ok": True,
    "none": None,
    "zip": "01099",
    "code": "7",
    "@t": 3,
}
HEADERS = [("type", b"first"), ("type", b"order"), ("null", None), ("n", b"5")]
MESSAGE = Message(VALUE, b"k", HEADERS)


@pytest.mark.parametrize(
    "text",
    [
        "id = 7", "id=7", "id == 7", "id >= 7", "id < 7.5", "id != 8", "$.id = 7",
        "name = Ada", 'name = "Ada"', "name ~ ^A", 'name ~ "d"', "name > A", "name != 7",
        "user.country = DE", 'user."odd key" = 1', '"user"."a.b"[0] = 1',
        "items[0].price > 9", "items[-1].price = 12", "items[1].price <= 12",
        "ok = true", "ok", "user", "zip = 01099", "code = 7", "none = null", "@t = 3",
        "ok != 1", "id != Ada",
        "name = 'Ada'", "name='Ada' and id=7", "id = 8 or ok", "not id = 8",
        "NOT (id = 8 OR id = 9)",
        "id in (1, 7)", "name in ('Bob', Ada)", "name not in (Bob, 'Eve')", "name IN (\"Ada\")",
        "name like 'A%'", "name like '_d_'", "name not like 'B%'", "none is null",
        "missing is null",
        "id is not null", "id is not null and none is null", "none in (null, 3)", "missing = null",
        "id = 8 and missing or name = 'Ada'", "id = 7 or id = 8 and id = 9", "(name ~ ^(A|B)d.$)",
        "name ~ '^A' and id > 6", "header('type') = 'order'", "header('type') like 'o%'",
        "key() = 'k'", "header('other') is null", "header('null') is null", "header('n') = 5",
        "code in (7)", "name < 'B'", "not not id", "id is  NOT\tnull",
    ],
)  # fmt: skip
def test_what_holds(text: str) -> None:
    assert holds(parse_condition(text), MESSAGE)


@pytest.mark.parametrize(
    "text",
    [
        "id = 8", "id > 7", "id > Ada", "id ~ 7", "name < 5", "ok = 1", "ok > 0", "none",
        "missing", "missing = 1", "missing != 1", "missing ~ x", "user.country.x = 1",
        "items[2].price > 0", "items.price = 12", "name[0] = A", "user[0] = 1", "items[-3]",
        "not missing = 1", "not (missing = 1 or id = 8)", "none != 1", "missing not in (1)",
        "name like 'a%'", "name like 'd'", "id like '7'", "id is null", "name = 'it''s'",
        "name = ''",
        "header('n') > 4", "header('other') = 1", "header('type') = 'first'",
        "not header('other') = 1",
        "id = 8 or id = 9 and ok", "(id = 7 or ok) and id = 8", "name in (Ad)", "ok = 'true'",
    ],
)  # fmt: skip
def test_what_does_not_hold(text: str) -> None:
    assert not holds(parse_condition(text), MESSAGE)


@pytest.mark.parametrize("value", [None, 3, "text", [], True])
def test_a_value_that_is_no_object(value: object) -> None:
    assert not holds(parse_condition("id = 7"), Message(value))


def test_the_value_itself_may_be_an_array() -> None:
    assert holds(parse_condition("[0].a = 1"), Message([{"a": 1}]))


def test_what_is_no_json_holds_for_nothing_but_a_key_or_header() -> None:
    message = Message.of(b"{", b"k", HEADERS)
    assert not holds(parse_condition("id is null"), message)
    assert not holds(parse_condition("not id = 7"), message)
    assert holds(parse_condition("id = 7 or header('type') = 'order'"), message)


@pytest.mark.parametrize(
    "text", ["and = 1", "not = 1 and in = 2", "not.x is null", "not[0] is null", "is is null", "or"]
)
def test_a_key_may_have_the_name_of_a_word(text: str) -> None:
    assert holds(parse_condition(text), Message({"and": 1, "not": 1, "in": 2, "is": None, "or": 1}))


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("name = New York", "New York"), ("name = 'New York'", "New York"),
        ('name = "New York"', "New York"), ("name = 'it''s'", "it's"), ("name = {x", "{x"),
        ("name = NaN", "NaN"), ("name = and", "and"), ("name = x (y)", "x (y)"),
        (r"name = \d", r"\d"),
    ],
)  # fmt: skip
def test_how_a_text_is_written(text: str, right: str) -> None:
    assert holds(parse_condition(text), Message({"name": right}))


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "its end there should be a path"),
        ("= 7", "character 1 ('= 7') there should be a path"),
        ("a b", "character 3 ('b') there should be 'and', 'or' or the end"),
        ("a ? 3", "character 3 ('? 3')"),
        ("a..b = 1", "character 2 ('..b = 1')"),
        ("a[x] = 1", "character 2 ('[x] = 1')"),
        ("a & b", "character 3 ('& b')"),
        ("a = 1 and", "its end there should be a path"),
        ("(a = 1", "its end there should be a closing parenthesis"),
        ("a = 1)", "character 6 (')') there should be 'and', 'or' or the end"),
        ("a =", "its end there should be a value"),
        ("a = = 'x'", "character 5 (\"= 'x'\") there should be a value"),
        ("a = 'x", 'character 5 ("\'x") there should be a text that its closing quote ends'),
        ("a = 'x' 'y'", "character 9 (\"'y'\")"),
        ("a in 1", "character 6 ('1') there should be the values in parentheses"),
        ("a in (1", "its end there should be a comma or a closing parenthesis"),
        ("a in ()", "character 7 (')') there should be a value"),
        ("a is 1", "character 6 ('1') there should be null"),
        ("a not 1", "character 3 ('not 1') there should be an operator"),
        ("a < true", "character 5 ('true') there should be a number or a text"),
        ("a > null", "character 5 ('null') there should be a number or a text"),
        ("name ~ (", "character 8: '(' is not a regular expression"),
        ("name ~ '('", "character 8: '(' is not a regular expression"),
    ],
)
def test_what_is_no_condition_is_told_by_its_place(text: str, where: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_condition(text)
    assert where in str(caught.value)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("data", "right"),
    [
        (b'{"a":1,"a":2}', {"a": 1}), (b'\xef\xbb\xbf{"a":1}', {"a": 1}), (b"", NOT_JSON),
        (None, NOT_JSON), (b"NaN", NOT_JSON), (b"1e400", NOT_JSON), (b"\xff", NOT_JSON),
        (b'"\\ud800"', NOT_JSON), (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b"18446744073709551615", 2**64 - 1),
        (b"18446744073709551616", "18446744073709551616"), (b"-9223372036854775808", -(2**63)),
        (b"[" * 100_000, NOT_JSON),
    ],
)  # fmt: skip
def test_json_is_read_as_clickhouse_reads_it(data: bytes | None, right: object) -> None:
    assert parsed(data) == right
