"""Erase what dead letters say, and keep that they were. Called by `nrtctl dlq purge`.

Key, value, headers and the server's error go; the row stays with its offset and its reason, so that
`verify` still accounts for every offset. Kafka has the message until its retention takes it.
"""

from __future__ import annotations

import time
from dataclasses import replace

from nrtctl.clickhouse.queries import Storage
from nrtctl.dead_letters.letters import among, incarnations_of, log_letters, pages
from nrtctl.dead_letters.selection import Selection
from nrtctl.pipeline import Pipeline
from nrtctl.schema.cluster_ddl import on_each_server
from nrtctl.store import doubles
from nrtctl.store.deletion import change, settle, sleeping
from nrtctl.store.rows import LARGE
from nrtctl.store.target import letters_of

_ERASED = "key = NULL, value = NULL, headers = [], error = '', purged_at = now64(3)"


def purge(
    storage: Storage,
    pipeline: Pipeline,
    database: str,
    selection: Selection,
    *,
    cluster: str | None = None,
) -> int:
    """Purge the letters of the selection; how many. An interrupted one is finished by the next."""
    kept = on_each_server(pipeline, cluster)
    tables = (f"{database}.{each}" for each in (kept.dead_letters, kept.letter_log))
    settle(storage, tables, cluster)
    return sum(
        _purge(storage, pipeline, database, replace(selection, incarnation=number), cluster)
        for number in incarnations_of(storage, pipeline, database, selection)
    )


def _purge(
    storage: Storage,
    pipeline: Pipeline,
    database: str,
    selection: Selection,
    cluster: str | None,
) -> int:
    """Args: selection: of one incarnation of the topic."""
    done = 0
    kept = on_each_server(pipeline, cluster)
    letters, log = f"{database}.{kept.dead_letters}", f"{database}.{kept.letter_log}"
    where = selection.where(pipeline)
    for page in pages(storage, pipeline, database, where, size=doubles.MOST):
        these = f"{letters_of(pipeline, selection.incarnation)} AND {among(page)}"
        log_letters(storage, pipeline, database, these, "purged")
        for table, what, left in (
            (log, "error = ''", "error != ''"),
            (letters, _ERASED, "purged_at IS NULL"),
        ):
            condition = f"{these} AND {left}"
            change(
                storage,
                table,
                f"UPDATE {what} WHERE {condition}",
                condition,
                sleeping(time.sleep, table),
                cluster=cluster,
                settings=LARGE,
            )
        done += len(page)
    return done
