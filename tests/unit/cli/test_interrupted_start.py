"""A signal that asks for an end, while the command is still being loaded."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nrtctl.cli.endings import endings

LOADING = """
import signal
import sys

number, module, *sys.argv[1:] = sys.argv[1:]

class Interrupted:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            sys.meta_path.remove(self)
            signal.raise_signal(int(number))

sys.meta_path.insert(0, Interrupted())
from nrtctl.cli import main
main()
"""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _usual_signals() -> None:
    for each in SIGNALS:
        signal.signal(each, signal.SIG_DFL)


def start(
    number: int, module: str, *command: str, where: Path, ignored: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a command that is sent the signal as it begins to import the module."""

    def dispositions() -> None:
        _usual_signals()
        if ignored:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    return subprocess.run(
        [sys.executable, "-c", LOADING, str(int(number)), module, *command],
        cwd=where, preexec_fn=dispositions,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


LOADED = [
    ("nrtctl.cli.streams", "consume", ""),
    ("nrtctl.cli.app", "consume", ""),
    ("nrtctl.cli.consume_command", "consume", ""),
    ("nrtctl.config.load", "consume", "error: interrupted\n"),
    ("nrtctl.consumer.run", "consume", "error: interrupted\n"),
    ("nrtctl.stats.watcher", "stats", "error: interrupted\n"),
    ("nrtctl.stack.local", "up", "error: interrupted\n"),
]
"""A module that is about to be loaded, of which command, and what is said then."""


@pytest.mark.parametrize(
    ("number", "module", "command", "said"),
    [
        pytest.param(number, *each, marks=() if place % 3 == turn else pytest.mark.long)
        for place, each in enumerate(LOADED)
        for turn, number in enumerate(SIGNALS)
    ],
)
def test_an_early_end_is_an_interruption_without_a_traceback(
    tmp_path: Path, number: int, module: str, command: str, said: str
) -> None:
    done = start(number, module, command, where=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", said)
    assert list(tmp_path.iterdir()) == []


DROPPED = """
import signal
import sys
import time
import weakref

class Thing:
    pass

def sends(_):
    signal.raise_signal(int(sys.argv[1]))

def app():
    thing = Thing()
    kept = weakref.ref(thing, sends)
    print("begun", flush=True)
    del thing
    while True:
        time.sleep(60)

from nrtctl import cli
sys.modules["nrtctl.cli.app"] = type(sys)("app")
sys.modules["nrtctl.cli.app"].app = app
cli.main()
"""


@pytest.mark.parametrize("number", SIGNALS)
def test_an_end_is_not_lost_where_python_drops_the_interrupt(number: int) -> None:
    """As in the callback with which it ends an import: the command went on for ever."""
    done = subprocess.run(
        [sys.executable, "-c", DROPPED, str(int(number))],
        preexec_fn=_usual_signals, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (130, "begun\n", "")


def test_other_exceptions_that_python_drops_are_still_told() -> None:
    program = DROPPED.replace("signal.raise_signal(int(sys.argv[1]))", "raise ValueError")
    done = subprocess.run(
        [sys.executable, "-c", program.replace("while True:", "while False:")],
        preexec_fn=_usual_signals, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "begun\n")
    assert "ValueError" in done.stderr


def test_ctrl_c_before_the_signals_are_ours_leaves_no_traceback_either(tmp_path: Path) -> None:
    done = start(signal.SIGINT, "nrtctl.cli.endings", "consume", where=tmp_path)
    assert (done.returncode, done.stderr) == (130, "")


def test_nohup_is_minded_from_the_start(tmp_path: Path) -> None:
    done = start(signal.SIGHUP, "nrtctl.cli.app", "--version", where=tmp_path, ignored=True)
    assert done.returncode == 0
    assert done.stdout.startswith("nrtctl ")


def test_what_asks_for_an_end() -> None:
    assert endings() == list(SIGNALS)
