"""Settings as flags: `--set section.key=value`. Called by `config.load`. Pure.

A process that nrtctl starts gets them in the variable INHERITED: a command line can be read by
every user of the machine.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nrtctl.config.layer import Layer, Origin, resolved, say_table
from nrtctl.config.shape import KeyPath, Place, UnknownKey, locate
from nrtctl.errors import ConfigError

INHERITED = "NRTCTL_SET"


def environment_with(overrides: Sequence[str], environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process of ours that is to have the same flags."""
    return {**environ, INHERITED: json.dumps(list(overrides))}


def inherited(environ: Mapping[str, str]) -> list[str]:
    """The flags of the process that started this one.

    Raises:
        ConfigError: the variable is not one of ours.
    """
    try:
        found = json.loads(environ.get(INHERITED) or "[]")
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise ConfigError(f"{INHERITED} is for processes that nrtctl starts: unset it")
    return found


def flag_layer(overrides: Sequence[str], cwd: Path) -> Layer:
    """`section.key=value`, the value as in TOML or a bare word; a later one wins."""
    layer = Layer()
    origin = Origin("--set")
    for text in overrides:
        key, equals, value = text.partition("=")
        path = dotted(key)
        if not equals or path is None:
            layer.problems.append("--set: write section.key=value, as in batch.max_rows=1000")
            continue
        try:
            place = locate(path)
        except UnknownKey as error:
            layer.problems.append(f"--set {key.strip()}: {error}")
            continue
        if place.kind == "section":
            message = f"is a section: set one of its keys ({', '.join(place.names)})"
            layer.problems.append(f"--set {key.strip()}: {message}")
            continue
        given = _given(place, value)
        if place.kind == "table" and isinstance(given, dict):
            say_table(layer, place, given, origin, cwd)
        elif place.kind == "table":
            layer.problems.append(
                f'--set {key.strip()}: must be a table, as in {{ name = "value" }}'
            )
        else:
            layer.say(place.path, resolved(place, given, cwd), origin)
    return layer


def dotted(key: str) -> KeyPath | None:
    """The parts of a dotted key, quoted as in TOML or not; None: it is none."""
    if '"' in key or "'" in key:
        try:
            node: Any = tomllib.loads(f"{key} = 0")
        except tomllib.TOMLDecodeError:
            return None
        path: list[str] = []
        while isinstance(node, dict):
            if len(node) != 1:
                return None
            name, node = next(iter(node.items()))
            path.append(name)
        return tuple(path)
    parts = tuple(part.strip() for part in key.split("."))
    return parts if all(parts) else None


def _given(place: Place, text: str) -> Any:
    """The value that a flag means, by the type of its key."""
    stripped = text.strip()
    quoted = stripped[:1] in {'"', "'"} or (place.is_table_too and stripped[:1] == "{")
    if place.is_text and place.kind == "value" and not quoted:
        return text
    try:
        parsed = tomllib.loads(f"x = {stripped}")
    except (tomllib.TOMLDecodeError, RecursionError):
        return text
    if parsed.keys() != {"x"}:
        return text
    right = not place.is_text or isinstance(parsed["x"], str) or (place.is_table_too and quoted)
    return parsed["x"] if right else text
