"""The configuration as data to show: its values without secrets, and its JSON Schema.

Called by `cli.config_command`.
"""

from __future__ import annotations

from typing import Any

from nrtctl.config.flags import dotted
from nrtctl.config.model import Config
from nrtctl.config.shape import SECRET_TABLES, UnknownKey, locate, secret_property

MASK = "********"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def shown(config: Config) -> dict[str, Any]:
    """The values nested as in the file, durations as text, secrets masked, unset ones left out."""
    tree = config.model_dump(mode="json", exclude_none=True)
    for section, model in ((config.kafka, "kafka"), (config.clickhouse, "clickhouse")):
        for name, value in section:
            if hasattr(value, "get_secret_value"):
                tree[model][name] = MASK
    for where, table in SECRET_TABLES:
        values = tree[where][table]
        for name in values:
            if secret_property(name):
                values[name] = MASK
    return tree


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
    sections = dict(tree["properties"])
    for each in sections.values():
        each.pop("default", None)
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
                "description": "Overlays by name, chosen with --profile.",
                "additionalProperties": overlay,
            },
        },
        "$defs": definitions,
    }


def _as_written(table: dict[str, Any]) -> None:
    """Names with dots may be written without quotes, values without them too."""
    table["additionalProperties"] = {"type": ["string", "number", "boolean", "object"]}
