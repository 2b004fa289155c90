"""A unit test waits for nobody: what takes three minutes hangs. On a machine that is much too busy,
UNIT_TEST_SECONDS gives it longer."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SECONDS = int(os.environ.get("UNIT_TEST_SECONDS", "180"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(SECONDS))
