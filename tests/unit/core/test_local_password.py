"""The password of a local process, which is made at its first start."""

from __future__ import annotations

from pathlib import Path

from nrtctl.kafka.properties import local_password
from nrtctl.local.serving import password_of
from nrtctl.net.kept import kept


def test_it_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "password"
    made = password_of(path)
    assert len(made) > 20
    assert password_of(path) == path.read_text() == made
    assert path.stat().st_mode & 0o777 == 0o600


def test_one_that_is_no_text_is_none(tmp_path: Path) -> None:
    """As a broken disk left it: `up` ended with an unexpected error of decoding."""
    path = tmp_path / "password"
    path.write_bytes(b"\x98\xff")
    assert kept(path) == ""
    assert local_password(path) is None
    assert password_of(path) == path.read_text() != ""


def test_an_empty_one_is_none(tmp_path: Path) -> None:
    """As a disk that was full left it: the next start asked for no password."""
    path = tmp_path / "password"
    path.touch()
    assert password_of(path) == path.read_text() != ""
