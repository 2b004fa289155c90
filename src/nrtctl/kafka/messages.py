"""Kafka messages as JSON lines, without loss, and back. Pure.

Written by `consume -o jsonl`, read by `produce --input`; `dlq show -o json` writes the same fields:

    {"nrtctl_message": 1, "topic": "t", "partition": 0, "offset": 7, "timestamp": 1767225600000,
     "key": "k", "headers": [["name", "value"]], "value": {"base64": "gA=="}}

A key, value or header value is a string where it is UTF-8, `{"base64": …}` where it is not, null
where it is Kafka's null; an empty one is "". `timestamp` is ms since the epoch, null where the
message has none. Headers keep their order and may repeat a name.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import Any

import orjson

PREFIX = b'{"nrtctl_message":1,'
"""What each line that is written here begins with."""

MARK = b'"nrtctl_message"'
"""What each line has that says the same in other words."""

Headers = Iterable[tuple[str, bytes | None]]


def plain(data: bytes | None) -> Any:
    """Bytes as a JSON value."""
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def encode(
    *,
    topic: str,
    partition: int,
    offset: int,
    timestamp: int | None,
    key: bytes | None,
    headers: Headers,
    value: bytes | None,
) -> bytes:
    """One line, its newline included."""
    fields = {
        "nrtctl_message": 1,
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "timestamp": timestamp,
        "key": plain(key),
        "headers": [[name, plain(each)] for name, each in headers],
        "value": plain(value),
    }
    return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)


def describes(line: bytes) -> bool:
    """Whether it is one of these lines, however another program has written it."""
    if line.startswith(PREFIX):
        return True
    try:
        fields = orjson.loads(line)
    except ValueError:
        return False
    return isinstance(fields, dict) and fields.get("nrtctl_message") == 1


def decode(line: bytes) -> tuple[bytes | None, bytes | None, dict[str, object]]:
    """(key, value, what else a producer is told: timestamp, headers). The coordinates are left out:
    they are the old ones.

    Raises:
        ValueError: it is no such line; the words say what is wrong.
    """
    try:
        fields = orjson.loads(line)
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(fields, dict) or fields.get("nrtctl_message") != 1:
        raise ValueError("not a line of `nrtctl consume -o jsonl`: nrtctl_message is not 1")
    for name in ("key", "value"):
        if name not in fields:
            raise ValueError(f"{name} is missing")
    extra: dict[str, object] = {}
    timestamp = fields.get("timestamp")
    if timestamp is not None:
        if type(timestamp) is not int or not 0 <= timestamp < 2**63:
            raise ValueError(f"timestamp {timestamp!r} is not a number of milliseconds")
        extra["timestamp"] = timestamp
    if headers := fields.get("headers"):
        extra["headers"] = _headers(headers)
    return _data("key", fields["key"]), _data("value", fields["value"]), extra


def _headers(given: Any) -> list[tuple[str, bytes | None]]:
    if not isinstance(given, list):
        raise ValueError("headers is not a list of [name, value]")
    found = []
    for each in given:
        if not isinstance(each, list) or len(each) != 2 or not isinstance(each[0], str):
            raise ValueError("headers is not a list of [name, value]")
        found.append((each[0], _data("a header's value", each[1])))
    return found


def _data(name: str, given: Any) -> bytes | None:
    if given is None:
        return None
    if isinstance(given, str):
        return given.encode()
    if isinstance(given, dict) and isinstance(given.get("base64"), str) and len(given) == 1:
        try:
            return base64.b64decode(given["base64"], validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValueError(f"{name}: not base64: {error}") from error
    raise ValueError(f'{name} is neither a string, nor null, nor {{"base64": …}}')
