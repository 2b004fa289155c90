"""SIGKILL at random while the group is moved, reads again, or dead letters are replayed: finished
afterwards, everything is there once, as one clean load makes it; on both brokers.

The short forms, killed at one point each, are in `test_replay_offsets.py` and `test_dlq.py`."""

from __future__ import annotations

import random
import time

import pytest

from tests.e2e.test_dlq import FIX
from tests.e2e.test_replay_load import clean
from tests.e2e.test_replay_offsets import TIMES_OUT, Setup, apache, local
from tests.plugins import damage

__all__ = ["apache", "local"]

pytestmark = pytest.mark.long

COUNT = 2000
SMALL = ("--set", "batch.max_rows=100", *TIMES_OUT)
FEW = ("--set", "batch.max_rows=10")


def killed(setup: Setup, chance: random.Random, longest: float, *arguments: str) -> None:
    """Start it, and kill it some time later; it may have ended before."""
    process = setup.project.start(*arguments)
    time.sleep(chance.uniform(0.2, longest))
    process.kill()
    process.communicate()


def counts(setup: Setup) -> tuple[int, int, int]:
    report = setup.project.json("verify")
    return report["stored"] + report["dead_letters"], report["missing"], report["duplicated"]


def random_kills(setup: Setup, seed: int, kills: int) -> None:
    project, chance = setup.project, random.Random(seed)
    project.run("produce", "--count", str(COUNT), "--seed", "9", "--invalid", "10")
    project.run("consume", "--until-end")
    content = damage.content(project)
    words = ("replay", "offsets", "--to-earliest", "--execute", "--wait")
    for number in range(kills):
        killed(setup, chance, 1.5, *words, "--undo-file", f"{number}.json")
        killed(setup, chance, 1.5, "consume", *SMALL)
    damage.delete(project, "events", "_partition = 1 AND _offset % 3 = 0")
    project.run(*words)
    project.run("consume", "--until-end", *SMALL)
    assert counts(setup) == (COUNT, 0, 0)
    assert damage.content(project) == content

    mended = len(project.json("dlq", "list", "--reason", "invalid UTF-8"))
    replay = ("dlq", "replay", *FIX, "--execute", *FEW)
    for _ in range(kills):
        killed(setup, chance, 1.2, *replay)
    for _ in range(2):
        project.run(*replay)
    assert counts(setup) == (COUNT, 0, 0)
    found = damage.content(project)
    assert int(found[0][0]["n"]) == int(content[0][0]["n"]) + mended
    clean(setup)
    project.run("dlq", "replay", *FIX, "--execute")
    assert damage.content(project) == found


def test_random_kills(local: Setup) -> None:
    random_kills(local, 11, 3)


def test_random_kills_on_apache_kafka(apache: Setup) -> None:
    random_kills(apache, 12, 1)
