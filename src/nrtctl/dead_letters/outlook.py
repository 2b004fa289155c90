"""What a dead letter would become, in depth: its rows, or all that is wrong. Changes nothing.

Called by `cli.dashboard_fixes`, with the same verdict as `replay` has.
"""

from __future__ import annotations

from dataclasses import dataclass

from nrtctl.clickhouse.queries import Storage
from nrtctl.dead_letters.judging import SETTINGS, Judge, Rejection
from nrtctl.dead_letters.letters import pages
from nrtctl.dead_letters.selection import Selection
from nrtctl.pipeline import Pipeline
from nrtctl.schema import ddl
from nrtctl.schema.field_faults import Finding, faults_query, finding
from nrtctl.schema.parsing import parse_query
from nrtctl.store.envelope import Decode


@dataclass(frozen=True, slots=True)
class Outlook:
    """Attributes:
    rejection: why it would be a dead letter again; None: it would be stored.
    faults: the fields that are wrong then.
    rows: SQL of the rows that it would become, without their coordinates.
    varying: functions of the fix that give another result each time, so that a replay stores
        other values than those.
    """

    rejection: Rejection | None
    faults: list[Finding]
    rows: str
    varying: list[str]


def outlook(
    storage: Storage,
    pipeline: Pipeline,
    database: str,
    selection: Selection,
    *,
    fix: str,
    cluster: str | None = None,
    decode: Decode | None = None,
) -> Outlook | None:
    """Of the one letter of `selection`, of one incarnation; None: there is none.

    Args:
        fix: SQL that makes its value, and was checked.
        decode: of messages that are no JSON.

    Raises:
        QueryError, ClickHouseGone: it cannot be told.
    """
    where = selection.where(pipeline)
    letters = next(pages(storage, pipeline, database, where, size=1), [])
    judge = Judge(storage, pipeline, database, cluster=cluster, where=where, fix=fix, decode=decode)
    for source in judge.sources(letters) if letters else ():
        found = storage.query(faults_query(pipeline, source, "_offset"), settings=SETTINGS)
        accepted = ddl.accepted_query(pipeline, f"({parse_query(pipeline, source)})")
        return Outlook(
            judge.judge(letters).rejected.get(letters[0]),
            [finding(each) for row in found for each in row[1]],
            f"SELECT * EXCEPT('^_') FROM ({accepted})",
            judge.varying(),
        )
    return None
