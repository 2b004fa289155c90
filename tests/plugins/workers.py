"""Which tests run in one worker, one after the other, when several workers run (pytest-xdist).

Decided here by what a test uses. All others run anywhere, beside anything.
"""

from __future__ import annotations

import pytest

_ONE_AT_A_TIME = {
    "secure_kafka": "secure",
    "apache_kafka": "apache",
    "airflow": "airflow",
    "spark": "spark",
}
"""Fixtures that cost a Java process or gigabytes: one of each in a whole run."""


def _group(item: pytest.Function) -> str | None:
    used = item.fixturenames
    parameters = {
        name: value
        for name, value in getattr(getattr(item, "callspec", None), "params", {}).items()
        if isinstance(value, str)
    }
    for fixture, group in _ONE_AT_A_TIME.items():
        if fixture in used or fixture in parameters.values():
            return group
    path = item.path.relative_to(item.config.rootpath).with_suffix("").as_posix()
    if path == "tests/chaos/test_matrix":
        arena = next((name for name in ("direct", "proxied") if name in used), None)
        return f"{path}-{parameters.get('broker')}-{arena}" if arena else None
    if any(value.partition(" ")[0] == "apache" for value in parameters.values()):
        return "apache"
    definitions = item._fixtureinfo.name2fixturedefs
    shares = any(definitions[name][-1].scope == "module" for name in used if name in definitions)
    return path if shares else None


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups in its own
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and (group := _group(item)):
            item.add_marker(pytest.mark.xdist_group(group))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Raises UsageError: pytest-xdist does not keep the groups together."""
    if not getattr(session.config.option, "loadgroup", False):
        return
    for item in session.items:
        if item.get_closest_marker("xdist_group") and "@" not in item.nodeid.rpartition("]")[2]:
            raise pytest.UsageError("this pytest-xdist does not group in this pytest")
