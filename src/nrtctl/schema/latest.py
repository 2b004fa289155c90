"""The current state of a pipeline's rows: of each key the newest one. Pure text.

    parsed (Null) ─ <state>_feed ─▶ <state> (ReplacingMergeTree)  ◀─ the view that is read

Used by `ddl`, and by `keeping_latest`, which makes it. The feeding view takes what the view of the
accepted rows takes, of the same insert. What is newer is one number, `_order`, so that the engine,
a query over the table and a repeated insert all choose the same row. The state's name says what it
holds: a pipeline that holds something else has another, which is filled before the view reads it.
On a cluster each server feeds a state of its own shard's rows, and the view chooses among those of
all shards (docs/decisions/0079): a row with the larger `_order` is newer wherever it is.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from nrtctl.clickhouse.cluster import on
from nrtctl.pipeline import Latest, Pipeline
from nrtctl.schema.columns import field_types
from nrtctl.schema.reasons import COORDINATES
from nrtctl.schema.steps import MARK

DELETED = "_deleted"
ORDER = "_order"
_OWN = {DELETED: "UInt8", ORDER: "UInt256"}

SCALE = 9
_LOWEST = "toInt128('39614081257132168796771975168')"
"""2^95: added to a version of `SCALE` digits, so that it is a number of 96 bits without a sign."""

VERSION = re.compile(r"U?Int(?:8|16|32|64)|Bool|DateTime64\(.*|Decimal\((?:\d|1[0-8]), [0-9]\)")
"""Types that versions may have. Others are not ordered by a number of 96 bits, or may be NULL."""

NO_KEY = re.compile(r"Nullable\(|Float|Map\(|JSON|Dynamic|Variant|Object")
"""Types that keys have not: NULL and NaN are equal to nothing."""

UNFILLED = ", lacks rows from before"

OF_A_MESSAGE = "_topic != ''"
"""SQL: a row of a table that was there before nrtctl is of no message, and belongs to no state."""


def state_of(pipeline: Pipeline, name: str) -> str:
    """The table of a state: named after the table of rows, and after what it holds."""
    kinds = [(field, kind.text) for field, kind in field_types(pipeline).items()]
    columns = list(pipeline.columns.items())  # their types follow from that
    one = pipeline.latest[name]
    held = (kinds, columns, one.key, _state_query(pipeline, one, "_"))
    mark = hashlib.sha256(repr(held).encode()).hexdigest()[:8]
    return f"{pipeline.table}_latest_{name}_{mark}"


def filled(table: str) -> str:
    """The comment of a state that has all rows of the table."""
    return f"{MARK}latest of {table}"


def unfilled(table: str) -> str:
    """Its comment until then."""
    return f"{filled(table)}{UNFILLED}"


def feed_of(state: str) -> str:
    """The materialized view that fills it."""
    return f"{state}_feed"


def known_names(table: str) -> str:
    """A regular expression: names of the states of a table of rows, and of what fills them."""
    return f"^{table}_latest_[A-Za-z0-9_]+_[0-9a-f]{{8}}(_feed)?$"


def states(pipeline: Pipeline) -> dict[str, str]:
    """Name of the view that is read to the table of the state."""
    return {name: state_of(pipeline, name) for name in pipeline.latest}


def state_columns(table_columns: Mapping[str, str]) -> dict[str, str]:
    """Column to type and default. Args: table_columns: of the table of rows."""
    return {**table_columns, **_OWN}


def columns_of_rows(pipeline: Pipeline) -> list[str]:
    """The columns of a row but for the time of the insert."""
    several = [] if pipeline.rows is None else ["_row", "_rows"]
    names = [*pipeline.fields, *pipeline.columns]
    return [*COORDINATES.split(", "), *several, *(f"`{name}`" for name in names)]


def state_table(
    pipeline: Pipeline, database: str, name: str, columns: str, cluster: str | None = None
) -> str:
    """It forgets tokens, so that a repeat completes what an insert that was interrupted has left
    out.

    Args:
        columns: the text between the parentheses.
        cluster: the pipeline is as it is on each of its servers.
    """
    by = ", ".join(f"`{each}`" for each in pipeline.latest[name].key)
    state = state_of(pipeline, name)
    engine, settings = f"ReplacingMergeTree({ORDER})", ""
    if cluster is not None:
        path = f"'/clickhouse/tables/{{shard}}/{database}/{state}', '{{replica}}'"
        engine = f"ReplicatedReplacingMergeTree({path}, {ORDER})"
        settings = " SETTINGS replicated_deduplication_window = 0"
    return (
        f"CREATE TABLE IF NOT EXISTS {database}.{state}{on(cluster)} ({columns}) "
        f"ENGINE = {engine} ORDER BY ({by}){settings} COMMENT '{unfilled(pipeline.table)}'"
    )


def feeding_query(pipeline: Pipeline, name: str, accepted: str) -> str:
    """Rows of the state. Args: accepted: SELECT of rows as they are stored."""
    return _state_query(pipeline, pipeline.latest[name], f"({accepted})")


def filling_query(pipeline: Pipeline, database: str, name: str, where: str) -> str:
    """The same from the table of rows, with the time of their insert."""
    source = f"(SELECT * FROM {database}.{pipeline.table} WHERE {OF_A_MESSAGE} AND {where})"
    return _state_query(pipeline, pipeline.latest[name], source, "_inserted_at, ")


def reading_query(pipeline: Pipeline, database: str, name: str, cluster: str | None = None) -> str:
    """What the view answers: the newest row of each key that is not deleted."""
    columns = [*columns_of_rows(pipeline), "_inserted_at"]
    state = f"{database}.{state_of(pipeline, name)}"
    if cluster is None:
        return f"SELECT {', '.join(columns)} FROM {state} FINAL WHERE {DELETED} = 0"
    key = [f"`{each}`" for each in pipeline.latest[name].key]
    others = [each for each in columns if each not in key]
    newest = [f"_newest.{others.index(c) + 1} AS {c}" if c in others else c for c in columns]
    return (
        f"SELECT {', '.join(newest)} FROM (SELECT {', '.join(key)}, "
        f"argMax(tuple({', '.join(others)}, {DELETED}), {ORDER}) AS _newest "
        f"FROM {state} GROUP BY {', '.join(key)}) WHERE _newest.{len(others) + 1} = 0"
    )


def _state_query(pipeline: Pipeline, latest: Latest, source: str, also: str = "") -> str:
    columns = ", ".join(columns_of_rows(pipeline))
    deleted = f"ifNull(({latest.deleted}), 0) != 0" if latest.deleted else "0"
    return (
        f"SELECT {also}{columns}, toUInt8({deleted}) AS {DELETED}, "
        f"{_order(latest, several=pipeline.rows is not None)} AS {ORDER} FROM {source}"
    )


def _order(latest: Latest, *, several: bool) -> str:
    """SQL of 256 bits: version 96, incarnation 24, topic 16, partition 32, offset 64, row 24."""
    place = (
        ("_incarnation", 24),
        ("cityHash64(_topic) % 65536", 16),
        ("_partition", 32),
        ("_offset", 64),
        ("_row" if several else "0", 24),
    )
    parts, shift = [], 0
    for sql, bits in reversed(place):
        if sql != "0":
            parts.append(
                f"bitShiftLeft(toUInt256({sql}), {shift})" if shift else f"toUInt256({sql})"
            )
        shift += bits
    if latest.version is not None:
        number = f"reinterpretAsInt128(toDecimal128(({latest.version}), {SCALE}))"
        parts.append(f"bitShiftLeft(toUInt256({number} + {_LOWEST}), {shift})")
    return " + ".join(reversed(parts))
