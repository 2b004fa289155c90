"""What one source of settings says, before it is laid over the others.

Filled by `settings_files`, `variables` and `flags`; merged by `config.load`. Pure.
A wrong key or type becomes a problem line, so that everything wrong is reported together.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nrtctl.config.shape import KeyPath, Place, UnknownKey, locate


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from, as a person would say it: a file with a line, a variable, a flag."""

    source: str
    file: Path | None = None

    def __str__(self) -> str:
        return self.source


DEFAULT = Origin("default")


@dataclass(frozen=True, slots=True)
class Value:
    """One value for one key."""

    path: KeyPath
    value: Any
    origin: Origin


@dataclass(slots=True)
class Layer:
    """What one source says: first `dropped` (paths of which nothing below shows), then `values`.

    `mentioned`: every path that can be pointed at, with where it stands.
    """

    dropped: list[KeyPath] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)
    mentioned: dict[KeyPath, Origin] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def say(self, path: KeyPath, value: Any, origin: Origin) -> None:
        self.values.append(Value(path, value, origin))
        self.mentioned[path] = origin


def say_tree(
    layer: Layer,
    tree: Mapping[str, Any],
    at: KeyPath,
    origin: Callable[[KeyPath], Origin],
    base: Path | None,
) -> None:
    """Say every value below `at`; tables within a table of values are names with dots."""
    for name, value in tree.items():
        path = (*at, name)
        layer.mentioned[path] = origin(path)
        try:
            place = locate(path)
        except UnknownKey as error:
            layer.problems.append(f"{origin(path)}: {'.'.join(path)}: {error}")
            continue
        if isinstance(value, dict) and place.kind != "value":
            say_tree(layer, value, path, origin, base)
        elif (
            isinstance(value, dict)
            and len(place.path) == len(path)
            and _in_table(place)
            and not place.is_table_too
        ):
            for key, each in _flat(value):
                joined = (*path[:-1], f"{name}.{key}")
                layer.say(joined, _from_file(place, each, base), origin(path))
        else:
            wrong = _wrong_type(place, value)
            if wrong is not None:
                layer.problems.append(f"{origin(path)}: {'.'.join(path)}: {wrong}")
            else:
                layer.say(place.path, _from_file(place, value, base), origin(path))


def _in_table(place: Place) -> bool:
    """Whether it is a value under a free name."""
    return locate(place.path[:-1]).kind == "table"


def _flat(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in tree.items():
        if isinstance(value, dict):
            found += _flat(value, f"{prefix}{name}.")
        else:
            found.append((prefix + name, value))
    return found


def _wrong_type(place: Place, value: Any) -> str | None:
    """Types that pydantic would convert, but a typed file must not mix up."""
    if place.kind != "value":
        return f"must be a table, as in [{'.'.join(place.path)}]"
    if place.is_secret:
        return None
    if place.is_size and isinstance(value, bool):
        return "must be a size, as in '64MiB'"
    if place.type is int and not place.is_size and isinstance(value, str | bool):
        return f"must be a whole number without quotes, not {json.dumps(value)}"
    if place.type is bool and not isinstance(value, bool):
        return "must be true or false, without quotes"
    return None


def _from_file(place: Place, value: Any, base: Path | None) -> Any:
    if _in_table(place) and place.type is str and isinstance(value, bool | int | float):
        return str(value).lower()
    return resolved(place, value, base)


def resolved(place: Place, value: Any, base: Path | None) -> Any:
    """A relative path is relative to where it is written: the file's directory, or `base`."""
    if base is None or not place.is_path or not isinstance(value, str) or not value:
        return value
    try:
        return str(base.resolve() / Path(value).expanduser())
    except RuntimeError:
        return str(base.resolve() / value)


def say_table(
    layer: Layer, place: Place, tree: Mapping[str, Any], origin: Origin, base: Path
) -> None:
    """A table given whole: one of the pipeline replaces those below, others are laid over."""
    if place.path[0] == "pipeline":
        layer.dropped.append(place.path)
    layer.mentioned[place.path] = origin
    say_tree(layer, tree, place.path, lambda _: origin, base)
