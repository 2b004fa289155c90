"""Fixtures for pytest, for people who test pipelines of their own.

In the `conftest.py` at the top of the tests:

    pytest_plugins = ["nrtctl.testing.fixtures"]

It is no entry point, so that a run of pytest that has nothing to do with nrtctl never loads it
(docs/decisions says more). Loading it imports pytest, and no client library.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nrtctl.testing import LocalStack, local_stack


@pytest.fixture(scope="session")
def nrtctl_file(pytestconfig: pytest.Config) -> Path | None:
    """The project file whose pipeline `nrtctl_stack` runs: `nrtctl.toml` in pytest's root
    directory; None: there is none, and the reference pipeline is run. Define a fixture of this
    name to say another one."""
    file = pytestconfig.rootpath / "nrtctl.toml"
    return file if file.exists() else None


@pytest.fixture(scope="session")
def nrtctl_pipeline() -> str | None:
    """Which of the file's `[pipelines.NAME]` `nrtctl_stack` runs; None: the only one. Define a
    fixture of this name to say another one."""
    return None


@pytest.fixture
def nrtctl_stack(nrtctl_file: Path | None, nrtctl_pipeline: str | None) -> Iterator[LocalStack]:
    """A stack of the test's own, with topic, tables and views. Starting it takes about two
    seconds."""
    with local_stack(nrtctl_file, pipeline=nrtctl_pipeline) as stack:
        yield stack
