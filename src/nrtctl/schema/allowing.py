"""Types that a server makes columns of only when it is told to. Called by what makes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from nrtctl.clickhouse.queries import Statements
from nrtctl.pipeline import Pipeline

REPEATED = {"allow_suspicious_low_cardinality_types": 1}
"""`LowCardinality` of numbers and dates, which servers call suspicious."""

OF_DAY = {"enable_time_time64_type": 1}
"""`Time` and `Time64`, for servers that have them but not by default."""

_REPEATED = re.compile(r"LowCardinality\((?!\s*(?:Nullable\(\s*)?String\b)")
_OF_DAY = re.compile(r"\bTime(?:64)?\b")


class Allowing:
    """`client`, which sends `settings` with every statement."""

    def __init__(self, client: Statements, settings: Mapping[str, Any]) -> None:
        self._client = client
        self._settings = settings

    def query(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> list[tuple[Any, ...]]:
        return self._client.query(sql, parameters, {**self._settings, **(settings or {})})

    def command(self, sql: str, settings: Mapping[str, Any] | None = None) -> Any:
        return self._client.command(sql, {**self._settings, **(settings or {})})


def allowing(client: Statements, pipeline: Pipeline) -> Statements:
    """The client for statements that make the pipeline's columns; itself, where that is enough."""
    text = " ".join(spec.type for spec in pipeline.fields.values())
    repeated = REPEATED if _REPEATED.search(text) else {}
    settings = repeated | (OF_DAY if _OF_DAY.search(text) else {})
    return Allowing(client, settings) if settings else client
