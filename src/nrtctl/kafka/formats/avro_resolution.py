"""Avro that is read as pipeline.reader_schema has it, whichever schema it was written with. Pure;
used by `decoder`.

https://avro.apache.org/docs/1.12.0/specification/#schema-resolution: a field of the reader's is the
writer's of its name, or of one of its aliases, else its default. Beyond that a writer's field is
found by its own aliases, as without a reader's schema. A value stays what was written: whether a
number fits is said by the type of the pipeline's field.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from nrtctl.kafka.formats.avro import (
    Parsed,
    Read,
    Readers,
    Wrong,
    array_of,
    base64_of,
    cannot_read,
    conversion,
    former_names,
    map_of,
    union_of,
    written,
)
from nrtctl.pipeline.message_format import CannotRead

_INSIDE = {"record", "error", "array", "map"}
"""Types that have others inside, so that both schemas must have them."""


def reader(schema: str, references: Iterable[str], wanted: Parsed) -> Read:
    """As `avro.reader`. Args: wanted: the schema that it is read as."""
    found = written(schema, references)
    with cannot_read():
        resolving = _Resolving(found.named, wanted.named)
        read = resolving.of(found.schema, wanted.schema, "")
        return resolving.plain.bounds.of_message(read)


class _Resolving:
    def __init__(self, written: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
        self._written, self._wanted = written, wanted
        self.plain = Readers(written)
        self._made: dict[tuple[str, str], Read] = {}

    def of(self, schema: Any, wanted: Any, at: str) -> Read:
        """Args: at: where the value stands. Raises CannotRead."""
        own = _known(schema, self._written)
        if isinstance(own, list):
            return union_of([self._branch(each, wanted, at) for each in own])
        kind, other = own["type"], self._chosen(own, _known(wanted, self._wanted))
        if other is None:
            raise CannotRead(f"{at or 'the value'} is of type {kind}, and not in reader_schema")
        if kind in {"record", "error"}:
            return self._of_name(own, other, at)
        if kind == "array":
            self.plain.of(schema)  # which refuses items that take no bytes
            return array_of(self.of(own["items"], other["items"], f"{at}[]"))
        if kind == "map":
            return map_of(self.of(own["values"], other["values"], f"{at}.*"))
        if {kind, other["type"]} == {"bytes", "string"} and not conversion(kind, own):
            return self.plain.of(other["type"])
        read = self.plain.of(schema)
        if kind == "enum" and other["type"] == "enum":
            return _symbols(read, other["symbols"], other.get("default"))
        return read

    def _branch(self, schema: Any, wanted: Any, at: str) -> Read:
        """One that does not fit is a fault of the messages that have it."""
        try:
            return self.of(schema, wanted, at)
        except CannotRead as error:
            return _refusing(str(error))

    def _chosen(self, own: Mapping[str, Any], wanted: Any) -> Mapping[str, Any] | None:
        """The wanted type, or that of the branches that fits; None: there is none."""
        branches = wanted if isinstance(wanted, list) else [wanted]
        found = [_known(each, self._wanted) for each in branches]
        kind = own["type"]
        if kind in _INSIDE:
            of_kind = [each for each in found if each["type"] == kind]
            named = [each for each in of_kind if each.get("name") == own.get("name")]
            return next(iter(named or of_kind), None)
        plain = [each for each in found if each["type"] not in _INSIDE]
        of_kind = [each for each in plain if each["type"] == kind]
        return next(iter(of_kind or plain), None)

    def _of_name(self, own: Mapping[str, Any], wanted: Mapping[str, Any], at: str) -> Read:
        key = (own["name"], wanted["name"])
        if key not in self._made:
            later: list[Read] = []
            self._made[key] = lambda data, at: later[0](data, at)  # which may be within itself
            later.append(self._record(own, wanted, at))
            self._made[key] = later[0]
        return self._made[key]

    def _record(self, own: Mapping[str, Any], wanted: Mapping[str, Any], at: str) -> Read:
        there = {each["name"] for each in own["fields"]}
        formerly = former_names(own)
        found: dict[str, tuple[str, Any]] = {}
        defaults: dict[str, Any] = {}
        own_names = {field["name"] for field in wanted["fields"]} & there
        for field in wanted["fields"]:
            names = [field["name"], *field.get("aliases", ())]
            names = [each for each in (*names, formerly.get(field["name"])) if each in there]
            source = next(
                (each for each in names if each == field["name"] or each not in own_names), None
            )
            if source is not None and source not in found:
                found[source] = (field["name"], field["type"])
            elif "default" in field:
                defaults[field["name"]] = self._default(field["type"], field["default"])
            else:
                place = f"{at}.{field['name']}".lstrip(".")
                raise CannotRead(f"it has no field {place}, and reader_schema no default for it")
        fields: list[tuple[str | None, Read]] = []
        for each in own["fields"]:
            if each["name"] in found:
                name, kind = found[each["name"]]
                fields.append((name, self.of(each["type"], kind, f"{at}.{name}".lstrip("."))))
            else:
                fields.append((None, self.plain.of(each["type"])))
        return self.plain.counted(own, _fields_of(fields, defaults))

    def _default(self, schema: Any, value: Any) -> Any:
        """As a reader gives it. The schema has bytes as text, a character each."""
        known = _known(schema, self._wanted)
        if isinstance(known, list):
            return self._default(known[0], value)
        kind = known["type"]
        if kind in {"record", "error"}:
            return {
                each["name"]: self._default(
                    each["type"], value.get(each["name"], each.get("default"))
                )
                for each in known["fields"]
            }
        if kind == "array":
            return [self._default(known["items"], each) for each in value]
        if kind == "map":
            return {key: self._default(known["values"], each) for key, each in value.items()}
        convert = conversion(kind, known)
        if kind in {"bytes", "fixed"}:
            return (convert or base64_of)(value.encode("latin-1"))
        return value if convert is None else convert(value)


def _known(schema: Any, named: Mapping[str, Any]) -> Any:
    """A union, or a definition."""
    while True:
        if isinstance(schema, list):
            return schema
        if isinstance(schema, str):
            if schema not in named:
                return {"type": schema}
            return named[schema]
        if isinstance(schema["type"], str) and schema["type"] not in named:
            return schema
        schema = schema["type"]


def _refusing(reason: str) -> Read:
    def refuse(data: bytes, at: int) -> tuple[Any, int]:
        raise Wrong(reason)

    return refuse


def _symbols(read: Read, symbols: list[str], default: str | None) -> Read:
    known = frozenset(symbols)

    def read_symbol(data: bytes, at: int) -> tuple[str, int]:
        value, at = read(data, at)
        if value in known:
            return value, at
        if default is None:
            raise Wrong(f"reader_schema has no symbol {value}")
        return default, at

    return read_symbol


def _fields_of(fields: list[tuple[str | None, Read]], defaults: dict[str, Any]) -> Read:
    def read_fields(data: bytes, at: int) -> tuple[dict[str, Any], int]:
        value = dict(defaults)
        for name, read in fields:
            inside, at = read(data, at)
            if name is not None:
                value[name] = inside
        return value, at

    return read_fields
