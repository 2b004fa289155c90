"""A client that fails at a chosen statement: an `up` that is interrupted."""

from __future__ import annotations

from typing import Any

from nrtctl.clickhouse.client import ClickHouseClient
from nrtctl.errors import ConnectError


class Stopped(ConnectError):
    pass


class Stopping:
    """A client that fails before its n-th statement that changes something."""

    def __init__(self, client: ClickHouseClient, after: int) -> None:
        self._client = client
        self.left = after

    def query(self, *arguments: Any) -> list[tuple[Any, ...]]:
        return self._client.query(*arguments)

    def command(self, *arguments: Any) -> Any:
        if self.left == 0:
            raise Stopped("stopped")
        self.left -= 1
        return self._client.command(*arguments)
