"""Workers as processes: what they print is read, however long it is."""

from __future__ import annotations

import os
import sys
from threading import Timer

from nrtctl.clock import SystemClock
from nrtctl.consumer.workers import Outcome, Workers

LONG = 1_000_000
"""Characters; a pipe takes 65,536 bytes."""

PRINTS = f"print('{{\"text\": \"' + 'x' * {LONG} + '\"}}')"


def outcome(code: str, *, ends: bool, stopped: bool = False) -> Outcome:
    """What became of two workers that run this code."""
    workers = Workers(
        lambda number: [sys.executable, "-S", "-c", code],
        2,
        environ=dict(os.environ),
        ends=ends,
        clock=SystemClock(),
        died=lambda number, why, pause: None,
    )

    def give_up() -> None:
        workers.stop()
        workers._kill()

    # A worker that waits for its reader waits for ever: the test fails then, and does not hang.
    watch = Timer(60.0, give_up)
    watch.start()
    if stopped:
        workers.stop()
    try:
        return workers.run()
    finally:
        watch.cancel()


def test_a_summary_longer_than_a_pipe_takes_ends_with_its_worker() -> None:
    found = outcome(PRINTS, ends=True)
    assert [len(each["text"]) for each in found.summaries] == [LONG, LONG]


def test_it_is_read_too_from_workers_that_are_stopped() -> None:
    found = outcome(f"import sys; sys.stdin.read(); {PRINTS}", ends=False, stopped=True)
    assert [len(each["text"]) for each in found.summaries] == [LONG, LONG]
    assert (found.restarts, found.exit_code) == (0, 0)
