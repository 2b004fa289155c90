"""Erase what dead letters say, and keep that they were. Called by `nrtctl dlq purge`.

Key, value, headers and the server's error go; the row stays with its offset and its reason, so that
`verify` still accounts for every offset. Kafka has the message until its retention takes it.
"""

from __future__ import annotations

import time
from dataclasses import replace

from nrtctl.clickhouse.queries import Storage
from nrtctl.dead_letters.letters import among, incarnations_of, log_sql, pages
from nrtctl.dead_letters.selection import Selection
from nrtctl.pipeline import Pipeline
from nrtctl.store import doubles
from nrtctl.store.deletion import sleeping, wait_for_mutations
from nrtctl.store.rows import LARGE
from nrtctl.store.target import letters_of


def purge(storage: Storage, pipeline: Pipeline, database: str, selection: Selection) -> int:
    """Purge the letters of the selection; how many. An interrupted one is finished by the next."""
    return sum(
        _purge(storage, pipeline, database, replace(selection, incarnation=number))
        for number in incarnations_of(storage, pipeline, database, selection)
    )


def _purge(storage: Storage, pipeline: Pipeline, database: str, selection: Selection) -> int:
    """Args: selection: of one incarnation of the topic."""
    done = 0
    letters, log = f"{database}.{pipeline.dead_letters}", f"{database}.{pipeline.letter_log}"
    where = selection.where(pipeline)
    for page in pages(storage, pipeline, database, where, size=doubles.MOST):
        these = f"{letters_of(pipeline, selection.incarnation)} AND {among(page)}"
        storage.command(log_sql(pipeline, database, these, "purged"), LARGE)
        storage.command(f"ALTER TABLE {log} UPDATE error = '' WHERE {these}", LARGE)
        storage.command(
            f"ALTER TABLE {letters} UPDATE key = NULL, value = NULL, headers = [], error = '', "
            f"purged_at = now64(3) WHERE {these} AND purged_at IS NULL",
            LARGE,
        )
        for table in (log, letters):
            wait_for_mutations(storage, table, sleeping(time.sleep, table))
        done += len(page)
    return done
