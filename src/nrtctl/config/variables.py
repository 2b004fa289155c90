"""Settings in variables: the environment and `.env`. Called by `config.load`."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nrtctl.config.flags import INHERITED
from nrtctl.config.layer import Layer, Origin, resolved, say_table
from nrtctl.config.settings_files import read_text
from nrtctl.config.shape import KeyPath, Place, UnknownKey, fixed_keys, locate, unknown
from nrtctl.config.trust import Trust

if TYPE_CHECKING:
    from pydantic_settings import EnvSettingsSource

PREFIX = "NRTCTL_"
ABOUT_FILES = frozenset({"NRTCTL_CONFIG", "NRTCTL_PROFILE", INHERITED})
NOT_SETTINGS = ("NRTCTL_TEST_", "NRTCTL_REQUIRE_", "NRTCTL_FAULT")


Local = Callable[[str], str | None]
"""The variable that a variable stands for; None: it is another pipeline's."""


def environment_layer(environ: Mapping[str, str], cwd: Path, local: Local = str) -> Layer:
    """`NRTCTL_SECTION__KEY` variables; empty ones count as not set."""
    layer = Layer()
    for name, value in environ.items():
        if name.upper().startswith(PREFIX) and name.upper() not in ABOUT_FILES:
            _variable(layer, local(name), value, Origin(f"environment {name}"), cwd)
    return layer


def env_file_layer(path: Path, trust: Trust, local: Local = str) -> tuple[Layer, dict[str, str]]:
    """A `.env` file; besides the settings, the variables about files (`NRTCTL_PROFILE`) in it.

    Values are taken as they are written: `${…}` is not replaced. A file of others is refused only
    where it says something to nrtctl.
    """
    from dotenv.parser import parse_stream

    layer = Layer()
    about: dict[str, str] = {}
    read = read_text(path, trust, harmless=lambda data: PREFIX.encode() not in data.upper())
    for binding in parse_stream(io.StringIO(read.replace("\r\n", "\n"))):
        text = binding.original.string
        at = binding.original.line + len(text) - len(text.lstrip("\n"))
        name, value = binding.key, binding.value
        if binding.error:
            layer.problems.append(f"{path}:{at}: is not NAME=value")
        elif name is None or value is None or not name.upper().startswith(PREFIX):
            continue
        elif name.upper() in {"NRTCTL_CONFIG", INHERITED}:
            layer.problems.append(
                f"{path}:{at}: {name} cannot be set in this file, only in the environment itself"
            )
        elif name.upper() in ABOUT_FILES:
            about[name.upper()] = value
        else:
            origin = Origin(f"{path}:{at} {name}", path)
            _variable(layer, local(name), value, origin, path.parent)
    return layer, about


def _variable(layer: Layer, name: str | None, value: str, origin: Origin, base: Path) -> None:
    if name is None or value == "" or name.upper().startswith(NOT_SETTINGS):
        return
    path = _variable_path(name)
    if path is None:
        known = ["__".join(each).upper() for each in fixed_keys()]
        message = unknown(name.upper().removeprefix(PREFIX), known).replace("'", f"'{PREFIX}", 1)
        if "did you mean" not in message:
            message = "unknown variable"
        layer.problems.append(f"{origin}: {message.replace('unknown key', 'unknown variable')}")
        return
    place = locate(path)
    source = _environment_source()
    key = PREFIX.lower() + "__".join(path)
    source.env_vars = {key: value}
    try:
        node: Any = source()
    except Exception:  # noqa: BLE001 -- pydantic-settings wraps what the decoder raised
        layer.problems.append(f"{origin}: {'.'.join(path)}: must be JSON{_example(place)}")
        return
    for part in path:
        node = node.get(part) if isinstance(node, dict) else None
    if place.kind == "table" and not isinstance(node, dict):
        layer.problems.append(f"{origin}: {'.'.join(path)}: must be a JSON object{_example(place)}")
    elif place.kind == "table":
        say_table(layer, place, node, origin, base)
    else:
        layer.say(place.path, resolved(place, node, base), origin)


def variable_of(path: KeyPath) -> str:
    """The variable that sets a property of Kafka."""
    return PREFIX + "__".join([*path[:-1], path[-1].replace(".", "_")]).upper()


def _example(place: Place) -> str:
    if place.kind == "table":
        return """, as in '{"name": "value"}'"""
    return """, as in '["a", "b"]'"""


def _variable_path(name: str) -> KeyPath | None:
    """The key that a variable names; None: there is none.

    Names in a free table keep their case, but `_` is `.` in those of Kafka, as is the custom.
    """
    parts = name[len(PREFIX) :].split("__")
    for end in range(2, len(parts) + 1):
        path = tuple(part.lower() for part in parts[:end])
        try:
            if locate(path).kind != "section":
                full = (*path, *_free_names(path, parts[end:]))
                return full if all(full) and locate(full).kind != "section" else None
        except UnknownKey:
            return None
    return None


def _free_names(table: KeyPath, names: Sequence[str]) -> list[str]:
    if table[0] == "kafka" or table[-1] == "topic_config":
        return [name.lower().replace("_", ".") for name in names]
    if table[0] == "clickhouse":
        return [name.lower() for name in names]
    if table[-1] in {"rollups", "latest"}:
        return [name.lower() if at == 1 else name for at, name in enumerate(names)]
    return list(names)


@cache
def _environment_source() -> EnvSettingsSource:
    from pydantic import create_model
    from pydantic_settings import BaseSettings, EnvSettingsSource

    from nrtctl.config.model import Config

    fields: Any = {name: (info.annotation, None) for name, info in Config.model_fields.items()}
    shaped = create_model("Environment", __base__=BaseSettings, **fields)
    return EnvSettingsSource(shaped, env_prefix=PREFIX, env_nested_delimiter="__")
