"""Erase what dead letters say, and keep that they were. Called by `nrtctl dlq purge`.

Key, value, headers and the server's error go; the row stays with its offset and its reason, so that
`verify` still accounts for every offset. Kafka has the message until its retention takes it.
"""

from __future__ import annotations

from nrtctl.dead_letters.letters import LARGE, Storage, among, log_sql, pages
from nrtctl.dead_letters.selection import Selection, of_pipeline
from nrtctl.pipeline import Pipeline
from nrtctl.verify import doubles

MUTATION = {**LARGE, "mutations_sync": 2}


def purge(storage: Storage, pipeline: Pipeline, database: str, selection: Selection) -> int:
    """Purge the letters of the selection; how many. An interrupted one is finished by the next."""
    done = 0
    letters, log = f"{database}.{pipeline.dead_letters}", f"{database}.{pipeline.letter_log}"
    where = selection.where(pipeline)
    for page in pages(storage, pipeline, database, where, size=doubles.MOST):
        these = f"{of_pipeline(pipeline)} AND {among(page)}"
        storage.command(log_sql(pipeline, database, these, "purged"), LARGE)
        storage.command(f"ALTER TABLE {log} UPDATE error = '' WHERE {these}", MUTATION)
        storage.command(
            f"ALTER TABLE {letters} UPDATE key = NULL, value = NULL, headers = [], error = '', "
            f"purged_at = now64(3) WHERE {these} AND purged_at IS NULL",
            MUTATION,
        )
        done += len(page)
    return done
