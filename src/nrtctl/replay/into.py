"""Another table for the same pipeline, with what feeds it. Called by `nrtctl replay load --into`.

It gets the DDL of the present configuration under another name, and its dead letters are told from
the others by that name.
"""

from __future__ import annotations

from hashlib import blake2b

from pydantic import ValidationError

from nrtctl.clickhouse.cluster import on, replicas
from nrtctl.config.problems import of_option
from nrtctl.errors import ConfigError
from nrtctl.pipeline import Pipeline
from nrtctl.schema import ddl, latest
from nrtctl.schema.apply import drop_feeding
from nrtctl.schema.check import Client
from nrtctl.schema.cluster import drop_beside
from nrtctl.schema.cluster_ddl import feeding_targets, own_tables


def pipeline_into(pipeline: Pipeline, table: str) -> Pipeline:
    """Raises ConfigError: this is no name for it, or the pipeline has several topics."""
    if pipeline.topics is not None:
        raise ConfigError(
            f"--into: {pipeline.table} has the rows of several topics, and the other table would "
            f"have those of {pipeline.topic} alone",
            hint="`nrtctl replay load` without --into loads this topic's rows again, in place",
        )
    if table == pipeline.table:
        raise ConfigError(
            f"{table} is the pipeline's own table",
            hint="leave out --into to load it again, or name another table",
        )
    try:
        found = Pipeline.model_validate({**pipeline.model_dump(), "table": table})
    except ValidationError as error:
        raise ConfigError(f"--into: {of_option(error)}") from error
    return found.beside(pipeline.others)


def fingerprint(pipeline: Pipeline, database: str) -> str:
    """Differs where the pipeline would store something else, or otherwise."""
    texts = [
        ddl.table(pipeline, database, dict.fromkeys(pipeline.columns, "")),
        *(query for _, query in ddl.feeding_views(pipeline, database).values()),
    ]
    return blake2b("\n".join(texts).encode(), digest_size=8).hexdigest()


def refuse_existing(client: Client, pipeline: Pipeline, database: str, cluster: str | None) -> None:
    """Raises ConfigError: a table or view of that name is there, on any server."""
    own = [pipeline.table, *feeding_targets(pipeline, database, cluster)]
    own += [pipeline.landing, pipeline.parsed, *latest.states(pipeline).values()]
    own += own_tables(pipeline, cluster) if cluster is not None else []
    listed = ", ".join(f"'{name}'" for name in own)
    for source in dict.fromkeys(("system.tables", replicas("system.tables", cluster))):
        found = client.query(
            f"SELECT name FROM {source} WHERE database = '{database}' AND name IN ({listed})"
        )
        if found:
            name = f"{database}.{found[0][0]}"
            drop = f"DROP TABLE {name}{on(cluster)}{' SYNC' if cluster else ''}"
            raise ConfigError(
                f"{name} exists already",
                hint="name another table, or drop this one if nobody needs it: "
                f'`nrtctl query --write "{drop}"`',
            )


def drop(client: Client, pipeline: Pipeline, database: str, cluster: str | None) -> None:
    """The table and what feeds it. Its dead letters are the caller's."""
    if cluster is not None:
        drop_beside(client, pipeline, database, cluster)
        return
    drop_feeding(client, pipeline, database)
    client.command(f"DROP TABLE IF EXISTS {database}.{pipeline.table}")
