"""The rotated log of a local process."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from nrtctl.local.process import OneLine, log_to


def test_what_a_request_says_cannot_forge_or_steer(tmp_path: Path) -> None:
    record = logging.LogRecord(
        "front", logging.WARNING, "", 0, "%s: failed", ("\x1b[2J\u202e\nERROR front: forged",), None
    )
    try:
        raise ValueError("\x9b31m")
    except ValueError:
        record.exc_info = sys.exc_info()
    lines = OneLine("%(levelname)s %(name)s: %(message)s").format(record).split("\n")
    assert lines[0] == r"WARNING front: \x1b[2J\u202e\nERROR front: forged: failed"
    assert lines[1].startswith("Traceback")
    assert all(line.isprintable() for line in lines)


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
