"""The embedded broker's fsync policy, counted in its process."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from kio.schema.errors import ErrorCode

from tests.contract.kafka.test_groups import Member
from tests.plugins.kafka_wire import Wire, batch, create_topic, produce
from tests.plugins.local_broker import LocalBroker
from tests.plugins.waiting import eventually

_COUNTING = """
import os
real = os.fdatasync
def fdatasync(fd):
    real(fd)
    with open(os.environ["COUNTED_SYNCS"], "a") as file:
        file.write(os.readlink(f"/proc/self/fd/{fd}") + "\\n")
os.fdatasync = fdatasync
"""
PRODUCED = 100


@pytest.fixture
def synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Counter[str]]:
    """How often the brokers of this test have synced each kind of file: ".log", ".journal"."""
    (tmp_path / "sitecustomize.py").write_text(_COUNTING)
    counted = tmp_path / "syncs"
    counted.touch()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *_python_path()]))
    monkeypatch.setenv("COUNTED_SYNCS", str(counted))
    return lambda: Counter(Path(line).suffix for line in counted.read_text().splitlines())


def _python_path() -> list[str]:
    given = os.environ.get("PYTHONPATH")
    return [given] if given else []


Make = Callable[..., LocalBroker]
Connect = Callable[[str], Wire]


def write(broker: LocalBroker, wire: Connect) -> None:
    connection = wire(broker.bootstrap)
    create_topic(connection, "t")
    for at in range(PRODUCED):
        assert produce(connection, "t", batch([b"x"])).base_offset == at
    assert Member(connection, "g").commit("t", 7) == ErrorCode.none


def test_always_syncs_before_each_answer(
    make_local_broker: Make, wire: Connect, synced: Callable[[], Counter[str]]
) -> None:
    broker = make_local_broker("--fsync", "always")
    write(broker, wire)
    assert synced() == {".log": PRODUCED, ".journal": 1}


def test_interval_syncs_later_and_many_at_once(
    make_local_broker: Make, wire: Connect, synced: Callable[[], Counter[str]]
) -> None:
    broker = make_local_broker("--fsync", "interval")
    write(broker, wire)
    eventually(lambda: {".log", ".journal"} <= synced().keys(), "both files are synced")
    assert synced()[".log"] < PRODUCED / 2


def test_never_syncs_nothing(
    make_local_broker: Make, wire: Connect, synced: Callable[[], Counter[str]]
) -> None:
    broker = make_local_broker("--fsync", "never")
    write(broker, wire)
    assert broker.stop() == 0
    assert synced() == {}
