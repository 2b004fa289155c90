"""What the pipeline would do with the messages of files. Called by `nrtctl try`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from nrtctl.pipeline import Pipeline
from nrtctl.pipeline.casts import literal
from nrtctl.pipeline.fields import Source, value_at
from nrtctl.pipeline.infer import text
from nrtctl.pipeline.infer.columns import Column, columns, looser
from nrtctl.pipeline.infer.guess import ANY, Guess
from nrtctl.pipeline.infer.seen import Sample, Seen, parse, places
from nrtctl.pipeline.rows import Rows
from nrtctl.pipeline.times import skipped_by, zone_of
from nrtctl.pipeline.unpacking import unpacked_text
from nrtctl.producer.drafting import as_text, ask
from nrtctl.producer.sample import as_message, see
from nrtctl.producer.sources.files import Read
from nrtctl.schema.check import pipeline_types
from nrtctl.schema.trial import FieldTally, Trial
from nrtctl.stack.trial_engine import Message, Values

MOST_IN_A_PART = 50_000
_NOTHING = object()


@dataclass(slots=True)
class Presence:
    """In how many messages a field has a value, is missing, or is null."""

    seen: int = 0
    missing: int = 0
    null: int = 0


@dataclass(slots=True)
class Tried:
    """Attributes:
    presence: of each field, in messages that are JSON objects.
    origins: number of a message, from 1, to where it came from; of the examples.
    """

    trial: Trial
    sample: Sample = field(default_factory=Sample)
    presence: dict[str, Presence] = field(default_factory=dict)
    origins: dict[int, str] = field(default_factory=dict)

    def cure(self, name: str) -> str | None:
        """The line of configuration with which the field takes every value; None: there is none."""
        return _cure(self.trial.pipeline, self.trial.fields[name], self.sample)

    def untaken(self) -> dict[str, int]:
        """Places that no field reads and whose key no column names, most frequent first, and how
        many messages have them."""
        taken = {paths(self.trial.pipeline, name) for name in self.trial.pipeline.fields}
        found = {}
        for path, seen in places(self.sample.root):
            if seen.keys and not set(seen.kinds) - {"object"}:
                continue
            key = literal(path[-1])
            if any(key in sql for sql in self.trial.pipeline.columns.values()):
                continue
            if not any(each == path[: len(each)] or path == each[: len(path)] for each in taken):
                found[".".join(path)] = seen.count
        return dict(sorted(found.items(), key=lambda each: -each[1]))


def tried(
    pipeline: Pipeline, records: Iterable[Read], values: Values, *, lines: bool = False
) -> Tried:
    """Every message is asked about.

    Args:
        lines: the messages are text.

    Raises:
        ConfigError: the engine refuses the pipeline, or a file cannot be read.
        QueryError, ConnectError: of the engine.
    """
    pipeline_types(values.client, pipeline)
    found = Tried(Trial(values, pipeline))
    found.presence = {name: Presence() for name in pipeline.fields}
    part: list[Message] = []
    origins: list[str] = []
    size = first = 0
    for record in records:
        part += as_text([as_message(record)]) if lines else [as_message(record)]
        origins.append(record.origin)
        size += len(record.value or b"") + len(record.key or b"")
        if size >= values.most_bytes or len(part) >= MOST_IN_A_PART:
            _take(found, values, part, origins, first)
            first += len(part)
            part, origins, size = [], [], 0
    if part:
        _take(found, values, part, origins, first)
    return found


def _take(
    found: Tried, values: Values, part: list[Message], origins: list[str], first: int
) -> None:
    sources = {name: spec.source(name) for name, spec in found.trial.pipeline.fields.items()}
    rows = found.trial.pipeline.rows
    for sent in part:
        message = _as_read(sent, found.trial.pipeline.unpack)
        if rows is not None:
            _see_rows(found, rows, sources, message)
            continue
        value = see(found.sample, message)
        if value is not None:
            for name, source in sources.items():
                _count(found.presence[name], source, value, message)
    ask(found.trial, values, part, first)
    shown = [each.number for each in found.trial.examples]
    shown += [t.first_message for t in found.trial.fields.values() if t.first_message is not None]
    for number in shown:
        if first < number <= first + len(part):
            found.origins[number] = origins[number - 1 - first]


def _as_read(message: Message, unpack: Sequence[str]) -> Message:
    key, value, moment, headers = message
    return (key, unpacked_text(value, unpack), moment, headers) if unpack and value else message


def _see_rows(found: Tried, rows: Rows, sources: Mapping[str, Source], message: Message) -> None:
    """The elements that are rows, as if each was a message."""
    for given in _texts(rows, message[1] or b""):
        for levels in rows.within(given):
            if isinstance(levels[-1], dict):
                found.sample.root.add(levels[-1])
            for name, source in sources.items():
                if source.record != "message":
                    _count(found.presence[name], source, levels[-1], message)
                    continue
                place = rows.place(source.path)
                there = value_at(levels[place.level], place.path, _NOTHING)
                _presence(found.presence[name], there)


def _texts(rows: Rows, value: bytes) -> Iterator[Any]:
    try:
        yield parse(value)
    except ValueError:
        if rows.texts == "lines":
            for line in value.splitlines():
                with suppress(ValueError):
                    yield parse(line)


def _presence(presence: Presence, there: Any) -> None:
    if there is _NOTHING:
        presence.missing += 1
    elif there is None:
        presence.null += 1
    else:
        presence.seen += 1


def _count(presence: Presence, source: Source, value: Any, message: Message) -> None:
    there = (
        value_at(value, source.path, _NOTHING) if source.path else _of_the_record(source, message)
    )
    _presence(presence, there)


def _of_the_record(source: Source, message: Message) -> Any:
    key, _, moment, headers = message
    if source.record == "timestamp":
        return moment
    given: Any = key
    if source.record == "header":
        values = [value for name, value in headers or () if name == source.header]
        given = values[-1] if values else _NOTHING
    if not source.inside or given in (None, _NOTHING):
        return given
    try:
        return value_at(parse(given), source.inside, _NOTHING)
    except ValueError:
        return given


def paths(pipeline: Pipeline, name: str) -> tuple[str, ...]:
    """The keys that lead to a field's value."""
    return tuple(map(str, pipeline.fields[name].source(name).path))


def _options(pipeline: Pipeline, name: str) -> dict[str, Any]:
    """What is configured of a field."""
    written: Any = pipeline.fields[name].model_dump(by_alias=True)
    return {"type": written} if isinstance(written, str) else dict(written)


def _cure(pipeline: Pipeline, tally: FieldTally, sample: Sample) -> str | None:
    if not tally.refused:
        return None
    absent = tally.missing + tally.null
    if tally.first and not absent and skipped_by(tally.wanted, tally.first.text):
        return None
    spec = pipeline.fields[tally.name]
    source = spec.source(tally.name)
    if source.inside:
        return None
    if source.bare:
        whole = Guess("String" if tally.wrong else tally.wanted, nullable=True)
        given = {"from": spec.model_dump(by_alias=True)["from"]}
        return f"{text.key(tally.name)} = {text.field({'type': whole.written, **given})}"
    there = [each for each in columns(sample)[0] if each.path == source.path]
    column: Column | None = replace(there[0], name=tally.name) if there else None
    if column is None and tally.wrong and (seen := _taken_apart(sample, source.path)) is not None:
        optional = absent > 0 or tally.wanted.startswith("Nullable(") or any(spec.defaults)
        column = Column(tally.name, paths(pipeline, tally.name), _as_text(seen, optional), 0, 0)
    if column is None:
        return _without(pipeline, tally)
    if column.options == _options(pipeline, tally.name):
        column = looser(column, absent=not tally.wrong)
    if column is None:
        return None
    if (zone := zone_of(tally.wanted)) and any("no zone" in each for each in column.guess.notes):
        local = column.guess.type.replace("'UTC'", f"'{zone}'")
        column = replace(column, guess=replace(column.guess, type=local))
    return f"{text.key(column.name)} = {text.field(column.options)}"


def _taken_apart(sample: Sample, path: Sequence[str | int]) -> Seen | None:
    """What objects are at this place, of which a draft makes several fields."""
    seen: Seen | None = sample.root
    for step in path:
        seen = seen.keys.get(str(step)) if seen is not None else None
    return seen if seen is not None and seen.keys else None


def _as_text(seen: Seen, optional: bool) -> Guess:
    accept = ["nan"] if seen.not_finite_inside else []
    accept += ["broken text"] if seen.broken_inside else []
    options = {**ANY.options, **({"accept": accept} if accept else {})}
    return Guess(ANY.type, options, nullable=optional)


def _without(pipeline: Pipeline, tally: FieldTally) -> str | None:
    """The line of a field that only lacks a value, at a place of which a sample knows nothing."""
    if tally.wrong or tally.wanted.startswith(("Nullable(", "LowCardinality(Nullable(")):
        return None
    wider = looser(Column(tally.name, (), Guess(tally.wanted), 0, 0), absent=True)
    if wider is None:
        return None
    options = {**_options(pipeline, tally.name), **wider.guess.options, "type": wider.guess.written}
    return f"{text.key(tally.name)} = {text.field(options)}"
