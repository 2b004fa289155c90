"""What the local ClickHouse has set aside as it started, since it could not be loaded. For `up`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nrtctl.config.model import Config
from nrtctl.errors import NrtctlError
from nrtctl.local.front.set_aside_file import REPLACED, TOLD
from nrtctl.schema.ddl import INCARNATIONS
from nrtctl.stack.state_dir import CLICKHOUSE


def warnings(state_dir: Path) -> Iterator[str]:
    """A sentence or two of each. What cannot be read says nothing."""
    directory = state_dir / CLICKHOUSE
    try:
        told = _told(state_dir)
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


def refuse_to_replace(state_dir: Path, config: Config) -> None:
    """Call it before tables are created: a new one would keep the rows of what was set aside out of
    sight for good.

    Raises NrtctlError: the pipeline's database, or a table of it that has rows, was not loaded.
    """
    pipeline, database = config.pipeline, config.clickhouse.database
    tables = (pipeline.table, pipeline.dead_letters, pipeline.letter_log, INCARNATIONS)
    names = {f"the database {database}", *(f"the table {database}.{each}" for each in tables)}
    try:
        aside = [
            (each["name"], each["why"], state_dir / CLICKHOUSE / each["kept"])
            for each in _told(state_dir)["tables"]
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return
    for name, why, kept in aside:
        if name in names and why != REPLACED and kept.exists():
            raise NrtctlError(
                f"ClickHouse could not load {name}: {why}; so that its data is not lost, nothing "
                "is created in its place",
                hint=f"fix {kept}, then run `nrtctl down` and `nrtctl up`; or remove it to begin "
                "without its data, then run `nrtctl up` and `nrtctl verify --repair --execute`, "
                "which loads the rows again that Kafka still has",
            )


def _told(state_dir: Path) -> Any:
    return json.loads((state_dir / CLICKHOUSE / TOLD).read_text())
