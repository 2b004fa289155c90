"""The SQL that turns a message into typed fields, or into a reason to reject it. Pure text.

JSONExtract alone is lenient: it reads 1.5 as 1, `[1]` as an object, and keeps the first of two
equal keys. Here a message is parsed once, and `_wrong` says which field, if any, would have been
changed, or which rule rejects it (docs/messages.md). Dearer checks see only the messages that look
suspicious: `and`, `if` and `multiIf` evaluate lazily (`short_circuit_function_evaluation`). Why a
message is rejected is asked of the rejected ones only, by the view that stores them.

The engine analyses this text again at every insert, so it is kept short, and flat: each function,
and each level of subqueries, costs every insert (docs/performance.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from nrtctl.pipeline import Pipeline
from nrtctl.pipeline.casts import literal
from nrtctl.pipeline.condition_text import parse_condition
from nrtctl.pipeline.fields import Path
from nrtctl.pipeline.message_format import DECODED, UNDECODED
from nrtctl.pipeline.nested import Nest
from nrtctl.pipeline.places import MISSING, NULL, TWICE
from nrtctl.pipeline.routing import EVERYTHING, Taking, mends
from nrtctl.pipeline.rows import Rows
from nrtctl.schema import fanout
from nrtctl.schema.columns import (
    Column,
    Columns,
    asked_value,
    field_types,
    header,
    header_is_there,
    part,
    value_of,
)
from nrtctl.schema.condition_sql import holds
from nrtctl.schema.extraction import MESSAGE, arguments, step_argument
from nrtctl.schema.reasons import (
    DUPLICATE_KEY,
    EMPTY,
    ENVELOPE,
    FIELD_MISSING,
    FIELD_NULL,
    LEFT_OUT,
    NOT_JSON,
    NOT_OBJECT,
    NOT_UTF8,
    NULL_VALUE,
    UNMATCHED,
    WRONG_TYPE,
    envelope_of,
)

_SPACES = (" ", "\\t", "\\n", "\\r")
_UNDECODED = f"startsWith({DECODED}, {literal(UNDECODED.decode())})"
_LETTERS = {MISSING: FIELD_MISSING, NULL: FIELD_NULL, TWICE: DUPLICATE_KEY}
"""The last letter of `fault` to the reason; another is a wrong type."""

ASK = "?"
RULE = "!"
SKIP = "-"
"""What `_wrong` begins with: `?` and the field to blame, if it is one (`reason` says why); `!` and
the rule that holds; `-` of a message that is left out, which is no dead letter. An empty `_wrong`
is a message that is stored."""


def parse_query(pipeline: Pipeline, source: str) -> str:
    """SELECT from the landing table `source`: the envelope, the fields as stored, and `_wrong`.

    Whether a message is stored is decided here, once, and nowhere else: so it is never both stored
    and rejected, nor neither, whatever a rule calls (now(), rand()).

    Of a pipeline whose messages hold several rows: also what `ddl.parsed_columns` has for them.
    """
    if pipeline.rows is not None:
        return _of_several_rows(pipeline, pipeline.rows, source)
    return _parsed(pipeline, source)


def _parsed(
    pipeline: Pipeline,
    source: str,
    *,
    text: str = "",
    carried: Sequence[str] = (),
    not_a_row: str = "",
) -> str:
    """Args:
    text: the column with the JSON text; empty: it is the message's value.
    carried: columns of the source that are kept.
    not_a_row: SQL of what is wrong whatever the fields say.
    """
    taken = Columns(pipeline, message=text)
    columns = taken.each
    selected = [*taken.selected, *(f"{each.value} AS `{each.name}`" for each in columns)]
    decoded = pipeline.is_decoded and not text
    kept = ", ".join([envelope_of(pipeline) if decoded else ENVELOPE, *carried])
    stored = ", ".join(f"{each.stored} AS `{each.name}`" for each in columns)
    blamed = ["", *(f"{ASK}{each.name}" for each in columns), ASK]
    cases: list[tuple[str, int | str]] = []
    asked = _Asked(pipeline)
    for condition, mark in _not_taken(pipeline, asked):
        cases.append((condition, len(blamed)))
        blamed.append(mark)
    if decoded:
        cases.append((_UNDECODED, len(blamed)))
        blamed.append(RULE)
    cases += _wrong_cases(taken)
    if not_a_row:
        cases.insert(0, (not_a_row, len(columns) + 1))
    for name, sql in pipeline.rejects.items():
        cases.append((f"ifNull(({sql}), 0)", len(blamed)))
        blamed.append(f"{RULE}{name}")
    selected += asked.selected
    extracted = f"SELECT {kept}, {taken.message} AS _message, {', '.join(selected)} FROM {source}"
    listed = ", ".join(literal(each) for each in blamed)
    code = ", ".join(f"{condition}, {number}" for condition, number in cases)
    wrong = f"arrayElement([{listed}], multiIf({code}, 0) + 1)"
    if decoded:
        wrong = f"if(({wrong} AS _blamed) = {literal(RULE)}, {DECODED}, _blamed)"
    # For the rules that use them; the others cost nothing.
    named = columns_as_named(pipeline) if pipeline.rejects else []
    known = f"WITH {', '.join(named)} " if named else ""
    return f"{known}SELECT {kept}, {stored}, {wrong} AS _wrong FROM ({extracted}) AS _c"


class _Asked:
    """The texts that conditions are asked of: each pipeline's of the message as that one mends it,
    so that all of a topic agree on who takes it. Attributes: selected: SQL of those texts."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._names: dict[frozenset[str], str] = {frozenset(): value_of(pipeline)}
        self.selected: list[str] = []

    def holds(self, taking: Taking) -> str:
        """SQL: whether it takes the message."""
        if taking.when is EVERYTHING:
            return "1"
        if taking.mends not in self._names:
            self._names[taking.mends] = name = f"_asked{len(self._names)}"
            self.selected.append(f"{asked_value(self._pipeline, taking.mends)} AS {name}")
        return holds(parse_condition(taking.when), self._names[taking.mends])


def _not_taken(pipeline: Pipeline, asked: _Asked) -> Iterator[tuple[str, str]]:
    """(condition, `_wrong`) of the messages that the pipeline does not take: none, where it takes
    all of the topic."""
    if not pipeline.takes_some:
        return
    if pipeline.leaves_tombstones_out:
        yield "isNull(_value)", f"{SKIP}{LEFT_OUT}"
    if pipeline.when is None and not pipeline.others.earlier:
        return
    taking = Taking(pipeline.when, mends(pipeline.fields))
    own = [asked.holds(taking)] if pipeline.when is not None else []
    earlier = [asked.holds(each) for each in pipeline.others.earlier]
    if pipeline.unmatched == "dead letter" and own:
        others = [asked.holds(each) for each in pipeline.others.every]
        yield f"NOT ({' OR '.join([*own, *others])})", f"{RULE}{UNMATCHED}"
    yield " OR ".join([*(f"NOT {each}" for each in own), *earlier]), f"{SKIP}{LEFT_OUT}"


def columns_as_named(pipeline: Pipeline) -> list[str]:
    """SQL of each of the pipeline's columns, over the fields as they are stored."""
    return [f"({sql}) AS `{name}`" for name, sql in pipeline.columns.items()]


def _wrong_cases(taken: Columns) -> list[tuple[str, int | str]]:
    """(condition, n), the first that holds decides: n is the field's number, the first is 1; one
    more than there are fields: the whole message; or SQL that gives it."""
    whole = len(taken.each) + 1
    cases: list[tuple[str, int | str]] = [(_no_object(taken), whole)]
    for number, column in enumerate(taken.each, 1):
        if wrong := column.wrong:
            cases.append((wrong, number))
    for parent in taken.extraction.parents:
        below = [n for n, each in enumerate(taken.each, 1) if parent.holds(each.source.path)]
        cases.append((parent.wrong(), below[0]))
    nests = {n: each for n, each in enumerate(taken.each, 1) if each.nest}
    equal = _two_equal_keys_inside(taken, nests) if nests else (_two_equal_keys(taken), whole)
    return [*cases, equal]


def _no_object(taken: Columns) -> str:
    """SQL: the message is no object, as far as its fields do not say so themselves."""
    other = "JSONType(_message) != 'Object'"
    columns = [each for each in taken.each if each.of_message]
    if not columns:
        return other
    unsure = "NOT startsWith(_message, '{')"
    if not any(each.required for each in columns):
        nothing = " AND ".join(each.kind.absent(each.raw) for each in columns)
        unsure = f"({unsure} OR ({nothing}))"
    return f"{unsure} AND {other}"


def _two_equal_keys(taken: Columns) -> str:
    """SQL: a key is there twice. Without more colons than fields found, it cannot be."""
    twice = _keys_twice(taken) if _objects(taken) else _twice(())
    return f"countSubstrings(_message, ':') > {taken.extraction.keys_found()} AND {twice}"


def _two_equal_keys_inside(taken: Columns, nests: Mapping[int, Column]) -> tuple[str, str]:
    """The case of a key that is there twice, in the message or in an object inside a field.

    Times have colons, too; but before a key's is its quote, or a space.
    """
    inside = [each.nest.keys(each.text) for each in nests.values() if each.nest]
    found = f"({' + '.join(filter(None, [taken.extraction.keys_found(), *inside]))})"
    spaced = ", ".join(f"'{space}:'" for space in _SPACES)
    many = (
        f"countSubstrings(_message, ':') > {found} AND (countSubstrings(_message, '\":') > "
        f"{found} OR multiSearchAny(_message, [{spaced}]))"
    )
    each = {len(taken.each) + 1: _keys_twice(taken)}
    for number, column in nests.items():
        if column.nest and (twice := column.nest.twice(column.arguments)):
            each[number] = twice
    blamed = ", ".join(f"{condition}, {number}" for number, condition in each.items())
    return f"{many} AND ({' OR '.join(each.values())})", f"multiIf({blamed}, 0)"


def _objects(taken: Columns) -> list[Path]:
    """The objects on the paths of fields, below the message."""
    return [each.path for each in taken.extraction.parents if each.kind == "Object"]


def _keys_twice(taken: Columns) -> str:
    """As `_twice`, of the message and each object on a path. One parse an object: what is named
    twice under a condition is computed twice."""
    keys = ", ".join(f"JSONExtractKeys({arguments(path)})" for path in [(), *_objects(taken)])
    return f"arrayExists(_k -> length(_k) != arrayUniq(_k), [{keys}])"


def _twice(path: Path, message: str = "_message") -> str:
    """SQL: a key stands twice in the object."""
    asked = arguments(path, message)
    return f"arrayUniq(JSONExtractKeys({asked})) != JSONLength({asked})"


def message_of(pipeline: Pipeline) -> tuple[str, str]:
    """SQL of the message that a rejected one is asked about, and the items of a SELECT over the
    envelope that it needs: each ends with a comma."""
    message = Columns(pipeline).message
    return (
        (message, "") if message == value_of(pipeline) else (MESSAGE, f"{message} AS {MESSAGE}, ")
    )


def _of_several_rows(pipeline: Pipeline, rows: Rows, source: str) -> str:
    """As `parse_query`. A message is decided over all of its rows (docs/decisions/0047)."""
    ways, inner = fanout.FanOut(pipeline, rows), fanout.inner_pipeline(pipeline)
    no_object = ways.no_object(inner)
    parsed = _parsed(
        inner,
        f"({ways.texts(source)})",
        text=fanout.TEXT,
        carried=["_whole", "_at", "_all", "_walked", "_ns", fanout.TEXT],
        not_a_row=f"_walked != 0 OR ({no_object})" if no_object else "_walked != 0",
    )
    names = ", ".join(f"`{name}`" for name in pipeline.fields)
    window = "PARTITION BY _incarnation, _partition, _offset"
    found = [f"minIf(_at, _wrong != '') OVER ({window}) AS _bad_at"]
    if rows.bad == "reject":
        wrong, good = f"if(_wrong = '' AND _bad_at > 0, {literal(ASK)}, _wrong)", "_bad_at = 0"
        stored, number, of_rows = "0", "_at - 1", "if(_at = 1, _all, 0)"
    else:
        wrong, good = "_wrong", "_wrong = ''"
        running = "ORDER BY _at ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"
        found.append(f"countIf(_wrong = '') OVER ({window}) AS _stored")
        found.append(f"countIf(_wrong = '') OVER ({window} {running}) AS _nth")
        stored, number = "_stored", "greatest(_nth, 1) - 1"
        of_rows = "if(_nth = 1, _stored + (_bad_at > 0), 0)"
    return (
        f"SELECT {ENVELOPE}, {names}, {wrong} AS _wrong, toUInt32({number}) AS _row, "
        f"toUInt32({of_rows}) AS _rows, toUInt32({stored}) AS _good, _whole, _at, _bad_at, "
        f"_walked, _ns, {fanout.TEXT} FROM (SELECT *, {', '.join(found)} FROM ({parsed})) AS _c "
        f"WHERE {good} OR _at = 1 OR _at = _bad_at"
    )


def letters_of_several_rows(pipeline: Pipeline, rows: Rows, source: str) -> str:
    """SELECT from the parsed table `source`: of each message that has a bad row the coordinates,
    `_headers`, `_key`, `_message`, `_reason`, `_field`, and `_good`."""
    ways, inner = fanout.FanOut(pipeline, rows), fanout.inner_pipeline(pipeline)
    no_object, inside = ways.no_object(inner), fault(inner, fanout.TEXT)
    asked = f"startsWith(_wrong, {literal(ASK)})"
    known = f"if({asked} AND _walked = 0, {inside}, '')" if inside else "''"
    cases = [f"_walked != 0, {ways.why}", f"NOT {asked}, _name"]
    if no_object:
        cases.append(f"{no_object}, {literal(NOT_OBJECT)}")
    why = f"multiIf({', '.join(cases)}, {reason(inner, fanout.TEXT)})"
    of_a_field = ", ".join(literal(each) for each in (FIELD_MISSING, FIELD_NULL, WRONG_TYPE))
    field = f"if({asked} AND _walked = 0 AND _reason IN ({of_a_field}), _name, '')"
    if inside:
        told = f"_reason IN ({of_a_field}, {literal(DUPLICATE_KEY)})"
        place = "substring(_fault, 1, length(_fault) - 1)"
        field = f"if(notEmpty(_fault) AND {told}, {place}, {field})"
    parts = f"arrayFilter(_x -> _x != '', [{ways.place}, {field}])"
    return (
        f"SELECT *, arrayStringConcat({parts}, '.') AS _field FROM (SELECT *, {why} AS _reason "
        f"FROM (SELECT *, {known} AS _fault, substring(_wrong, 2) AS _name FROM (SELECT *, "
        "any(_whole) OVER (PARTITION BY _incarnation, _partition, _offset) AS _message "
        f"FROM {source} WHERE _bad_at > 0 AND (_at = 1 OR _at = _bad_at)) WHERE _at = _bad_at))"
    )


def fault(pipeline: Pipeline, text: str = "") -> str:
    """SQL: what is wrong inside the field `_name`: the place, and one letter; empty: nothing inside
    is. An empty text: no field holds others. Needs `message_of` and `_name`.

    Args:
        text: the column with the JSON text; empty: it is the message's value.
    """
    kinds = field_types(pipeline)
    message = text or message_of(pipeline)[0]
    faults = [
        f"_name = {literal(name)}, {kind.fault(arguments(spec.source(name).path, message), name)}"
        for name, spec in pipeline.fields.items()
        if isinstance(kind := kinds[name], Nest)
    ]
    return f"multiIf({', '.join(faults)}, '')" if faults else ""


def reason(pipeline: Pipeline, text: str = "") -> str:
    """SQL: why a message whose `_wrong` begins with `?` is rejected. Needs the envelope,
    `message_of`, `_name`, and `_fault` if there is a `fault`. Args: text: as of `fault`."""
    message = text or message_of(pipeline)[0]
    cases = [
        ("isNull(_value)", NULL_VALUE),
        (f"{message} = ''", EMPTY),
        (f"NOT isValidUTF8({message})", NOT_UTF8),
        (f"NOT isValidJSON({message})", NOT_JSON),
        (f"JSONType({message}) != 'Object'", NOT_OBJECT),
        (_twice((), message), DUPLICATE_KEY),
        *_reasons_of_fields(Columns(pipeline), message),
    ]
    if any(isinstance(kind, Nest) for kind in field_types(pipeline).values()):
        cases += [(f"endsWith(_fault, '{letter}')", text) for letter, text in _LETTERS.items()]
    listed = ", ".join(f"{condition}, {literal(text)}" for condition, text in cases)
    return f"multiIf({listed}, {literal(WRONG_TYPE)})"


def _reasons_of_fields(taken: Columns, message: str) -> list[tuple[str, str]]:
    """(condition, reason) of the field `_name`, the first that holds; else its type is wrong."""
    if all(each.source.path == (each.name,) and not each.empties.texts for each in taken.each):
        return [
            (f"NOT JSONHas({message}, _name)", FIELD_MISSING),
            (f"JSONType({message}, _name) = 'Null'", FIELD_NULL),
        ]
    parents = taken.extraction.parents
    cases = []
    for parent in parents:
        if parent.kind == "Object":
            asked = arguments(parent.path, message)
            twice = f"(JSONType({asked}) = 'Object' AND {_twice(parent.path, message)})"
            cases.append((twice, DUPLICATE_KEY))
    for parent in parents:
        below = [each.name for each in taken.each if parent.holds(each.source.path)]
        cases.append((f"(_name IN ({_listed(below)}) AND {parent.other(message)})", WRONG_TYPE))
    for column in taken.each:
        cases += _reasons_of(column, message)
    paths = {each.name: each.source.path for each in taken.each if each.of_message}
    if paths:
        raw = f"({_raw(paths, message)} AS _raw)"
        cases += [(f"{raw} = ''", FIELD_MISSING), ("_raw = 'null'", FIELD_NULL)]
    return cases


def _reasons_of(column: Column, message: str) -> list[tuple[str, str]]:
    """What only this field can have."""
    named = f"_name = {literal(column.name)}"
    place, raw = column.source, ""
    cases = []
    if place.inside:
        return _reasons_inside(column, named)
    if column.of_message:
        raw = f"JSONExtract({arguments(place.path, message)}, 'Nullable(String)')"
    elif place.record == "header":
        raw = header(place.header)
        cases.append((f"({named} AND NOT {header_is_there(place.header)})", FIELD_MISSING))
    else:
        raw = f"_{place.record}"
    if not column.of_message:
        cases.append((f"({named} AND isNull({raw}))", FIELD_NULL))
    if column.empties.texts:
        empty = f"({named} AND {raw} IN ({_listed(column.empties.texts)}))"
        cases.append((empty, FIELD_NULL if column.empties.null else FIELD_MISSING))
    if not column.of_message:
        cases.append((named, WRONG_TYPE))
    return cases


def _reasons_inside(column: Column, named: str) -> list[tuple[str, str]]:
    """Of a field with a path into a key or header."""
    there = f"isNotNull({part(column.source)})"
    cases = [
        (f"{there} AND {column.key_twice}", DUPLICATE_KEY),
        *((f"{there} AND {other}", WRONG_TYPE) for other in column.others),
        (f"NOT {column.is_there}", FIELD_MISSING),
        (column.is_null, FIELD_NULL),
    ]
    if column.empties.texts:
        raw = f"JSONExtract({column.arguments}, 'Nullable(String)')"
        empty = f"{raw} IN ({_listed(column.empties.texts)})"
        cases.append((empty, FIELD_NULL if column.empties.null else FIELD_MISSING))
    return [(f"({named} AND {each})", why) for each, why in [*cases, ("1", WRONG_TYPE)]]


def _raw(paths: Mapping[str, Path], message: str) -> str:
    """SQL: the JSON text of the field `_name`; empty: it is not there.

    One call for all paths of the same form, as each call costs every insert.
    """
    forms: dict[tuple[type, ...], list[str]] = {}
    for name, path in paths.items():
        forms.setdefault(tuple(type(step) for step in path), []).append(name)
    asked = [
        (names, f"JSONExtractRaw({message}, {', '.join(_steps(names, paths))})")
        for names in forms.values()
    ]
    cases = [f"_name IN ({_listed(names)}), {sql}" for names, sql in asked[:-1]]
    last = asked[-1][1]
    return f"multiIf({', '.join(cases)}, {last})" if cases else last


def _steps(names: Sequence[str], paths: Mapping[str, Path]) -> list[str]:
    """SQL of each step of the path of the field `_name`, one of `names`."""
    found = []
    for at in range(len(paths[names[0]])):
        steps = [step_argument(paths[name][at]) for name in names]
        if len(set(steps)) == 1:
            found.append(steps[0])
        else:
            found.append(f"transform(_name, [{_listed(names)}], [{', '.join(steps)}], {steps[0]})")
    return found


def _listed(names: Sequence[str]) -> str:
    return ", ".join(literal(name) for name in names)
