"""Which parts of a table still lack a projection. Called by `stack.up`.

A projection that is added to a table is built by the server, part by part, in the background
(`MATERIALIZE PROJECTION`); that goes on after a restart. Until a part has it, its rows are read
themselves, so a rollup is right all the while.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nrtctl.clock import Clock
from nrtctl.config.counted import counted
from nrtctl.errors import NrtctlError
from nrtctl.schema.check import Client

LOOK_SECONDS = 0.2

_COMMAND = re.compile(r"\(?MATERIALIZE PROJECTION (?:IF EXISTS )?`?(\w+)`?")


@dataclass(frozen=True, slots=True)
class Building:
    """A projection that parts of the table lack.

    Attributes:
        parts: active parts of the table, `left` of which are to be built.
        running: whether the server has been told to.
        failure: what it met the last time it tried; empty: nothing.
    """

    projection: str
    parts: int
    left: int
    running: bool
    failure: str = ""

    def __str__(self) -> str:
        return (
            f"{self.projection}: {self.left:,} of {counted(self.parts, 'part')} still to be built"
        )


def unbuilt(client: Client, database: str, table: str) -> list[Building]:
    """What the server builds, and what parts lack that nobody told it to build; by name.

    Parts come and go between the questions of one look, so where nothing is built a part counts
    as lacking a projection only if it did so in two looks.
    """
    named = {"d": database, "t": table}
    rows = client.query(
        "SELECT command, latest_fail_reason FROM system.mutations "
        "WHERE database = {d:String} AND table = {t:String} AND NOT is_done",
        named,
    )
    running = {
        match[1]: str(failure) for command, failure in rows if (match := _COMMAND.match(command))
    }
    lacking, parts = _lacking(client, named, of_no_part=bool(running))
    idle = {name: absent for name, absent in lacking.items() if absent and name not in running}
    if idle:
        again, _ = _lacking(client, named, of_no_part=False)
        idle = {name: found for name in idle if (found := idle[name] & again.get(name, set()))}
    return [
        Building(name, parts, len(lacking[name]), name in running, running.get(name, ""))
        for name in sorted(lacking)
        if name in running or name in idle
    ]


def _lacking(
    client: Client, named: dict[str, str], *, of_no_part: bool
) -> tuple[dict[str, set[str]], int]:
    """Projection to the parts without it, and how many parts there are.

    Args:
        of_no_part: the projections of a table without parts are wanted, too.
    """
    of_table = "WHERE database = {d:String} AND table = {t:String}"
    parts = {
        str(row[0])
        for row in client.query(
            f"SELECT name FROM system.parts {of_table} AND active AND rows > 0", named
        )
    }
    if not parts and not of_no_part:
        return {}, 0
    names = client.query(f"SELECT name FROM system.projections {of_table}", named)
    lacking = {str(row[0]): set(parts) for row in names}
    built = client.query(
        f"SELECT name, groupArray(parent_name) FROM system.projection_parts {of_table} "
        "AND active GROUP BY name",
        named,
    )
    for name, parents in built:
        if name in lacking:
            lacking[name] -= set(parents)
    return lacking, len(parts)


def build(client: Client, database: str, table: str, projection: str) -> None:
    """In the background: servers differ in whether they wait of themselves."""
    client.command(
        f"ALTER TABLE {database}.{table} MATERIALIZE PROJECTION {projection}", {"mutations_sync": 0}
    )


def build_the_rest(client: Client, database: str, table: str) -> list[Building]:
    """Have built what parts lack although nobody builds it; everything that is left is returned.

    An insert that began before a projection was added may end after the server was told to build
    it. Its part has no projection, is not built, and is not merged with parts that have it.
    """
    left = unbuilt(client, database, table)
    for each in left:
        if not each.running:
            build(client, database, table, each.projection)
    return left


def wait_until_built(
    look: Callable[[], Sequence[Building]], show: Callable[[Sequence[Building]], None], clock: Clock
) -> None:
    """Return when `look` (`build_the_rest`) leaves nothing; `show` is told what is, each time.

    Raises:
        NrtctlError: the server cannot build one.
    """
    while left := look():
        show(left)
        for each in left:
            if each.failure:
                raise NrtctlError(
                    f"ClickHouse cannot build the projection {each.projection}: {each.failure}",
                    hint=f"change pipeline.rollups.{each.projection} and run `nrtctl up` again",
                )
        clock.sleep(LOOK_SECONDS)
