"""The first Ctrl-C asks for an end, whatever the main thread is at."""

from __future__ import annotations

import signal
import subprocess
import sys
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


IMPORTING = """
import signal
import subprocess
import sys
import sys
import threading

from nrtctl.cli.diagnostics import Diagnostics, Interrupts

class Interrupted:
    def find_spec(self, name, path=None, target=None):
        if name == "rich.console":
            sys.meta_path.remove(self)
            signal.raise_signal(signal.SIGTERM)

stop = threading.Event()
diagnostics = Diagnostics(quiet=False)
with Interrupts(stop.set, diagnostics.note):
    assert "rich.console" not in sys.modules
    sys.meta_path.insert(0, Interrupted())
    import rich.console
    assert stop.wait(60)
"""


def test_the_end_is_told_although_what_tells_it_is_being_imported() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTING], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("stopping when what is in progress is finished")
