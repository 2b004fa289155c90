"""Writes docs/configuration-keys.md from `nrtctl config schema`: `make keys`.

The texts are the descriptions in `config/` and `pipeline/`. A test holds the page to them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nrtctl.config.describe import json_schema

PAGE = Path(__file__).parents[1] / "docs" / "configuration-keys.md"
_HEAD = """\
# Every configuration key

Made by `make keys` from the JSON Schema that `nrtctl config schema` prints. Where values come from,
and in which order, is in [configuration](configuration.md). In the environment
`kafka.bootstrap_servers` is `NRTCTL_KAFKA__BOOTSTRAP_SERVERS`, on the command line
`--set kafka.bootstrap_servers=…`.

A duration is a text with units, such as `"500ms"` or `"1h30m"`. A size is a number of bytes or a
text such as `"64MiB"`. A secret is text that is never shown. A table has names of your own, written
below its heading (`[pipeline.fields]`) or with a dot (`pipeline.fields.user_id`). A default of –
means that the key is not set. Without a file that has `[pipeline.fields]`, all of `pipeline` is the
reference pipeline that `nrtctl init` writes.
"""


def page() -> str:
    """The whole page."""
    schema = json_schema()
    parts = [_HEAD]
    for name, reference in schema["properties"].items():
        if "$ref" not in reference:
            continue
        section = _resolved(schema, reference)
        about = section["description"].partition(": ")[2]
        parts.append(f"\n## {name}\n\n{about[:1].upper()}{about[1:]}\n\n")
        parts.append("| key | type | default | meaning |\n| --- | --- | --- | --- |\n")
        parts += [f"| {' | '.join(row)} |\n" for row in _rows(schema, section, name)]
    return "".join(parts)


def _resolved(schema: Mapping[str, Any], value: Mapping[str, Any]) -> Mapping[str, Any]:
    """The table that is meant, where there may be one."""
    found = schema["$defs"][value["$ref"].rpartition("/")[2]] if "$ref" in value else value
    return next((each for each in found.get("anyOf", ()) if "properties" in each), found)


def _rows(
    schema: Mapping[str, Any], section: Mapping[str, Any], prefix: str
) -> Iterator[tuple[str, str, str, str]]:
    for name, key in section["properties"].items():
        meaning = key["description"].replace("<", "&lt;").replace("|", "\\|")
        yield f"`{prefix}.{name}`", _type(key), _default(key), meaning
        of = key.get("additionalProperties")
        if isinstance(of, dict) and "$ref" in of:
            yield from _rows(schema, _resolved(schema, of), f"{prefix}.{name}.NAME")


def _type(key: Mapping[str, Any]) -> str:
    if "anyOf" in key:
        kinds = [each for each in key["anyOf"] if each != {"type": "null"}]
        found = [_type(each) for each in kinds]
        return found[0] if len(found) == 1 else f"{', '.join(found[:-1])} or {found[-1]}"
    if "enum" in key:
        return ", ".join(f"`{value}`" for value in key["enum"])
    if "pattern" in key:
        return "size" if "integer" in key["type"] else "duration"
    if "minimum" in key:
        return f"integer, {key['minimum']:,} to {key['maximum']:,}"
    if "type" not in key:
        return "value or table"
    formats = {"password": "secret", "path": "path"}
    names = {"string": "text", "boolean": "true or false", "array": "list of text"}
    if key["type"] == "array" and "anyOf" in key["items"]:
        return "list"
    return formats.get(key.get("format", "")) or names.get(key["type"], "table")


def _default(key: Mapping[str, Any]) -> str:
    value = key.get("default")
    if value is None or value == "" or value == []:
        return "–"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    PAGE.write_text(page())
