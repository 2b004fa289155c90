"""Give a table its projections, and take those of rollups that are gone. Called by `apply`.

A projection that a table lacks is added at once and built for the parts from before in the
background (`building`). Of what is there, only what `up` made is dropped: a rollup that the
configuration no longer has, with its view. That loses nothing but time: the same rollup can be
built again from the rows.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Mapping

from nrtctl.errors import QueryError
from nrtctl.pipeline import Pipeline
from nrtctl.schema import building, ddl
from nrtctl.schema.check import Client
from nrtctl.schema.existing import Existing
from nrtctl.schema.steps import CHANGING, Step, mark_of

DROP_TRIES, DROP_PAUSE = 20, 0.2
UNDER_WAY = "is not finished yet"
"""What the server says of a mutation that keeps a projection from being dropped (BAD_ARGUMENTS)."""


def changed(pipeline: Pipeline, database: str, there: Existing) -> list[str]:
    """The pipeline's projections that its table lacks, or has otherwise."""
    views = ddl.reading_views(pipeline, database)
    return [
        name
        for name in ddl.projections(pipeline)
        if name not in there.projections(pipeline.table)
        or (name in views and there.comments.get(name) != mark_of(views[name]))
        or _without_incarnation(name, there.projections(pipeline.table)[name])
        or (
            name == ddl.BY_OFFSET
            and any(
                each not in there.projections(pipeline.table)[name].split(", ")
                for each in ddl.row_columns(pipeline)
            )
        )
    ]


def _without_incarnation(name: str, query: str) -> bool:
    """It was made when offsets were counted without telling apart topics of one name."""
    return name in {ddl.OFFSETS, ddl.BY_OFFSET} and "_incarnation" not in query


def apply_projections(
    client: Client, pipeline: Pipeline, database: str, there: Existing
) -> list[Step]:
    """Of the table and of the dead letters. Drops rollups that are not the pipeline's any more."""
    wanted = ddl.projections(pipeline)
    anew = changed(pipeline, database, there)
    dropped = _drop_rollups(client, pipeline, database, there)
    steps = dropped + _of_table(client, database, pipeline.table, there, wanted, anew)
    gone = {step.name for step in dropped}
    steps += [
        Step("projection", name, "kept, though not in the pipeline")
        for name in there.projections(pipeline.table)
        if name not in wanted and name not in gone
    ]
    letters = ddl.dead_letter_projections()
    known = there.projections(pipeline.dead_letters)
    anew = [
        name for name in letters if name not in known or _without_incarnation(name, known[name])
    ]
    if pipeline.dead_letters in there.tables:
        steps += [
            Step(each.kind, f"{pipeline.dead_letters}.{each.name}", each.action)
            for each in _of_table(client, database, pipeline.dead_letters, there, letters, anew)
            if each.name in anew
        ]
    return steps


def _of_table(
    client: Client,
    database: str,
    name: str,
    there: Existing,
    wanted: Mapping[str, str],
    anew: Collection[str],
) -> list[Step]:
    if name not in there.tables:
        return [Step("projection", each, "made") for each in wanted]
    table = f"{database}.{name}"
    if anew:
        _stop_building(client, database, name, *_failing(client, database, name))
    left = {b.projection: b for b in building.unbuilt(client, database, name)}
    steps = []
    for each, sql in wanted.items():
        if each not in anew:
            if each in left and not left[each].running:
                building.build(client, database, name, each)
            steps.append(Step("projection", each, "kept"))
            continue
        if each in there.tables:
            client.command(f"ALTER TABLE {database}.{each} MODIFY COMMENT '{CHANGING}'")
        known = each in there.projections(name)
        if known:
            drop(client, database, name, each)
        client.command(
            f"ALTER TABLE {table} ADD {sql.replace('PROJECTION', 'PROJECTION IF NOT EXISTS', 1)}"
        )
        building.build(client, database, name, each)
        steps.append(Step("projection", each, "changed" if known else "made"))
    return steps


def _drop_rollups(client: Client, pipeline: Pipeline, database: str, there: Existing) -> list[Step]:
    """The view goes last: whatever is interrupted is found again by it."""
    source = re.compile(rf"\bFROM `?{database}`?\.`?{pipeline.table}`?(?!\w)")
    steps = []
    for name, query in there.views.items():
        if name in pipeline.rollups or not there.ours(name) or not source.search(query):
            continue
        if name in there.projections(pipeline.table):
            drop(client, database, pipeline.table, name)
        client.command(f"DROP VIEW IF EXISTS {database}.{name}")
        steps.append(Step("rollup", name, "dropped, as it is no longer in the pipeline"))
    return steps


def drop(client: Client, database: str, table: str, projection: str) -> None:
    """Whoever else changes the table may have it built again meanwhile, which is stopped, too."""
    for left in reversed(range(DROP_TRIES)):
        _stop_building(client, database, table, projection, *_failing(client, database, table))
        try:
            client.command(
                f"ALTER TABLE {database}.{table} DROP PROJECTION IF EXISTS {projection}",
                {"mutations_sync": 2},
            )
        except QueryError as error:
            if not left or UNDER_WAY not in error.message:
                raise
            time.sleep(DROP_PAUSE)
        else:
            return


def _failing(client: Client, database: str, table: str) -> list[str]:
    """A build that fails is tried for ever, and nothing that comes after it is."""
    return [b.projection for b in building.unbuilt(client, database, table) if b.failure]


def _stop_building(client: Client, database: str, table: str, *projections: str) -> None:
    for each in projections:
        client.command(
            f"KILL MUTATION WHERE database = '{database}' AND table = '{table}' AND NOT is_done "
            f"AND match(command, '^\\\\(?MATERIALIZE PROJECTION `?{each}`?\\\\)?$') SYNC"
        )
