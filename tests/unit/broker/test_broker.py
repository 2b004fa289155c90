"""What a broker does as a whole: after a power cut, and where a file cannot be opened."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest

from nrtctl.local.broker.broker import Broker
from nrtctl.local.broker.groups.store import GroupStore
from tests.unit.broker.test_transactions import append, opened


def epoch(broker: Broker) -> int:
    return broker.topics["t"].partitions[0].log.epochs.current


def test_a_start_that_fails_leaves_the_next_one_to_look_for_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a power cut the logs are scanned as a whole, once it comes to that."""
    append(opened(tmp_path).topics["t"].partitions[0].log, (b"a",))
    running = tmp_path / "running"
    running.write_text("an earlier boot of the machine")

    def full(_: GroupStore) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(GroupStore, "_compact", full)
        with pytest.raises(OSError, match="No space"):
            opened(tmp_path)
    scanned = epoch(opened(tmp_path))
    assert scanned == 2, "by both"
    assert epoch(opened(tmp_path)) == scanned, "a client that knows the epoch was refused for ever"


def test_a_file_that_cannot_be_synced_now_is_synced_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All descriptors may be in use for a moment. Nothing was synced any more after that."""
    broker = opened(tmp_path)
    for partition in broker.topics["t"].partitions:
        append(partition.log, (b"a",))

    def none_left(_: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as descriptors:
        descriptors.setattr(os, "dup", none_left)
        asyncio.run(broker.sync_soon())
    logs = [partition.log for partition in broker.topics["t"].partitions]
    assert all(log.unsynced for log in logs)
    asyncio.run(broker.sync_soon())
    assert not any(log.unsynced for log in logs)
