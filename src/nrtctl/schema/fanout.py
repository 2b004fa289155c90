"""The SQL of a pipeline whose messages hold several rows each. Pure text; called by `parsing`.

For each row a small JSON text is made: its element, and of what is around it the values that fields
name. `parsing` reads that text as it reads a message, so it is as strict. Whether a message is
stored is decided here, over all of its rows, once.

The functions of ClickHouse that take an element out of an array write its numbers anew, with no
more digits than a double has. Where a message has a number that would be changed, all numbers are
made strings of a form that no string has, and numbers again in the text of a row.

    _doc      the message's JSON text
    _items    an array of a tuple for each row: its text, a fault on the way to it or 0, the numbers
              of the elements that lead to it, values from outside

The engine's analysis of an expression costs as much more as there is below it, so all this is kept
short (docs/decisions/0047).
"""

from __future__ import annotations

from collections.abc import Sequence

from nrtctl.pipeline import Pipeline
from nrtctl.pipeline.casts import literal
from nrtctl.pipeline.fields import Path
from nrtctl.pipeline.mending import mending_for
from nrtctl.pipeline.message_format import DECODED, UNDECODED
from nrtctl.pipeline.places import step as step_of_place
from nrtctl.pipeline.rows import EACH, ELEMENT, VALUE, Keys, Place, Rows, fields_of
from nrtctl.pipeline.unpacking import unpacked
from nrtctl.schema.extraction import arguments
from nrtctl.schema.reasons import (
    COORDINATES,
    DUPLICATE_KEY,
    EMPTY,
    FIELD_MISSING,
    FIELD_NULL,
    NO_ROWS,
    NOT_ARRAY,
    NOT_JSON,
    NOT_OBJECT,
    NOT_UTF8,
    NULL_VALUE,
    WRONG_TYPE,
)

TEXT = "_text"
"""The column of the text that a row's fields are read from."""

_LONG = (
    r"[.][0-9]{10}|[0-9]{7}[.][0-9]{7}|[0-9]{10}[.][0-9]{4}|[0-9]{13}[.][0-9]|[0-9]{20}"
    r"|[0-9]{16}[eE]"
)
"""A number that is not kept; some that are look like it."""

_FRACTION = r"[0-9][.eE][-+0-9]"
_NUMBERS = r'("(?:[^"\\]|\\.)*")|(-?[0-9]+[.eE][-+.eE0-9]*|-?[0-9]{19,})'
_FILLED = r"\S"
_AS_DECODED = "as the decoder says"
_SOURCE = "{source}"
_OBJECT = 2**16 - 1
_KEY_BITS = 24
"""Where a step has several keys, the number of the one that was taken stands left of these bits of
the element's number; 0: none was there."""

_MARKED = r'"~n([^"]*)"'


def inner_pipeline(pipeline: Pipeline) -> Pipeline:
    """The pipeline over the texts that are made for its rows."""
    rows = pipeline.rows
    if rows is None:
        return pipeline
    fields = fields_of(rows, pipeline.fields).each
    return pipeline.model_copy(update={"fields": dict(fields), "rows": None})


def protected(message: str) -> str:
    """SQL: every number that may not be kept as a string that begins with ~n; other ~ as ~s."""
    tokens = f"replaceRegexpAll(replaceAll({message}, '~', '~s'), {literal(_NUMBERS)}, "
    marked = f"{tokens}{literal(chr(92) + '1' + chr(1) + chr(92) + '2' + chr(2))})"
    found = f"replaceAll({marked}, '\\x01\\x02', '')"
    return f"replaceAll(replaceAll({found}, '\\x01', '\"~n'), '\\x02', '\"')"


def as_before(text: str) -> str:
    """SQL: what `protected` has changed, undone in a part of the message."""
    numbers = f"replaceRegexpAll({text}, {literal(_MARKED)}, {literal(chr(92) + '1')})"
    return f"replaceAll({numbers}, '~s', '~')"


class FanOut:
    """How the rows of a message are found.

    Args:
        as_written: every number is kept as the message has it, also those that stay the same.
    """

    def __init__(self, pipeline: Pipeline, rows: Rows, *, as_written: bool = False) -> None:
        specs = pipeline.fields.values()
        self._rows = rows
        self._outside = fields_of(rows, pipeline.fields).outside
        paths = [spec.source(name).path for name, spec in pipeline.fields.items()]
        self._by_position = rows.by_position(paths)
        self._lines = int(rows.texts == "lines")
        accepted = {each for spec in specs for each in spec.accept} & {"nan", "broken text"}
        self._decoded = pipeline.is_decoded
        self._unpack = pipeline.unpack
        self._mend = mending_for(frozenset(accepted))
        texts = as_written or any(
            each.json_ or each.values or "JSON" in each.type for each in specs
        )
        self._changed = f"{_LONG}|{_FRACTION}" if texts else _LONG
        self._faults: list[tuple[str, int]] = []
        self._numbers = len(rows.from_) + self._lines
        self._items_of_messages = self._items()

    def no_object(self, inner: Pipeline) -> str:
        """SQL: the row's element is no object; empty: it need not be one."""
        paths = [spec.source(name).path for name, spec in inner.fields.items()]
        own = [path for path in paths if path[:1] == (ELEMENT,)]
        if not self._rows.from_ or not own or any(isinstance((*p, 0)[1], int) for p in own):
            return ""
        kind = f"JSONType({TEXT}, '{ELEMENT}')"
        return f"NOT startsWith(assumeNotNull(_value), '{{') AND {kind} != 'Object'"

    @property
    def why(self) -> str:
        """SQL of the reason that `_walked` stands for."""
        return _chosen([
            f"substring(assumeNotNull(_value), {len(UNDECODED) + 1})" if why is _AS_DECODED
            else literal(why)
            for why, _ in self._faults
        ])  # fmt: skip

    @property
    def place(self) -> str:
        """SQL of the place of a row, or of what is wrong on the way to it: needs `_walked`, and
        `_ns`, the numbers of the line and the elements, from 1; 0: an object instead of an array.
        """
        names: list[str | list[str]] = []
        first = not self._lines
        for step in self._rows.from_:
            if isinstance(step, str):
                names.append(_named(step, first))
            else:
                any_of_them = _named(step[0], first) + "".join(f" or {key}" for key in step[1:])
                names.append([any_of_them, *(_named(key, first) for key in step)])
            first = False
        depths = [str(depth) for _, depth in self._faults]
        depth = f"if(_walked = 0, {self._numbers}, {_chosen(depths)})"
        each = "concat(_s, if(_n = 0, '', concat('[', toString(_n - 1), ']')))"
        low = f"bitAnd(_n, {2**_KEY_BITS - 1})"
        if not all(isinstance(name, str) for name in names):
            each = each.replace("_n ", f"{low} ")
        shown = "arraySlice(_ns, 1, _depth)"
        line = ""
        if self._lines:
            line = f"if({depth} = 0, '', concat('line ', toString(_ns[1]))), "
            shown, depth = "arraySlice(_ns, 2, _depth)", f"{depth} - 1"
        texts = ", ".join(
            literal(name)
            if isinstance(name, str)
            else f"arrayElement([{', '.join(map(literal, name))}], "
            f"bitShiftRight(_ns[{at}], {_KEY_BITS}) + 1)"
            for at, name in enumerate(names, 1 + self._lines)
        )
        listed = f"arraySlice([{texts}], 1, _depth)"
        steps = f"arrayMap((_s, _n) -> {each}, {listed}, {shown})".replace("_depth", depth)
        return f"concat({line}arrayStringConcat({steps}))" if names else f"concat({line}'')"

    def texts(self, source: str) -> str:
        """SELECT from the landing table, a row for each row of a message: the envelope with the
        element as `_value`, `_text`, `_whole` (the message, in its first row only), `_at` (its
        place, from 1), `_all` (how many there are), `_walked` (a fault on the way to it, or 0) and
        `_ns`."""
        first = 3 + self._numbers
        around = ", ".join(
            f"'\"a{at}\":', _item.{first + at}, ','" for at in range(len(self._outside))
        )
        parts = f"[_item.1, concat({around})]" if around else "[_item.1]"
        before = f"if(_marked, arrayMap(_x -> {as_before('_x')}, {parts}), {parts})"
        outside = "_parts[2], " if around else ""
        text = f"concat('{{', {outside}'\"{ELEMENT}\":', _parts[1], '}}')"
        numbers = ", ".join(f"_item.{at}" for at in range(3, first))
        ways = f"[{numbers}]" if numbers else "emptyArrayUInt32()"
        return (
            f"SELECT {COORDINATES}, _headers, _key, CAST(_parts[1], 'Nullable(String)') AS _value, "
            f"if(_walked = 0, {text}, '{{}}') AS {TEXT}, _whole, _at, _all, _walked, _ns FROM ("
            f"SELECT {COORDINATES}, _headers, _key, {before} AS _parts, _whole, _at, _all, "
            f"_item.2 AS _walked, {ways} AS _ns "
            f"FROM (SELECT {COORDINATES}, _headers, _key, _marked, _items, "
            "toUInt32(length(_items)) AS _all, "
            "arrayResize([_value], length(_items), NULL) AS _wholes "
            f"FROM ({self._items_of_messages.replace(_SOURCE, source)})) "
            "ARRAY JOIN _items AS _item, _wholes AS _whole, arrayEnumerate(_items) AS _at)"
        )

    def _items(self) -> str:
        """SELECT from the landing table: the envelope, `_marked`, and `_items`."""
        text = DECODED if self._decoded else "ifNull(_value, '')"
        source = _SOURCE
        if self._mend is not None or self._unpack:
            json = text if self._mend is None else self._mend(text)
            json = unpacked(json, self._unpack, lines=bool(self._lines), mend=self._mend)
            source, text = f"(SELECT *, {json} AS _json FROM {source})", "_json"
        read = (
            f"SELECT *, match({text}, {literal(self._changed)}) AS _marked, "
            f"if(_marked, {protected(text)}, {text}) AS _doc FROM {source}"
        )
        items = self._roots()
        for number, name in enumerate(self._rows.from_, 1):
            items = self._step(items, number, name)
        zeros = ["toUInt32(0)"] * self._numbers + ["''"] * len(self._outside)
        none = _tuple("''", f"toUInt16({self._code(NO_ROWS, 0)})", *zeros)
        return (
            f"SELECT {COORDINATES}, _headers, _key, _value, _marked, "
            f"if(empty(_found), [{none}], _found) AS _items "
            f"FROM (SELECT *, {items} AS _found FROM ({read}))"
        )

    def _roots(self) -> str:
        """SQL: the items of the JSON texts of `_doc`."""
        if not self._lines:
            return f"[{self._root('_doc')}]"
        numbered = "arrayMap((_l, _n) -> tuple(_l, toUInt32(_n)), _split, arrayEnumerate(_split))"
        lines = numbered.replace("_split", "splitByChar('\\n', _doc)")
        filled = f"arrayFilter(_l -> match(_l.1, {literal(_FILLED)}), {lines})"
        one = "[tuple(_doc, toUInt32(1))]"
        texts = f"if(isValidJSON(_doc) OR NOT match(_doc, {literal(_FILLED)}), {one}, {filled})"
        return f"arrayMap(_l -> {self._root('_l.1', '_l.2')}, {texts})"

    def _root(self, text: str, *number: str) -> str:
        """SQL: the item of a JSON text of the message."""
        kinds = self._kinds()
        marked = f"_marked AND isValidUTF8({text}) AND NOT isValidJSON({as_before(text)})"
        cases = [
            (marked, self._code(NOT_JSON, self._lines)),
            (f"JSONType({text}) IN ({', '.join(map(literal, kinds))})", "0"),
            ("isNull(_value)", self._code(NULL_VALUE, 0)),
            (f"NOT match({text}, {literal(_FILLED)})", self._code(EMPTY, 0)),
            (f"NOT isValidUTF8({text})", self._code(NOT_UTF8, self._lines)),
            (f"NOT isValidJSON({text})", self._code(NOT_JSON, self._lines)),
        ]
        if self._decoded:
            undecoded = f"startsWith({text}, {literal(UNDECODED.decode())})"
            cases.insert(0, (undecoded, self._code(_AS_DECODED, 0)))
        listed = ", ".join(f"{sql}, {code}" for sql, code in cases)
        other = self._code(NOT_ARRAY if kinds == ("Array",) else NOT_OBJECT, self._lines)
        values = [_outer(text, each) for each in self._outside if not each.level]
        return _tuple(text, f"toUInt16(multiIf({listed}, {other}))", *number, *values)

    def _kinds(self) -> tuple[str, ...]:
        """What a JSON text of a message may be."""
        if self._by_position:
            return ("Array",)
        if self._rows.from_[:1] != (EACH,):
            return ("Object",)
        object_too = len(self._rows.from_) > 1 or self._rows.single
        return ("Array", "Object") if object_too else ("Array",)

    def _step(self, items: str, step: int, name: Keys) -> str:
        """SQL: the items that a step leads to from others. Args: step: its number, from 1."""
        numbers = step - 1 + self._lines
        known = numbers + sum(each.level < step for each in self._outside)
        kept = [f"_t.{at}" for at in range(3, 3 + known)]
        number = "if(_u.1 = 0, _n, 0)"
        if isinstance(name, str):
            looked = f"arrayMap(_t -> {_tuple(self._fault(step, name), '_t.1', *kept)}, {items})"
            asked = "_u.2" if name == EACH else f"_u.2, {literal(name)}"
        else:
            each = _tuple(self._fault(step, name), "_t.1", *kept, "_w")
            looked = (
                f"arrayFlatten(arrayMap(_t -> arrayMap(_w -> {each}, {_there(name)}), {items}))"
            )
            key = f"_u.{3 + known}"
            listed = ", ".join(map(literal, name))
            asked = f"_u.2, {key}"
            number = f"bitShiftLeft(indexOf([{listed}], {key}), {_KEY_BITS}) + {number}"
        whole = "_u.2" if name == EACH else f"JSONExtractRaw({asked})"
        if self._decoded and name != EACH:
            whole = f"if(_u.1 = {self._code(_AS_DECODED, 0)}, _u.2, {whole})"
        elements = f"if(_u.1 = 0, JSONExtractArrayRaw({asked}), [{whole}])"
        before = [f"_u.{at}" for at in range(3, 3 + known)]
        before.insert(numbers, f"toUInt32({number})")
        new = [_outer("_e", each) for each in self._outside if each.level == step]
        fault = f"if(_u.1 = {_OBJECT}, 0, _u.1)"
        item = _tuple("_e", fault, *before, *new)
        return (
            f"arrayFlatten(arrayMap(_u -> arrayMap((_e, _n) -> {item}, {elements}, "
            f"arrayEnumerate({elements})), {looked}))"
        )

    def _fault(self, step: int, name: Keys) -> str:
        """SQL of what is wrong with what a step leads to; 0: it is an array, `_OBJECT`: an object
        that counts as one."""
        if isinstance(name, str):
            asked = "_t.1" if name == EACH else f"_t.1, {literal(name)}"
        else:
            asked = "_t.1, _w"
        here = step - 1 + self._lines
        there = here if name == EACH else here + 1
        kind = f"JSONType({asked})"
        objects = [] if name == EACH else ["_t.1"]
        objects += [arguments(path, "_t.1") for path in self._objects_around(step - 1)]
        cases = [("_t.2 != 0", "_t.2")]
        if objects:
            keys = ", ".join(f"JSONExtractKeys({each})" for each in objects)
            twice = f"arrayExists(_k -> length(_k) != arrayUniq(_k), [{keys}])"
            cases.append((twice, self._code(DUPLICATE_KEY, here)))
        if not isinstance(name, str):
            none = " AND ".join(f"NOT JSONHas(_t.1, {literal(key)})" for key in name)
            cases.append(("JSONType(_t.1) != 'Object'", self._code(WRONG_TYPE, here)))
            cases.append((f"_w = '' AND {none}", self._code(FIELD_MISSING, there)))
            cases.append(("_w = ''", self._code(FIELD_NULL, there)))
        cases.append((f"{kind} = 'Array'", "0"))
        if step < len(self._rows.from_) or self._rows.single:
            cases.append((f"{kind} = 'Object'", str(_OBJECT)))
        if isinstance(name, str) and name != EACH:
            cases.append(("JSONType(_t.1) != 'Object'", self._code(WRONG_TYPE, here)))
            cases.append((f"NOT JSONHas({asked})", self._code(FIELD_MISSING, there)))
        if isinstance(name, str):
            cases.append((f"{kind} = 'Null'", self._code(FIELD_NULL, there)))
        listed = ", ".join(f"{sql}, {code}" for sql, code in cases)
        return f"toUInt16(multiIf({listed}, {self._code(WRONG_TYPE, there)}))"

    def _objects_around(self, level: int) -> list[Path]:
        """The objects on the paths of values from outside, within what is at that level."""
        found = {
            each.path[:end]: None
            for each in self._outside
            if each.level == level
            for end in range(1, len(each.path))
            if isinstance(each.path[end], str)
        }
        return list(found)

    def _code(self, why: str, depth: int) -> str:
        """The number that stands for a reason. Args: depth: how many of the numbers lead there."""
        if (why, depth) not in self._faults:
            self._faults.append((why, depth))
        return str(self._faults.index((why, depth)) + 1)


def _named(key: str, first: bool) -> str:
    """A key as a step of a place, which begins with it."""
    found = "" if key == EACH else step_of_place(key)
    return found.removeprefix(".") if first else found


def _there(keys: Sequence[str]) -> str:
    """SQL: those of the keys that lead to something; an empty one where none does, or where
    something was wrong before."""
    none = " AND ".join(f"JSONType(_t.1, {literal(key)}) = 'Null'" for key in keys)
    listed = ", ".join(map(literal, [*keys, ""]))
    led = "_t.2 = 0 AND JSONType(_t.1, _w) != 'Null'"
    return f"arrayFilter(_w -> if(_w = '', _t.2 != 0 OR ({none}), {led}), [{listed}])"


def _tuple(*items: str) -> str:
    return f"tuple({', '.join(items)})"


def _chosen(values: Sequence[str]) -> str:
    return f"arrayElement([{', '.join(values)}], _walked)"


def _outer(around: str, place: Place) -> str:
    """SQL: a value from outside as JSON: {"v": value}; {}: it is missing; 0: what it would be in is
    something else."""
    cases = []
    for end in range(1, len(place.path)):
        kind = "Object" if isinstance(place.path[end], str) else "Array"
        parent = arguments(place.path[:end], around)
        cases.append(f"JSONType({parent}) NOT IN ('{kind}', 'Null'), '0'")
    raw = f"JSONExtractRaw({arguments(place.path, around)})"
    cases.append(f"notEmpty({raw}), concat('{{\"{VALUE}\":', {raw}, '}}')")
    return f"multiIf({', '.join(cases)}, '{{}}')"
