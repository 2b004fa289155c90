"""The rotated log of a local process."""

from __future__ import annotations

import logging
from pathlib import Path

from nrtctl.local.process import log_to


def test_the_log_is_rotated_and_bounded(tmp_path: Path) -> None:
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    log_to(tmp_path / "logs" / "x.log", max_bytes=1000, backups=2)
    added = [handler for handler in root.handlers if handler not in handlers]
    try:
        for number in range(100):
            logging.getLogger("test").info("line %d", number)
    finally:
        for handler in added:
            root.removeHandler(handler)
            handler.close()
        root.setLevel(level)
    files = sorted(path.name for path in (tmp_path / "logs").iterdir())
    assert files == ["x.log", "x.log.1", "x.log.2"]
    assert all(path.stat().st_size <= 1000 for path in (tmp_path / "logs").iterdir())
    assert "line 99" in (tmp_path / "logs" / "x.log").read_text()
