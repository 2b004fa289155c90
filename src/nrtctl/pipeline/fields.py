"""A field of a pipeline: its type, and where in a record its value stands. Pure.

Read from `[pipeline.fields]`: `name = "Type"`, or a table that says more. Asked by `schema` for the
SQL, and by the producer for keys and columns of files.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    SerializerFunctionWrapHandler,
    StrictInt,
    StrictStr,
    WithJsonSchema,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from nrtctl.pipeline.nested import holds_others
from nrtctl.pipeline.options import Options

Step = str | int
"""A key of an object, or an index of an array: from 0, negative from its end."""

Path = tuple[Step, ...]

_HOW = (
    'write a key ("@timestamp"), a path (["payload", "id"]), "key", { record = "timestamp" }, '
    '{ header = "name" } or { record = "key", path = ["id"] }'
)
_INDEXES = range(-(2**31), 2**31)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a value stands. Without a `path` into the message it is the record's own.

    Attributes:
        path: into the message, which is JSON; never empty there.
        record: which part of the record.
        header: whose last value it is, of `record` "header".
        inside: a path into the key or header, which is JSON then; empty: all of it is the value.
    """

    path: Path = ()
    record: Literal["message", "key", "header", "timestamp"] = "message"
    header: str = ""
    inside: Path = ()

    @property
    def record_part(self) -> bool:
        """Whether it is not in the message."""
        return self.record != "message"

    @property
    def bare(self) -> bool:
        """Whether it is text that is no value in JSON."""
        return self.record in {"key", "header"} and not self.inside


@dataclass(frozen=True, slots=True)
class Empty:
    """Texts that count as no value. `null`: as null; else as missing."""

    texts: tuple[str, ...] = ()
    null: bool = True


def _one_or_more(given: Any) -> Any:
    return (given,) if isinstance(given, str) else given


_Steps = tuple[StrictStr | StrictInt, ...]
_TEXTS = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_EMPTY = {"anyOf": [{"enum": ["null", "missing"]}, {"type": "object"}]}

Texts = Annotated[tuple[StrictStr, ...], BeforeValidator(_one_or_more), WithJsonSchema(_TEXTS)]


def given_keys(model: BaseModel) -> dict[str, Any]:
    """What was said of a table, under the names that a file has."""
    return {
        info.alias or name: getattr(model, name)
        for name, info in type(model).model_fields.items()
        if name in model.model_fields_set
    }


class FieldSpec(BaseModel):
    """A field: its type, and what else is said of it."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
    one_value: ClassVar[bool] = True
    """A table of the configuration that is laid over others as a whole, as text would be."""

    type: StrictStr = Field(description="The ClickHouse type.")
    from_: StrictStr | _Steps | dict[str, StrictStr | _Steps] | None = Field(
        None,
        alias="from",
        description="Where the value is: a key of the message; a path, as a list of keys and "
        'indexes; "key" or { record = "key" }, the record\'s key; { header = "name" '
        '}; { record = "timestamp" }; with path = […] beside it, a value in a key or '
        "header that is JSON. Without it: the key of the field's name.",
    )

    default: Any = Field(
        None,
        description="What is stored if the value is missing or null; { missing = …, null = … }: "
        "for "
        'one of these, or for each another; "empty": an empty array, map or tuple, also '
        "inside of the value.",
    )
    empty: Annotated[Any, WithJsonSchema(_EMPTY)] = Field(
        None,
        description='Whether empty text counts as "null" or as "missing"; with { as = "null", '
        'texts = ["", "-"] }, these texts do.',
    )
    epoch: Literal["d", "s", "ms", "us", "ns"] | None = Field(
        None,
        description="The unit of numbers, or of digits in a string, that are times since 1970, or "
        "since midnight for Time and Time64.",
    )
    format: Texts = Field(
        (),
        description="The form of text that is a time, as strptime writes it, or several, tried in "
        'order; "iso" is the default. For String, FixedString and Decimal: "base64" or '
        '"hex", if the text stands for bytes.',
    )
    precision: Literal["exact", "cut"] = Field(
        "exact",
        description="Whether a time with more decimals than are stored is a wrong type (exact), or "
        "the extra ones are cut off (cut).",
    )
    accept: Texts = Field(
        (),
        description="Names of further spellings to accept, such as 0/1 or spaces; docs/messages.md "
        "lists them all.",
    )
    json_: Literal["text"] | None = Field(
        None,
        alias="json",
        description='With "text", an array or object is kept in a String as its JSON text.',
    )
    values: Literal["text"] | None = Field(
        None,
        description='With "text", a String, or the values of a Map(String, String), may be of any '
        "kind; strings are kept as they are, the others as their JSON text.",
    )

    @model_validator(mode="wrap")
    @classmethod
    def _short(cls, given: Any, handler: ModelWrapValidatorHandler[FieldSpec]) -> FieldSpec:
        if isinstance(given, str):
            return handler({"type": given})
        if not isinstance(given, dict | FieldSpec):
            raise ValueError(
                'write its type, as in "String", or a table, as in { type = "String" }'
            )
        return handler(given)

    @field_validator("from_", mode="before")
    @classmethod
    def _a_place(cls, given: Any) -> Any:
        if isinstance(given, list | tuple):
            return _path(given)
        if isinstance(given, str) or given is None:
            return given
        if isinstance(given, dict):
            return _of_the_record(given)
        raise ValueError(f"{given!r} does not name a place: {_HOW}")

    @field_validator("empty")
    @classmethod
    def _of_texts(cls, given: Any) -> Any:
        if given in ("null", "missing", None):
            return given
        if isinstance(given, dict) and given.keys() == {"as", "texts"}:
            texts = given["texts"]
            listed = isinstance(texts, list | tuple) and all(isinstance(t, str) for t in texts)
            if given["as"] in ("null", "missing") and listed and texts:
                return given
        raise ValueError(
            f'{given!r}: write "null", "missing" or {{ as = "null", texts = ["", "-"] }}'
        )

    @model_serializer(mode="wrap")
    def _as_written(self, handler: SerializerFunctionWrapHandler) -> Any:
        if self.model_fields_set == {"type"}:
            return self.type
        return given_keys(self)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        table = handler.resolve_ref_schema(handler(schema))
        return {
            "anyOf": [{"type": "string", "description": "The ClickHouse type."}, table],
            "description": table.pop("description", ""),
        }

    @property
    def empties(self) -> Empty:
        """The texts that count as no value."""
        if isinstance(self.empty, dict):
            return Empty(tuple(self.empty["texts"]), self.empty["as"] == "null")
        return Empty() if self.empty is None else Empty(("",), self.empty == "null")

    @property
    def defaults(self) -> tuple[str | None, str | None]:
        """JSON of what is stored where the value is missing, and where it is null; None: nothing
        is."""
        if "default" not in self.model_fields_set:
            return None, None
        given = self.default
        if self._empty_inside:
            given = {} if self.type.strip().startswith(("Map", "Tuple")) else []
        if isinstance(given, dict) and given and given.keys() <= {"missing", "null"}:
            missing, null = (_json(given[n]) if n in given else None for n in ("missing", "null"))
            return missing, null
        return _json(given), _json(given)

    @property
    def _empty_inside(self) -> bool:
        return self.default == "empty" and holds_others(self.type)

    def options(self, name: str) -> Options:
        """How the values are written. Args: name: of the field."""
        return Options(
            optional="default" in self.model_fields_set,
            bare=self.source(name).bare,
            changed=bool(self.empties.texts),
            epoch=self.epoch or "",
            formats=self.format,
            cut=self.precision == "cut",
            accept=frozenset(self.accept),
            json_text=self.json_ == "text",
            values_as_text=self.values == "text",
            empty_inside=self._empty_inside,
            every_digit=("spellings" in self.accept or self.values == "text")
            and not self.source(name).record_part,
        )

    def source(self, name: str) -> Source:
        """Args: name: of the field."""
        if self.from_ is None:
            return Source((name,))
        if self.from_ == "key":
            return Source(record="key")
        if isinstance(self.from_, str):
            return Source((self.from_,))
        if isinstance(self.from_, tuple):
            return Source(self.from_)
        steps = self.from_.get("path", ())
        inside = (steps,) if isinstance(steps, str) else steps
        if "header" in self.from_:
            return Source(record="header", header=str(self.from_["header"]), inside=inside)
        key = self.from_["record"] == "key"
        return Source(record="key" if key else "timestamp", inside=inside)


def _json(given: Any) -> str:
    """A value of TOML as JSON; times as text."""
    return json.dumps(given, default=_iso, ensure_ascii=False)


def _iso(given: Any) -> str:
    if isinstance(given, datetime.date | datetime.time):
        return given.isoformat()
    raise TypeError(f"{given!r} is not a value")


def _path(given: list[Any] | tuple[Any, ...]) -> Path:
    if not given:
        raise ValueError(f"an empty path is the whole message: {_HOW}")
    for step in given:
        if isinstance(step, bool) or not isinstance(step, str | int):
            raise ValueError(
                f"{step!r} cannot be part of a path: a key is a text, an index a whole "
                'number, as in ["items", 0, "id"]'
            )
        if isinstance(step, int) and step not in _INDEXES:
            raise ValueError(f"{step} is not an index of an array")
    if isinstance(given[0], int):
        raise ValueError("a message is an object, so a path begins with a key, not with an index")
    return tuple(given)


def _of_the_record(given: Mapping[str, Any]) -> Mapping[str, Any]:
    inside = given.get("path")
    if isinstance(inside, list | tuple):
        given = {**given, "path": _path(inside)}
    part = {name: each for name, each in given.items() if name != "path"}
    there = inside is None or isinstance(inside, str | list | tuple)
    if there and part.keys() == {"header"} and isinstance(part["header"], str):
        return given
    if there and part == {"record": "key"}:
        return given
    if given == {"record": "timestamp"}:
        return given
    raise ValueError(f"{dict(given)!r} does not name a place: {_HOW}")


def value_at(value: Any, path: Path, absent: Any = None) -> Any:
    """What stands at a path of parsed JSON; `absent` where nothing does."""
    for step in path:
        if isinstance(step, str):
            there = isinstance(value, dict) and step in value
        else:
            there = isinstance(value, list) and -len(value) <= step < len(value)
        if not there:
            return absent
        value = value[step]
    return value
