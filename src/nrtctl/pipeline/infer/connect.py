"""What the schema beside a payload says, as JsonConverter of Kafka Connect writes it (also for
Debezium, with `schemas.enable`). Called by `seen`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

SCHEMA, PAYLOAD = "schema", "payload"

_CONNECT, _TIME = "org.apache.kafka.connect.data.", "io.debezium.time."
_DAYS = {"type": "Date32", "epoch": "d"}
_UNITS = (("", "ms", 3), ("Micro", "us", 6), ("Nano", "ns", 9))
_LOGICAL: Mapping[str, Mapping[str, str]] = {
    f"{_CONNECT}Date": _DAYS,
    f"{_CONNECT}Time": {"type": "Time64(3)", "epoch": "ms"},
    f"{_CONNECT}Timestamp": {"type": "DateTime64(3, 'UTC')", "epoch": "ms"},
    f"{_TIME}Date": _DAYS,
    **{
        f"{_TIME}{prefix}Time": {"type": f"Time64({digits})", "epoch": unit}
        for prefix, unit, digits in _UNITS
    },
    **{
        f"{_TIME}{prefix}Timestamp": {"type": f"DateTime64({digits}, 'UTC')", "epoch": unit}
        for prefix, unit, digits in _UNITS
    },
}
_MOST_DIGITS = 76
_DEEPEST = 20


def schema_of(message: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The schema of a message that is a schema and a payload; None: it is something else."""
    if message.keys() != {SCHEMA, PAYLOAD}:
        return None
    schema = message[SCHEMA]
    return schema if isinstance(schema, dict) and schema.get("type") == "struct" else None


def types_of(schema: Mapping[str, Any]) -> dict[tuple[str, ...], Mapping[str, Any]]:
    """Places in the message to the options of a field there, where JSON does not show them."""
    return dict(_types(schema, (PAYLOAD,)))


def _types(
    schema: Mapping[str, Any], path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    fields = schema.get("fields")
    if schema.get("type") == "struct" and isinstance(fields, list) and len(path) < _DEEPEST:
        for each in fields:
            if isinstance(each, dict) and isinstance(each.get("field"), str):
                yield from _types(each, (*path, each["field"]))
    elif schema.get("type") == "map":
        yield path, {"type": "Map"}
    elif (logical := _LOGICAL.get(str(schema.get("name")))) is not None:
        yield path, logical
    elif schema.get("name") == f"{_CONNECT}Decimal":
        yield from ((path, each) for each in _decimal(schema.get("parameters")))


def _decimal(parameters: Any) -> Iterator[Mapping[str, Any]]:
    given = parameters if isinstance(parameters, dict) else {}
    try:
        scale = int(given.get("scale", 0))
        precision = int(given.get("connect.decimal.precision", max(38, scale)))
    except (TypeError, ValueError):
        return
    if 0 <= scale <= precision <= _MOST_DIGITS and precision:
        yield {"type": f"Decimal({precision}, {scale})", "format": "base64"}
