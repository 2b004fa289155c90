"""A type for each place of a sample that holds every value there. Called by `columns`.

What is unsure is said in the notes. Where no type holds every value, `RAW` keeps their JSON text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from nrtctl.pipeline.field_types import EXACT_DIGITS
from nrtctl.pipeline.infer import looks
from nrtctl.pipeline.infer.seen import BOOL, FLOAT, INTEGER, STRING, Seen

_TIME_NAME = re.compile(
    r"(?:^|_|-|\.)(?:t|ts|time|timestamp|date|day|at|on|when|since|until|epoch|ms|us|ns|msec|seen|start|end"
    r"|dt|dtm|tstamp|datetime|utc)$"
    r"|(?:Time|Date|Timestamp|At|On|Ms|Nano|Nanos|Millis|Seen)$"
    r"|(?:created|updated|changed|modified|deleted|started|finished|ended|expired|expires|published"
    r"|generated|received|sent|time|timestamp|unixnano)$",
)
_DAY_NAME = re.compile(r"(?:^|_)(?:on|date|day)$|(?:Date|Day|On)$")
_ID_NAME = re.compile(
    r"(?:^|_|-|\.)(?:id|id_str|uid|no|nr|number|code|zip|phone|version|key)$|(?:Id|ID)$"
)
_GROWS_NAME = re.compile(r"(?:^|_)(?:lsn|scn|offset|bytes|seq|sequence|pos|position|xid|ord)$")
"""What is seldom as small in all messages as in a sample."""

_MONEY_NAME = re.compile(
    r"amount|price|total|cost|fare|fee|tax|surcharge|balance|revenue|salary|toll|tip|betrag|preis"
    r"|summe|discount|paid"
)
_VERSION_NAME = re.compile(r"(?:^|[_ -])(?:version|ver|release)$")
"""1.10 is not 1.1."""

_FEW_NAME = re.compile(
    r"(?:^|_|\.)(?:type|kind|status|state|level|method|event|currency|country|category|action"
    r"|severity|reason|op|operation|environment|env|region|namespace|host|service|source|wiki)$"
    r"|(?:Type|Kind|Status|State|Level|Method|Category|Severity)$"
)


_ONE_NAME = re.compile(r"(?:^|_|-|\.)(?:u?id|uuid|guid|hash|sha|token)$|(?:I[dD]|Uuid|Hash)$")
"""What has few values only as long as a sample is small."""

UNITS = (("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9))
EPOCH_TYPES = {
    "s": "DateTime('UTC')", "ms": "DateTime64(3, 'UTC')", "us": "DateTime64(6, 'UTC')",
    "ns": "DateTime64(9, 'UTC')",
}  # fmt: skip
_UNIT_NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
_DECIMALS = {"s": 0, "ms": 3, "us": 6}
YEAR_2000, YEAR_2001, YEAR_2040, YEAR_2100 = 946_684_800, 978_307_200, 2_208_988_800, 4_102_444_800
DAY_2000, DAY_2100 = 10_957, 47_482
EXACT = 2**53
"""Integers up to here are doubles."""

YES_OR_NO = frozenset({"true", "false", "0", "1", "yes", "no", "y", "n", "on", "off", "t", "f"})
NOT_FINITE = frozenset({"nan", "infinity", "-infinity", "inf", "-inf"})
MOST_DECIMALS_OF_MONEY = 4
LONGEST_OF_FEW = 64
FEW = 10_000
FEW_OF_ONE = 1_000
"""Values of what identifies something: where fewer were seen, that some came again says little."""

NO_VALUE = "\\N"
"""How databases write NULL as text, in which it means nothing else."""


@dataclass(frozen=True, slots=True)
class Guess:
    """A type, without Nullable, and the options of the field that it needs."""

    type: str
    options: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    nullable: bool = False

    @property
    def written(self) -> str:
        """The type as it is configured."""
        if not self.nullable:
            return self.type
        if self.type == "LowCardinality(String)":
            return "LowCardinality(Nullable(String))"
        return f"Nullable({self.type})"

    def noted(self, *notes: str) -> Guess:
        return replace(self, notes=(*self.notes, *notes))


RAW = Guess("JSON")
"""No type: the JSON text of what is there is kept by SQL, in `[pipeline.columns]`."""

TEXT = Guess("String", {"json": "text"})
"""An object or array, kept as its JSON text."""

ANY = Guess("String", {"values": "text"})
"""Values of any kind: strings as they are, others as their JSON text."""

PRINTED = "integers in strings, as Protobuf prints them to JSON"

_MONGODB = {"$numberLong": "Int64", "$numberInt": "Int32", "$numberDouble": "Float64"}

ONLY_NULL = Guess("String", notes=("only null in the sample",), nullable=True)


def is_called(kind: re.Pattern[str], name: str) -> bool:
    """Whether a name says this of its values, in capitals, too."""
    return kind.search(name.lower() if name.isupper() else name) is not None


def scalar(name: str, seen: Seen, *, cells: bool = False) -> Guess:
    """Of a place that holds neither objects nor arrays.

    Args:
        cells: the values are cells of a text file: texts that are numbers become numbers.
    """
    kinds = set(seen.kinds)
    if not kinds:
        return ONLY_NULL
    if kinds == {BOOL}:
        return Guess("Bool")
    if kinds <= {INTEGER, FLOAT}:
        return _number(name, seen)
    if kinds == {STRING}:
        return _cells(name, seen) if cells else _text(name, seen)
    return _mixed(name, seen)


def _mixed(name: str, seen: Seen) -> Guess:
    """Of scalars of several kinds."""
    kinds = set(seen.kinds)
    note = f"{listed(kinds)} in one place"
    words = {text.lower() for text in seen.strings}
    if kinds == {STRING, INTEGER} and (found := looks.integers(seen.strings)) is not None:
        every = [*found, *seen.integers]
        return _integer(name, min(every), max(every)).noted(note)
    if BOOL in kinds and FLOAT not in kinds and {*seen.integers} <= {0, 1} and words <= YES_OR_NO:
        accept = ["0/1"] if INTEGER in kinds or words & {"0", "1"} else []
        accept += ["yes/no"] if words - {"true", "false", "0", "1"} else []
        accept += ["any case"] if words != {*seen.strings} else []
        return Guess("Bool", {"accept": accept} if accept else {}, (note,))
    if seen.not_finite and (BOOL in kinds or words - NOT_FINITE):
        return ANY.noted(f"{note}, NaN among them, so their text is kept")
    if BOOL not in kinds and words <= NOT_FINITE and not rounded(texts_of_numbers(seen)):
        return Guess("Float64", {"accept": ["nan"]}, (note,))
    if rounded(seen.reals):
        return ANY.noted(f"{note}, numbers of many digits among them, so their text is kept")
    accept = ["numbers"] if kinds & {INTEGER, FLOAT} else []
    accept += ["booleans"] if BOOL in kinds else []
    return Guess("String", {"accept": accept}, (f"{note}, so their text is kept",))


def texts_of_numbers(seen: Seen) -> list[str]:
    return [*seen.reals, *map(str, seen.integers)]


def rounded(texts: Iterable[str]) -> bool:
    """Whether a double changes one of these numbers."""
    return any(_is_rounded(text) for text in texts)


def _is_rounded(text: str) -> bool:
    number = float(text)
    if not math.isfinite(number):
        return looks.NUMBER.fullmatch(text) is not None
    return len(text) > EXACT_DIGITS and Decimal(text) != Decimal(repr(number))


def listed(kinds: Iterable[str]) -> str:
    """Kinds for people."""
    return " and ".join(f"{each}s" if each != "bool" else "booleans" for each in sorted(kinds))


def _number(name: str, seen: Seen) -> Guess:
    if FLOAT not in seen.kinds:
        return _integer(name, seen.low or 0, seen.high or 0)
    whole, texts = seen.integers, texts_of_numbers(seen)
    if seen.not_finite:
        note = "NaN or an infinity among the numbers"
        if rounded(text for text in texts if math.isfinite(float(text))):
            return ANY.noted(f"{note}, and more digits than a Float64 keeps, so their text is kept")
        return Guess("Float64", {"accept": ["nan"]}, (note,))
    if rounded(seen.reals) and looks.decimals(texts) is None:
        return ANY.noted("numbers of more digits than a Float64 keeps, so their text is kept")
    if any(abs(each) > EXACT for each in whole) and not rounded(seen.reals):
        note = "integers beyond 2^53 mixed with fractions, so their text is kept"
        return Guess("String", {"accept": ["numbers"]}, (note,))
    if (epoch := _epoch_of_fractions(name, seen)) is not None:
        return epoch
    if (exact := _beyond_doubles(texts)) is not None:
        return exact
    return _as_money(name, texts) or Guess("Float64")


def _beyond_doubles(texts: list[str]) -> Guess | None:
    """What holds numbers of which a double would change one: a Decimal, else text; None: it would
    change none, or they are no plain decimals."""
    scale = looks.decimals(texts)
    if scale is None or not rounded(texts):
        return None
    width = _most_whole_digits(texts)
    size = next((each for each in (38, 76) if width + scale <= each), None)
    note = "numbers of more digits than a Float64 keeps"
    if size is None:
        return ANY.noted(f"{note}, so their text is kept")
    return Guess(f"Decimal({size}, {scale})", {"accept": ["spellings"]}, (note,))


def _most_whole_digits(texts: Iterable[str]) -> int:
    return max(len(text.strip("-").partition(".")[0]) for text in texts)


def _as_money(name: str, texts: list[str]) -> Guess | None:
    """A Decimal for amounts of money; None: the numbers are none, by their form or the name."""
    digits = looks.decimals(texts)
    if (
        digits is None
        or digits > MOST_DECIMALS_OF_MONEY
        or not is_called(_MONEY_NAME, name.lower())
    ):
        return None
    money = Guess("Decimal(18, 4)", notes=("taken to be money, by its name",))
    width = _most_whole_digits(texts)
    if width > 38 - MOST_DECIMALS_OF_MONEY:
        return None
    long = any(len(text.strip("-").replace(".", "")) > EXACT_DIGITS for text in texts)
    if long or width > 18 - MOST_DECIMALS_OF_MONEY:
        return replace(money, type="Decimal(38, 4)", options={"accept": ["spellings"]})
    return money


def _epoch_of_fractions(name: str, seen: Seen) -> Guess | None:
    if not is_called(_TIME_NAME, name):
        return None
    values = [*map(float, seen.reals), *map(float, seen.integers)]
    digits = looks.decimals(seen.reals)
    unit = next(
        (
            unit
            for unit, by in UNITS[:3]
            if YEAR_2000 * by <= min(values) <= max(values) < YEAR_2100 * by
        ),
        None,
    )
    if digits is None or unit is None or digits + _DECIMALS[unit] > 9:
        return None
    if any(int(each.replace(".", "")) > EXACT for each in seen.reals):
        return None  # which a time does not take: read as a double, it may be another
    scale = next(each for each in (3, 6, 9) if digits + _DECIMALS[unit] <= each)
    note = f"taken to be {_UNIT_NAMES[unit]} since 1970"
    return Guess(f"DateTime64({scale}, 'UTC')", {"epoch": unit}, (note,))


def _integer(name: str, low: int, high: int) -> Guess:
    if (epoch := _epoch(name, low, high)) is not None:
        return epoch
    ids = is_called(_ID_NAME, name)
    wide = ids or is_called(_GROWS_NAME, name)
    kind = integer_type(low, high, least=64 if wide else 32)
    if kind is None:
        note = "integers that no type can hold, so their text is kept"
        return Guess("String", {"accept": ["numbers"]}, (note,))
    guess = Guess(kind)
    if not ids and low >= YEAR_2001 and high < YEAR_2040:
        guess = guess.noted('may be seconds since 1970: epoch = "s" makes them times')
    return guess


def _epoch(name: str, low: int, high: int) -> Guess | None:
    named = is_called(_TIME_NAME, name)
    if is_called(_DAY_NAME, name) and low >= DAY_2000 and high < DAY_2100:
        return Guess("Date32", {"epoch": "d"}, ("taken to be days since 1970",))
    for unit, factor in UNITS:
        if named and YEAR_2000 * factor <= low and high < YEAR_2100 * factor:
            return Guess(EPOCH_TYPES[unit], {"epoch": unit}, (f"taken to be {unit} since 1970",))
        sure = unit != "s" and not is_called(_ID_NAME, name)
        if sure and YEAR_2001 * factor <= low and high < YEAR_2040 * factor:
            note = f"taken to be {unit} since 1970, only by its size"
            return Guess(EPOCH_TYPES[unit], {"epoch": unit}, (note,))
    return None


def integer_type(low: int, high: int, *, least: int = 32) -> str | None:
    """The smallest integer type of at least `least` bits; None: there is none."""
    for bits in (32, 64, 128, 256):
        if bits >= least and low >= 0 and high < 2**bits:
            return f"UInt{bits}"
        if bits >= least and -(2 ** (bits - 1)) <= low and high < 2 ** (bits - 1):
            return f"Int{bits}"
    return None


def _text(name: str, seen: Seen) -> Guess:
    texts = seen.strings
    if (found := _of_mongodb(name, texts)) is not None:
        return found
    found = _look(name, texts) or _compact_days(name, texts)
    if (found := found or _epoch_of_texts(name, texts)) is not None:
        return found
    whole = looks.integers(texts)
    if seen.digits_are_numbers and whole and min(whole) >= -(2**63) and max(whole) < 2**64:
        return Guess("Int64" if max(whole) < 2**63 else "UInt64", notes=(PRINTED,))
    plain = _string(name, seen)
    if texts and all(looks.is_packed(text) for text in texts):
        key = json.dumps(name, ensure_ascii=False)
        return replace(plain, type="String").noted(
            f"JSON in a string: with unpack = [{key}] in the pipeline, fields can read what is in "
            'it, and this one needs values = "text"'
        )
    if whole:
        kind = _integer(name, min(whole), max(whole))
        if kind.type == "String":
            return plain
        how = "".join(f', {option} = "{value}"' for option, value in kind.options.items())
        return plain.noted(f"digits only: {kind.type}{how} would do as well")
    if len(texts) > 1 and looks.decimals(texts):
        return plain.noted("numbers only: Float64 or a Decimal would do as well")
    return plain


def _of_mongodb(name: str, texts: list[str]) -> Guess | None:
    """Of numbers as MongoDB's extended JSON has them, which say their type by the key."""
    kind = _MONGODB.get(name)
    if kind == "Float64":
        words = all(text.lower() in NOT_FINITE or looks.NUMBER.fullmatch(text) for text in texts)
        return Guess(kind, {"accept": ["nan"]}) if texts and words else None
    whole = looks.integers(texts)
    return Guess(kind) if kind and whole and integer_type(min(whole), max(whole)) else None


def _epoch_of_texts(name: str, texts: list[str]) -> Guess | None:
    """Of digits in strings that are times since 1970 by their name and their size."""
    nothing = sorted({text for text in texts if text in looks.STANDS_FOR_NOTHING})
    rest = [text for text in texts if text not in looks.STANDS_FOR_NOTHING]
    digits = looks.decimals(rest)
    if not rest or digits is None or digits > 9 or not is_called(_TIME_NAME, name):
        return None
    values = [*map(Decimal, rest)]
    for unit, factor in UNITS if not digits else UNITS[:1]:
        if YEAR_2001 * factor <= min(values) and max(values) < YEAR_2040 * factor:
            scale = next(each for each in (3, 6, 9) if digits <= each)
            kind = f"DateTime64({scale}, 'UTC')" if digits else EPOCH_TYPES[unit]
            note = f"digits in a string, taken to be {_UNIT_NAMES[unit]} since 1970"
            return _or_nothing(Guess(kind, {"epoch": unit}, (note,)), nothing)
    return None


def _look(name: str, texts: list[str]) -> Guess | None:
    """What texts look like, those left aside that stand for nothing."""
    no_value = looks.STANDS_FOR_NOTHING | looks.NO_TIME
    nothing = sorted({text for text in texts if text in no_value})
    found = looks.look([text for text in texts if text not in no_value])
    if found is None or (found.type != "UUID" and is_called(_VERSION_NAME, name.lower())):
        return None
    if not found.type.startswith("Date") and not looks.NO_TIME.isdisjoint(nothing):
        return None
    return _or_nothing(Guess(found.type, dict(found.options), found.notes), nothing)


def _or_nothing(guess: Guess, nothing: list[str]) -> Guess:
    """The same, where these texts stand for nothing."""
    if not nothing:
        return guess
    empty = "null" if nothing == [""] else {"as": "null", "texts": nothing}
    listed = ", ".join(repr(text) for text in nothing)
    guess = replace(guess, options={**guess.options, "empty": empty}, nullable=True)
    return guess.noted(f"{listed} is stored as NULL")


def _string(name: str, seen: Seen) -> Guess:
    distinct, total = len(seen.values), seen.values.total()
    short = all(len(text) <= LONGEST_OF_FEW for text in seen.strings)
    repeated = total >= 4 and distinct * 2 <= total and distinct <= FEW
    if total < FEW_OF_ONE and (is_called(_ONE_NAME, name) or any(map(_long_number, seen.strings))):
        return Guess("String")
    if short and (repeated or (distinct <= FEW and total < 4 and is_called(_FEW_NAME, name))):
        return Guess("LowCardinality(String)")
    return Guess("String")


def _cells(name: str, seen: Seen) -> Guess:
    """Of the cells of a column, which `produce` turns into numbers where a field is a number."""
    texts = seen.strings
    nothing = sorted({text for text in texts if text in looks.STANDS_FOR_NOTHING})
    rest = [text for text in texts if text not in looks.STANDS_FOR_NOTHING]
    if rest and (found := _compact_days(name, rest) or _number_cells(name, rest)) is not None:
        return _or_nothing(found, nothing)
    if (found := _look(name, texts)) is not None:
        return found
    if NO_VALUE not in texts:
        return _string(name, seen)
    if seen.nulls:  # a Nullable(String) would have NULL for these, too
        return _string(name, seen).noted(f"{NO_VALUE!r} is kept, as there are empty cells, too")
    return _or_nothing(_string(name, seen), [NO_VALUE])


def _compact_days(name: str, texts: list[str]) -> Guess | None:
    if texts and is_called(_TIME_NAME, name) and looks.compact_times(texts):
        note = "taken to be a time, by its name; no zone is written, so UTC is assumed"
        return Guess("DateTime64(3, 'UTC')", {"format": "%Y%m%d%H%M%S"}, (note,))
    if not is_called(_DAY_NAME, name) or not looks.compact_days(texts):
        return None
    return Guess("Date32", {"format": "%Y%m%d"}, ("taken to be a day, by its name",))


def _long_number(text: str) -> bool:
    return len(text) >= 10 and text.isdigit()


def _number_cells(name: str, texts: list[str]) -> Guess | None:
    """None: one is no number, and no boolean."""
    if {text.lower() for text in texts} <= {"true", "false"}:
        return Guess("Bool")
    if (epoch := _epoch_of_texts(name, texts)) is not None and looks.integers(texts) is None:
        return epoch
    if (whole := looks.integers(texts)) is not None:
        return _integer(name, min(whole), max(whole))
    if is_called(_VERSION_NAME, name.lower()) or any(map(looks.CODE.fullmatch, texts)):
        return None
    if (exact := _beyond_doubles(texts)) is not None:
        return None if exact.options == ANY.options else exact
    if looks.decimals(texts) is not None:
        if (money := _as_money(name, texts)) is not None:
            return money
        if all(float(text).is_integer() for text in texts):
            return Guess("Float64", notes=("whole numbers only: UInt32 would do as well",))
        return Guess("Float64")
    if all(looks.NUMBER.fullmatch(text) for text in texts):
        return None if rounded(texts) else Guess("Float64")
    if (accept := looks.decimal_comma(texts)) is not None:
        return Guess("Decimal(18, 4)", {"accept": accept}, ("numbers with a decimal comma",))
    return _with_thousands(texts)


def _with_thousands(texts: list[str]) -> Guess | None:
    plain = looks.thousands(texts)
    if plain is None:
        return None
    options, notes = {"accept": ["thousands"]}, ("numbers with marks between thousands",)
    if (whole := looks.integers(plain)) is not None:
        kind = integer_type(min(whole), max(whole))
        return Guess(kind, options, notes) if kind else None
    width, scale = _most_whole_digits(plain), looks.decimals(plain)
    if scale is None or scale > MOST_DECIMALS_OF_MONEY or width > looks.MOST_WHOLE_DIGITS:
        return None
    return Guess("Decimal(18, 4)", options, notes)
