"""The definition of the database `default`, as it lies on the disk."""

from __future__ import annotations

from pathlib import Path

from nrtctl.local.front.default_database import prepare


def test_a_damaged_definition_is_left_to_the_engine(tmp_path: Path) -> None:
    (tmp_path / "metadata").mkdir()
    assert not prepare(tmp_path)
    (tmp_path / "metadata" / "default.sql").write_bytes(b"\xff\x00 ATTACH")
    assert not prepare(tmp_path)
