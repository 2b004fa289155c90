"""Where the dashboard's pages get what no snapshot has. Used by `dashboard_command`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nrtctl.cli.session import LOOK_PATIENCE
from nrtctl.config.load import Loaded
from nrtctl.stats.connections import Pool, connected
from nrtctl.stats.past import Range, look_back


class Questions:
    """May be asked by several threads at once, each of the pipelines by its name."""

    def __init__(self, pipelines: Sequence[Loaded]) -> None:
        first = pipelines[0]
        self._configs = {each.pipeline or "": each.config for each in pipelines}
        self._clients = Pool(lambda: connected(first.config, first.state_dir, LOOK_PATIENCE))

    def look_back(self, pipeline: str, range_: Range) -> dict[str, Any]:
        """As `stats.past.look_back`. Raises NrtctlError: ClickHouse does not say."""
        config = self._configs[pipeline]
        with self._clients.borrowed() as client:
            return look_back(client, config.pipeline, config.clickhouse.database, range_)

    def close(self) -> None:
        self._clients.close()
