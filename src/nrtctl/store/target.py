"""The tables of a pipeline, and the conditions that pick its rows there. Pure.

Nothing else writes a condition on `_target`, `_topic` or `_incarnation`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nrtctl.config.model import Config
from nrtctl.pipeline import Pipeline
from nrtctl.pipeline.casts import literal
from nrtctl.schema import INSERT_SETTINGS
from nrtctl.schema.reasons import left_out_of
from nrtctl.store.envelope import COLUMNS, DECODED_COLUMNS
from nrtctl.store.intents import Incarnation, OffsetRange


def rows_of(pipeline: Pipeline, incarnation: int | None = None) -> str:
    """SQL: the rows of the pipeline's topic in its table. Args: as of `letters_of`."""
    return _of_topic(pipeline.topic, incarnation)


def rows_of_others(pipeline: Pipeline) -> str:
    """SQL: the rows of its table that came from no topic of the pipeline's name: from one that it
    read before, or from no message."""
    return f"NOT ({_of_topic(pipeline.topic, None)})"


def letters_of(pipeline: Pipeline, incarnation: int | None = None) -> str:
    """SQL: the dead letters (and log entries) of one pipeline.

    Args:
        incarnation: of this topic of the name only; an offset names one letter only then.
    """
    return _of_table(pipeline.table, _of_topic(pipeline.topic, incarnation))


def evidence_of(pipeline: Pipeline, incarnation: int | None = None) -> str:
    """SQL: as `letters_of`, and what the pipeline leaves out."""
    return _of_either(pipeline.table, _of_topic(pipeline.topic, incarnation))


def _of_topic(topic: str, incarnation: int | None) -> str:
    mine = f"_topic = '{topic}'"
    return mine if incarnation is None else f"{mine} AND _incarnation = {incarnation}"


def _of_table(table: str, where: str) -> str:
    return f"_target = '{table}' AND {where}"


def _of_either(table: str, where: str) -> str:
    return f"_target IN ('{table}', '{left_out_of(table)}') AND {where}"


def within(partition: int, spans: Sequence[OffsetRange]) -> str:
    """SQL: the rows of a partition within any of `spans`."""
    inside = " OR ".join(f"(_offset >= {s.start} AND _offset < {s.end})" for s in spans)
    return f"_partition = {partition} AND ({inside})"


def within_any(spans: Mapping[int, Sequence[OffsetRange]]) -> str:
    """SQL: the rows within any of the spans of their partition."""
    return f"({' OR '.join(f'({within(number, each)})' for number, each in spans.items())})"


def inserted_until(until: int) -> str:
    """SQL: what was inserted no later. Args: until: ms since the epoch, the server's time."""
    return f"_inserted_at <= fromUnixTimestamp64Milli({until}, 'UTC')"


@dataclass(frozen=True, slots=True)
class Target:
    """The tables of one pipeline, and which topic of its name the rows are of.

    Attributes:
        several: a message may become several rows.
        decoded: its messages are no JSON; their JSON texts go with them.
    """

    topic: str
    database: str
    landing: str
    table: str
    dead_letters: str
    insert_settings: Mapping[str, Any]
    incarnation: int
    cluster: str | None = None
    several: bool = False
    decoded: bool = False

    @classmethod
    def of(
        cls, pipeline: Pipeline, database: str, incarnation: int, cluster: str | None = None
    ) -> Target:
        return cls(
            topic=pipeline.topic,
            database=database,
            landing=pipeline.landing,
            table=pipeline.table,
            dead_letters=pipeline.dead_letters,
            insert_settings=INSERT_SETTINGS,
            incarnation=incarnation,
            cluster=cluster,
            several=pipeline.rows is not None,
            decoded=pipeline.is_decoded,
        )

    @property
    def columns(self) -> Sequence[str]:
        """Of the landing table, as the rows of an insert have them."""
        return DECODED_COLUMNS if self.decoded else COLUMNS

    def rows(self, columns: str, where: str) -> str:
        """SQL: `columns` of this topic's rows and dead letters that fulfil `where`, and of what is
        left out."""
        return " UNION ALL ".join(
            f"SELECT {columns} FROM {table} WHERE {condition}"
            for table, condition in self.tables(where)
        )

    def tables(self, where: str) -> list[tuple[str, str]]:
        """(table, condition) of the rows, and of the dead letters and what is left out: of all that
        shows that a message was seen to."""
        mine = f"{_of_topic(self.topic, self.incarnation)} AND {where}"
        return [
            (f"{self.database}.{self.table}", mine),
            (f"{self.database}.{self.dead_letters}", _of_either(self.table, mine)),
        ]

    def letters(self, where: str) -> tuple[str, str]:
        """(table, condition) of the dead letters alone."""
        mine = f"{_of_topic(self.topic, self.incarnation)} AND {where}"
        return f"{self.database}.{self.dead_letters}", _of_table(self.table, mine)

    @property
    def is_left_out(self) -> str:
        """SQL: of what the second of `tables` has, that it is no dead letter."""
        return f"_target = {literal(left_out_of(self.table))}"


def target_of(config: Config, topic: Incarnation) -> Target:
    """Args: topic: of whose messages the rows are."""
    clickhouse = config.clickhouse
    return Target.of(config.pipeline, clickhouse.database, topic.number, clickhouse.cluster)
