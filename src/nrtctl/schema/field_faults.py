"""What is wrong with a message, field by field. Pure text; called by `trial` and by `dlq`.

The chain stops at the first field that is wrong, since every message pays for it. Here single
messages are asked about when somebody looks at them, with the same SQL of the same types.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nrtctl.pipeline import Pipeline
from nrtctl.pipeline.casts import literal
from nrtctl.pipeline.mending import shown
from nrtctl.pipeline.message_format import DECODED
from nrtctl.pipeline.nested import Nest
from nrtctl.pipeline.places import MISSING as INSIDE_MISSING
from nrtctl.pipeline.places import NULL as INSIDE_NULL
from nrtctl.pipeline.places import TWICE
from nrtctl.pipeline.rows import Rows
from nrtctl.pipeline.times import skipped_by
from nrtctl.schema.columns import Column, Columns, part
from nrtctl.schema.extraction import MESSAGE, arguments
from nrtctl.schema.fanout import TEXT, FanOut, as_before, inner_pipeline, protected
from nrtctl.schema.reasons import ENVELOPE, envelope_of

SEEN, MISSING, NULL = "seen", "missing", "null"
_LETTERS = {INSIDE_MISSING: MISSING, INSIDE_NULL: NULL}
MOST_FAULTS = 100
"""In the rows of one message that are named."""

MOST_TEXT = 200
"""Characters of a value that are shown."""

_WRITTEN = "_written"
"""The column of the message whose numbers the JSON functions of the engine do not write anew."""

_FAULT = "Tuple(field String, place String, state String, value String, type String)"
_NO_FAULT = "tuple('', '', '', '', '')"


@dataclass(frozen=True, slots=True)
class Finding:
    """A field that makes a message a dead letter.

    Attributes:
        place: what is wrong inside the field, as in `items[2].price`; else the field's name.
        state: seen (then its value is wrong), missing or null.
        text: the value's JSON text, cut after `MOST_TEXT` characters; empty where it is missing.
        wanted: the type.
    """

    field: str
    place: str
    state: str
    text: str
    wanted: str

    def __str__(self) -> str:
        if self.state == SEEN:
            inside = "" if self.place == self.field else f" in {self.field},"
            if zone := skipped_by(self.wanted, self.text):
                return f"{self.place}{inside} is {self.text}, which the clocks of {zone} skip"
            return f"{self.place}{inside} is {self.text}, not {self.wanted}"
        return f"{self.place} is {self.state} ({self.wanted})"


def faults_query(pipeline: Pipeline, source: str, carried: str) -> str:
    """SELECT from `source`, which has the landing table's columns: `carried`, and `_faults`, an
    array of named tuples that `finding` reads; empty where the message is no JSON object.

    Args:
        carried: columns of `source` with names that begin with _, as no field's does.
    """
    if pipeline.rows is not None:
        return _faults_in_rows(pipeline, pipeline.rows, source, carried)
    return _faults(pipeline, Columns(pipeline), source, carried)


def _faults_in_rows(pipeline: Pipeline, rows: Rows, source: str, carried: str) -> str:
    """As `faults_query`: of all rows of a message, each at its place."""
    ways, inner = FanOut(pipeline, rows, as_written=True), inner_pipeline(pipeline)
    key = "_incarnation, _partition, _offset"
    texts = f"(SELECT * FROM ({ways.texts(source)}) WHERE _walked = 0)"
    each = _faults(inner, Columns(inner, message=TEXT), texts, f"{key}, _walked, _ns")
    place = f"concat({ways.place}, '.', _x.2)"
    if not rows.from_ and rows.texts == "one":
        place = "_x.2"
    named = f"arrayMap(_x -> tuple(_x.1, {place}, _x.3, _x.4, _x.5), _faults)"
    found = (
        f"SELECT {key}, CAST(groupArrayArray({MOST_FAULTS})({named}), 'Array({_FAULT})') "
        f"AS _faults FROM ({each}) GROUP BY {key}"
    )
    return f"SELECT {carried}, _faults FROM {source} AS _s LEFT JOIN ({found}) AS _f USING ({key})"


def _faults(pipeline: Pipeline, taken: Columns, source: str, carried: str) -> str:
    whole = "isValidUTF8(_message) AND isValidJSON(_message) AND JSONType(_message) = 'Object'"
    selected = [*taken.selected, *(f"{each.value} AS `{each.name}`" for each in taken.each)]
    landed = envelope_of(pipeline) if taken.message.startswith(DECODED) else ENVELOPE
    columns = ", ".join(dict.fromkeys([*carried.split(", "), *landed.split(", ")]))
    extracted = (
        f"SELECT {columns}, {taken.message} AS _message, {whole} AS _is, "
        f"{protected(MESSAGE)} AS {_WRITTEN}, "
        f"{', '.join(selected)} FROM {source}"
    )
    faults = [_fault(pipeline, taken, each) for each in taken.each]
    listed = f"if(_is, [{', '.join(faults)}], [])"
    return (
        f"SELECT {carried}, CAST(arrayFilter(_x -> _x.1 != '', {listed}), 'Array({_FAULT})') "
        f"AS _faults FROM ({extracted}) AS _c"
    )


def _fault(pipeline: Pipeline, taken: Columns, column: Column) -> str:
    """SQL: what is wrong with a field, as a tuple of texts; of empty ones: nothing is."""
    name, kind = literal(column.name), literal(pipeline.fields[column.name].type)
    cases = []
    for parent in taken.extraction.parents:
        if parent.holds(column.source.path):
            wanted = f"an {parent.kind.lower()} at {'.'.join(map(str, parent.path))}"
            fault = (name, literal(SEEN), _raw(arguments(parent.path)), literal(wanted))
            cases.append((parent.other(MESSAGE), fault))
    place = column.arguments
    if isinstance(column.kind, Nest):
        inside = f"_f{len(cases)}_{column.name}"
        found = f"({column.kind.fault(place, column.name)} AS {inside})"
        letters = ", ".join(f"'{letter}', '{state}'" for letter, state in _LETTERS.items())
        state = f"caseWithExpression(right({inside}, 1), {letters}, '{SEEN}')"
        at = f"substring({inside}, 1, length({inside}) - 1)"
        wanted = f"if(endsWith({inside}, '{TWICE}'), 'an object without duplicate keys', {kind})"
        wrong = f"notEmpty({found})"
        if column.kind.optional:
            wrong += f" AND NOT {column.kind.none(column.text, place)}"
        cases.append((wrong, (at, state, _raw(place), wanted)))
        if column.broken:
            cases.append((column.broken, (name, literal(SEEN), _raw(place), kind)))
    elif column.wrong:
        state = f"multiIf(NOT {column.is_there}, '{MISSING}', {column.is_null}, '{NULL}', '{SEEN}')"
        text = _raw(place)
        if not column.of_message:
            whole = f"ifNull({part(column.source)}, '')"
            text = f"substringUTF8(toValidUTF8({whole}), 1, {MOST_TEXT + 1})"
        if column.source.inside:
            text = f"if(JSONHas({place}), {_raw(place)}, {text})"
        cases.append((column.wrong, (name, state, text, kind)))
    listed = ", ".join(
        f"ifNull(({wrong}), 0), tuple({name}, {', '.join(fault)})" for wrong, fault in cases
    )
    return f"multiIf({listed}, {_NO_FAULT})" if cases else _NO_FAULT


def _raw(place: str) -> str:
    """SQL: the JSON text at a place, of the message with its numbers as they are written there."""
    raw = f"JSONExtractRaw({place})"
    if place.startswith(MESSAGE):
        raw = as_before(f"JSONExtractRaw({_WRITTEN}{place.removeprefix(MESSAGE)})")
    return f"substringUTF8({raw}, 1, {MOST_TEXT + 1})"


def finding(given: Any) -> Finding:
    """One of `faults`, as the client gives a named tuple."""
    values = given.values() if isinstance(given, dict) else given
    field, place, state, text, wanted = map(str, values)
    text = shown(text)
    cut = text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]}…"
    return Finding(field, place, state, cut, wanted)
