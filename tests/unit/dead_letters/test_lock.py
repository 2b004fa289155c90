"""The lock of who changes dead letters: one at a time, and no file of it stays."""

from __future__ import annotations

import fcntl
import os
import tempfile
import threading
from pathlib import Path

import pytest

from nrtctl.dead_letters.lock import alone
from nrtctl.errors import NrtctlError


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_one_at_a_time_and_no_file_stays(directory: Path) -> None:
    with alone("http://h", "nrt", "dead_letters"), alone("http://h", "nrt", "others"):
        assert len(list(directory.iterdir())) == 2
        refused = pytest.raises(NrtctlError, match="another nrtctl process is changing")
        with refused, alone("http://h", "nrt", "dead_letters"):
            pass
        assert len(list(directory.iterdir())) == 2
    assert list(directory.iterdir()) == []


def test_what_a_kill_has_left_goes_with_the_next(directory: Path) -> None:
    left = directory / f"nrtctl-{os.getuid()}-dlq-0123456789abcdef.lock"
    another_users = directory / "nrtctl-x-dlq-0123456789abcdef.lock"
    for path in (left, another_users):
        path.touch()
    with alone("a"), alone("b"):
        assert not left.exists()
        with pytest.raises(NrtctlError), alone("a"):
            pass
    assert list(directory.iterdir()) == [another_users]


def test_a_file_that_its_owner_removes_meanwhile_is_no_lock(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = fcntl.flock
    removed: list[Path] = []

    def late(descriptor: int, how: int) -> None:
        if not removed:
            removed.extend(directory.iterdir())
            removed[0].unlink()
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with alone("a"):
        (path,) = directory.iterdir()
        assert removed == [path]
        with pytest.raises(NrtctlError), alone("a"):
            pass


def test_threads_are_never_in_it_together() -> None:
    inside: list[int] = []
    most: list[int] = []
    entered: list[int] = []

    def work(number: int) -> None:
        while len(entered) < 200:
            try:
                with alone("a"):
                    inside.append(number)
                    most.append(len(inside))
                    entered.append(number)
                    inside.remove(number)
            except NrtctlError:
                continue

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
