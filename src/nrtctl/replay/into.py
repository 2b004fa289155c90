"""Another table for the same pipeline, with what feeds it. Called by `nrtctl replay load --into`.

It gets the DDL of the present configuration under another name, and its dead letters are told from
the others by that name.
"""

from __future__ import annotations

from hashlib import blake2b

from pydantic import ValidationError

from nrtctl.errors import ConfigError
from nrtctl.pipeline import Pipeline
from nrtctl.schema import ddl, latest
from nrtctl.schema.apply import drop_feeding
from nrtctl.schema.check import Client


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
        raise ConfigError(f"--into: {error.errors()[0]['msg']}") from error
    return found.beside(pipeline.others)


def fingerprint(pipeline: Pipeline, database: str) -> str:
    """Differs where the pipeline would store something else, or otherwise."""
    texts = [
        ddl.table(pipeline, database, dict.fromkeys(pipeline.columns, "")),
        *(query for _, query in ddl.feeding_views(pipeline, database).values()),
    ]
    return blake2b("\n".join(texts).encode(), digest_size=8).hexdigest()


def refuse_existing(client: Client, pipeline: Pipeline, database: str) -> None:
    """Raises ConfigError: a table or view of that name is there."""
    own = [pipeline.table, *ddl.feeding_views(pipeline, database)]
    own += [pipeline.landing, pipeline.parsed, *latest.states(pipeline).values()]
    found = client.query(
        "SELECT name FROM system.tables WHERE database = {d:String} AND name IN {n:Array(String)}",
        {"d": database, "n": own},
    )
    if found:
        name = f"{database}.{found[0][0]}"
        raise ConfigError(
            f"{name} exists already",
            hint=f'drop it (`nrtctl query --write "DROP TABLE {name}"`), or name another table',
        )


def drop(client: Client, pipeline: Pipeline, database: str) -> None:
    """The table and what feeds it. Its dead letters are the caller's."""
    drop_feeding(client, pipeline, database)
    client.command(f"DROP TABLE IF EXISTS {database}.{pipeline.table}")
