"""The first Ctrl-C asks for an end, whatever the main thread is at."""

from __future__ import annotations

import signal
import threading

import pytest

from nrtctl.cli.diagnostics import Interrupts


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_event_is_set_although_the_main_thread_holds_its_lock(number: signal.Signals) -> None:
    """As it does for a moment whenever it begins or ends to wait for it."""
    stop = threading.Event()
    said: list[str] = []
    with Interrupts(stop.set, said.append) as ends:
        with stop._cond:  # type: ignore[attr-defined]
            signal.raise_signal(number)
        assert stop.wait(60)
    assert [text.split()[0] for text in said] == ["stopping"]
    assert ends.interrupted is (number == signal.SIGINT)
