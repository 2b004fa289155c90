"""Several `up` claim one new state directory at the same time."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import threading
from pathlib import Path

import pytest

from nrtctl.errors import ConfigError, NrtctlError
from nrtctl.stack.state_dir import (
    IGNORE,
    KAFKA,
    MARKER,
    claim,
    delete,
    held,
    identify,
    identity,
    locked,
)


def test_a_link_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    """It was said that the directory cannot be written, as a file exists."""
    link = tmp_path / "state"
    link.symlink_to("disk")
    with pytest.raises(ConfigError, match="is a link to 'disk', which does not exist"):
        claim(link)
    (tmp_path / "disk").mkdir()
    claim(link)
    assert (tmp_path / "disk" / MARKER).exists()


def test_all_of_them_claim_it(tmp_path: Path) -> None:
    """Each goes on as `up` does: what it makes next shows that the directory is marked."""
    failed: list[BaseException] = []

    def one(directory: Path, begin: threading.Barrier) -> None:
        begin.wait()
        try:
            claim(directory)
            (directory / KAFKA).mkdir(exist_ok=True)
        except BaseException as error:  # noqa: BLE001
            failed.append(error)

    for number in range(60):
        directory = tmp_path / str(number)
        begin = threading.Barrier(8)
        threads = [threading.Thread(target=one, args=(directory, begin)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert json.loads((directory / MARKER).read_text())["layout"] == 1
        assert {each.name for each in directory.iterdir()} == {IGNORE, MARKER, KAFKA}
    assert failed == []


def test_what_is_no_stacks_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / KAFKA).mkdir()
    with pytest.raises(ConfigError, match="is not the state directory of a stack"):
        claim(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == [KAFKA]


def test_git_ignores_a_directory_of_its_own_and_no_other(tmp_path: Path) -> None:
    own, shared = tmp_path / "own", tmp_path / "shared"
    shared.mkdir()
    (shared / "notes.txt").touch()
    for directory in (own, shared):
        claim(directory)
    assert (own / IGNORE).read_text().endswith("\n*\n")
    assert not (shared / IGNORE).exists()
    (shared / IGNORE).write_text("mine\n")
    assert delete(own, identity(own))
    assert not own.exists()
    delete(shared, identity(shared))
    assert {each.name for each in shared.iterdir()} == {"notes.txt", IGNORE}


def test_a_directory_that_took_the_place_of_another_is_not_deleted(tmp_path: Path) -> None:
    state = tmp_path / "state"
    claim(state)
    identify(state, print)
    known = identity(state)
    state.rename(tmp_path / "away")
    claim(state)
    (state / KAFKA).mkdir()
    with pytest.raises(NrtctlError, match="another stack has taken over"):
        delete(state, known)
    assert (state / KAFKA).is_dir()
    assert delete(state, identity(state))
    assert not state.exists()
    assert (tmp_path / "away" / MARKER).exists()


def test_who_waits_for_a_directory_that_is_deleted_claims_it_again(tmp_path: Path) -> None:
    claim(tmp_path / "state")
    found: list[bool] = []
    said: list[str] = []
    waits = threading.Event()

    def say(text: str) -> None:
        said.append(text)
        waits.set()

    def wait() -> None:
        with held(tmp_path / "state", say) as still:
            found.append(still)

    with held(tmp_path / "state", said.append) as mine:
        waiting = threading.Thread(target=wait)
        waiting.start()
        assert waits.wait(60)
        (tmp_path / "state" / "up.lock").unlink()
    waiting.join(60)
    assert (mine, found) == (True, [False])
    assert ["waiting for another" in text for text in said] == [True]


def test_who_asks_whether_a_process_runs_is_not_taken_for_it(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    with (tmp_path / "lock").open() as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        assert not locked(tmp_path)
    with (tmp_path / "lock").open() as process:
        fcntl.flock(process, fcntl.LOCK_EX)
        assert locked(tmp_path)


def test_a_disk_that_is_full_leaves_no_pieces_of_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NrtctlError, match="No space left on device"):
        claim(tmp_path)
    assert os.listdir(tmp_path) == [".gitignore"]
