"""`up` adds partitions while everything runs: they are used, stored, printed, and said."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.plugins.stack import Project


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 100
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def test_partitions_are_added_while_it_runs(stack: Project, tmp_path: Path) -> None:
    said = {name: tmp_path / name for name in ("produce", "consume", "print")}
    commands = {
        "produce": ("produce", "--rate", "100"),
        "consume": ("consume",),
        "print": ("consume", "-o", "jsonl"),
    }
    running = []
    for name, command in commands.items():
        with said[name].open("wb") as errors:
            running.append(stack.start(*command, errors=errors))
    out = running[2].stdout
    assert out is not None

    until(lambda: stack.value("SELECT count() FROM events") > 0, "rows")
    fewer = stack.run("up", "--set", "pipeline.partitions=2").stdout.decode()
    assert "kept: it has 4 partitions" in fewer
    assert "takes none away" in fewer
    more = stack.run("up", "--set", "pipeline.partitions=6").stdout.decode()
    assert "changed: 6 partitions, 4 before" in more
    until(
        lambda: stack.value("SELECT uniqExact(_partition) FROM events WHERE _partition > 3") == 2,
        "rows of the partitions that were added",
    )
    assert "has new partitions: 4, 5" in said["consume"].read_text()
    until(
        lambda: "6 partitions now, 4 before" in said["produce"].read_text(),
        "the producer says that it has more partitions",
    )
    seen = b""
    while b'"partition":5' not in seen.replace(b" ", b""):
        seen += out.read1(65536)  # type: ignore[attr-defined]
    assert "new partitions: 4, 5" in said["print"].read_text()
    for process in running:
        process.send_signal(signal.SIGTERM)
    for process in running:
        process.communicate(timeout=60)
        assert process.returncode == 0
    stack.run("consume", "--until-end", "--set", "pipeline.partitions=6")
    report = stack.json("verify", "--set", "pipeline.partitions=6")
    assert (report["missing"], report["duplicated"]) == (0, 0)
