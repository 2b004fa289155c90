"""What `init NAME` does to the file that it adds a pipeline to."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from nrtctl.cli.init_command import append
from nrtctl.errors import NrtctlError

BEFORE = b"# mine\r\n[pipelines.orders.fields]\r\nid = 'UInt64'\r\n"


def test_a_full_disk_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, write, calls = tmp_path / "nrtctl.toml", os.write, list[int]()
    path.write_bytes(BEFORE)

    def full(descriptor: int, data: bytes) -> int:
        if not os.path.samestat(os.fstat(descriptor), path.stat()):
            return write(descriptor, data)
        calls.append(len(data))
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[:5])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(NrtctlError, match="No space left"):
        append(path, b"\n[pipelines.clicks]\n")
    assert calls == [20, 15]
    assert path.read_bytes() == BEFORE


def test_the_file_stays_the_same_one_and_private(tmp_path: Path) -> None:
    path, link = tmp_path / "shared.toml", tmp_path / "nrtctl.toml"
    path.write_bytes(BEFORE)
    path.chmod(0o664)
    link.symlink_to(path)
    inode = path.stat().st_ino
    append(link, b"more")
    assert link.is_symlink()
    assert path.read_bytes() == BEFORE + b"more"
    assert (path.stat().st_ino, path.stat().st_mode & 0o777) == (inode, 0o644)
    with pytest.raises(NrtctlError, match="cannot be written"):
        append(tmp_path / "absent.toml", b"x")
