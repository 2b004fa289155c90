"""The stack that tests share: what one of them leaves, the next does not find."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from nrtctl.local.process import Endpoint
from tests.plugins.shared_stack import SharedStack
from tests.plugins.stack import Project
from tests.plugins.waiting import eventually


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[SharedStack]:
    (tmp_path / "shared").mkdir()
    made = SharedStack(tmp_path / "shared")
    yield made
    made.close()


def borrower(directory: Path) -> Project:
    directory.mkdir()
    made = Project(directory)
    made.init()
    return made


def pids(project: Project) -> list[int]:
    found = [
        Endpoint.read(project.directory / ".nrtctl" / part) for part in ("kafka", "clickhouse")
    ]
    return [each.pid for each in found if each is not None]


def identity(project: Project, table: str) -> str:
    of = f"database = 'nrt' AND name = '{table}'"
    return str(project.value(f"SELECT toString(uuid) FROM system.tables WHERE {of}"))


def test_it_is_empty_for_the_next_and_new_after_a_kill(shared: SharedStack, tmp_path: Path) -> None:
    first = borrower(tmp_path / "first")
    shared.lend(first)
    fresh = shared.made()
    assert len(fresh.topics) == 1
    assert len(fresh.tables) > 9
    first.run("produce", "--count", "300")
    left = first.start("consume")
    eventually(lambda: first.value("SELECT count() FROM events") == 300, "300 rows")
    first.write("CREATE DATABASE more")
    first.write("TRUNCATE TABLE events")
    tables = {name: identity(first, name) for name in ("events", "dead_letters")}
    before = pids(first)
    shared.take_back(first)
    assert left.wait(10) == -signal.SIGKILL
    left.communicate()

    second = borrower(tmp_path / "second")
    shared.lend(second)
    assert pids(second) == before
    assert shared.made() == fresh
    assert identity(second, "dead_letters") == tables["dead_letters"]  # nothing came into it
    assert identity(second, "events") != tables["events"]  # it would know the inserts' tokens
    assert b"objects existed already" in second.run("up").stdout
    assert second.value("SELECT count() FROM events") == 0
    assert second.value("SELECT count() FROM system.databases WHERE name = 'more'") == 0
    second.run("produce", "--count", "20")
    assert second.json("consume", "--until-end")["records"] == 20
    assert second.json("verify")["stored"] == 20
    os.kill(before[0], signal.SIGKILL)
    shared.take_back(second)

    third = borrower(tmp_path / "third")
    shared.lend(third)
    assert set(pids(third)).isdisjoint(before)
    assert third.value("SELECT count() FROM events") == 0
