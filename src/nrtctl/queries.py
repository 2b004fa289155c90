"""What modules that ask ClickHouse need of a client. Names no client, so they can be pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Queries(Protocol):
    """The part of `ClickHouseClient` that asks."""

    def query(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> list[tuple[Any, ...]]: ...
