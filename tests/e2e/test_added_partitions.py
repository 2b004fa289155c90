"""`up` adds partitions while everything runs: they are used, stored, printed, and said."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.plugins.stack import Project
from tests.plugins.waiting import eventually


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

    eventually(lambda: stack.value("SELECT count() FROM events") > 0, "rows")
    fewer = stack.run("up", "--set", "pipeline.partitions=2").stdout.decode()
    assert "kept: it has 4 partitions" in fewer
    assert "cannot remove any" in fewer
    more = stack.run("up", "--set", "pipeline.partitions=6").stdout.decode()
    assert "changed: 6 partitions instead of 4" in more
    eventually(
        lambda: stack.value("SELECT uniqExact(_partition) FROM events WHERE _partition > 3") == 2,
        "rows of the partitions that were added",
    )
    assert "has new partitions: 4, 5" in said["consume"].read_text()
    eventually(
        lambda: "now has 6 partitions instead of 4" in said["produce"].read_text(),
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


def test_a_person_is_asked_before_the_order_of_keys_changes(stack: Project) -> None:
    stack.run("produce", "-q", "--count", "10")
    for answer, expected in (("n", "kept: it has 4 partitions"), ("y", "changed: 5 partitions")):
        with stack.terminal("up", "--set", "pipeline.partitions=5", width=120) as screen:
            screen.wait_for("[y/N]")
            assert "another order" in screen.text
            screen.press(answer + "\n")
            assert screen.wait_for_end() == 0
            assert expected in screen.text


@pytest.mark.long
def test_nobody_is_asked_about_a_topic_without_messages(stack: Project) -> None:
    empty = ("up", "--set", "pipeline.topic=empty")
    stack.run(*empty)
    with stack.terminal(*empty, "--set", "pipeline.partitions=6", width=120) as screen:
        assert screen.wait_for_end() == 0
        assert "[y/N]" not in screen.text
