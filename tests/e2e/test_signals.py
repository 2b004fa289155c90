"""The terminal closes, or nobody reads stderr any more: the work is finished, and accounted for."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.plugins.stack import COMMAND, Project


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"{what} does not come")
        time.sleep(0.05)


def acknowledged(ledger: Path) -> int:
    return ledger.read_bytes().count(b"\n") if ledger.exists() else 0


def test_an_end_with_the_terminal_or_without_a_reader_is_an_orderly_one(stack: Project) -> None:
    names = ("hangup", "unread", "nohup")
    ledgers = {name: stack.directory / f"{name}.jsonl" for name in names}

    def produce(name: str, number: int, **given: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*COMMAND, "produce", "--rate", "100", "--ledger", str(ledgers[name])],
            cwd=stack.directory,
            env=stack.environ,
            stdin=subprocess.DEVNULL,
            preexec_fn=lambda: signal.signal(signal.SIGHUP, number),
            **given,
        )

    out, into = os.pipe()
    hangup = produce("hangup", signal.SIG_DFL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    unread = produce("unread", signal.SIG_DFL, stdout=into, stderr=into)
    nohup = produce("nohup", signal.SIG_IGN, stdout=subprocess.DEVNULL)
    consumer = stack.start("consume")
    workers = stack.start("consume", "--workers", "2")
    os.close(into)
    for name in names:
        wait_for(lambda name=name: acknowledged(ledgers[name]) > 50, name)  # type: ignore[misc]
    wait_for(lambda: stack.value("SELECT count() FROM events") > 50, "a row")
    os.close(out)
    for process in (hangup, nohup, consumer, workers):
        process.send_signal(signal.SIGHUP)
    unread.send_signal(signal.SIGINT)
    account, said = hangup.communicate(timeout=60)
    assert (hangup.returncode, unread.wait(60)) == (0, 0), said
    assert b"ended: stopped" in account
    assert b"stopping" in said
    for process in (consumer, workers):
        account, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
        assert b"ended: stopped" in account
    before = acknowledged(ledgers["nohup"])
    wait_for(lambda: acknowledged(ledgers["nohup"]) > before + 50, "what nohup goes on with")
    nohup.send_signal(signal.SIGTERM)
    assert nohup.wait(60) == 0
    stack.run("consume", "--until-end")
    sent = sum(path.read_bytes().count(b'"offset"') for path in ledgers.values())
    report = stack.json("verify")
    assert (report["missing"], report["duplicated"]) == (0, 0)
    assert report["stored"] + report["dead_letters"] == sent
