"""The password of a local process, which is made at its first start."""

from __future__ import annotations

from pathlib import Path

from nrtctl.local.serving import password_of


def test_it_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "password"
    made = password_of(path)
    assert len(made) > 20
    assert password_of(path) == path.read_text() == made
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_empty_one_is_none(tmp_path: Path) -> None:
    """As a disk that was full left it: the next start asked for no password."""
    path = tmp_path / "password"
    path.touch()
    assert password_of(path) == path.read_text() != ""
