"""Create a table again that has no rows, since what is wanted of it cannot be altered.

The old one is renamed first: from then on an insert finds no table, and the consumer waits and
sends it again. An insert that was under way still reaches the old table, which is dropped only when
none is and it has no rows.
"""

from __future__ import annotations

from collections.abc import Callable

from nrtctl.clock import Clock
from nrtctl.errors import NrtctlError
from nrtctl.schema.check import Client

_LOOKS = 50
_LOOK_SECONDS = 0.1


def set_aside_name(table: str) -> str:
    return f"{table}_set_aside"


def take_back(client: Client, database: str, table: str, tables: dict[str, str]) -> bool:
    """Finish what was interrupted: one table of the two is left. Whether anything was done.

    Args:
        tables: name to engine, of all that the database has; corrected.

    Raises:
        NrtctlError: both have rows.
    """
    aside = set_aside_name(table)
    if aside not in tables:
        return False
    name, other = f"{database}.{table}", f"{database}.{aside}"
    if not _has_rows(client, other):
        client.command(f"DROP TABLE IF EXISTS {other}")
    elif table not in tables:
        client.command(f"RENAME TABLE {other} TO {name}")
        tables[table] = tables[aside]
    else:
        raise NrtctlError(
            f"while {name} was being created again, rows were stored in {other}",
            hint=f"`nrtctl verify --repair` stores them in {name} as well; then drop {other}",
        )
    del tables[aside]
    return True


def make_again(
    client: Client, database: str, table: str, make: Callable[[], None], clock: Clock
) -> bool:
    """Whether it was done; else rows came in between, and the table is as it was.

    Args:
        make: creates the table.

    Raises:
        NrtctlError: rows came afterwards, into the old table.
    """
    name, aside = f"{database}.{table}", f"{database}.{set_aside_name(table)}"
    client.command(f"RENAME TABLE {name} TO {aside}")
    for _ in range(_LOOKS):
        if not _inserting(client):
            break
        clock.sleep(_LOOK_SECONDS)
    if _has_rows(client, aside):
        client.command(f"RENAME TABLE {aside} TO {name}")
        return False
    make()
    take_back(client, database, table, {table: "", set_aside_name(table): ""})
    return True


def _has_rows(client: Client, name: str) -> bool:
    return bool(client.query(f"SELECT 1 FROM {name} LIMIT 1"))


def _inserting(client: Client) -> bool:
    """Whether an insert of this user is under way, as far as the server says."""
    return bool(
        client.query(
            "SELECT 1 FROM system.processes WHERE query_kind = 'Insert' AND user = currentUser() "
            "LIMIT 1"
        )
    )
