"""The ClickHouse types a field may have, and how a JSON value becomes one. Pure text.

A value is taken as text and cast. A cast that would change it gives NULL, which `parsing` turns
into a dead letter. docs/messages.md says which conversions are kept. Arrays and maps do the same
with each of their values (`Container`).
"""

from __future__ import annotations

import dataclasses
import json
import re

from nrtctl.pipeline import options, time_formats
from nrtctl.pipeline.casts import MOST_DECIMAL_DIGITS, cast, decimal_digits, literal
from nrtctl.pipeline.fields import FieldSpec
from nrtctl.pipeline.mending import is_no_number
from nrtctl.pipeline.nested import Nest, holds_others, refuse_nullable
from nrtctl.pipeline.options import PLAIN, Options
from nrtctl.pipeline.suggest import instead
from nrtctl.pipeline.times import scale_of
from nrtctl.pipeline.type_catalogue import NAMES, known, repeats
from nrtctl.pipeline.type_text import Refused

_CONTAINER = re.compile(r"Array\((?P<element>.+)\)|Map\(\s*String\s*,(?P<value>.+)\)", re.DOTALL)
_MAP_OF_TEXT = re.compile(r"Map\([^,]+,\s*(?:Nullable\(|LowCardinality\()*String\b")
EXACT_DIGITS = 15
"""A JSON number with a fraction is read as a double, which keeps these digits."""

SUPPORTED = (
    f"{NAMES}, each also as Nullable(…); LowCardinality(…) of text, numbers and dates; Array(T), "
    "Map(String, T), Tuple(name T, …), Nested(name T, …) of all types; Tuple(T, …) of the former; "
    "Point, Ring, LineString, MultiLineString, Polygon, MultiPolygon"
)
_NO_STRING = r"^(?:-?[0-9][-+.0-9eE]*|true|false|(?s:[\[{].*[\]}]))$"
"""What a JSON value that is no string looks like as text."""


_EXACT_UNITS = 2**53
"""Up to here a JSON number with a fraction, its digits without the point, is read as written."""

_NUMBERS = "'Int64', 'UInt64', 'Double'"
"""What JSONType calls numbers."""


class Scalar:
    """A field's type that is one value, taken apart.

    Args:
        given: how its values are written.

    Raises:
        ValueError: the type is not supported; the text names those that are. Or one of the options
            means nothing for it.
    """

    def __init__(self, text: str, given: Options = PLAIN) -> None:
        self.text = text.strip()
        inner = self.text
        self.low_cardinality = inner.startswith("LowCardinality(") and inner.endswith(")")
        if self.low_cardinality:
            inner = inner[15:-1].strip()
        self.nullable = inner.startswith("Nullable(") and inner.endswith(")")
        if self.nullable:
            inner = inner[9:-1].strip()
        self.scalar = inner
        if given.values_as_text and inner != "String":
            given = dataclasses.replace(given, values_as_text=False)
        self.options = given
        if not known(inner) or (self.low_cardinality and not repeats(inner)):
            raise ValueError(f"{text!r} is not a supported type: {SUPPORTED}")
        digits = decimal_digits(inner)
        if digits and not digits[1] <= digits[0] <= MOST_DECIMAL_DIGITS:
            raise ValueError(f"{text!r}: Decimal(P, S) needs S <= P <= {MOST_DECIMAL_DIGITS}")
        options.check(inner, given)
        if not given.binary:
            time_formats.check(given.formats, day=options.is_day(inner), cut=given.cut)

    @property
    def optional(self) -> bool:
        """Whether a message may do without it."""
        return self.nullable or self.options.optional

    @property
    def parsed(self) -> str:
        """The type in the middle of parsing: as stored, but it may be NULL."""
        inner = f"Nullable({self.scalar})"
        return f"LowCardinality({inner})" if self._packed else inner

    @property
    def _packed(self) -> bool:
        """Text that repeats is taken out of the message as what it is stored as."""
        return self.low_cardinality and self.scalar == "String"

    @property
    def extracted(self) -> str:
        """The type that JSONExtract takes the value as: text, unless it is strict by itself."""
        strict = self._packed or (self.scalar == "UUID" and not self.nullable)
        if strict and self.options == PLAIN:
            return self.parsed
        return "Nullable(String)"

    def value(self, text: str) -> str:
        """SQL: the extracted expression `text` as the parsed type; NULL where it would change."""
        return text if self._as_it_is else self.as_text(text)

    @property
    def _as_it_is(self) -> bool:
        """What was extracted is the value."""
        given = self.options
        rewritten = given.binary or given.accept & {"broken text", "nan"}
        return self.extracted == self.parsed and not rewritten

    def as_text(self, text: str) -> str:
        """SQL: the Nullable(String) expression `text` as Nullable; NULL where it would change."""
        return cast(text, self.scalar, self.options)

    def stored(self, value: str) -> str:
        """SQL: the parsed expression `value` as the stored type; the default for a wrong NULL."""
        plain = value if self.nullable else f"assumeNotNull({value})"
        packed = self.low_cardinality and not self._packed
        return f"CAST({plain}, {literal(self.text)})" if packed else plain

    def absent(self, text: str) -> str:
        """SQL: the extracted expression `text` shows that nothing was there."""
        return f"isNull({text})"

    def none(self, text: str, path: str) -> str:
        """SQL: nothing was there, or null. Args: path: the arguments of JSONType for this value."""
        return self.absent(text)

    def wrong(self, text: str, value: str, path: str) -> str:
        """SQL: whether the value cannot be stored; empty where it always can.

        The value's type in the message is asked (another parse) only where its text leaves it open.

        Args:
            text: the extracted expression.
            value: the parsed expression.
            path: the arguments of JSONType for this value.
        """
        doubt, kind = self.doubt(text), self.wrong_kind(path)
        return " OR ".join(
            filter(None, (self.missing(text, value), f"({doubt} AND {kind})" if doubt else ""))
        )

    def missing(self, text: str, value: str) -> str:
        """SQL: what is there was not taken, or must not be NULL; empty where it cannot be."""
        if not self.optional:
            return f"isNull({value})"
        return "" if self._as_it_is else f"isNull({value}) != isNull({text})"

    def doubt(self, text: str) -> str:
        """SQL: the extracted text may come from a value of another kind; empty: never."""
        accept = self.options.accept
        if self.options.bare or self.any_kind:
            return ""
        if self.scalar == "JSON" or self.options.json_text:
            return f"isNotNull({text})"
        text_only = "String" in self.scalar or self.options.binary
        if text_only or self._has_name_like_no_string():
            return f"match({text}, {literal(_NO_STRING)})"
        if self.options.epoch:
            digits = f"toUInt64OrZero(replaceOne(replaceOne({text}, '.', ''), '-', ''))"
            return f"ifNull({digits}, 0) > {_EXACT_UNITS}"
        if "decimal comma" in accept:
            return f"match({text}, {literal(r'^[^.,]*[.][^.,]*$')})"
        if self.has_digits and self.options.every_digit:
            return ""
        if self.has_digits:
            return self.long_number(text)
        return ""

    @property
    def any_kind(self) -> bool:
        """Whether it is text that any value of a message is kept as."""
        return self.options.values_as_text and self.options.every_digit

    def long_number(self, text: str) -> str:
        """SQL: the extracted text may be that of a number of more digits than a double keeps."""
        signs = f"startsWith({text}, '-') + (position({text}, '.') > 0)"
        return f"length({text}) > {EXACT_DIGITS} AND length({text}) > {EXACT_DIGITS} + {signs}"

    def wrong_kind(self, path: str) -> str:
        """SQL: where there is a doubt, whether it is right."""
        kind, accept = f"JSONType({path})", self.options.accept
        if "decimal comma" in accept:
            return f"{kind} = 'String'"
        if self.options.json_text:
            other = f"{kind} NOT IN ('Array', 'Object')"
            if "nan" in accept:
                other = f"({other} OR {is_no_number(f'JSONExtractRaw({path})')})"
            return other
        if self.options.values_as_text:
            return f"({kind} = 'Double' AND length(JSONExtractRaw({path})) > {EXACT_DIGITS + 2})"
        if self.has_digits or self.options.epoch:
            return f"{kind} = 'Double'"
        if self.scalar == "JSON":
            return f"{kind} != 'Object'"
        kinds = [
            "'String'",
            *([_NUMBERS] if "numbers" in accept else []),
            *(["'Bool'"] if "booleans" in accept else []),
        ]
        if len(kinds) == 1:
            return f"{kind} != 'String'"
        other = f"{kind} NOT IN ({', '.join(kinds)})"
        if "numbers" in accept and self.scalar == "String":
            long = f"length(JSONExtractRaw({path})) > {EXACT_DIGITS + 2}"
            return f"({other} OR ({kind} = 'Double' AND {long}))"
        return other

    @property
    def has_digits(self) -> bool:
        """Whether a JSON number with a fraction may be read as another one."""
        if self.options.binary:
            return False
        return self.scalar.startswith("Decimal") or bool(re.search("Int(64|128|256)", self.scalar))

    def _has_name_like_no_string(self) -> bool:
        if not self.scalar.startswith("Enum"):
            return False
        names = re.findall(r"'((?:[^'\\]|\\.)+)'", self.scalar)
        return any(re.fullmatch(_NO_STRING[1:-1], name) for name in names)


class Container:
    """`Array(T)` or `Map(String, T)`, T a `Scalar`: always there, each value as strict as a field.

    Raises:
        ValueError: the type is not supported.
    """

    low_cardinality = False
    nullable = False

    def __init__(self, text: str, given: Options = PLAIN) -> None:
        self.text = text.strip()
        self.options = given
        found = _CONTAINER.fullmatch(self.text)
        if found is None:
            raise ValueError(f"{text!r} is not a supported type: {SUPPORTED}")
        self.map = found["value"] is not None
        inner = found["value"] if self.map else found["element"]
        try:
            self.element = Scalar(inner)
        except ValueError:
            raise ValueError(f"{text!r} is not a supported type: {SUPPORTED}") from None
        self.element = Scalar(inner, _inside(given, in_map=self.map))
        if self.element.low_cardinality:
            raise ValueError(f"{text!r}: write String instead of {self.element.text}")
        self._texts = "mapValues({0})" if self.map else "{0}"

    @property
    def optional(self) -> bool:
        return self.options.optional

    @property
    def parsed(self) -> str:
        return self.text

    @property
    def extracted(self) -> str:
        texts = "Nullable(String)"
        return f"Map(String, {texts})" if self.map else f"Array({texts})"

    def value(self, text: str) -> str:
        element = self.element.stored(self.element.as_text("x"))
        values = f"arrayMap(x -> {element}, {self._texts.format(text)})"
        return f"mapFromArrays(mapKeys({text}), {values})" if self.map else values

    def stored(self, value: str) -> str:
        return value

    def absent(self, text: str) -> str:
        return f"empty({text})"

    def none(self, text: str, path: str) -> str:
        return f"(empty({text}) AND JSONType({path}) = 'Null')"

    def wrong(self, text: str, value: str, path: str) -> str:
        kind = "Object" if self.map else "Array"
        keys = f"mapKeys({text})" if self.map else f"arrayEnumerate({text})"
        inner = self.element.wrong("x", f"({self.element.as_text('x')})", f"{path}, i")
        texts = self._texts.format(text)
        listed = f"arrayExists((x, i) -> {inner}, {texts}, {keys})" if inner else ""
        twice = f"length({keys}) != arrayUniq({keys})" if self.map else ""
        right = f"NOT IN ('{kind}', 'Null')" if self.optional else f"!= '{kind}'"
        other = f"(empty({text}) AND JSONType({path}) {right})"
        return " OR ".join(filter(None, (other, listed, twice)))


def _inside(given: Options, *, in_map: bool) -> Options:
    """What is said of a field, for the single values inside."""
    as_text = given.values_as_text and in_map
    return dataclasses.replace(
        given, optional=False, empty_inside=False, values_as_text=as_text, every_digit=False
    )


FieldType = Scalar | Container | Nest


def field_type(text: str, given: Options = PLAIN) -> FieldType:
    """Args:
        given: how the values are written; of an array or map, its values.

    Raises:
        ValueError: the type is not supported; the text ends with one that is like it. Or an option
            means nothing for it.
    """
    try:
        refuse_nullable(text)
        plain = _plain_type(text)
    except Refused:
        raise
    except ValueError as error:
        raise ValueError(f"{error}{instead(text, _plain_type)}") from None
    if given == PLAIN:
        return plain
    return _nest(text, given) if isinstance(plain, Nest) else type(plain)(text, given)


def _plain_type(text: str) -> FieldType:
    if not holds_others(text):
        return Scalar(text)
    try:
        return Container(text)
    except ValueError:
        pass
    try:
        return Nest(text, lambda inner, _: Scalar(inner))
    except Refused:
        raise
    except ValueError as error:
        if SUPPORTED in str(error):
            raise
        raise ValueError(f"{error}: the types are {SUPPORTED}") from None


def _nest(text: str, given: Options) -> Nest:
    """Each value inside takes of the options what means something for it."""
    unused = set(given.accept)

    def leaf(inside: str, in_map: bool) -> Scalar:
        kind = Scalar(inside).scalar
        fitting = options.fitting(kind, _inside(given, in_map=in_map))
        unused.difference_update(fitting.accept)
        return Scalar(inside, fitting)

    nest = Nest(text, leaf, given)
    if unused:
        raise ValueError(f"accept: {min(unused)!r} has no effect on any value of {text}")
    return nest


def type_of(name: str, spec: FieldSpec) -> FieldType:
    """The type of a field, with all that is said of it.

    Raises:
        ValueError: the type is not supported, or something that is said means nothing for it.
    """
    kind = field_type(spec.type, spec.options(name))
    if isinstance(kind, Scalar):
        for given in spec.defaults:
            _check_default(kind, given)
    place = spec.source(name)
    if spec.values and not _MAP_OF_TEXT.search(spec.type) and not _any_kind(kind):
        raise ValueError(
            f"values: {spec.type} is neither a String of the message nor a map of text; make it "
            "String or Map(String, String)"
        )
    if "not JSON" in spec.accept and not place.inside:
        raise ValueError(
            'accept: "not JSON" is for a path into a key or header, as in '
            'from = { record = "key", path = ["id"] }'
        )
    if not isinstance(kind, Scalar):
        if spec.json_:
            raise ValueError(
                f'json: "text" can only be used with String, not with {spec.type}; leave it out'
            )
        if place.record != "message":
            raise ValueError(f"from: a record's {place.record} is one value, not {spec.type}")
        if spec.empties.texts:
            raise ValueError(f"empty: text is not a {spec.type}; leave out empty")
    elif place.record == "timestamp":
        _check_timestamp(kind, spec)
    return kind


def _any_kind(kind: FieldType) -> bool:
    return isinstance(kind, Scalar) and kind.any_kind


def _check_default(kind: Scalar, given: str | None) -> None:
    """Whether a default is of the right kind at all; the engine is asked whether it fits."""
    if given is None:
        return
    value = json.loads(given)
    if kind.scalar == "JSON":
        if not isinstance(value, dict):
            raise ValueError(f"default: {given} is not an object; write {{}} for an empty one")
        return
    if isinstance(value, list | dict):
        raise ValueError(f"default: {given} is not a {kind.text}; write a single value")
    if kind.scalar == "String" and not isinstance(value, str):
        raise ValueError(f'default: {given} is not a text; write it in quotes: "{given}"')
    if kind.scalar != "Bool" and isinstance(value, bool):
        raise ValueError(f"default: {given} is not a {kind.text}; write a value of that type")


def _check_timestamp(kind: Scalar, spec: FieldSpec) -> None:
    said = sorted(spec.model_fields_set - {"type", "from_", "precision"})
    if said:
        raise ValueError(f"{said[0]}: every record has a time, so leave {said[0]} out")
    if not options.is_time(kind.scalar) and not options.is_day(kind.scalar):
        raise ValueError(
            f"from: the record's time is not a {kind.text}; make it DateTime64(3, 'UTC')"
        )
    if not kind.options.cut and (options.is_day(kind.scalar) or scale_of(kind.scalar) < 3):
        raise ValueError(
            f"from: the record's time has milliseconds, which {kind.text} does not keep; make it "
            "DateTime64(3, 'UTC'), or add precision = \"cut\""
        )
