"""Change a table that has no rows in a way that only a table without rows allows.

It is renamed first: from then on an insert finds no table, and the consumer waits and sends it
again. An insert that was under way still reaches the renamed table, so all of them are waited for
before it is looked whether it has rows.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from nrtctl.clock import Clock
from nrtctl.errors import NrtctlError
from nrtctl.schema.check import Client
from nrtctl.schema.inserts import wait_for_inserts

LOOKS = 150
"""As `inserts.LOOKS`, while consumers find no table: half a minute."""


def set_aside_name(table: str) -> str:
    return f"{table}_set_aside"


def take_back(
    client: Client, database: str, table: str, tables: dict[str, str], clock: Clock
) -> bool:
    """Finish what was interrupted: one table of the two is left. Whether anything was done.

    Args:
        tables: name to engine, of all that the database has; corrected.

    Raises:
        NrtctlError: both have rows, or inserts that are under way do not end.
    """
    aside = set_aside_name(table)
    if aside not in tables:
        return False
    name, other = f"{database}.{table}", f"{database}.{aside}"
    if table not in tables:
        client.command(f"RENAME TABLE {other} TO {name}")
        tables[table] = tables[aside]
    else:
        wait_for_inserts(client, table, clock)
        if _has_rows(client, other):
            raise NrtctlError(
                f"while {name} was being created again, rows were stored in {other}",
                hint=f"`nrtctl verify --repair` stores them in {name} as well; then drop {other}",
            )
        client.command(f"DROP TABLE IF EXISTS {other}")
    del tables[aside]
    return True


def make_again(
    client: Client, database: str, table: str, make: Callable[[], None], clock: Clock
) -> bool:
    """Create the table again. Whether it was done; else rows came in between, and the table is as
    it was.

    Args:
        make: creates the table.

    Raises:
        NrtctlError: inserts that are under way do not end; the table is as it was.
    """
    if not _set_aside(client, database, table, clock):
        return False
    make()
    client.command(f"DROP TABLE IF EXISTS {database}.{set_aside_name(table)}")
    return True


def alter_without_rows(
    client: Client, database: str, table: str, clauses: str, clock: Clock
) -> bool:
    """Alter the table, where a row that came meanwhile would get other values. Returns and raises
    as `make_again`."""
    if not _set_aside(client, database, table, clock):
        return False
    try:
        client.command(f"ALTER TABLE {database}.{set_aside_name(table)} {clauses}")
    finally:
        _put_back(client, database, table)
    return True


def _set_aside(client: Client, database: str, table: str, clock: Clock) -> bool:
    """Whether the table has no rows, and gets none any more; else it is where it was."""
    aside = f"{database}.{set_aside_name(table)}"
    client.command(f"RENAME TABLE {database}.{table} TO {aside}")
    try:
        wait_for_inserts(client, table, clock, looks=LOOKS)
        found = _has_rows(client, aside)
    except BaseException:
        with suppress(NrtctlError):  # else `take_back` does it
            _put_back(client, database, table)
        raise
    if found:
        _put_back(client, database, table)
    return not found


def _put_back(client: Client, database: str, table: str) -> None:
    client.command(f"RENAME TABLE {database}.{set_aside_name(table)} TO {database}.{table}")


def _has_rows(client: Client, name: str) -> bool:
    return bool(client.query(f"SELECT 1 FROM {name} LIMIT 1"))
