"""Avro's schemas, read strictly. Pure. Used by `avro_compat` and `schemas`.

Source: https://avro.apache.org/docs/1.12.0/specification/. Logical types are not looked at: they
change nothing about which bytes can be read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

PRIMITIVES: Final = frozenset(
    {"null", "boolean", "int", "long", "float", "double", "bytes", "string"}
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
MOST_LOOKS = 100_000
"""At values of defaults."""


class NotAvro(ValueError):
    """What is wrong with it, as a sentence without its end."""


@dataclass(slots=True, eq=False)
class Type:
    """A type. `parts`: the branches of a union, the items of an array, the values of a map."""

    kind: str
    name: str = ""
    aliases: tuple[str, ...] = ()
    fields: dict[str, Field] = field(default_factory=dict)
    symbols: tuple[str, ...] = ()
    default: str | None = None
    size: int = 0
    parts: tuple[Type, ...] = ()

    @property
    def words(self) -> str:
        return f"{self.kind} {self.name}" if self.name else self.kind


@dataclass(slots=True, eq=False)
class Field:
    type: Type
    aliases: tuple[str, ...]
    has_default: bool


_SIMPLE: Final[Mapping[str, Type]] = {kind: Type(kind) for kind in sorted(PRIMITIVES)}


def read(schema: object, named: dict[str, Type]) -> Type:
    """The type of a schema.

    Args:
        schema: a JSON value whose depth is bounded.
        named: types by their full names, of the schemas that it refers to; its own are added.

    Raises:
        NotAvro: it is none.
    """
    reader = _Reader(named)
    found = reader.type_of(schema, "")
    reader.check_defaults()
    return found


class _Reader:
    def __init__(self, named: dict[str, Type]) -> None:
        self._named = named
        self._defaults: list[tuple[str, Any, Type]] = []

    def check_defaults(self) -> None:
        """When every name is known."""
        defaults = _Defaults()
        for name, value, type_ in self._defaults:
            if not defaults.fits(value, type_):
                raise NotAvro(f"the default of field {name} is not of type {type_.words}")

    def type_of(self, schema: object, namespace: str) -> Type:
        if isinstance(schema, str):
            return self._by_name(schema, namespace)
        if isinstance(schema, list):
            return self._union(schema, namespace)
        if isinstance(schema, dict):
            inner = schema.get("type")
            if isinstance(inner, str):
                return self._of_kind(inner, schema, namespace)
            if isinstance(inner, dict | list):
                return self.type_of(inner, namespace)
        raise NotAvro("a type is a name, a list of types, or an object with a 'type'")

    def _by_name(self, name: str, namespace: str) -> Type:
        if name in PRIMITIVES:
            return _SIMPLE[name]
        for full in (name,) if "." in name or not namespace else (f"{namespace}.{name}", name):
            if full in self._named:
                return self._named[full]
        raise NotAvro(f"the type {_short(name)} is not known")

    def _union(self, branches: list[object], namespace: str) -> Type:
        parts = tuple(self.type_of(each, namespace) for each in branches)
        seen = set()
        for part in parts:
            if part.kind == "union":
                raise NotAvro("a union is directly inside a union")
            if part.words in seen:
                raise NotAvro(f"a union has {part.words} twice")
            seen.add(part.words)
        return Type("union", parts=parts)

    def _of_kind(self, kind: str, schema: dict[str, Any], namespace: str) -> Type:
        match kind:
            case "array" | "map":
                key = "items" if kind == "array" else "values"
                if key not in schema:
                    raise NotAvro(f"the {kind} has no '{key}'")
                return Type(kind, parts=(self.type_of(schema[key], namespace),))
            case "record" | "error":
                return self._record(schema, namespace)
            case "enum":
                return self._enum(schema, namespace)
            case "fixed":
                made = self._declare(Type("fixed"), schema, namespace)
                size = schema.get("size")
                if type(size) is not int or not 0 <= size < 2**31:
                    raise NotAvro(f"the fixed {made.name} has no sound 'size'")
                made.size = size
                return made
        return self._by_name(kind, namespace)

    def _record(self, schema: dict[str, Any], namespace: str) -> Type:
        made = self._declare(Type("record"), schema, namespace)
        inner = made.name.rpartition(".")[0]
        fields = schema.get("fields")
        if not isinstance(fields, list):
            raise NotAvro(f"the record {made.name} has no list of 'fields'")
        for each in fields:
            if not isinstance(each, dict) or "type" not in each:
                raise NotAvro(f"a field of {made.name} is not an object with 'name' and 'type'")
            name = _name(each.get("name"), "field")
            if name in made.fields:
                raise NotAvro(f"the record {made.name} has the field {name} twice")
            type_ = self.type_of(each["type"], inner)
            made.fields[name] = Field(type_, _aliases(each, ""), "default" in each)
            if "default" in each:
                self._defaults.append((f"{made.name}.{name}", each["default"], type_))
        return made

    def _enum(self, schema: dict[str, Any], namespace: str) -> Type:
        made = self._declare(Type("enum"), schema, namespace)
        symbols = schema.get("symbols")
        if not isinstance(symbols, list):
            raise NotAvro(f"the enum {made.name} has no list of 'symbols'")
        made.symbols = tuple(_name(each, "symbol") for each in symbols)
        if len(set(made.symbols)) < len(made.symbols):
            raise NotAvro(f"the enum {made.name} has a symbol twice")
        made.default = schema.get("default")
        if made.default is not None and made.default not in made.symbols:
            raise NotAvro(f"the default of the enum {made.name} is not one of its symbols")
        return made

    def _declare(self, made: Type, schema: dict[str, Any], namespace: str) -> Type:
        name, own = schema.get("name"), schema.get("namespace")
        if isinstance(own, str):
            namespace = own
        if isinstance(name, str) and "." in name:
            namespace, _, name = name.rpartition(".")
        for part in namespace.split(".") if namespace else ():
            _name(part, "namespace")
        made.name = f"{namespace}.{_name(name, made.kind)}".lstrip(".")
        if made.name in PRIMITIVES or made.name in self._named:
            raise NotAvro(f"the name {made.name} is taken")
        made.aliases = _aliases(schema, namespace)
        self._named[made.name] = made
        return made


def _name(given: object, what: str) -> str:
    if not isinstance(given, str) or _NAME.fullmatch(given) is None:
        raise NotAvro(f"{_short(given)} is not a valid name for a {what}")
    return given


def _aliases(schema: Mapping[str, Any], namespace: str) -> tuple[str, ...]:
    given = schema.get("aliases", [])
    if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
        raise NotAvro("aliases are a list of names")
    return tuple(each if "." in each or not namespace else f"{namespace}.{each}" for each in given)


def _short(given: object) -> str:
    text = repr(given)
    return text if len(text) < 80 else f"{text[:80]}…"


class _Defaults:
    """Whether defaults are of their types, or of a branch of them."""

    def __init__(self) -> None:
        self._left = MOST_LOOKS

    def fits(self, value: Any, type_: Type) -> bool:
        """Raises NotAvro: the defaults of this schema take too long."""
        self._left -= 1
        if self._left < 0:
            raise NotAvro("its defaults are too large")
        if type_.kind in _ARE:
            return _ARE[type_.kind](value)
        match type_.kind:
            case "fixed":
                return isinstance(value, str) and len(value) == type_.size
            case "enum":
                return value in type_.symbols
            case "array":
                return isinstance(value, list) and self._all(value, type_.parts[0])
            case "map":
                return isinstance(value, dict) and self._all(value.values(), type_.parts[0])
            case "union":
                return any(self.fits(value, part) for part in type_.parts)
        return isinstance(value, dict) and all(
            self.fits(value[name], each.type) if name in value else each.has_default
            for name, each in type_.fields.items()
        )

    def _all(self, values: Iterable[Any], type_: Type) -> bool:
        return all(self.fits(each, type_) for each in values)


def _whole(bits: int) -> Callable[[Any], bool]:
    bound = 2 ** (bits - 1)
    return lambda value: type(value) is int and -bound <= value < bound


def _number(value: Any) -> bool:
    return type(value) in (int, float) or value in ("NaN", "Infinity", "-Infinity")


def _text(value: Any) -> bool:
    return isinstance(value, str)


_ARE: Final[Mapping[str, Callable[[Any], bool]]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "int": _whole(32),
    "long": _whole(64),
    "float": _number,
    "double": _number,
    "string": _text,
    "bytes": _text,
}
