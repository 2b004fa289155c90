"""A whole pipeline from a sample: fields, sorting key, names. Written as text by `text`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nrtctl.pipeline.infer import names
from nrtctl.pipeline.infer.columns import Column, columns, columns_of_rows, looser, shown
from nrtctl.pipeline.infer.connect import PAYLOAD
from nrtctl.pipeline.infer.guess import Guess
from nrtctl.pipeline.infer.protobuf_json import mark_numbers
from nrtctl.pipeline.infer.seen import AN_ARRAY, LINES, NO_VALUE, NOT_JSON, WITH_SCHEMA, Sample
from nrtctl.pipeline.infer.several import envelope_of
from nrtctl.pipeline.message_format import LINE, MessageFormat
from nrtctl.pipeline.rows import EACH, Keys, keys_of_step

MOST_DIMENSIONS = 2
FEW_VALUES = 1000

_CURES = {
    NO_VALUE: 'tombstones = "leave out" in the pipeline leaves messages with no value out.',
    WITH_SCHEMA: 'format = "avro", "protobuf" or "json schema" in the pipeline reads what was '
    "written with a schema registry.",
    NOT_JSON: 'format = "text" in the pipeline, with one field, line = "String", stores any text.',
    LINES: 'rows = { texts = "lines" } in the pipeline makes a row of each line.',
}
"""What takes messages that are no objects."""


@dataclass(frozen=True, slots=True)
class Draft:
    """Attributes:
    source: what the sample was read from, for people.
    messages: how many messages the sample has.
    rows: the arrays that lead to the rows of a message, where it is not a row by itself; empty:
        it is an array of values, and a row.
    remarks: sentences about what has no line of its own.
    format: of the messages.
    lines: each line of a message is a row.
    unpack: the keys whose strings are read as the JSON that they contain.
    tombstones: what becomes of messages with no value; None: dead letters, as by default.
    """

    source: str
    topic: str
    table: str
    messages: int
    fields: tuple[Column, ...]
    rows: tuple[Keys, ...] | None = None
    remarks: tuple[str, ...] = ()
    tombstones: str | None = None
    format: MessageFormat = "json"
    unpack: tuple[str, ...] = ()
    lines: bool = False

    @property
    def typed(self) -> list[Column]:
        """Those that are fields, and no columns of SQL."""
        return [each for each in self.fields if not each.raw]

    @property
    def rows_as_written(self) -> Any:
        """`rows` as a file has it; None: it has none."""
        if self.lines:
            return {"texts": "lines"}
        return None if self.rows is None else steps_of(self.rows)

    @property
    def order_by(self) -> tuple[str, ...]:
        return _sorting_key(self.fields)

    def pipeline(self) -> dict[str, Any]:
        """`[pipeline]` as a file would give it."""
        fields = {
            each.name: each.options["type"] if len(each.options) == 1 else each.options
            for each in self.typed
        }
        raws = {each.name: each.sql for each in self.fields if each.raw}
        columns = {"columns": raws} if raws else {}
        order = {"order_by": list(self.order_by)} if self.order_by else {}
        rows = {} if self.rows_as_written is None else {"rows": self.rows_as_written}
        named = {"topic": self.topic, "table": self.table}
        left = {"tombstones": self.tombstones} if self.tombstones else {}
        kind = {} if self.format == "json" else {"format": self.format}
        unpack = {"unpack": list(self.unpack)} if self.unpack else {}
        return {**named, **kind, **unpack, **rows, **left, **order, "fields": fields, **columns}

    def loosened(self, wrong: Mapping[str, bool]) -> Draft:
        """Each of these columns takes more values, or is left out if it takes any value already.

        Args:
            wrong: columns that do not hold every value; whether it is only missing or null values.
        """
        fields, remarks = [], list(self.remarks)
        for each in self.fields:
            wider = looser(each, absent=wrong[each.name]) if each.name in wrong else each
            if wider is None:
                remarks.append(
                    f"no field was made of {shown(each.path)}: no type can hold its values."
                )
            else:
                fields.append(wider)
        return replace(self, fields=_with_a_field(fields), remarks=tuple(remarks))


def draft(sample: Sample, *, source: str, topic: str, table: str) -> Draft:
    """Raises ValueError: no message of the sample is a JSON object with a key."""
    if not sample.messages:
        raise ValueError("there is no message in it")
    sample.mark_maps()
    mark_numbers(sample)
    envelope = envelope_of(sample)
    found, left = columns_of_rows(sample, envelope) if envelope else columns(sample)
    if _is_text(sample):
        found = [each for each in found if each.record is not None]
        name = names.column((LINE,), [each.name for each in found])
        line = Column(name, (LINE,), Guess("String"), sample.messages, 0, only_text=True)
        fields = (line, *found)
        remark = "The messages are no JSON; what is in them is taken out by SQL in columns."
        return Draft(source, topic, table, sample.messages, fields, None, (remark,), None, "text")
    if not found:
        cures = [f": {_CURES[what].rstrip('.')}" for what in sample.others if what in _CURES]
        raise ValueError(
            "no message of the sample is a JSON object with at least one key" + "".join(cures[:1])
        )
    remarks = []
    if envelope and envelope.steps:
        remarks.append(
            f"Each element of {_way(envelope.steps)} becomes a row. Without `rows` each message "
            "would be one, with all elements in it."
        )
    if envelope and envelope.lines:
        remarks.append("Each line of a message becomes a row.")
    deletions = NO_VALUE in sample.others and not envelope and _has_changes(sample)
    if deletions:
        remarks.append(
            "Messages with no value, which Debezium sends after a deletion, are left out."
        )
    others = {
        what: number
        for what, number in sample.others.items()
        if not (envelope and what in {AN_ARRAY, LINES}) and not (deletions and what == NO_VALUE)
    }
    remarks += [
        f"{number:,} message{'s' if number > 1 else ''} of the sample with {what} cannot be stored."
        for what, number in others.items()
    ]
    if not envelope:
        remarks += [_CURES[what] for what in others if what in _CURES]
    fields = _with_a_field(found)
    rows = envelope.steps if envelope else None
    tombstones = "leave out" if deletions else None
    said = (*remarks, *left)
    return Draft(
        source,
        topic,
        table,
        sample.messages,
        fields,
        rows,
        said,
        tombstones,
        unpack=sample.unpack,
        lines=envelope is not None and envelope.lines,
    )


def _is_text(sample: Sample) -> bool:
    """Whether the messages are texts, of which one or another may look like JSON."""
    return sample.others[NOT_JSON] * 2 > sample.messages and not sample.cells


def _has_changes(sample: Sample) -> bool:
    """Whether the messages are changes of a table as Debezium writes them."""
    root = sample.root.keys
    keys = root[PAYLOAD].keys if sample.with_schema else root
    return {"op", "before", "after"} <= keys.keys()


def steps_of(rows: Sequence[Keys]) -> list[str | list[str]]:
    """As a file has them."""
    return [step if isinstance(step, str) else list(step) for step in rows]


def _way(steps: Sequence[Keys]) -> str:
    if list(steps) == [EACH]:
        return "the message"
    return ".".join(" or ".join(keys_of_step(step)) for step in steps)


def _with_a_field(found: Sequence[Column]) -> tuple[Column, ...]:
    """A pipeline has at least one field: the record's time, where the message gives none."""
    if any(not each.raw for each in found):
        return tuple(found)
    name = names.column(("recorded_at",), [each.name for each in found])
    guess = Guess("DateTime64(3, 'UTC')", notes=("the time of the record",))
    return (Column(name, (), guess, 0, 0, {"record": "timestamp"}), *found)


def _sorting_key(fields: Sequence[Column]) -> tuple[str, ...]:
    """Few values first, then the time, else what identifies."""
    there = [each for each in fields if not each.guess.nullable and not each.raw]
    few = [
        each
        for each in there
        if each.guess.type == "LowCardinality(String)" and 1 < each.distinct <= FEW_VALUES
    ]
    few = sorted(few, key=lambda each: (len(each.path), each.distinct))[:MOST_DIMENSIONS]
    times = [each for each in there if each.guess.type.startswith("DateTime")]
    ids = [each for each in there if each.name.lower().endswith("id")]
    ids = [each for each in ids if each.guess.type.startswith(("UInt", "Int", "String", "UUID"))]
    last = sorted(times, key=lambda each: len(each.path))[:1] or ids[:1]
    return tuple(each.name for each in (*few, *last))
