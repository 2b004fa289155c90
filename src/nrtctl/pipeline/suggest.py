"""What to write instead of a type or a name that is refused. Pure.

Called by `field_types` and by the pipeline's checks of names.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from string import ascii_lowercase

from nrtctl.pipeline.type_catalogue import WORDS
from nrtctl.pipeline.type_text import element, taken_apart

_CALL = re.compile(r"\s*([\w ]*?)\s*(?:[(<[](.*)[])>])?\s*", re.DOTALL)
_ITEMS = re.compile(r"\s*'(?:[^'\\]|\\.)+'\s*(?:,\s*'(?:[^'\\]|\\.)+'\s*)*")
_LISTED = re.compile(r"(.+)\[\d*\]")

_DEFAULT = re.compile(r"\s*(\S.*?)\s+DEFAULT\s+(.+?)\s*", re.DOTALL | re.IGNORECASE)
_ANYTHING = re.compile(r"\s*(?:Variant|Dynamic|any|anything|mixed)\b", re.IGNORECASE)
ANY_VALUE = (
    'JSON for objects, { type = "String", accept = ["numbers", "booleans"] } for single values of '
    'any kind, or { type = "String", json = "text" } for arrays and objects'
)

_MEANT = {
    "Int8": "tinyint i8 int1",
    "Int16": "smallint short i16 int2",
    "Int32": "mediumint i32 int4 serial",
    "Int64": "int integer long bigint i64 bigserial signed interval",
    "UInt8": "byte u8",
    "UInt16": "u16",
    "UInt32": "u32",
    "UInt64": "uint unsigned u64 ulong bigintunsigned intunsigned",
    "Float32": "float4 real f32 single",
    "Float64": "float float8 double doubleprecision number f64",
    "String": "str text varchar char nvarchar character charactervarying bytes binary blob "
              "varbinary bytea clob tinytext mediumtext longtext fixedstring bpchar",
    "Bool": "boolean bit",
    "DateTime64(3, 'UTC')": "timestamp timestamptz timestampz datetimeoffset instant timestampntz "
                            "timestamp64 datetime64 timestampwithtimezone "
                            "timestampwithouttimezone",
    "DateTime": "datetime datetime32 smalldatetime",
    "Date": "day",
    "UUID": "guid uniqueidentifier",
    "IPv4": "ip inet",
    "IPv6": "ipaddress ipaddr inetaddress cidr",
    "Nullable(String)": "nullable null nothing none optional",
    "Point": "geopoint",
    "Decimal(18, 4)": "decimal numeric money dec",
    "JSON": "object jsonb variantobject",
    "Map(String, String)": "dict map hash hstore struct",
    "Array(String)": "list array sequence",
    "Enum8('a' = 1, 'b' = 2)": "enum",
}  # fmt: skip
"""What is written to what others call it, in lower case and without blanks."""

_INSTEAD = {other: ours for ours, others in _MEANT.items() for other in others.split()}
_WRAPPERS = {
    "nullable": "Nullable", "optional": "Nullable", "maybe": "Nullable", "option": "Nullable",
    "lowcardinality": "LowCardinality", "array": "Array", "list": "Array", "vector": "Array",
    "set": "Array", "sequence": "Array", "repeated": "Array",
    "map": "Map", "dict": "Map", "hashmap": "Map", "record": "Map",
}  # fmt: skip
_OURS = {name.lower(): name for name in WORDS}
_DIGITS = {"decimal32": 9, "decimal64": 18, "decimal128": 38, "decimal256": 76}


def instead(text: str, accepted: Callable[[str], object]) -> str:
    """ "; write …" for a type that is refused; empty where it is like none.

    Args:
        accepted: raises ValueError for a type that is refused.
    """
    if defaulted := _DEFAULT.fullmatch(text):
        value = defaulted[2].replace("'", '"')
        return f'; write {{ type = "{defaulted[1]}", default = {value} }}'
    if _ANYTHING.match(text):
        return f"; write {ANY_VALUE}"
    for found in _candidates(text.strip()):
        try:
            accepted(found)
        except ValueError:
            continue
        return f"; write {found}"
    return ""


def _candidates(text: str) -> Iterator[str]:
    """Types that may have been meant, the likeliest first; not all of them exist."""
    if open_ones := text.count("(") - text.count(")"):
        yield text + ")" * open_ones if open_ones > 0 else text[:open_ones]
    yield from _with_names(text)
    if text.endswith("?"):
        yield from (f"Nullable({inner})" for inner in _each(text[:-1]))
    if state := re.fullmatch(r"(?:Simple)?AggregateFunction\([^,]+,\s*(.+)\)", text, re.DOTALL):
        yield state[1]
    if vector := re.fullmatch(r"QBit\((\w+),.*\)", text):
        yield f"Array({vector[1]})"
    if point := re.fullmatch(r"(Point|Ring|LineString|Polygon|Multi\w+)\(.*\)", text):
        yield point[1]
    if listed := _LISTED.fullmatch(text):
        yield from (f"Array({inner})" for inner in _each(listed[1]))
    found = _CALL.fullmatch(text)
    if found is None:
        return
    name, inside = found[1].replace(" ", "").lower(), found[2]
    wrapper = _wrapper(name)
    if wrapper and inside is not None:
        yield from _wrapped(wrapper, inside)
    if name in _OURS:
        yield from _with_arguments(_OURS[name], inside)
    elif name in _DIGITS:
        yield f"Decimal({_DIGITS[name]}, {inside or 4})"
    if name in _INSTEAD:
        if inside is not None:
            yield from _with_arguments(_INSTEAD[name].partition("(")[0], inside)
        yield _INSTEAD[name]
    known = {**_INSTEAD, **_OURS}
    for near in get_close_matches(name, known, n=2, cutoff=0.75):
        yield from _with_arguments(known[near].partition("(")[0], inside)
        yield known[near]


def _with_names(text: str) -> Iterator[str]:
    """A Tuple or Nested whose elements have names of their own."""
    found = re.fullmatch(r"(Tuple|Nested)\s*(?:\((.*)\))?", text, re.DOTALL)
    if found is None:
        return
    try:
        elements = [element(each) for each in taken_apart(text)[1] if each]
    except ValueError:
        return
    names: list[str] = []
    for at, each in enumerate(elements):
        letters = ascii_lowercase[at:] + "_"
        name = each.name or next(letter for letter in letters if letter not in names)
        names.append(name if name not in names else f"{name}_{at + 1}")
    kinds = [next(_each(each.kind)) for each in elements]
    listed = ", ".join(f"{name} {kind}" for name, kind in zip(names, kinds, strict=True))
    yield f"{found[1]}({listed or 'a String'})"


def _each(text: str) -> Iterator[str]:
    yield text.strip()
    yield from _candidates(text.strip())


def _wrapper(name: str) -> str:
    near = get_close_matches(name, _WRAPPERS, n=1, cutoff=0.75)
    return _WRAPPERS[near[0]] if near else ""


def _wrapped(wrapper: str, inside: str) -> Iterator[str]:
    if wrapper == "Map":
        yield from (f"Map(String, {value})" for value in _each(inside.partition(",")[2] or inside))
        return
    if inside.strip().startswith(("Array(", "Map(")):
        yield inside.strip()
    for inner in _each(inside):
        yield f"{wrapper}({inner})"
        if wrapper == "Nullable" and inner.startswith("LowCardinality("):
            yield f"LowCardinality(Nullable({inner[15:-1]}))"
        if wrapper == "Array" and inner.startswith("LowCardinality("):
            yield f"Array({inner[15:-1]})"
    yield from _each(inside)


def _with_arguments(name: str, inside: str | None) -> Iterator[str]:
    if inside is None:
        yield name
        return
    yield f"{name}({inside})"
    words = [word.strip() for word in inside.split(",")]
    if name.startswith("DateTime"):
        zones = [f"'{word.strip(chr(39))}'" for word in words if not word.isdigit()]
        digits = [word for word in words if word.isdigit()]
        if digits:
            fine = str(min(9, int(digits[0])))
            yield f"DateTime64({', '.join([fine, *zones])})"
        elif name == "DateTime64":
            yield f"DateTime64({', '.join(['3', *zones])})"
        yield f"DateTime({', '.join(zones)})"
    if name == "Decimal" and len(words) == 1:
        yield f"Decimal({inside}, 0)"
    if name == "Decimal" and len(words) == 2 and all(word.isdigit() for word in words):
        yield f"Decimal({min(76, max(map(int, words)))}, {words[1]})"
    if name.startswith("Enum"):
        if _ITEMS.fullmatch(inside):
            names = enumerate(re.findall(r"'(?:[^'\\]|\\.)+'", inside), 1)
        else:
            bare = (word.partition("=")[0].strip().strip('"') for word in words)
            names = enumerate((f"'{word}'" for word in bare if word), 1)
        listed = ", ".join(f"{item} = {number}" for number, item in names)
        yield f"{name}({listed})"
        yield f"Enum8({listed})"
    yield name


def identifier(name: str) -> str:
    """A name that is accepted, as like as possible to one that is not."""
    plain = unicodedata.normalize("NFKD", name.replace("ß", "ss"))
    kept = "".join(each for each in plain if not unicodedata.combining(each))
    found = re.sub(r"[^A-Za-z0-9]+", "_", kept).strip("_")
    if not found:
        return "name"
    return f"n{found}" if found[0].isdigit() else found
