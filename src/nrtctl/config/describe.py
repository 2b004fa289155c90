"""The configuration as data to show: its values without secrets, and its JSON Schema.

Called by `cli.config_command`.
"""

from __future__ import annotations

from typing import Any

from nrtctl.config.model import Config
from nrtctl.config.shape import UnknownKey, locate, secret_property

MASK = "********"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def shown(config: Config) -> dict[str, Any]:
    """The values nested as in the file, durations as text, secrets masked, unset ones left out."""
    tree = config.model_dump(mode="json", exclude_none=True)
    for section, model in ((config.kafka, "kafka"), (config.clickhouse, "clickhouse")):
        for name, value in section:
            if hasattr(value, "get_secret_value"):
                tree[model][name] = MASK
    properties = tree["kafka"]["properties"]
    for name in properties:
        if secret_property(name):
            properties[name] = MASK
    return tree


def without_secret(argument: str) -> str:
    """An argument of a command line, masked where it is (`--set`) `key=value` of a secret."""
    setting, equals, _ = argument.partition("=")
    if not equals:
        return argument
    if setting == "--set":
        return f"--set={without_secret(argument.removeprefix('--set='))}"
    try:
        secret = locate(setting.split(".")).is_secret
    except UnknownKey:
        secret = secret_property(setting)
    return f"{setting}={MASK}" if secret else argument


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
