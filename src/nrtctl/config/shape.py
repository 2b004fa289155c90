"""What a dotted key of the configuration is: a section, a table of free names, or a value.

Derived from `config.model`; asked by the readers of sources and `config.problems`. Pure.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr

from nrtctl.config.model import Config
from nrtctl.config.units import is_duration, is_size

KeyPath = tuple[str, ...]


class UnknownKey(Exception):
    """A path that the model does not have. `at`: the index of the part that is wrong."""

    def __init__(self, path: Sequence[str], at: int, siblings: Sequence[str]) -> None:
        self.path = tuple(path)
        self.at = at
        super().__init__(unknown(path[at], siblings))


_ONE_TABLE = (
    "a pipeline fills one table: give each kind one of [pipelines.NAME], all of the same topic, "
    "with a condition: when = \"kind = 'order'\""
)
_OWN_TABLE = (
    "create the table yourself before `nrtctl up`, which adopts it with its own settings; "
    "docs/configuration.md says what it needs"
)
_LEFT_OUT = (
    "write a condition on the messages that are taken: when = \"kind = 'order'\"; the others are "
    "left out. What a rule in [pipeline.rejects] refuses becomes a dead letter"
)
_ADDED_ONLY = (
    "rows are only ever added, since exactly-once counts them; the newest row of each key is "
    'kept beside them with [pipeline.latest.NAME]: key = "id", version = "changed"'
)
_FORMAT = (
    'write format = "avro", "protobuf" or "json schema"; the registry\'s address is url in '
    "[schema_registry]"
)
_INSTEAD = {
    name: instead
    for names, instead in (
        ("routes tables router outputs", _ONE_TABLE),
        ("filter filters where skip drop ignore", _LEFT_OUT),
        ("ttl primary_key settings sample_by", _OWN_TABLE),
        ("engine upsert upserts version primary_keys", _ADDED_ONLY),
        ("schema_registry avro protobuf proto decoder", _FORMAT),
    )
    for name in names.split()
}
"""Keys that pipelines of other programs have, and what is written here instead."""


def unknown(name: str, siblings: Sequence[str]) -> str:
    """What to say of a name that is none of `siblings`."""
    if not siblings:
        return "unknown key; it is a value, not a table"
    if "rejects" in siblings and name.lower() in _INSTEAD:
        return f"unknown key; {_INSTEAD[name.lower()]}"
    near = difflib.get_close_matches(name, siblings, 1)
    if near:
        return f"unknown key; did you mean {near[0]!r}?"
    return f"unknown key; the known ones are {', '.join(siblings)}"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a path leads.

    `path`: the path with the names of a free table joined (`kafka.properties.linger.ms` has three
    parts). `kind`: `section`, `table` (free names) or `value`. `type`: of a value, without None;
    of a free table, that of its values.
    """

    path: KeyPath
    kind: Literal["section", "table", "value"]
    type: Any
    metadata: tuple[Any, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def is_text(self) -> bool:
        """Whether a bare word is taken as it stands."""
        if is_duration(self.metadata):
            return True
        if get_origin(self.type) is Literal:
            return True
        return self.type in (str, SecretStr, Path) or self.is_table_too

    @property
    def is_table_too(self) -> bool:
        """Whether it may be a table as well as text, which is then one value."""
        return bool(getattr(self.type, "one_value", False))

    @property
    def is_path(self) -> bool:
        return self.type is Path

    @property
    def is_secret(self) -> bool:
        return self.type is SecretStr or (
            self.path[:2] in SECRET_TABLES and len(self.path) > 2 and secret_property(self.path[-1])
        )

    @property
    def is_duration(self) -> bool:
        return is_duration(self.metadata)

    @property
    def is_size(self) -> bool:
        return is_size(self.metadata)


SECRET_TABLES = (("kafka", "properties"), ("clickhouse", "settings"))
"""Tables of free names, some of which are those of secrets."""


def secret_property(name: str) -> bool:
    """Whether a property of librdkafka, or a setting of ClickHouse, is not to be shown."""
    words = ("password", "secret", "token", "passphrase", "jaas", "assertion", "credential")
    return any(word in name.lower() for word in words) or name.endswith(
        ("key.pem", "oauthbearer.config")
    )


CODE_PROPERTIES = {
    "plugin.library.paths": "it loads code into the process",
    "ssl.engine.location": "it loads code into the process",
    "ssl.engine.id": "it loads code into the process",
    "ssl.providers": "it loads code into the process",
    "sasl.kerberos.kinit.cmd": "it is a command that is run",
    "sasl.kerberos.keytab": "it becomes part of a command that is run",
    "sasl.kerberos.principal": "it becomes part of a command that is run",
    "sasl.kerberos.service.name": "it becomes part of a command that is run",
}
"""Of librdkafka's CONFIGURATION.md (2.16), what loads code or reaches a shell: kinit's command is
handed to one with the values of the others in it."""


def code_property(name: str) -> str | None:
    """Why a librdkafka property is as good as code; None: it is not."""
    return CODE_PROPERTIES.get(name.strip().lower())


def bare(annotation: Any) -> Any:
    """A type without its `| None` and without `Annotated`."""
    if hasattr(annotation, "__metadata__"):
        return bare(annotation.__origin__)
    if get_origin(annotation) in (Union, types.UnionType):
        rest = [each for each in get_args(annotation) if each is not type(None)]
        if len(rest) == 1:
            return bare(rest[0])
    return annotation


def is_model(annotation: Any) -> bool:
    """Whether it is a section, key by key."""
    of_keys = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return of_keys and not getattr(annotation, "one_value", False)


def locate(path: Sequence[str]) -> Place:
    """The place a path leads to.

    Raises:
        UnknownKey: the model has no such key.
    """
    model: type[BaseModel] = Config
    at = 0
    while True:
        if at == len(path):
            return Place(tuple(path), "section", model, names=tuple(model.model_fields))
        info = model.model_fields.get(path[at])
        if info is None:
            raise UnknownKey(path, at, tuple(model.model_fields))
        at += 1
        kind = bare(info.annotation)
        if is_model(kind):
            model = kind
            continue
        if get_origin(kind) is not dict:
            if at < len(path):
                raise UnknownKey(path, at, ())
            return Place(tuple(path), "value", kind, tuple(info.metadata))
        of = bare(get_args(kind)[1])
        if at == len(path):
            return Place(tuple(path), "table", of)
        if not is_model(of):
            return Place((*path[:at], ".".join(path[at:])), "value", of)
        model = of
        at += 1


@cache
def fixed_keys() -> tuple[KeyPath, ...]:
    """Every key that the model names, down to values and free tables."""
    return tuple(_keys(Config, ()))


def _keys(model: type[BaseModel], path: KeyPath) -> Iterator[KeyPath]:
    for name, info in model.model_fields.items():
        kind = bare(info.annotation)
        if is_model(kind):
            yield from _keys(kind, (*path, name))
        else:
            yield (*path, name)
