"""A pipeline for a sample, tried on it until it stores each message. Called by `nrtctl init`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nrtctl.kafka.formats.decoder import line_of, text_of_line
from nrtctl.kafka.formats.wire import Undecodable
from nrtctl.pipeline import Pipeline
from nrtctl.pipeline.field_types import field_type
from nrtctl.pipeline.fields import FieldSpec
from nrtctl.pipeline.infer.draft import Draft
from nrtctl.producer.sample import Taken, as_sent
from nrtctl.schema.trial import Trial
from nrtctl.stack.trial_engine import Message, Values

MOST_ROUNDS = 12
MOST_DIAGNOSED = 2_000
"""Messages of the sample that are looked at field by field in a round."""


@dataclass(frozen=True, slots=True)
class Drafted:
    """A draft, and what the engine says of the sample with it; None: no engine was asked."""

    draft: Draft
    trial: Trial | None


def tried(draft: Draft, taken: Taken, values: Values) -> Drafted:
    """The draft, with each field loosened that does not hold every value of the sample.

    Raises:
        QueryError, ConnectError: of the engine.
    """
    draft = _of_known_types(draft)
    for _ in range(MOST_ROUNDS):
        trial = trial_of(draft, taken, values)
        refused = {name: not each.wrong for name, each in trial.fields.items() if each.refused}
        if not refused:
            break
        draft = draft.loosened(refused)
    return Drafted(draft, trial)


def trial_of(draft: Draft, taken: Taken, values: Values) -> Trial:
    """What the engine says of the sample with this draft."""
    pipeline = Pipeline(**draft.pipeline())
    messages = taken.messages
    if taken.sample.cells:
        messages = as_sent(messages, types_of_cells(pipeline))
    if pipeline.format == "text":
        messages = as_text(messages)
    trial = Trial(values, pipeline.of_json(), MOST_DIAGNOSED)
    ask(trial, values, messages, 0)
    return trial


def as_text(messages: Iterable[Message]) -> list[Message]:
    """Messages as those of text are parsed; bytes that are none stay as they are."""
    return [(key, _line(value), at, headers) for key, value, at, headers in messages]


def _line(value: bytes | None) -> bytes | None:
    try:
        return line_of(text_of_line(value)) if value else value
    except Undecodable:
        return value


def types_of_cells(pipeline: Pipeline) -> Mapping[str, str]:
    """Column of a text file to the type of the field that reads it."""
    return pipeline.keys_to_types


def ask(trial: Trial, values: Values, messages: list[Message], first: int) -> None:
    """About messages, the first of which has this number, in as many parts as are needed."""
    start = 0
    while start < len(messages):
        end, size = start, 0
        while end < len(messages) and (end == start or size < values.most_bytes):
            size += len(messages[end][1] or b"") + len(messages[end][0] or b"") + 64
            end += 1
        values.hold(messages[start:end], first + start)
        trial.ask(first + start, first + end - 1)
        start = end


def _of_known_types(draft: Draft) -> Draft:
    """Without types that are not known."""
    while unknown := {each.name: False for each in draft.typed if not _known(each.options)}:
        draft = draft.loosened(unknown)
    return draft


def _known(options: Mapping[str, Any]) -> bool:
    try:
        field_type(FieldSpec.model_validate(options).type)
    except ValueError:
        return False
    return True
