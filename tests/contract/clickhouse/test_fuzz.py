"""Mutated requests, in short; `fuzzing` tells the long form."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.contract.clickhouse.fuzzing import run
from tests.plugins.clickhouse_front import ClickHouseFront


@pytest.mark.parametrize("seed", [20261129])
def test_mutated_requests(make_clickhouse_front: Callable[..., ClickHouseFront], seed: int) -> None:
    outcome = run(make_clickhouse_front(), 300, seed)
    assert outcome.statuses["200"] > 30
