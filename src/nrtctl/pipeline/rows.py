"""Several rows from one message: where its rows are, and what of it is not of the row alone. Pure.

Read from `[pipeline] rows`. Asked by `schema.fanout` for the SQL.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    SerializerFunctionWrapHandler,
    StrictBool,
    StrictStr,
    WithJsonSchema,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from nrtctl.pipeline.fields import FieldSpec, Path, given_keys, value_at

ROOT = "$"
"""The first step of a path that begins at the message and not at the row."""

EACH = "*"
"""As a step of `rows`: the array that is here. In the path of a field: the element that this row
came out of."""

ELEMENT = "e"
"""The key of the row's own element in the text that its fields are read from."""

VALUE = "v"
"""The key of a value from outside of the element, in an object of its own."""

Keys = str | tuple[str, ...]
"""A step of `rows`: a key, or several, each of which that is there leads on."""

_LISTED_KEYS = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}


def keys_of_step(step: Keys) -> tuple[str, ...]:
    """The keys that a step of `rows` names."""
    return (step,) if isinstance(step, str) else step


class Rows(BaseModel):
    """Where the rows of a message are."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
    one_value: ClassVar[bool] = True
    """As of `FieldSpec`."""

    from_: tuple[
        Annotated[StrictStr | tuple[StrictStr, ...], WithJsonSchema(_LISTED_KEYS)], ...
    ] = Field(
        (),
        alias="from",
        description="The arrays, from the outermost to the one whose elements are the rows: "
        'keys, each within an element of the array before; "*" is the array at this place, for '
        "instance the message itself; a list of keys, as in "
        '["metrics", ["sum", "gauge"], "dataPoints"], is each of them that is there. An object '
        "on the way counts as an array of one. []: the message is a row, and an array of "
        'values: from = ["$", 0].',
    )
    texts: Literal["one", "lines"] = Field(
        "one",
        description='With "lines", a message may contain several JSON texts, one per line.',
    )
    single: StrictBool = Field(
        False, description="Whether an object in place of the last array is a single row."
    )
    bad: Literal["reject", "leave out"] = Field(
        "reject",
        description="What becomes of a message with a bad row: the whole message becomes a dead "
        'letter (reject), or its good rows are stored beside the dead letter ("leave '
        'out").',
    )

    @model_validator(mode="wrap")
    @classmethod
    def _short(cls, given: Any, handler: ModelWrapValidatorHandler[Rows]) -> Rows:
        if isinstance(given, list | tuple):
            return handler({"from": given})
        if not isinstance(given, dict | Rows):
            raise ValueError(
                'write the keys that lead to the rows, as in ["items"], or ["*"] where the message '
                "is an array"
            )
        return handler(given)

    @field_validator("from_", mode="before")
    @classmethod
    def _of_keys(cls, given: Any) -> Any:
        return tuple(map(_step, given)) if isinstance(given, list | tuple) else given

    @model_validator(mode="after")
    def _somewhere(self) -> Rows:
        if "from_" not in self.model_fields_set and self.texts == "one":
            raise ValueError('from: write the keys that lead to the rows, as in from = ["items"]')
        return self

    @model_serializer(mode="wrap")
    def _as_written(self, handler: SerializerFunctionWrapHandler) -> Any:
        if self.model_fields_set == {"from_"}:
            return [step if isinstance(step, str) else list(step) for step in self.from_]
        return given_keys(self)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        table = handler.resolve_ref_schema(handler(schema))
        listed = {"type": "array", "items": _LISTED_KEYS, "description": "As `from`."}
        return {"anyOf": [listed, table], "description": table.pop("description", "")}

    @property
    def of_one(self) -> bool:
        """Whether a message that is an object may be a row by itself."""
        return all(step == EACH for step in self.from_) and (self.single or not self.from_)

    def by_position(self, paths: Iterable[Path]) -> bool:
        """Whether a message is an array by itself, of which one of the paths takes a value. Raises
        as `place`."""
        firsts = (self.place(path).path[:1] for path in paths)
        return not self.from_ and any(isinstance(step, int) for each in firsts for step in each)

    def place(self, path: Path) -> Place:
        """Where the path of a field leads.

        Raises:
            ValueError: to no single value.
        """
        if path[:1] != (ROOT,):
            return Place(len(self.from_), path)
        level, rest = 0, path[1:]
        for step in self.from_:
            key = rest[:1] if rest[:1] and rest[0] in keys_of_step(step) else (step,)
            through = (EACH,) if step == EACH else (*key, EACH)
            if rest[: len(through)] != through:
                break
            level, rest = level + 1, rest[len(through) :]
        if EACH in rest:
            raise ValueError(f"from: {list(path)}: {self._how()}")
        if level < len(self.from_):
            if not rest or (len(rest) == 1 and rest[0] in keys_of_step(self.from_[level])):
                raise ValueError(
                    f"from: {list(path)} contains the row itself, and would be stored again "
                    "with each of its rows; name the value in it that is needed"
                )
            if isinstance(rest[0], int) != (self.from_[level] == EACH):
                kind = "an array" if self.from_[level] == EACH else "an object"
                raise ValueError(f"from: {list(path)}: there is {kind} before {rest[0]!r}")
        return Place(level, rest)

    def within(self, text: Any) -> Iterator[list[Any]]:
        """Of each row in a JSON text, parsed: what is at each level of `Place`, the text first and
        the row's element last. Where something else than an array is met, there is no row."""
        found = [[text]]
        for number, step in enumerate(self.from_, 1):
            last = number == len(self.from_)
            further: list[list[Any]] = []
            for way in found:
                for key in keys_of_step(step):
                    here = way[-1] if key == EACH else value_at(way[-1], (key,))
                    if isinstance(here, list):
                        further += [[*way, each] for each in here]
                    elif isinstance(here, dict) and (self.single or not last):
                        further.append([*way, here])
            found = further
        yield from found

    def _how(self) -> str:
        way = [ROOT]
        for step in self.from_:
            way += [EACH] if step == EACH else [keys_of_step(step)[0], EACH]
        listed = ", ".join(f'"{each}"' for each in way)
        return (
            '"*" is the element that the row came out of, so it can only be used as in '
            f"[{listed}, …]"
        )


def _step(given: Any) -> Any:
    """Raises ValueError: it is neither a key nor several."""
    if isinstance(given, str):
        return given
    keys = list(given) if isinstance(given, list | tuple) else []
    if not keys or not all(isinstance(key, str) for key in keys) or {EACH, ""} & {*keys}:
        shown = keys or given
        raise ValueError(
            f"{shown!r} is no step to the rows: write a key, or the keys of which any may lead to "
            'them, as in ["metrics", ["sum", "gauge"], "dataPoints"]'
        )
    if len(set(keys)) < len(keys):
        raise ValueError(f"{keys} has a key twice")
    return tuple(keys) if len(keys) > 1 else keys[0]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands. Attributes: level: 0: in the message; one more for each step of `rows`,
    the last is the row's own element. path: from there."""

    level: int
    path: Path


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of such a pipeline, over the text that is made for each row.

    Attributes:
        each: fields that are read from that text.
        outside: the values from outside of the element, each under the key `a` and its place here.
    """

    each: Mapping[str, FieldSpec]
    outside: Sequence[Place]


def fields_of(rows: Rows, fields: Mapping[str, FieldSpec]) -> Fields:
    """Raises ValueError: a path leads nowhere."""
    places = {
        name: rows.place(path) for name, spec in fields.items() if (path := spec.source(name).path)
    }
    around = (each for each in places.values() if each.level < len(rows.from_))
    outside = sorted(dict.fromkeys(around), key=lambda each: each.level)
    moved = {}
    for name, spec in fields.items():
        place = places.get(name)
        if place is None:
            moved[name] = spec
            continue
        inside = place.level == len(rows.from_)
        at = (ELEMENT, *place.path) if inside else (f"a{outside.index(place)}", VALUE)
        moved[name] = spec.model_copy(update={"from_": at})
    return Fields(moved, outside)
