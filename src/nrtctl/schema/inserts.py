"""Wait for the inserts that are under way. Called by what must know what a table holds:
`empty_table`, `keeping_latest`.

An insert has chosen its tables when it begins: what is renamed, dropped or fed anew afterwards
gets, or lacks, its rows only when it ends.
"""

from __future__ import annotations

from nrtctl.clickhouse.cluster import replicas
from nrtctl.clickhouse.queries import Queries
from nrtctl.clock import Clock
from nrtctl.clock.notices import if_it_lasts
from nrtctl.config.counted import counted
from nrtctl.errors import NrtctlError

LOOK_SECONDS = 0.2
LOOKS = 1_500
"""How often it is looked whether the inserts that were under way have ended: five minutes."""


def wait_for_inserts(
    storage: Queries,
    table: str,
    clock: Clock,
    *,
    cluster: str | None = None,
    looks: int = LOOKS,
) -> None:
    """Return when every insert that is under way now, and may be into `table`, has ended: each of
    this user, and those of others whose text names it, as that of a consumer does.

    Args:
        table: without its database.
        cluster: those on all servers of it are meant.

    Raises:
        NrtctlError: they do not end.
    """
    began = _under_way(storage, table, cluster)
    with if_it_lasts(lambda: f"waiting for {counted(len(began), 'insert')} under way to end"):
        for _ in range(looks):
            began &= _under_way(storage, table, cluster)
            if not began:
                return
            clock.sleep(LOOK_SECONDS)
    raise NrtctlError(
        f"{counted(len(began), 'insert')} under way did not end, so it is not known what was "
        "stored",
        hint="run the command again when they have ended; "
        "SELECT * FROM system.processes shows them",
    )


def _under_way(storage: Queries, table: str, cluster: str | None) -> set[str]:
    rows = storage.query(
        f"SELECT query_id FROM {replicas('system.processes', cluster)} "
        "WHERE query_kind = 'Insert' AND (user = currentUser() OR position(query, {t:String}) > 0)",
        {"t": table},
    )
    return {str(row[0]) for row in rows}
