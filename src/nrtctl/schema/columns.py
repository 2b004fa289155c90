"""The fields of a pipeline as SQL: where each is taken from, its value, and what is stored. Pure.

Called by `parsing` and by `check`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from nrtctl.pipeline import Pipeline
from nrtctl.pipeline.casts import cast, literal
from nrtctl.pipeline.field_types import FieldType, Scalar, field_type, type_of
from nrtctl.pipeline.fields import Empty, FieldSpec, Source
from nrtctl.pipeline.mending import BROKEN, BROKEN_KEY, has_no_number, mending_for
from nrtctl.pipeline.message_format import DECODED
from nrtctl.pipeline.nested import Nest, marked
from nrtctl.pipeline.nodes import FLOAT
from nrtctl.pipeline.objects import as_written
from nrtctl.pipeline.options import Options, is_integer
from nrtctl.pipeline.routing import mends
from nrtctl.pipeline.spellings import rewritten
from nrtctl.pipeline.unpacking import unpacked
from nrtctl.schema.extraction import MESSAGE, Extraction, Value, arguments

VALUE = "assumeNotNull(_value)"

_MANY_DIGITS = "[0-9.]{17}"
"""What a message has that has a number of more digits than are kept."""


def value_of(pipeline: Pipeline) -> str:
    """SQL of the JSON text of a message, as it came or as it was decoded."""
    return DECODED if pipeline.is_decoded else VALUE


def asked_value(pipeline: Pipeline, mended_for: frozenset[str]) -> str:
    """SQL of the same, made JSON where it is none for what is accepted."""
    mend = mending_for(mended_for)
    return value_of(pipeline) if mend is None else mend(value_of(pipeline))


def field_types(pipeline: Pipeline) -> Mapping[str, FieldType]:
    """Raises ValueError: a type is not supported, or what is said of a field means nothing."""
    return {name: type_of(name, spec) for name, spec in pipeline.fields.items()}


@dataclass(frozen=True, slots=True)
class Column:
    """A field.

    Attributes:
        raw: SQL of the value as it was extracted.
        text: the same, without texts that count as no value.
        defaults: SQL of what is stored for a missing value, and for null; None: nothing is.
        mended: what the fields of the pipeline accept that is no JSON.
    """

    name: str
    source: Source
    kind: FieldType
    raw: str
    text: str
    empties: Empty
    defaults: tuple[str | None, str | None]
    mended: frozenset[str] = frozenset()

    @property
    def nest(self) -> Nest | None:
        return self.kind if isinstance(self.kind, Nest) else None

    @property
    def of_message(self) -> bool:
        return self.source.record == "message"

    @property
    def arguments(self) -> str:
        """Of the JSON functions."""
        if self.source.inside:
            return arguments(self.source.inside, document(self.source))
        return arguments(self.source.path)

    @property
    def required(self) -> bool:
        return self.of_message and not self.kind.optional

    @property
    def value(self) -> str:
        """SQL over the message."""
        if self.source.record == "timestamp":
            return f"CAST(_timestamp, {literal(self.kind.text)})"
        if self.kind.options.json_text:
            text = as_written(self.text, self.source.path)
            return rewritten(text, "String", self.kind.options)
        if isinstance(self.kind, Scalar) and self.kind.any_kind:
            inside = f"JSONType({self.arguments}) IN ('Array', 'Object')"
            whole = as_written(self.text, self.source.path)
            text = f"if({inside}, {whole}, {self.text})"
            return rewritten(text, "String", self.kind.options)
        return self.kind.value(self.text)

    @property
    def stored(self) -> str:
        """SQL over the values, which are columns of `_c`."""
        value = f"_c.`{self.name}`"
        if self.source.record == "timestamp":
            return value
        missing, null = self.defaults
        if missing is None and null is None:
            return self.kind.stored(value)
        none = self.kind.none(self.text, self.arguments)
        if not isinstance(self.kind, Scalar):
            value = self.kind.stored(value)
        if missing == null or (not self.kind.nullable and None in self.defaults):
            default = missing if missing is not None else null
            return self._or(value, f"if({none}, {default}, {value})")
        if missing is None:
            return f"if({none} AND {self._is_null}, {null}, {value})"
        if null is None:
            return f"if({none} AND NOT {self._is_null}, {missing}, {value})"
        return self._or(value, f"if({none}, if({self._is_null}, {null}, {missing}), {value})")

    def _or(self, value: str, chosen: str) -> str:
        """The expression as the stored type: a value that is neither there nor given is NULL."""
        scalar = isinstance(self.kind, Scalar)
        return f"assumeNotNull({chosen})" if scalar and not self.kind.nullable else chosen

    @property
    def wrong(self) -> str:
        """SQL over the values: whether this one cannot be stored; empty where it always can."""
        if self.source.record == "timestamp":
            return ""
        wrong = self.kind.wrong(self.text, f"_c.`{self.name}`", self.arguments)
        wrong = " OR ".join(filter(None, (self.unreadable, wrong, self.broken, self.no_number)))
        missing, null = self.defaults
        if self.kind.nullable or (missing is None) == (null is None):
            return wrong
        none = self.kind.none(self.text, self.arguments)
        other = f"({none} AND {'' if null is None else 'NOT '}{self._is_null})"
        return f"{wrong} OR {other}" if wrong else other

    @property
    def broken(self) -> str:
        """SQL: the value has characters that are none, and does not take them; empty: never."""
        takes = "broken text" in self.kind.options.accept
        never = "broken text" not in self.mended or not self.of_message
        if never or (takes and isinstance(self.kind, Scalar)):
            return ""
        raw = f"JSONExtractRaw({self.arguments})"
        found = f"position({raw}, {literal(BROKEN)}) > 0"
        if takes:
            found = f"match({raw}, {literal(BROKEN_KEY)})"
        return f"(position({MESSAGE}, {literal(BROKEN)}) > 0 AND {found})"

    @property
    def no_number(self) -> str:
        """SQL: a value that is kept as it comes has a word in the place of a number, and does not
        take it; empty: never."""
        kind = self.kind
        keeps = "String" in kind.text or "JSON" in kind.text
        if isinstance(kind, Scalar):
            keeps = kind.scalar == "JSON" or kind.options.json_text or kind.any_kind
        never = "nan" not in self.mended or not self.of_message
        if never or not keeps or "nan" in kind.options.accept:
            return ""
        found = has_no_number(f"JSONExtractRaw({self.arguments})")
        return f"({has_no_number(MESSAGE)} AND {found})"

    @property
    def unreadable(self) -> str:
        """SQL: a key or header with a path is something else than the path needs, or has a key
        twice on it; empty: never."""
        if not self.source.inside:
            return ""
        other = " OR ".join([*self.others, self.key_twice])
        return f"(isNotNull({part(self.source)}) AND ({other}))"

    @property
    def others(self) -> list[str]:
        """SQL of each: what a path into a key or header leads through is no object or array."""
        path, whole = self.source.inside, document(self.source)
        found = []
        if "not JSON" not in self.kind.options.accept:
            found.append(f"JSONType({whole}) != 'Object'")
        for end in range(1, len(path)):
            kind = "Object" if isinstance(path[end], str) else "Array"
            found.append(f"JSONType({arguments(path[:end], whole)}) NOT IN ('{kind}', 'Null')")
        return found

    @property
    def key_twice(self) -> str:
        """SQL: an object on a path into a key or header has a key twice."""
        path, whole = self.source.inside, document(self.source)
        ends = [end for end, step in enumerate(path) if isinstance(step, str)]
        keys = ", ".join(f"JSONExtractKeys({arguments(path[:end], whole)})" for end in ends)
        return f"arrayExists(_k -> length(_k) != arrayUniq(_k), [{keys}])"

    @property
    def is_there(self) -> str:
        """SQL: the message, or the record, has it at all, be it null."""
        if self.of_message:
            return f"JSONHas({self.arguments})"
        there = header_is_there(self.source.header) if self.source.record == "header" else "1"
        if self.source.inside:
            inside = f"(isNull({part(self.source)}) OR JSONHas({self.arguments}))"
            return inside if there == "1" else f"({there} AND {inside})"
        return there

    @property
    def is_null(self) -> str:
        """SQL: of one that is there, that it is null."""
        null = f"JSONType({self.arguments}) = 'Null'"
        if self.source.inside:
            return f"(isNull({part(self.source)}) OR {null})"
        return null if self.of_message else f"isNull({self.raw})"

    @property
    def _is_null(self) -> str:
        """SQL: where there is no value, that it is null and not missing."""
        there = self.is_there
        if self.empties.texts and not self.empties.null:
            return f"(isNull({self.raw}) AND {there})"
        return there


def header_is_there(name: str) -> str:
    return f"arrayExists(_h -> _h.1 = {literal(name)}, _headers)"


def header(name: str) -> str:
    """SQL of the last header of that name; NULL: there is none, or it has no value."""
    return f"arrayLast(_h -> _h.1 = {literal(name)}, _headers).2"


def part(place: Source) -> str:
    """SQL of the part of the record that is no message, as it came."""
    return header(place.header) if place.record == "header" else f"_{place.record}"


def document(place: Source) -> str:
    """SQL of a key or header that is JSON, as the JSON functions take it."""
    return f"ifNull({part(place)}, '')"


def emptied(raw: str, empties: Empty) -> str:
    """SQL of the text, NULL where it counts as no value."""
    listed = ", ".join(map(literal, empties.texts))
    return f"if({raw} IN ({listed}), NULL, {raw})"


class Columns:
    """The fields of a pipeline as they are taken out of a record.

    Attributes:
        selected: SQL items of the SELECT over the landing table.
        each: the fields.
        extraction: of those that the message has.
        message: SQL of the message, in JSON.
    """

    def __init__(self, pipeline: Pipeline, message: str = "") -> None:
        """Args: message: SQL of the JSON text; empty: it is the record's value."""
        kinds = field_types(pipeline)
        places = {name: spec.source(name) for name, spec in pipeline.fields.items()}
        values = {
            name: Value(place.path, kinds[name], not kinds[name].optional)
            for name, place in places.items()
            if place.path
        }
        self.extraction = Extraction(values.values())
        mended_for = mends(pipeline.fields)
        self.message = message or asked_value(pipeline, mended_for)
        if not message:
            self.message = unpacked(self.message, pipeline.unpack, mend=mending_for(mended_for))
        self.selected = list(self.extraction.selected)
        self.each: list[Column] = []
        for number, (name, spec) in enumerate(pipeline.fields.items(), 1):
            if name in values:
                raw = self.extraction.text(values[name])
            else:
                raw = self._of_record(places[name], kinds[name], number)
            text = raw
            if kinds[name].options.every_digit:
                text = _every_digit(text, kinds[name], places[name])
            if spec.empties.texts:
                text = emptied(text, spec.empties)
            if text != raw:
                self.selected.append(f"{text} AS _t{number}")
                text = f"_t{number}"
            defaults = _defaults(kinds[name], spec)
            empties, kind = spec.empties, kinds[name]
            column = Column(name, places[name], kind, raw, text, empties, defaults, mended_for)
            self.each.append(column)

    def _of_record(self, place: Source, kind: FieldType, number: int) -> str:
        if place.inside:
            asked = f"{arguments(place.inside, document(place))}, {literal(kind.extracted)}"
            self.selected.append(f"JSONExtract({asked}) AS _h{number}")
            return f"_h{number}"
        if place.record != "header":
            return part(place)
        self.selected.append(f"{header(place.header)} AS _h{number}")
        return f"_h{number}"


def _every_digit(text: str, kind: FieldType, place: Source) -> str:
    """SQL of the text of a number, which JSONExtract rounds where it is long: perhaps to a short
    one, as 0.10000000000000000001."""
    digits = isinstance(kind, Scalar) and (kind.has_digits or is_integer(kind.scalar))
    if not isinstance(kind, Scalar) or not (digits or kind.any_kind):
        return text
    path = arguments(place.path)
    steps = path.removeprefix(MESSAGE)
    written = f"substring(JSONExtractString({marked(MESSAGE)}{steps}), {len(FLOAT) + 1})"
    long = f"({kind.long_number(text)} OR match({MESSAGE}, {literal(_MANY_DIGITS)}))"
    return f"if({long} AND JSONType({path}) = 'Double', {written}, {text})"


def _defaults(kind: FieldType, spec: FieldSpec) -> tuple[str | None, str | None]:
    missing, null = (
        None if given is None else default(kind, spec.type, given) for given in spec.defaults
    )
    return missing, null


def default(kind: FieldType, written: str, given: str) -> str:
    """SQL of a default. Args: written: the type; given: JSON."""
    if isinstance(kind, Scalar):
        return f"assumeNotNull({_scalar(kind, given)})"
    plain = field_type(written, Options(empty_inside=kind.options.empty_inside))
    extracted = f"JSONExtract({literal(given)}, {literal(plain.extracted)})"
    return plain.stored(plain.value(extracted))


def _scalar(kind: Scalar, given: str) -> str:
    """SQL of a default; NULL: it does not fit."""
    value = json.loads(given)
    if isinstance(value, float) and given in {"NaN", "Infinity", "-Infinity"}:
        return f"CAST({literal(given)}, 'Nullable({kind.scalar})')"
    return cast(literal(value if isinstance(value, str) else given), kind.scalar)


def misfit(kind: FieldType, written: str, given: str) -> str:
    """SELECT of one value: whether a default does not fit its type. Args: as `default`."""
    if isinstance(kind, Scalar):
        return f"SELECT isNull({_scalar(kind, given)})"
    plain = field_type(written, Options(empty_inside=kind.options.empty_inside))
    place = arguments(("default",))
    extracted = f"JSONExtract({place}, {literal(plain.extracted)})"
    wrong = plain.wrong(extracted, plain.value(extracted), place)
    message = literal(f'{{"default": {given}}}')
    return f"SELECT ifNull({wrong or '0'}, 0) FROM (SELECT {message} AS {MESSAGE})"
