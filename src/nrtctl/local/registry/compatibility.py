"""The levels of compatibility, and what each asks for. Pure. Used by `store`.

Avro is compared by Avro's rules, Protobuf by those of Confluent's registry (`proto_schema`). Two
JSON Schemas are compared by nothing but their annotations: what else differs is refused, as
docs/decisions/0056 explains.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

from nrtctl.local.registry import avro_compat, proto_schema
from nrtctl.local.registry.avro_schema import Type
from nrtctl.local.registry.refused import Refused, invalid
from nrtctl.local.registry.schemas import Schema, loads

LEVELS: Final = (
    "NONE", "BACKWARD", "FORWARD", "FULL", "BACKWARD_TRANSITIVE", "FORWARD_TRANSITIVE",
    "FULL_TRANSITIVE",
)  # fmt: skip
DEFAULT: Final = "BACKWARD"
MOST_STEPS: Final = 300_000
MOST_TEXT: Final = 16 * 2**20
"""Characters of all versions that one is compared with."""
_ANNOTATIONS: Final = frozenset(
    {"title", "description", "$comment", "examples", "deprecated", "readOnly", "writeOnly"}
)

_AS_THEY_ARE: Final = frozenset({"const", "enum", "default"})
_BY_NAME: Final = frozenset(
    {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"}
)


def level_of(given: object) -> str:
    """Raises Refused: there is no such level."""
    level = given.upper() if isinstance(given, str) else ""
    if level not in LEVELS:
        names = ", ".join(each.lower() for each in LEVELS)
        raise Refused(42203, f"Invalid compatibility level. Valid values are {names}")
    return level


def faults(
    new: Schema, old: Sequence[Schema], level: str, avro_type: Callable[[Schema], Type]
) -> list[str]:
    """Why the new schema may not follow the old ones; empty: it may.

    Args:
        old: the versions, the newest last.
        avro_type: reads an Avro schema with those that it refers to.

    Raises:
        Refused: they are too large to be compared.
    """
    if level == "NONE" or not old:
        return []
    if not level.endswith("_TRANSITIVE"):
        old = old[-1:]
    if sum(len(each.text) for each in old) > MOST_TEXT:
        raise invalid("its versions are too large to be compared; a level without _TRANSITIVE is")
    budget = avro_compat.Budget(MOST_STEPS)
    found: list[str] = []
    try:
        for before in reversed(old):
            found += _between(new, before, level, avro_type, budget)
    except avro_compat.TooMuch:
        raise invalid("it is too large to be compared with the versions before") from None
    return found[: avro_compat.MOST_FAULTS]


def _between(
    new: Schema,
    old: Schema,
    level: str,
    avro_type: Callable[[Schema], Type],
    budget: avro_compat.Budget,
) -> list[str]:
    if new.kind != old.kind:
        return [f"/: the version before is of type {old.kind}"]
    if new.kind == "JSON":
        return _of_json(new, old)
    told: Callable[[bool], list[str]]
    if new.kind == "PROTOBUF":
        both = proto_schema.read(new.text), proto_schema.read(old.text)

        def told(forward: bool) -> list[str]:
            reader, writer = reversed(both) if forward else both
            return proto_schema.differences(reader, writer)
    else:
        later, earlier = avro_type(new), avro_type(old)

        def told(forward: bool) -> list[str]:
            reader, writer = (earlier, later) if forward else (later, earlier)
            return avro_compat.faults(reader, writer, budget)

    found = []
    if level.startswith(("BACKWARD", "FULL")):
        found += [f"{each} (the new schema reads what the old one writes)" for each in told(False)]
    if level.startswith(("FORWARD", "FULL")):
        found += [f"{each} (the old schema reads what the new one writes)" for each in told(True)]
    return found


def _of_json(new: Schema, old: Schema) -> list[str]:
    if _without_annotations(loads(new.text)) == _without_annotations(loads(old.text)):
        return []
    return [
        "/: this registry does not compare JSON Schemas, so one that differs by more than its "
        "annotations is refused; set the subject's compatibility to NONE to register it"
    ]


def _without_annotations(value: Any) -> Any:
    """Of a schema. What stands for itself (`const`, numbers, true) is text, so that 1 is not true;
    `properties` and the like have names as their keys."""
    if isinstance(value, list):
        return [_without_annotations(each) for each in value]
    if not isinstance(value, dict):
        return json.dumps(value)
    return {key: _under(key, each) for key, each in value.items() if key not in _ANNOTATIONS}


def _under(key: str, value: Any) -> Any:
    if key in _AS_THEY_ARE:
        return json.dumps(value, sort_keys=True)
    if key in _BY_NAME and isinstance(value, dict):
        return {name: _without_annotations(each) for name, each in value.items()}
    return _without_annotations(value)
