"""The configuration as data to show: its values without secrets, and its JSON Schema.

Called by `cli.config_command`.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from nrtctl.config.flags import dotted
from nrtctl.config.model import Config
from nrtctl.config.pipelines import OF_THE_CONSUMER, SECTION
from nrtctl.config.shape import (
    SECRET_TABLES,
    Place,
    UnknownKey,
    fixed_keys,
    locate,
    secret_property,
)
from nrtctl.config.units import format_size, format_wait

MASK = "********"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def shown(config: Config) -> dict[str, Any]:
    """The values nested as in the file, durations as text, secrets masked, unset ones left out."""
    tree = config.model_dump(mode="json", exclude_none=True)
    if config.pipeline.unsplit:
        del tree["pipeline"]["topic"]
    for model in ("kafka", "clickhouse", "schema_registry"):
        section: BaseModel = getattr(config, model)
        for name, value in section:
            if hasattr(value, "get_secret_value"):
                tree[model][name] = MASK
    for where, table in SECRET_TABLES:
        values = tree[where][table]
        for name in values:
            if secret_property(name):
                values[name] = MASK
    return tree


def as_read(setting: tuple[str, Any]) -> tuple[str, Any]:
    """A key and its value for people: a size with its unit."""
    key, value = setting
    try:
        place = locate(dotted(key) or ())
    except UnknownKey:
        return setting
    return (key, format_size(value)) if place.is_size and isinstance(value, int) else setting


def without_secret(setting: str) -> str:
    """A `section.key=value` of `--set`, masked where the value is, or may hold, a secret."""
    key, equals, _ = setting.partition("=")
    return f"{key}={MASK}" if equals and _may_be_secret(key) else setting


def _may_be_secret(key: str) -> bool:
    path = dotted(key)
    try:
        place = None if path is None else locate(path)
    except UnknownKey:
        return True
    if place is None or place.kind == "section":
        return True
    return place.is_secret or (place.kind == "table" and place.path in SECRET_TABLES)


def json_schema() -> dict[str, Any]:
    """JSON Schema of `nrtctl.toml`, profiles included. Nothing is required: defaults fill in."""
    tree = Config.model_json_schema()
    definitions = tree["$defs"]
    definitions["Pipeline"].pop("required", None)
    _as_written(definitions["Kafka"]["properties"]["properties"])
    _as_written(definitions["Pipeline"]["properties"]["topic_config"])
    for path in fixed_keys():
        place = locate(path)
        if place.is_duration or place.is_size:
            section = tree["properties"][path[0]]["$ref"].rpartition("/")[2]
            _with_unit(definitions[section]["properties"][path[1]], place)
    sections = dict(tree["properties"])
    for each in sections.values():
        each.pop("default", None)
    sections[SECTION] = {
        "type": "object",
        "description": "Pipelines by name, to be chosen with --pipeline.",
        "additionalProperties": _of_a_pipeline(definitions),
    }
    overlay = {"type": "object", "properties": sections, "additionalProperties": False}
    return {
        "$schema": DIALECT,
        "title": "nrtctl.toml",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            **sections,
            "profile": {
                "type": "object",
                "description": "Sets of settings by name, to be applied with --profile.",
                "additionalProperties": overlay,
            },
        },
        "$defs": definitions,
    }


def _of_a_pipeline(definitions: dict[str, Any]) -> dict[str, Any]:
    """What `[pipelines.NAME]` may have."""
    consumer = definitions["Consumer"]["properties"]
    properties = {
        **definitions["Pipeline"]["properties"],
        "batch": {"$ref": "#/$defs/Batch"},
        **{name: consumer[name] for name in OF_THE_CONSUMER},
    }
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _as_written(table: dict[str, Any]) -> None:
    """Names with dots may be written without quotes, values without them too."""
    table["additionalProperties"] = {"type": ["string", "number", "boolean", "object"]}


def _with_unit(key: dict[str, Any], place: Place) -> None:
    """The default and the bounds of a duration or size, which JSON Schema cannot compare."""
    write = format_wait if place.is_duration else format_size
    key["default"] = write(key["default"])
    for bound, words in (("ge", "At least"), ("le", "At most")):
        for constraint in place.metadata:
            if (limit := getattr(constraint, bound, None)) is not None:
                key["description"] += f" {words} {write(limit)}."
