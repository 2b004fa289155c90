"""What a pipeline is: a topic, the fields of its messages, and what becomes of them.

The one description that the DDL (`schema`), the consumer, the generator and `verify` work from.
Read from `[pipeline]` of the configuration, frozen. Pure: no client, no I/O.
"""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CLUSTER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")

METADATA_COLUMNS = (
    "_topic", "_incarnation", "_partition", "_offset", "_timestamp", "_inserted_at",
)  # fmt: skip
"""The columns that say where a row came from; every stored row has them."""


def _identifier(name: str) -> str:
    if not _IDENTIFIER.fullmatch(name):
        raise ValueError(
            f"{name!r} is not an SQL identifier: letters, digits and _, not starting with a digit"
        )
    return name


def _topic(name: str) -> str:
    if not _TOPIC.fullmatch(name) or name in {".", ".."}:
        raise ValueError(f"{name!r} is not a topic name: 1 to 249 letters, digits, '.', '_' or '-'")
    return name


def _cluster(name: str) -> str:
    if not _CLUSTER.fullmatch(name):
        raise ValueError(f"{name!r} is not a cluster's name: letters, digits, '_', '-' and '.'")
    return name


def _column(name: str) -> str:
    if _identifier(name).startswith("_"):
        raise ValueError(f"{name!r}: names that start with _ are kept for nrtctl's own columns")
    return name


Identifier = Annotated[str, AfterValidator(_identifier)]
ClusterName = Annotated[str, AfterValidator(_cluster)]
ColumnName = Annotated[str, AfterValidator(_column)]
TopicName = Annotated[str, AfterValidator(_topic)]
Expression = Annotated[str, Field(min_length=1)]


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Rollup(Frozen):
    """An aggregation kept as a projection of the table and read through a view of the same name."""

    by: dict[ColumnName, Expression] = Field(description="dimension = SQL over the columns")
    values: dict[ColumnName, Expression] = Field(description="measure = SQL aggregate")

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not self.by or not self.values:
            raise ValueError("a rollup needs at least one dimension (by) and one measure (values)")
        return self


class Pipeline(Frozen):
    """`[pipeline]`: one topic into one table."""

    topic: TopicName = "user_events"
    partitions: int = Field(4, ge=1, le=10_000, description="partitions of a topic that is created")
    replication_factor: int = Field(1, ge=1, le=32_767)
    topic_config: dict[str, str] = Field(
        default_factory=dict, description="configuration of a topic that is created"
    )
    key: ColumnName | None = Field(None, description="the field that `produce` keys messages by")
    table: Identifier = "events"
    dead_letters: Identifier = Field("dead_letters", description="the table of rejected messages")
    order_by: tuple[ColumnName, ...] = Field(
        (), description="sorting key of the table; empty: partition and offset"
    )
    partition_by: str | None = Field(
        None, description="SQL over the columns; none: not partitioned"
    )
    fields: dict[ColumnName, str] = Field(
        description="JSON field = ClickHouse type; Nullable(…): it may be null or missing"
    )
    columns: dict[ColumnName, Expression] = Field(
        default_factory=dict, description="column = SQL over the fields"
    )
    rejects: dict[str, Expression] = Field(
        default_factory=dict, description="reason = SQL condition that makes a dead letter"
    )
    rollups: dict[Identifier, Rollup] = Field(default_factory=dict)

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

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.fields:
            raise ValueError("fields: name at least one field that a message carries")
        both = sorted(self.fields.keys() & self.columns.keys())
        if both:
            raise ValueError(f"columns: {both[0]!r} is a field already; choose another name")
        known = self.fields.keys() | self.columns.keys()
        for name in self.order_by:
            if name not in known:
                raise ValueError(f"order_by: {name!r} is neither a field nor a column")
        if self.key is not None and self.key not in self.fields:
            raise ValueError(f"key: {self.key!r} is not a field")
        own = [self.table, self.dead_letters, self.letter_log, self.landing, self.parsed]
        names = [*own, *self.rollups]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"the name {twice[0]!r} is used for two tables or views")
        return self
