"""What a body is by its Content-Type, and the events in it, as they are. Used by `requests`.

An event is a JSON object, or an array, which `pipeline.rows` may be about. A body is taken as a
whole or not at all: what is wrong with one of its events is said before any of them is sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from typing import Any

import orjson

from nrtctl.pipeline import json_text
from nrtctl.producer.listening.refused import Refused
from nrtctl.producer.listening.room import Parsing

_SPACE = re.compile(rb"[ \t\r\n]*+")
_TO_BRACKET = re.compile(rb'(?:[^"\[\]{}]++|"(?:[^"\\]++|\\.)*+")*+([\[\]{}])', re.DOTALL)
_OTHER_VALUE = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[^\s,\[\]{}"]*+', re.DOTALL)
_BLANK = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"
_LINES = frozenset({
    "application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonl",
    "application/jsonlines", "application/x-jsonlines", "application/json-lines",
})  # fmt: skip
_CHARSETS = frozenset({"utf-8", "utf8", "us-ascii"})
_TYPE_CHARS = 256
_CHARSET = re.compile(r';\s*+charset\s*+=\s*+"?([^;\s"]*+)|"(?:[^"\\]|\\.)*+"?', re.IGNORECASE)
"""The parameter, or a quoted string, in which it does not stand."""

_KINDS = {str: "a text", int: "a number", float: "a number", bool: "true or false"}
CURE = (
    "send application/json, application/x-ndjson, application/cloudevents+json or "
    "application/cloudevents-batch+json"
)


class Form(Enum):
    """What a body is."""

    JSON = "a JSON value, or an array of events"
    LINES = "JSON lines"
    CONTENT = "what its content says"
    STRUCTURED = "an event of CloudEvents, structured"
    BATCH = "a batch of CloudEvents"


def form_of(content_type: str | None) -> Form:
    """Raises Refused: it is none that events come in."""
    if content_type is None or not content_type.strip():
        return Form.CONTENT
    if len(content_type) > _TYPE_CHARS:
        raise Refused(415, f"the content type is longer than {_TYPE_CHARS} characters; {CURE}")
    kind = content_type.partition(";")[0].strip().lower()
    for found in _CHARSET.finditer(content_type):
        charset = found[1]
        if charset is not None and charset.lower() not in _CHARSETS:
            raise Refused(415, f"the charset {charset} is not supported; send events in UTF-8")
    match kind:
        case "application/cloudevents+json":
            return Form.STRUCTURED
        case "application/cloudevents-batch+json":
            return Form.BATCH
        case "application/json" | "text/json":
            return Form.JSON
        case "application/x-www-form-urlencoded":  # what `curl -d` says of anything
            return Form.CONTENT
    if kind in _LINES:
        return Form.LINES
    if kind.startswith("application/") and kind.endswith("+json"):
        return Form.JSON
    raise Refused(415, f"the content type {kind} is not supported; {CURE}")


def split(body: bytes, form: Form, most: int, parsing: Parsing) -> list[bytes]:
    """The events of a body, in order, each as it stands.

    Args:
        most: events that a body may have.

    Raises:
        Refused: one of them is none, there are too many, or there is no room to look at one.
    """
    body = body.removeprefix(_BOM)
    if not body.strip(_BLANK):
        raise Refused(400, "the body is empty: it contains no event")
    if form is Form.CONTENT:
        form = Form.LINES if _is_lines(body, parsing) else Form.JSON
    if form is Form.LINES:
        return _lines(body, most, parsing)
    if form in {Form.JSON, Form.BATCH} and body.lstrip(_BLANK).startswith(b"["):
        return _elements(body, most, parsing)
    if form is Form.BATCH:
        raise Refused(400, "a batch of CloudEvents is a JSON array, but the body is not one")
    return [checked(body.strip(_BLANK), "the body", parsing)]


def checked(value: bytes, where: str, parsing: Parsing) -> bytes:
    """The value, which is an event. Raises Refused."""
    parsing.make_room(value)
    found = parsed(value, where)
    if isinstance(found, dict | list):
        return value
    kind = "null" if found is None else _KINDS[type(found)]
    raise Refused(400, f"{where} is {kind}, not an object")


def parsed(value: bytes, where: str) -> Any:
    """Raises Refused: it is no JSON."""
    try:
        return json_text.loads(value)
    except orjson.JSONDecodeError as error:
        raise Refused(400, f"{where} is not JSON: {error}") from None


def too_many(most: int) -> Refused:
    return Refused(
        413, f"the request has more than {most:,} events; send them in several (--max-events)"
    )


def _is_lines(body: bytes, parsing: Parsing) -> bool:
    """Whether the first line is a JSON text, and something comes after it."""
    first, _, rest = body.lstrip(_BLANK).partition(b"\n")
    if not rest.strip(_BLANK):
        return False
    parsing.make_room(first)
    try:
        json_text.loads(first)
    except orjson.JSONDecodeError:
        return False
    return True


def _lines(body: bytes, most: int, parsing: Parsing) -> list[bytes]:
    events: list[bytes] = []
    for number, line in enumerate(_each_line(body), 1):
        text = line.strip(_BLANK)
        if not text:
            continue
        if len(events) == most:
            raise too_many(most)
        events.append(checked(text, f"event {len(events) + 1}, in line {number},", parsing))
    return events


def _each_line(body: bytes) -> Iterator[bytes]:
    """Without a list of all: a body of blank lines would make a long one."""
    start = 0
    while (end := body.find(b"\n", start)) >= 0:
        yield body[start:end]
        start = end + 1
    yield body[start:]


def _elements(body: bytes, most: int, parsing: Parsing) -> list[bytes]:
    """Of an array. Brackets say where an element ends; orjson says whether it is JSON."""
    events: list[bytes] = []
    at = _after_space(body, _after_space(body, 0) + 1)
    while body[at : at + 1] != b"]" or events:
        where = f"event {len(events) + 1} of the array"
        if len(events) == most:
            raise too_many(most)
        end = _end_of_value(body, at)
        if end is None:
            raise Refused(400, f"{where} is not JSON: it does not end")
        events.append(checked(body[at:end], where, parsing))
        at = _after_space(body, end)
        mark = body[at : at + 1]
        if mark == b"]":
            break
        if mark != b",":
            raise Refused(400, f"after {where}, neither a comma nor the end of the array follows")
        at = _after_space(body, at + 1)
    if _after_space(body, at + 1) != len(body):
        raise Refused(400, "something follows the array; send several JSON texts as lines")
    return events


def _end_of_value(body: bytes, at: int) -> int | None:
    """Where a value ends, if it is JSON. No object is made of it: those of a dense text take 50
    times its bytes. None: it is none."""
    if body[at : at + 1] not in {b"{", b"["}:
        other = _OTHER_VALUE.match(body, at)
        return other.end() if other else None
    depth = 0
    while found := _TO_BRACKET.match(body, at):
        at = found.end()
        depth += 1 if found[1] in b"[{" else -1
        if not depth:
            return at
    return None


def _after_space(body: bytes, at: int) -> int:
    found = _SPACE.match(body, at)
    return found.end() if found else at
