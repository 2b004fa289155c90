"""What a schema's text must be, and when two are one. Pure. Used by `compatibility` and `store`."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, NoReturn
from uuid import UUID

from nrtctl.local.registry import avro_schema, proto_schema
from nrtctl.local.registry.refused import invalid

KINDS: Final = ("JSON", "PROTOBUF", "AVRO")
MOST_LEVELS: Final = 100
MOST_REFERENCES: Final = 100
_TEXT_OR_BLANKS: Final = re.compile(r'("(?:[^"\\]++|\\.)*+(?:"|\\?\Z))|[ \t\r\n]+', re.DOTALL)
_TEXT_OR_BRACKET: Final = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|([\[{])|([\]}])', re.DOTALL)
"""A text that does not end goes on to the end: looked at from each of its quotes, it would take as
long as it is long, squared."""


class Reference(NamedTuple):
    """A schema that another names."""

    name: str
    subject: str
    version: int


@dataclass(frozen=True, slots=True)
class Schema:
    """A schema as it is registered. `kind`: of KINDS."""

    kind: str
    text: str
    references: tuple[Reference, ...] = ()

    @property
    def identity(self) -> bytes:
        """The same for schemas that are one: the order of keys and blanks do not count, but in
        Protobuf, whose text counts as it is."""
        text = self.text if self.kind == "PROTOBUF" else ordered(loads(self.text), self.kind)
        whole = json.dumps([self.kind, text, self.references])
        return hashlib.sha256(whole.encode(errors="surrogatepass")).digest()

    @property
    def guid(self) -> str:
        """What names the schema in headers of messages; the same for schemas that are one."""
        return str(UUID(bytes=self.identity[:16]))


def loads(text: str) -> Any:
    """The value of a JSON text of a bounded depth. Raises ValueError."""
    depth = 0
    for opened, closed in _TEXT_OR_BRACKET.findall(text):
        depth += bool(opened) - bool(closed)
        if depth > MOST_LEVELS:
            raise ValueError(f"it is nested more than {MOST_LEVELS} levels deep")
    return json.loads(text, parse_constant=_no_number, parse_int=_whole)


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")


def _whole(text: str) -> int:
    if len(text) > 400:
        raise ValueError("a number has more than 400 digits")
    return int(text)


def ordered(value: Any, kind: str) -> str:
    """A schema with its keys in order; of Avro, with a name in place of an object that has nothing
    else."""
    return json.dumps(_plain(value) if kind == "AVRO" else value, sort_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"type"} and isinstance(value["type"], str):
        return value["type"]
    return {
        key: _plain(each) if key in {"type", "items", "values", "fields"} else each
        for key, each in value.items()
    }


def accepted(
    kind: str, text: str, references: tuple[Reference, ...], named: Sequence[Schema], *,
    normalize: bool,
) -> Schema:  # fmt: skip
    """The schema of a text.

    Args:
        named: what it refers to, each after what that refers to itself.

    Raises:
        Refused: it is no schema of this kind.
    """
    if kind == "PROTOBUF":
        try:
            proto_schema.read(text)
        except ValueError as error:
            raise invalid(f"it is not Protobuf: {error}") from None
        return Schema(kind, text.strip() if normalize else text, references)
    try:
        value = loads(text)
    except ValueError as error:
        raise invalid(f"it is not JSON: {error}") from None
    if kind == "AVRO":
        avro_type(text, named)
    elif not isinstance(value, dict | bool):
        raise invalid("a JSON Schema is an object, true or false")
    shown = ordered(value, kind) if normalize else _TEXT_OR_BLANKS.sub(r"\1", text)
    return Schema(kind, shown, references)


def avro_type(text: str, references: Sequence[Schema]) -> avro_schema.Type:
    """Raises Refused: it is no Avro schema."""
    named: dict[str, avro_schema.Type] = {}
    try:
        for each in references:
            avro_schema.read(loads(each.text), named)
        return avro_schema.read(loads(text), named)
    except ValueError as error:
        raise invalid(f"it is not Avro: {error}") from None
