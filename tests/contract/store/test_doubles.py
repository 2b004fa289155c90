"""Rows of the same offset are removed by their place in a part, whatever projections hold them."""

from __future__ import annotations

import time
from random import Random
from typing import Any

import pytest

from nrtctl.store import doubles
from nrtctl.store.several_rows import rows_in
from nrtctl.store.target import Target
from tests.plugins.pipeline_engine import Engine

FIRST = 1_796_019_203_000
"""Milliseconds since the epoch."""

SHAPES: list[dict[str, Any]] = [{}, {"order_by": ["n"]}, {"rows": ["x"], "partition_by": "n % 3"}]


@pytest.mark.parametrize("partitions", [4, pytest.param(6, marks=pytest.mark.long)])
@pytest.mark.parametrize("shape", SHAPES, ids=["by offset", "by a field", "several rows"])
def test_of_each_offset_the_oldest_row_is_left(
    engine: Engine, shape: dict[str, Any], partitions: int
) -> None:
    engine.up(fields={"n": "UInt32"}, **shape)
    random = Random(1)
    columns, values = (", _row, _rows", ", 0, 1") if "rows" in shape else ("", "")
    rows = rows_in(engine.client, Target.of(engine.pipeline, engine.database, 1))
    right = []
    for partition in range(partitions):
        oldest: dict[int, int] = {}
        for copy in range(2):
            moment = FIRST + 2_000 * copy + random.randrange(2_000)
            first, length = random.choice([0, 0, 2]), random.choice([1, 1, 5])
            engine.client.command(
                f"INSERT INTO {engine.database}.events "
                f"(_topic, _partition, _offset, n, _inserted_at{columns}) "
                f"SELECT 'user_events', {partition}, number, number, "
                f"fromUnixTimestamp64Milli({moment}, 'UTC'){values} "
                f"FROM numbers({first}, {length})"
            )
            for offset in range(first, first + length):
                oldest.setdefault(offset, moment)
        right += [(partition, *each) for each in oldest.items()]
        doubles.remove(rows, partition, below=100, sleep=time.sleep)
    left = engine.query(
        "SELECT _partition, _offset, toUnixTimestamp64Milli(_inserted_at) FROM {db}.events",
        optimize_use_projections=0,
    )
    assert sorted(left) == sorted(right)
