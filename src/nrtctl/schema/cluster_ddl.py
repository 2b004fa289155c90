"""A pipeline on a cluster, as statements. Pure text; `schema.cluster` runs it.

On every server of each shard, the chain of `ddl` under names that end in `_local`, with the tables
that keep rows replicated. Over it, under the pipeline's own names, Distributed tables that send a
row to the shard of its Kafka partition: so a batch, which is of one partition, is one insert into
one shard, and its repeat goes to the same. Source of the engines' syntax:
https://clickhouse.com/docs/engines/table-engines/special/distributed and
https://clickhouse.com/docs/engines/table-engines/mergetree-family/replication.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nrtctl.clickhouse.cluster import local, on
from nrtctl.pipeline import Pipeline
from nrtctl.schema import ddl, latest
from nrtctl.schema.steps import mark_of

SHARDING_KEY = "_partition"


@dataclass(frozen=True, slots=True)
class Made:
    """One object. `mark`: the comment of a view, which names its query."""

    kind: str
    name: str
    sql: str
    mark: str | None = None


def on_each_server(pipeline: Pipeline, cluster: str | None) -> Pipeline:
    """The pipeline under the names that it has on each server."""
    names = {name: local(getattr(pipeline, name), cluster) for name in ("table", "dead_letters")}
    return pipeline.model_copy(update=names)


def distributed(
    pipeline: Pipeline, column_types: Mapping[str, str]
) -> dict[str, Mapping[str, str]]:
    """Name to columns of the tables that stand for those of all shards."""
    rows = ddl.table_columns(pipeline, column_types)
    return {
        pipeline.table: rows,
        pipeline.dead_letters: ddl.dead_letter_columns(pipeline),
        pipeline.letter_log: ddl.letter_log_columns(),
        pipeline.landing: ddl.landing_columns(decoded=pipeline.is_decoded),
        **dict.fromkeys(latest.states(pipeline).values(), latest.state_columns(rows)),
    }


def statements(
    pipeline: Pipeline, database: str, cluster: str, column_types: Mapping[str, str]
) -> list[Made]:
    """All that `up` makes, in an order in which nothing is stored before all of it is there."""
    there = on_each_server(pipeline, cluster)
    made = [
        Made("database", database, f"CREATE DATABASE IF NOT EXISTS {database}{on(cluster)}"),
        Made("table", there.table, ddl.table(there, database, column_types, cluster)),
        Made("table", there.dead_letters, ddl.dead_letters(there, database, cluster)),
        Made("table", there.letter_log, ddl.letter_log(there, database, cluster)),
        Made("table", there.parsed, ddl.parsed(there, database, cluster)),
        Made("table", there.landing, ddl.landing(there, database, cluster)),
        Made("table", ddl.INCARNATIONS, ddl.incarnations(database, cluster)),
        *(
            Made("table", state, ddl.state_table(there, database, name, column_types, cluster))
            for name, state in latest.states(there).items()
        ),
    ]
    for name, (target, query) in feeding_views(pipeline, database, cluster).items():
        made.append(
            Made(
                "view",
                name,
                f"CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.{name}{on(cluster)} "
                f"TO {target} AS {query} COMMENT '{mark_of(query)}'",
                mark_of(query),
            )
        )
    locals_ = (
        *(there.table, there.dead_letters, there.letter_log, there.landing),
        *latest.states(there).values(),
    )
    comments = {
        state: f" COMMENT '{latest.unfilled(pipeline.table)}'"
        for state in latest.states(pipeline).values()
    }
    for (name, columns), behind in zip(
        distributed(pipeline, column_types).items(), locals_, strict=True
    ):
        made.append(
            Made(
                "table",
                name,
                f"CREATE TABLE IF NOT EXISTS {database}.{name}{on(cluster)} "
                f"({ddl.structure(columns)}) ENGINE = "
                f"Distributed('{cluster}', '{database}', '{behind}', {SHARDING_KEY})"
                f"{comments.get(name, '')}",
            )
        )
    for name, query in ddl.reading_views(pipeline, database).items():
        made.append(
            Made(
                "view",
                name,
                f"CREATE VIEW IF NOT EXISTS {database}.{name}{on(cluster)} "
                f"AS {query} COMMENT '{mark_of(query)}'",
                mark_of(query),
            )
        )
    return made


def feeding_views(
    pipeline: Pipeline, database: str, cluster: str | None
) -> dict[str, tuple[str, str]]:
    """As `ddl.feeding_views`, on each server; dead letters name the pipeline's own table."""
    if cluster is None:
        return ddl.feeding_views(pipeline, database)
    there = on_each_server(pipeline, cluster)
    views = ddl.feeding_views(there, database)
    target, _ = views[f"{there.table}_rejected"]
    parsed = f"{database}.{there.parsed}"
    return {**views, f"{there.table}_rejected": (target, ddl.rejected_query(pipeline, parsed))}


def feeding_targets(pipeline: Pipeline, database: str, cluster: str | None) -> dict[str, str]:
    """As `feeding_views`, without the queries."""
    return ddl.feeding_targets(on_each_server(pipeline, cluster), database)


def own_tables(pipeline: Pipeline, cluster: str) -> list[str]:
    """Those that no other pipeline of the database has, in the order in which they are dropped."""
    there = on_each_server(pipeline, cluster)
    states = [*latest.states(pipeline).values(), *latest.states(there).values()]
    return [pipeline.landing, there.landing, there.parsed, *states, pipeline.table, there.table]


def needed(pipeline: Pipeline, database: str, cluster: str | None) -> list[str]:
    """Every table and view that must be there for an insert to be stored."""
    if cluster is None:
        return ddl.needed(pipeline, database)
    behind = ddl.needed(on_each_server(pipeline, cluster), database)
    return [pipeline.landing, pipeline.table, pipeline.dead_letters, *behind]
