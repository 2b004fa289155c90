"""What modules that ask ClickHouse need of a client. Names no client, so they can be pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

Rows = bytes | Sequence[bytes]
"""The rows of an insert in the order in which they are sent: together, or some in each piece."""


def pieces_of(rows: Rows) -> Sequence[bytes]:
    return [rows] if isinstance(rows, bytes) else rows


class Queries(Protocol):
    """The part of `ClickHouseClient` that asks."""

    def query(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> list[tuple[Any, ...]]: ...


class Statements(Queries, Protocol):
    """And the part that changes what is there."""

    def command(self, sql: str, settings: Mapping[str, Any] | None = None) -> Any: ...


class Storage(Statements, Protocol):
    """And the part that stores rows."""

    def insert(
        self, table: str, columns: Sequence[str], body: Rows, settings: Mapping[str, Any]
    ) -> int | None: ...
