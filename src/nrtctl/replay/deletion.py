"""Delete rows and see that they are gone. Called by `load` and `swap`."""

from __future__ import annotations

from nrtctl.clickhouse import ClickHouseClient
from nrtctl.clock import Clock
from nrtctl.errors import NrtctlError
from nrtctl.verify.doubles import wait_for_mutations


def delete(client: ClickHouseClient, table: str, where: str, *, clock: Clock, again: str) -> None:
    """Nothing is asked of the server where no row is meant.

    Args:
        again: the command that tries again.

    Raises:
        NrtctlError: rows are still there afterwards.
    """
    if not count(client, table, where):
        return
    client.command(f"ALTER TABLE {table} DELETE WHERE {where}", {"validate_mutation_query": 0})
    wait_for_mutations(client, table, clock.sleep)
    if left := count(client, table, where):
        raise NrtctlError(
            f"{left} rows of {table} are still there after their deletion",
            hint=f"`{again}` tries again",
        )


def count(client: ClickHouseClient, table: str, where: str) -> int:
    return int(client.query(f"SELECT count() FROM {table} WHERE {where}")[0][0])


def server_time(client: ClickHouseClient) -> int:
    """Milliseconds since the epoch."""
    return int(client.query("SELECT toUnixTimestamp64Milli(now64(3))")[0][0])
