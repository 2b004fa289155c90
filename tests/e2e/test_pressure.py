"""A table whose merges fall behind: the consumer slows down, waits, and loses nothing."""

from __future__ import annotations

from pathlib import Path

from tests.plugins.stack import Project
from tests.plugins.waiting import eventually


def _wait_for(log: Path, text: str) -> None:
    eventually(lambda: text in log.read_text(), text, within=100)


def test_parts_that_wait_slow_it_down_and_too_many_are_waited_for(
    stack: Project, tmp_path: Path
) -> None:
    limits = "ALTER TABLE nrt.events MODIFY SETTING parts_to_delay_insert = {}, " \
             "parts_to_throw_insert = {}"  # fmt: skip
    stack.write(limits.format(6, 30))
    stack.write("SYSTEM STOP MERGES nrt.events")
    stack.run("produce", "--count", "6000")
    log = tmp_path / "stderr"
    with log.open("wb") as errors:
        consumer = stack.start("consume", "--until-end", "--set", "batch.max_rows=200",
                               errors=errors)  # fmt: skip
        try:
            _wait_for(log, "parts wait to be merged (inserts are refused at 30)")
            stack.write(limits.format(3, 4))
            _wait_for(log, "TOO_MANY_PARTS")
            assert consumer.poll() is None
            stack.write(limits.format(1000, 3000))
            stack.write("SYSTEM START MERGES nrt.events")
            assert consumer.wait(110) == 0, log.read_text()
        finally:
            consumer.kill()
            consumer.communicate()
    report = stack.json("verify")
    assert (report["stored"], report["missing"], report["duplicated"]) == (6000, 0, 0)
