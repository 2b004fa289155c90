"""A projection is dropped although somebody else has it built at the same moment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from nrtctl.errors import QueryError
from nrtctl.schema import projections

BUSY = (
    "Cannot drop projection by_kind because it's affected by mutation with ID 'mutation_3.txt' "
    "which is not finished yet. Wait this mutation, or KILL it. (BAD_ARGUMENTS)"
)


class Server:
    """Refuses to drop a projection so many times."""

    def __init__(self, refusals: int, why: str = BUSY) -> None:
        self.refusals = refusals
        self.why = why
        self.commands: list[str] = []

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[Any]:
        return []

    def command(self, sql: str, settings: Mapping[str, Any] | None = None) -> None:
        self.commands.append(sql.split()[0] if sql.startswith("KILL") else sql)
        if "DROP PROJECTION" in sql and self.refusals:
            self.refusals -= 1
            raise QueryError(self.why, 36)


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projections, "DROP_PAUSE", 0.0)


def test_a_build_that_begins_meanwhile_is_stopped_too() -> None:
    server = Server(refusals=2)
    projections.drop(server, "d", "t", "by_kind")  # type: ignore[arg-type]
    dropping = "ALTER TABLE d.t DROP PROJECTION IF EXISTS by_kind"
    assert server.commands == ["KILL", dropping] * 3


@pytest.mark.parametrize(
    ("server", "tries"), [(Server(10**6), projections.DROP_TRIES), (Server(1, "no such table"), 1)]
)
def test_what_does_not_pass_is_said(server: Server, tries: int) -> None:
    with pytest.raises(QueryError):
        projections.drop(server, "d", "t", "by_kind")  # type: ignore[arg-type]
    assert server.commands.count("KILL") == tries
