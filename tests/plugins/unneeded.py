"""Ends the servers that tests share in one worker when the tests that come next need none of them.

A server that only waits still takes CPU, and there are a dozen of them. Where one is needed again,
it is started again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

import pytest

_OF_A_GROUP = {"apache_kafka": "apache", "secure_kafka": "secure"}
"""Fixtures of which `workers` says that one group of tests has them: they take long to start."""

_OF_A_TIER = ("clickhouse_front", "local_broker", "one_shard", "shared_stack")
"""Fixtures that most tests of a tier use."""


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    yield
    if nextitem is None or not isinstance(item, pytest.Function):
        return
    ended = [*_ended(item, nextitem)]
    for name in ended:
        for definition in item.session._fixturemanager._arg2fixturedefs.get(name, ()):
            if definition.scope == "session":
                definition.finish(item._request)  # type: ignore[arg-type]


def _ended(item: pytest.Item, following: pytest.Item) -> Iterator[str]:
    """The names of the fixtures that the next test does not need, and few after it."""
    needed = getattr(following, "fixturenames", ())
    if (group := _group(item)) != _group(following) and group in _OF_A_GROUP.values():
        yield from (name for name, of in _OF_A_GROUP.items() if of == group)
    if _tier(item) != _tier(following):
        yield from (name for name in _OF_A_TIER if name not in needed)


def _group(item: pytest.Item) -> str | None:
    """Where groups are kept together; elsewhere tests of several alternate."""
    if not hasattr(item.config, "workerinput"):
        return None
    marker = item.get_closest_marker("xdist_group")
    return None if marker is None else str(marker.args[0])


def _tier(item: pytest.Item) -> str:
    """The directory below `tests`."""
    return PurePath(item.nodeid).parts[1]
