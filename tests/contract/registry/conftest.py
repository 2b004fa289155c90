"""The local registry and Apicurio's, for the tests that hold for both."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from tests.plugins.schema_registry import Requests, SchemaRegistry


@pytest.fixture(scope="session")
def own_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SchemaRegistry]:
    made = SchemaRegistry(tmp_path_factory.mktemp("own-registry"))
    made.start()
    yield made
    assert made.stop() == 0


@pytest.fixture(params=["local", pytest.param("apicurio", marks=pytest.mark.long)])
def registry(request: pytest.FixtureRequest) -> Requests:
    name = "own_registry" if request.param == "local" else "apicurio"
    found: Requests = request.getfixturevalue(name)
    return found


@pytest.fixture
def subject() -> str:
    """One that nobody else has."""
    return f"s-{uuid.uuid4().hex[:8]}"
