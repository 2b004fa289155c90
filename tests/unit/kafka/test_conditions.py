"""`--where`: paths into a value, operators, and what compares with what."""

from __future__ import annotations

import pytest

from nrtctl.kafka.message_filter import parse_condition

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


@pytest.mark.parametrize(
    "text",
    [
        "id = 7", "id=7", "id == 7", "id >= 7", "id < 7.5", "id != 8", "$.id = 7",
        "name = Ada", 'name = "Ada"', "name ~ ^A", 'name ~ "d"', "name > A", "name != 7",
        "user.country = DE", 'user."odd key" = 1', '"user"."a.b"[0] = 1',
        "items[0].price > 9", "items[-1].price = 12", "items[1].price <= 12",
        "ok = true", "ok", "user", "zip = 01099", "code = 7", "none = null", "@t = 3",
        "ok != 1", "id != Ada",
    ],
)  # fmt: skip
def test_what_holds(text: str) -> None:
    assert parse_condition(text).holds(VALUE)


@pytest.mark.parametrize(
    "text",
    [
        "id = 8", "id > 7", "id > Ada", "id ~ 7", "name < 5", "ok = 1", "ok > 0", "none",
        "missing", "missing = 1", "missing != 1", "missing ~ x", "user.country.x = 1",
        "items[2].price > 0", "items.price = 12", "name[0] = A", "user[0] = 1", "items[-3]",
    ],
)  # fmt: skip
def test_what_does_not_hold(text: str) -> None:
    assert not parse_condition(text).holds(VALUE)


@pytest.mark.parametrize("value", [None, 3, "text", [], True])
def test_a_value_that_is_no_object(value: object) -> None:
    assert not parse_condition("id = 7").holds(value)


def test_the_value_itself_may_be_an_array() -> None:
    assert parse_condition("[0].a = 1").holds([{"a": 1}])


@pytest.mark.parametrize(
    "text", ["", "= 7", "a b", "a ? 3", "a..b = 1", "a[x] = 1", "name ~ (", "a & b"]
)
def test_what_is_no_condition(text: str) -> None:
    with pytest.raises(ValueError):
        parse_condition(text)
