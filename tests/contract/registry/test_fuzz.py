"""Mutated requests, in short; `fuzzing` tells the long form."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.registry.fuzzing import run
from tests.plugins.schema_registry import SchemaRegistry


@pytest.mark.parametrize("count", [300, pytest.param(2_000, marks=pytest.mark.long)])
def test_mutated_requests(tmp_path: Path, count: int) -> None:
    registry = SchemaRegistry(tmp_path / "registry")
    registry.start()
    try:
        outcome = run(registry, count, 20261129)
    finally:
        registry.kill()
    assert outcome.statuses["200"] > 30
