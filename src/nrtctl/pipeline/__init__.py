"""What a pipeline is: a topic, the fields of its messages, and what becomes of them.

The one description that the DDL (`schema`), the consumer, the generator and `verify` work from.
Read from `[pipeline]` of the configuration, frozen. Pure: no client, no I/O.
"""

from __future__ import annotations

import json
import re
from pathlib import Path as File
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    field_validator,
    model_validator,
)

from nrtctl.pipeline.condition_text import parse_condition
from nrtctl.pipeline.fields import FieldSpec, Path
from nrtctl.pipeline.message_format import LINE, MessageFormat
from nrtctl.pipeline.routing import Others, not_for_pipelines
from nrtctl.pipeline.rows import Rows, fields_of
from nrtctl.pipeline.suggest import identifier
from nrtctl.pipeline.topic_pattern import CHECKED, RIGHT_TYPE, picks, topic_name
from nrtctl.pipeline.unpacking import MOST_KEYS

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CLUSTER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")

METADATA_COLUMNS = (
    "_topic", "_incarnation", "_partition", "_offset", "_timestamp", "_inserted_at",
)  # fmt: skip
"""The columns that say where a row came from; every stored row has them."""

FIRST = 1
"""The number of the first topic of a name, and of all rows from before there were numbers."""


def _identifier(name: str) -> str:
    if not _IDENTIFIER.fullmatch(name):
        raise ValueError(
            f"{name!r} is not an SQL identifier: letters, digits and _, not starting with a digit; "
            f"write {identifier(name)}"
        )
    return name


def _cluster(name: str) -> str:
    if not _CLUSTER.fullmatch(name):
        raise ValueError(f"{name!r} is not a cluster's name: letters, digits, '_', '-' and '.'")
    return name


def _column(name: str) -> str:
    if _identifier(name).startswith("_"):
        raise ValueError(
            f"{name!r}: names that start with _ are kept for nrtctl's own columns; "
            f"write {identifier(name)}"
        )
    return name


def _field(name: str) -> str:
    try:
        return _column(name)
    except ValueError as error:
        written = json.dumps(name, ensure_ascii=False)
        taken = f'{identifier(name)} = {{ type = "…", from = {written} }}'
        raise ValueError(
            str(error).replace(f"write {identifier(name)}", f"write {taken}")
        ) from None


Identifier = Annotated[str, AfterValidator(_identifier)]
ClusterName = Annotated[str, AfterValidator(_cluster)]
ColumnName = Annotated[str, AfterValidator(_column)]
FieldName = Annotated[str, AfterValidator(_field)]
TopicName = Annotated[str, AfterValidator(topic_name)]
Topics = Annotated[tuple[str, ...] | str, RIGHT_TYPE, CHECKED]
Expression = Annotated[str, Field(min_length=1)]


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Rollup(Frozen):
    """An aggregation kept as a projection of the table and read through a view of the same name."""

    by: dict[ColumnName, Expression] = Field(description="Dimensions: name = SQL over the columns.")
    values: dict[ColumnName, Expression] = Field(description="Measures: name = SQL aggregate.")

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not self.by or not self.values:
            raise ValueError("a rollup needs at least one dimension (by) and one measure (values)")
        return self


def _text_or_list(schema: dict[str, Any]) -> None:
    """Say in a JSON Schema that a list of one text may be that text."""
    listed = {name: schema.pop(name) for name in ("type", "items", "minItems")}
    schema["anyOf"] = [{"type": "string"}, listed]


class Latest(Frozen):
    """The newest row of each key, in a table of its own that is read through a view of its name."""

    key: tuple[ColumnName, ...] = Field(
        min_length=1,
        json_schema_extra=_text_or_list,
        description="The fields or columns that identify what a row is about: one name, or a list.",
    )
    version: Expression | None = Field(
        None,
        description="SQL over the columns: of the rows of a key, the one with the highest value is "
        "the newest, and among equal values the last one in Kafka. Without it, the last "
        "one in Kafka.",
    )
    deleted: Expression | None = Field(
        None,
        description="SQL condition over the columns: a key whose newest row fulfils it is hidden.",
    )

    @field_validator("key", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("key")
    @classmethod
    def _each_once(cls, key: tuple[str, ...]) -> tuple[str, ...]:
        if twice := next((each for each in key if key.count(each) > 1), ""):
            raise ValueError(f"{twice!r} is named twice")
        return key


class Pipeline(Frozen):
    """`[pipeline]`: one topic, or several, into one table.

    With `topics` and no topic (`unsplit`) it is that of all of them; `of_topic` is the part of it
    that is one's. Consumers, and all that asks Kafka, work on parts.
    """

    topic: TopicName = Field("user_events", description="The topic that is read.")
    topics: Topics | None = Field(
        None,
        description="Several topics to read into the table, instead of topic: a list of names, or "
        "a regular expression that matches whole names.",
    )
    partitions: int = Field(
        4,
        ge=1,
        le=10_000,
        description="The number of partitions of a topic that `up` creates. If this key is set, "
        "`up` adds those that are missing.",
    )
    replication_factor: int = Field(
        1, ge=1, le=32_767, description="The number of replicas of a topic that `up` creates."
    )
    topic_config: dict[str, str] = Field(
        default_factory=dict, description="Kafka's settings for a topic that `up` creates."
    )
    key: ColumnName | None = Field(
        None, description="The field that `produce` takes the messages' keys from."
    )
    table: Identifier = Field("events", description="The table of accepted rows.")
    dead_letters: Identifier = Field("dead_letters", description="The table of rejected messages.")
    order_by: tuple[ColumnName, ...] = Field(
        (), description="Sorting key of the table. If empty: partition and offset."
    )
    partition_by: str | None = Field(
        None, description="SQL over the columns. Without it the table is not partitioned."
    )
    when: Expression | None = Field(
        None,
        description="Condition on a message, as in \"event_type = 'order'\". Messages that do not "
        "fulfil it are left out: they become neither rows nor dead letters.",
    )
    route: Literal["first", "every"] = Field(
        "every",
        description='With "first", messages that an earlier pipeline of the file takes from the '
        "same topic are left out.",
    )
    unmatched: Literal["leave out", "dead letter"] = Field(
        "leave out",
        description="What becomes of messages that no pipeline of the topic takes. One of the "
        'pipelines may make dead letters of them ("dead letter").',
    )
    tombstones: Literal["dead letter", "leave out"] = Field(
        "dead letter",
        description="What becomes of messages without a value: they become dead letters, or are "
        "left out and counted, like those that `when` leaves out.",
    )
    format: MessageFormat = Field(
        "json",
        description='The format of the topic\'s values. avro, protobuf and "json schema" are those '
        "written with a schema registry; text is any text, which is the value of the field line.",
    )
    schema_file: File | None = Field(
        None,
        description="A file with the schema of all messages, which are then plain Avro or "
        "Protobuf, without a registry. For Protobuf, a .proto file or the output of protoc's "
        "--descriptor_set_out.",
    )
    reader_schema: File | None = Field(
        None,
        description="A file with the schema to read the messages of a registry with, whichever "
        "they were written with: its names, aliases and defaults apply. In Protobuf, fields "
        "are found by their numbers.",
    )
    schema_message: str | None = Field(
        None,
        description="Which message of a Protobuf schema to use, in a file and for `produce`, as in "
        "shop.Order. Without it, the only one in the file.",
    )
    unpack: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        (),
        max_length=MOST_KEYS,
        description="Keys whose values are strings that contain the JSON text of an object or "
        "array: it is read in place of the string, wherever in a message the key is.",
    )
    rows: Rows | None = Field(
        None,
        description="Where the rows of a message are, if it may contain several: the keys of the "
        "nested arrays, or a table that says more. Without it, each message is a row.",
    )
    fields: dict[FieldName, FieldSpec] = Field(
        description="The fields of a message: name = ClickHouse type, or a table that says more. A "
        "Nullable(…) field may be null or missing."
    )
    columns: dict[ColumnName, Expression] = Field(
        default_factory=dict,
        description="What the table stores in addition to the fields: column = SQL over the "
        "fields.",
    )
    rejects: dict[str, Expression] = Field(
        default_factory=dict,
        description="Rules: reason = SQL condition that makes a message a dead letter.",
    )
    rollups: dict[Identifier, Rollup] = Field(
        default_factory=dict,
        description="Aggregations by name, each read through a view of its name.",
    )
    latest: dict[Identifier, Latest] = Field(
        default_factory=dict,
        description="Current states by name: the newest row of each key, read through a view of "
        "its name.",
    )

    _others: Others = PrivateAttr(default_factory=Others)

    def beside(self, others: Others) -> Pipeline:
        """The pipeline with what it has to know of those that read the same topic."""
        found = self.model_copy()
        found._others = others
        return found

    @property
    def others(self) -> Others:
        return self._others

    def of_topic(self, topic: str) -> Pipeline:
        """The part of it that reads one of its topics."""
        return self.model_copy(update={"topic": topic})

    @property
    def unsplit(self) -> bool:
        """Whether it has several topics, and none of them is chosen."""
        return not self.topic

    @property
    def has_pattern(self) -> bool:
        """Whether Kafka's topics say which are its own."""
        return isinstance(self.topics, str)

    def reads(self, topic: str) -> bool:
        """Whether the topic is its own, or one of its own."""
        return topic == self.topic if self.topics is None else picks(self.topics, topic)

    @property
    def is_decoded(self) -> bool:
        """Whether its messages are no JSON, so that they are made JSON before they are parsed."""
        return self.format != "json"

    @property
    def needs_registry(self) -> bool:
        return self.has_schema and self.schema_file is None

    @property
    def has_schema(self) -> bool:
        """Whether its messages are written with schemas."""
        return self.format not in {"json", "text"}

    def of_json(self) -> Pipeline:
        """The pipeline for messages that are decoded already, as the lines of a file are."""
        no_schema = dict.fromkeys(("schema_file", "reader_schema", "schema_message"))
        return self.model_copy(update={"format": "json", **no_schema})

    @property
    def takes_some(self) -> bool:
        """Whether it may leave messages of its topic out."""
        return self.leaves_tombstones_out or self.when is not None or bool(self._others.earlier)

    @property
    def leaves_tombstones_out(self) -> bool:
        """Whether a message without a value is left out."""
        return self.tombstones == "leave out"

    @property
    def landing(self) -> str:
        """The Null table that the consumer inserts into."""
        return f"{self.table}_landing"

    @property
    def parsed(self) -> str:
        """The Null table between parsing and storing."""
        return f"{self.table}_parsed"

    @property
    def letter_log(self) -> str:
        """The table of what `dlq` did with dead letters."""
        return f"{self.dead_letters}_log"

    @property
    def keys_to_types(self) -> dict[str, str]:
        """Key of a message to the type of its value, of fields that are no deeper: what a cell of a
        file is. Nullable text where a number is not written as JSON has it."""
        found: dict[str, str] = {}
        for name, spec in self.fields.items():
            path = self._path(name)
            if len(path) == 1:
                own = {"decimal comma", "thousands"} & set(spec.accept)
                found.setdefault(str(path[0]), "Nullable(String)" if own else spec.type)
        return found

    @property
    def places_to_types(self) -> dict[Path, str]:
        """Path of keys to the type of the value there. Nullable where a default stands in."""
        found: dict[Path, str] = {}
        for name, spec in self.fields.items():
            path = self._path(name)
            if path and all(isinstance(step, str) for step in path):
                wrap = spec.options(name).optional and not spec.type.startswith("Nullable(")
                found.setdefault(path, f"Nullable({spec.type})" if wrap else spec.type)
        return found

    def key_path(self, name: str | None = None) -> Path | None:
        """Where in a message the value stands that `produce` keys it by; None: messages have none.

        Args:
            name: a field, or a key of the message; None: `key`.
        """
        name = name or self.key
        if name is None:
            return None
        path = self._path(name) if name in self.fields else ()
        return path or (name,)

    def _path(self, field: str) -> Path:
        """Where in a message the value of a field stands; empty: nowhere, or in several places."""
        path = self.fields[field].source(field).path
        if self.rows is None or not path:
            return path
        place = self.rows.place(path)
        return () if place.level or not self.rows.from_ else place.path

    def _check_places(self, rows: Rows) -> None:
        for name, spec in self.fields.items():
            try:
                fields_of(rows, {name: spec})
            except ValueError as error:
                raise ValueError(f"fields.{name}: {error}") from None
        paths = [spec.source(name).path for name, spec in self.fields.items()]
        if not rows.from_ and rows.texts == "one" and not rows.by_position(paths):
            raise ValueError(
                'rows: write the keys that lead to the rows, as in ["items"]; [] is for messages '
                'that are arrays of values, which fields read by position: from = ["$", 0]'
            )

    def _check_condition(self, when: str) -> None:
        try:
            found = parse_condition(when)
        except ValueError as error:
            raise ValueError(f"when: {error}") from None
        if wrong := not_for_pipelines(found):
            raise ValueError(f"when: {when!r} cannot be used in a pipeline: {wrong}")

    def _check_topics(self) -> None:
        if self.topics is None:
            return
        if "topic" not in self.model_fields_set:
            object.__setattr__(self, "topic", "")
        if self.route == "first" or self.unmatched == "dead letter":
            raise ValueError(
                "topics: a pipeline of several topics does not know which other pipelines "
                "read each of them: leave out route and unmatched, and use `when` to say "
                "what it takes"
            )

    def _check_text(self) -> None:
        """Raises ValueError: a field is none that a message of text has."""
        if self.rows is not None:
            raise ValueError('rows: cannot be used with format = "text": each message is a row')
        for name in self.fields:
            path = self._path(name)
            if path and path[0] != LINE:
                raise ValueError(
                    f"fields.{name}: a message of text has one field, {LINE}; what is in it is "
                    "taken out by SQL in [pipeline.columns]"
                )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.schema_file is not None and self.format not in {"avro", "protobuf"}:
            raise ValueError('schema_file: can only be used with format = "avro" or "protobuf"')
        if self.reader_schema is not None:
            if self.format not in {"avro", "protobuf"}:
                raise ValueError(
                    'reader_schema: can only be used with format = "avro" or "protobuf"'
                )
            if self.schema_file is not None:
                raise ValueError(
                    "reader_schema: can only be used with a registry: leave out schema_file"
                )
        if self.schema_message is not None and self.format != "protobuf":
            raise ValueError('schema_message: can only be used with format = "protobuf"')
        self._check_topics()
        if not self.fields:
            raise ValueError("fields: name at least one field that a message carries")
        both = sorted(self.fields.keys() & self.columns.keys())
        if both:
            raise ValueError(f"columns: {both[0]!r} is a field already; choose another name")
        known = self.fields.keys() | self.columns.keys()
        for name in self.order_by:
            if name not in known:
                raise ValueError(f"order_by: {name!r} is neither a field nor a column")
        for name, latest in self.latest.items():
            if unknown := next((each for each in latest.key if each not in known), ""):
                raise ValueError(f"latest.{name}.key: {unknown!r} is neither a field nor a column")
        if self.key is not None and self.key not in self.fields:
            raise ValueError(f"key: {self.key!r} is not a field")
        if self.when is not None:
            self._check_condition(self.when)
        if self.rows is not None:
            given = {"when": self.when is not None, "tombstones": self.leaves_tombstones_out}
            if name := next((each for each, is_set in given.items() if is_set), ""):
                raise ValueError(
                    f"{name}: a pipeline with `rows` takes every message of its topic; leave "
                    "out one of them"
                )
            self._check_places(self.rows)
        if self.format == "text":
            self._check_text()
        if self.key is not None and not self._path(self.key):
            raise ValueError(
                f"key: {self.key!r} is not a part of the message; name a field that is, for "
                "`produce`"
            )
        own = [self.table, self.dead_letters, self.letter_log, self.landing, self.parsed]
        own += [f"{self.table}_rejected", f"{self.table}_accepted", f"{self.landing}_view"]
        names = [*own, *self.rollups, *self.latest]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"the name {twice[0]!r} is used for two tables or views")
        return self
