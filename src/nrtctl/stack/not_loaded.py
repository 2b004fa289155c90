"""What the local ClickHouse has set aside as it started, since it could not be loaded. For `up`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from nrtctl.local.front.set_aside_file import TOLD
from nrtctl.stack.state_dir import CLICKHOUSE


def warnings(state_dir: Path) -> Iterator[str]:
    """A sentence or two of each. What cannot be read says nothing."""
    directory = state_dir / CLICKHOUSE
    try:
        told = json.loads((directory / TOLD).read_text())
        for each in told["tables"]:
            yield (
                f"ClickHouse could not load {each['name']}: {each['why']}. Its data is kept, and "
                f"its definition is {directory / each['kept']}: fix it there, then run `nrtctl "
                "down` and `nrtctl up`"
            )
        for part in told["parts"]:
            yield (
                f"ClickHouse has set aside a damaged part: {directory / 'data' / part}. Its rows "
                "are "
                "missing from the table: `nrtctl verify` counts them, and "
                "`nrtctl verify --repair --execute` loads them again from Kafka"
            )
    except (OSError, ValueError, KeyError, TypeError):
        return
