"""Every field type: which JSON values are stored, as what, and which are dead letters."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from ipaddress import IPv4Address, IPv6Address
from typing import Any
from uuid import UUID

import pytest

from tests.plugins.pipeline_engine import Engine

WRONG, NULL, MISSING = "wrong type:x", "field is null:x", "field missing:x"
UTC = timezone.utc  # noqa: UP017
ONE = UUID(int=1)

# JSON text of the value (None: no such key) -> what is stored, or the fate of a dead letter.
Cases = dict[str | None, Any]
NOT_NULLABLE: Cases = {None: MISSING, "null": NULL}


def integers(low: int, high: int) -> Cases:
    return {
        "0": 0, "-0": 0, "1.0": 1, "1e1": 10, '"7"': 7, str(low): low, str(high): high,
        str(low - 1): WRONG, str(high + 1): WRONG, "1.5": WRONG, "1e-1": WRONG, '""': WRONG,
        '"1.5"': WRONG, '" 7"': WRONG, '"7 "': WRONG, '"0x7"': WRONG, '"1e1"': WRONG, '"x"': WRONG,
        "true": WRONG, "[1]": WRONG, '{"a":1}': WRONG, "1e300": WRONG,
        "123456789012345678901234567890123456789012345678901234567890123456789012345678901": WRONG,
    }  # fmt: skip


def signed(bits: int) -> Cases:
    return integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def unsigned(bits: int) -> Cases:
    return integers(0, 2**bits - 1)


TYPES: dict[str, Cases] = {
    **{f"Int{bits}": signed(bits) for bits in (8, 16, 32, 64, 128, 256)},
    **{f"UInt{bits}": unsigned(bits) for bits in (8, 16, 32, 64, 128, 256)},
    "String": {
        '""': "", '"a"': "a", '"5"': "5", '"true"': "true", '"[1]"': "[1]", '"{}"': "{}",
        r'"\u0000"': "\0", r'"\ud83d\ude00"': "😀", r'"\"\\\/\b\f\n\r\t"': '"\\/\b\f\n\r\t',
        '"ﬀ 你"': "ﬀ 你", '"null"': "null", '"-"': "-",
        "5": WRONG, "1.5": WRONG, "-1e3": WRONG, "true": WRONG, "false": WRONG, "[]": WRONG,
        "{}": WRONG, '["a"]': WRONG, '{"a":"}"}': WRONG,
    },
    "LowCardinality(String)": {
        '""': "", '"a"': "a", '"5"': "5", r'"\u0000"': "\0",
        "5": WRONG, "true": WRONG, "[]": WRONG, "{}": WRONG,
    },
    "Bool": {
        "true": True, "false": False, '"true"': True,
        "1": WRONG, "0": WRONG, '"yes"': WRONG, '"True"': WRONG, '""': WRONG, "[true]": WRONG,
    },
    "Float64": {
        "0": 0.0, "-0.0": -0.0, "1.5": 1.5, "1e308": 1e308, "5e-324": 5e-324, "0.1": 0.1,
        "123456789.123456789": 123456789.123456789, '"1.5"': 1.5, "3": 3.0,
        '"nan"': WRONG, '"inf"': WRONG, '"x"': WRONG, '""': WRONG, "true": WRONG, "[1.5]": WRONG,
    },
    "Float32": {"1.5": 1.5, "0": 0.0, "1e39": WRONG, '"inf"': WRONG, "false": WRONG},
    "Decimal(9, 2)": {
        "1": Decimal(1), "1.25": Decimal("1.25"), "-0.01": Decimal("-0.01"), "1.10": Decimal("1.1"),
        '"1.250"': Decimal("1.25"), "9999999.99": Decimal("9999999.99"),
        "10000000": WRONG, "1.255": WRONG, '"1.255"': WRONG, '"1,5"': WRONG, '"+1"': WRONG,
        '"1e1"': WRONG, "1e-3": WRONG, "true": WRONG, '""': WRONG, '"."': WRONG,
    },
    "Decimal(38, 4)": {
        '"1234567890123456789012345678901234.5678"': Decimal(
            "1234567890123456789012345678901234.5678"
        ),
        "12345678901.1234": Decimal("12345678901.1234"),
        # As a JSON number it has more digits than a double keeps.
        "123456789012345678.1234": WRONG,
    },
    "Date": {
        '"2024-02-29"': date(2024, 2, 29), '"1970-01-01"': date(1970, 1, 1),
        '"2149-06-06"': date(2149, 6, 6),
        '"2023-02-29"': WRONG, '"2149-06-07"': WRONG, '"1969-12-31"': WRONG, '"2024-2-1"': WRONG,
        '"2024-01-01T00:00:00"': WRONG, '"29.02.2024"': WRONG, "5": WRONG, "19000": WRONG,
        '""': WRONG, "true": WRONG,
    },
    "Date32": {
        '"1900-01-01"': date(1900, 1, 1), '"2299-12-31"': date(2299, 12, 31),
        '"2024-02-30"': WRONG, '"2024-1-1"': WRONG, '"10000-01-01"': WRONG, "5": WRONG,
    },
    "DateTime('UTC')": {
        '"2024-02-29 12:34:56"': datetime(2024, 2, 29, 12, 34, 56, tzinfo=UTC),
        '"2024-02-29T12:34:56Z"': datetime(2024, 2, 29, 12, 34, 56, tzinfo=UTC),
        '"2024-02-29T12:34:56+02:00"': datetime(2024, 2, 29, 10, 34, 56, tzinfo=UTC),
        '"2024-02-29T12:34:56.000"': datetime(2024, 2, 29, 12, 34, 56, tzinfo=UTC),
        '"2106-02-07 06:28:15"': datetime(2106, 2, 7, 6, 28, 15, tzinfo=UTC),
        '"2106-02-07 06:28:16"': WRONG, '"1969-12-31 23:59:59"': WRONG,
        '"2024-02-29 12:34:56.5"': WRONG, '"2024-02-30 00:00:00"': WRONG,
        '"2024-02-29 24:00:00"': WRONG, '"2024-02-29"': WRONG, '"now"': WRONG, '"12:00"': WRONG,
        "1700000000": WRONG, "true": WRONG, '""': WRONG,
    },
    "DateTime64(3, 'UTC')": {
        '"2024-02-29 12:34:56.789"': datetime(2024, 2, 29, 12, 34, 56, 789000, tzinfo=UTC),
        '"2024-02-29T12:34:56.7890Z"': datetime(2024, 2, 29, 12, 34, 56, 789000, tzinfo=UTC),
        '"1969-12-31 23:59:59.5"': datetime(1969, 12, 31, 23, 59, 59, 500000, tzinfo=UTC),
        '"2024-02-29 12:34:56.7891"': WRONG, '"2024-13-01 00:00:00"': WRONG,
        '"2300-01-01 00:00:00"': WRONG, '"1899-12-31 23:59:59"': WRONG, "1700000000000": WRONG,
    },
    "UUID": {
        f'"{ONE}"': ONE, f'"{ONE.hex}"': ONE, '"ABCDEFAB-CDEF-ABCD-EFAB-CDEFABCDEFAB"': UUID(
            "abcdefab-cdef-abcd-efab-cdefabcdefab"
        ),
        f'"{{{ONE}}}"': WRONG, f'"urn:uuid:{ONE}"': WRONG, f'"{ONE} "': WRONG,
        '"0-0-0-0-1"': WRONG, f'"{str(ONE)[:-1]}g"': WRONG, f'"{str(ONE)[:-1]}"': WRONG,
        f'"{ONE}0"': WRONG, '""': WRONG, "5": WRONG, "true": WRONG, "[]": WRONG,
    },
    "IPv4": {
        '"127.0.0.1"': IPv4Address("127.0.0.1"), '"255.255.255.255"': IPv4Address(2**32 - 1),
        '"127.0.0.256"': WRONG, '"127.0.0"': WRONG, '"::1"': WRONG, '""': WRONG, "5": WRONG,
    },
    "IPv6": {
        '"::1"': IPv6Address("::1"), '"2001:DB8::1"': IPv6Address("2001:db8::1"),
        '"::ffff:1.2.3.4"': IPv6Address("::ffff:1.2.3.4"),
        '"1::2::3"': WRONG, '"x"': WRONG, '""': WRONG, "5": WRONG,
    },
    "Enum8('a' = 1, 'b c' = -2, 'it\\'s' = 3)": {
        '"a"': "a", '"b c"': "b c", '"it\'s"': "it's",
        '"A"': WRONG, '"c"': WRONG, '"1"': WRONG, "1": WRONG, '""': WRONG, "true": WRONG,
    },
    "Enum16('5' = 1, 'true' = 1000)": {
        '"5"': "5", '"true"': "true", "5": WRONG, "true": WRONG, '"1"': WRONG, "1": WRONG,
    },
    "FixedString(3)": {
        '"abc"': b"abc", '"é1"': "é1".encode(), r'"\u0000ab"': b"\0ab", '"123"': b"123",
        '"ab"': WRONG, '"abcd"': WRONG, '""': WRONG, "123": WRONG, "[1]": WRONG, "true": WRONG,
    },
    "BFloat16": {
        "1.5": 1.5, "0": 0.0, '"-2"': -2.0, "1e39": WRONG, '"nan"': WRONG, '"x"': WRONG,
        "true": WRONG,
    },
    "Time": {
        '"07:08:09"': timedelta(hours=7, minutes=8, seconds=9),
        '"-100:00:01"': -timedelta(hours=100, seconds=1), '"999:59:59"': timedelta(seconds=3599999),
        '"24:00:00.000"': timedelta(hours=24),
        '"7:08:09"': WRONG, '"07:08"': WRONG, '"07:60:00"': WRONG, '"07:08:09.5"': WRONG,
        '"1000:00:00"': WRONG, '"07:08:09Z"': WRONG, "25689": WRONG, '""': WRONG, "true": WRONG,
    },
    "Time64(3)": {
        '"07:08:09.125"': timedelta(hours=7, minutes=8, seconds=9, milliseconds=125),
        '"-00:00:00.5000"': -timedelta(milliseconds=500), '"07:08:09"': timedelta(seconds=25689),
        '"07:08:09.1255"': WRONG, "25689.5": WRONG, '"now"': WRONG,
    },
    "LowCardinality(UInt16)": {
        "0": 0, '"65535"': 65535, "65536": WRONG, "-1": WRONG, "1.5": WRONG, '"x"': WRONG,
    },
    "LowCardinality(FixedString(2))": {'"ab"': b"ab", '"12"': b"12", "12": WRONG, '"a"': WRONG},
    "LowCardinality(Date)": {
        '"2024-02-29"': date(2024, 2, 29), '"2023-02-29"': WRONG, "19000": WRONG,
    },
    "LowCardinality(DateTime('UTC'))": {
        '"2024-02-29T12:34:56Z"': datetime(2024, 2, 29, 12, 34, 56, tzinfo=UTC),
        '"2024-02-29"': WRONG, "5": WRONG,
    },
    "LowCardinality(UUID)": {f'"{ONE}"': ONE, f'"{{{ONE}}}"': WRONG, "5": WRONG},
    "JSON": {
        "{}": {}, '{"a":1,"b":["x",1.5,null,{"c":true}],"d":{"e":"2024-01-01 00:00:00"}}': {
            "a": 1, "b": ["x", 1.5, None, {"c": True}], "d": {"e": "2024-01-01 00:00:00"}
        },
        '{"b": {"c": null, "d": 1}, "a": null}': {"b": {"d": 1}},
        r'{"a":"\u00e9\/\":null, "}': {"a": 'é/":null, '},
        '{"a":9223372036854775808, "b":-1e3, "c":[[1,2],[]], "d":[]}': {
            "a": 2**63, "b": -1000, "c": [[1, 2], []], "d": []
        },
        '{"a":1,"a":2}': WRONG, '{"a":{"b":1},"a":2}': WRONG, '{"a":{"b":{"c":1},"b":2}}': WRONG,
        '{"a.b":1}': WRONG, '{"a.b":1,"a":{"b":2}}': WRONG, '{"a":{}}': WRONG,
        "[]": WRONG, "[1]": WRONG, '"{}"': WRONG, "5": WRONG, "true": WRONG, '""': WRONG,
    },
    "Array(Int16)": {
        "[]": [], "[1]": [1], '[1, -2.0, "3"]': [1, -2, 3], "[32767,-32768]": [32767, -32768],
        "[32768]": WRONG, "[1.5]": WRONG, "[null]": WRONG, "[[1]]": WRONG, '["x"]': WRONG,
        '"[1]"': WRONG, "1": WRONG, "{}": WRONG, '""': WRONG, "[1,true]": WRONG,
    },
    "Array(Nullable(Float64))": {"[null,1.5]": [None, 1.5], '[null,"x"]': WRONG, "[true]": WRONG},
    "Array(String)": {
        '["a",""]': ["a", ""], '["5","[]","true"]': ["5", "[]", "true"], '["a",5]': WRONG,
        "[true]": WRONG, "[[]]": WRONG, "[{}]": WRONG, '["a",null]': WRONG, '["5",5]': WRONG,
    },
    "Array(UUID)": {f'["{ONE}"]': [ONE], f'["{ONE}","x"]': WRONG, '[""]': WRONG},
    "Array(Decimal(38, 4))": {'["1.5",2]': [Decimal("1.5"), Decimal(2)],
                              "[123456789012345678.1234]": WRONG},
    "Map(String, UInt8)": {
        "{}": {}, '{"a":1,"b c":255}': {"a": 1, "b c": 255}, '{"":0}': {"": 0},
        '{"a":256}': WRONG, '{"a":null}': WRONG, '{"a":1,"a":1}': WRONG, '{"a":[1]}': WRONG,
        "[]": WRONG, '"{}"': WRONG, "[[1,2]]": WRONG, "5": WRONG,
    },
    "Map(String, String)": {'{"a":"5"}': {"a": "5"}, '{"a":5}': WRONG, '{"a":{}}': WRONG,
                            '{"a":"x","b":true}': WRONG},
    "Map(String, Nullable(Bool))": {'{"a":null,"b":true}': {"a": None, "b": True},
                                    '{"a":0}': WRONG},
}  # fmt: skip


# A JSON number with a point or exponent is a double, which keeps 15 digits.
DOUBLES: Cases = {
    "-0.0": 0, "999999999999999.0": 10**15 - 1, "-999999999999999.0": 1 - 10**15,
    "1e14": 10**14, "9007199254740993": 2**53 + 1, "9007199254740993.0": WRONG,
    "-9007199254740993.0": WRONG, "9007199254740993e0": WRONG, "1e17": WRONG, "-1e18": WRONG,
    '"9007199254740993"': 2**53 + 1,
}  # fmt: skip


def same(stored: Any, expected: Any) -> bool:
    if isinstance(expected, float):
        return repr(stored) == repr(expected)
    if isinstance(expected, datetime):
        return bool(stored.replace(tzinfo=UTC) == expected)
    if isinstance(expected, bool):
        return stored is expected
    return bool(stored == expected)


def fates_together(
    engine: Engine, asked: Mapping[str, tuple[str, Cases]]
) -> dict[str, dict[str | None, Any]]:
    """What becomes of each case, by the names in `asked`, which have a type and its cases.

    One table has a field for each of them; a message has one case, and good values in the other
    fields. Of what is stored this is the field's value; a dead letter is told as if the field were
    called x.
    """
    places = {name: f"x{number}" for number, name in enumerate(asked)}
    fields = {"id": "UInt8", **{places[name]: kind for name, (kind, _) in asked.items()}}
    engine.up(fields=fields)
    assert set(engine.up(fields=fields).values()) == {"kept"}
    good = {name: next(text for text in cases if text and not is_letter(cases[text]))
            for name, (kind, cases) in asked.items() if not kind.startswith(OPTIONAL)}  # fmt: skip
    sent = []
    for name, (_, cases) in asked.items():
        others = "".join(f',"{places[each]}":{good[each]}' for each in good if each != name)
        own = ("" if text is None else f',"{places[name]}":{text}' for text in cases)
        sent += [f'{{"id":1{others}{each}}}'.encode() for each in own]
    found = iter(engine.fates(*sent))
    order = [*fields]

    def told(place: str) -> Any:
        fate = next(found)
        if isinstance(fate, str):
            return re.sub(rf"(?<=:){place}(?!\d)", "x", fate)
        return fate[order.index(place)]

    return {
        name: {text: told(places[name]) for text in cases} for name, (_, cases) in asked.items()
    }


def is_letter(expected: Any) -> bool:
    return isinstance(expected, str) and re.search(r":x(?!\w)", expected) is not None


OPTIONAL = ("Nullable", "LowCardinality(Nullable")
SIMPLE = [kind for kind in TYPES if not kind.startswith(("Array", "Map", "Low"))]
NULLABLE: Cases = {None: None, "null": None}
ASKED: dict[str, tuple[str, Cases]] = {
    **{kind: (kind, cases | NOT_NULLABLE) for kind, cases in TYPES.items()},
    **{f"Nullable({kind})": (f"Nullable({kind})", TYPES[kind] | NULLABLE) for kind in SIMPLE},
    "LowCardinality(Nullable(String))": (
        "LowCardinality(Nullable(String))", TYPES["LowCardinality(String)"] | NULLABLE
    ),
    **{
        f"doubles for {kind}": (kind, DOUBLES)
        for kind in ("Int64", "Int128", "Decimal(38, 4)", "Nullable(Decimal(20, 1))")
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def fates(one_engine: Engine) -> dict[str, dict[str | None, Any]]:
    return fates_together(one_engine, ASKED)


@pytest.mark.parametrize("name", ASKED)
def test_type(fates: dict[str, dict[str | None, Any]], name: str) -> None:
    for text, expected in ASKED[name][1].items():
        fate = fates[name][text]
        if is_letter(expected):
            assert fate == expected, text
        else:
            assert same(fate, expected), (text, fate)


def test_one_nullable_field_alone(make_engine: Callable[[], Engine]) -> None:
    """Nothing that must be there: what is no object must still be told apart."""
    engine = make_engine()
    engine.up(fields={"x": "Nullable(Int8)"})
    assert engine.fates(b"{}", b'{"x":null}', b'{"y":1}', b"[1]", b"[]", b"null", b"", b"x") == [
        (None,), (None,), (None,), "not an object:", "not an object:", "not an object:",
        "empty message:", "not JSON:",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["UInt8", "Int16", "Nullable(UInt32)", "Int64", "UInt256"])
def test_a_long_number_is_no_integer_that_it_only_comes_near_to(engine: Engine, kind: str) -> None:
    engine.up(fields={"n": {"type": kind, "accept": ["spellings"]}})
    near = ["0.9999999999999999999", "1.0000000000000000001", "99999999999999999999e-20"]
    same = ["1.0000000000000000000", "100000000000000000000e-20", "1.0", "1", '"1.0"']
    texts = [f'{{"n":{number}}}'.encode() for number in (*near, *same)]
    assert engine.fates(*texts) == ["wrong type:n"] * 3 + [(1,)] * 5
