"""The terminal closes, or nobody reads stderr any more: the work is finished, and accounted for."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from functools import partial
from pathlib import Path

from tests.plugins.stack import COMMAND, Project
from tests.plugins.waiting import eventually


def acknowledged(ledger: Path) -> int:
    return ledger.read_bytes().count(b"\n") if ledger.exists() else 0


def members(stack: Project) -> int:
    """How many consumers are in the group of the stack's pipeline."""
    return len(stack.json("stats", "--once")["consumers"]["members"])


def test_an_end_with_the_terminal_or_without_a_reader_is_an_orderly_one(stack: Project) -> None:
    names = ("hangup", "unread", "nohup")
    ledgers = {name: stack.directory / f"{name}.jsonl" for name in names}

    def produce(
        name: str, number: int, *, stdout: int, stderr: int | None = None
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*COMMAND, "produce", "--rate", "100", "--ledger", str(ledgers[name])],
            cwd=stack.directory,
            env=stack.environ,
            stdin=subprocess.DEVNULL,
            preexec_fn=lambda: signal.signal(signal.SIGHUP, number),
            stdout=stdout,
            stderr=stderr,
        )

    def is_at_work(name: str) -> bool:
        return acknowledged(ledgers[name]) > 50

    out, into = os.pipe()
    hangup = produce("hangup", signal.SIG_DFL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    unread = produce("unread", signal.SIG_DFL, stdout=into, stderr=into)
    nohup = produce("nohup", signal.SIG_IGN, stdout=subprocess.DEVNULL)
    consumer = stack.start("consume", anew=True)
    workers = stack.start("consume", "--workers", "2", anew=True)
    os.close(into)
    for name in names:
        eventually(partial(is_at_work, name), name)
    eventually(lambda: members(stack) == 3, "three consumers")
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
    eventually(lambda: acknowledged(ledgers["nohup"]) > before + 50, "what nohup goes on with")
    nohup.send_signal(signal.SIGTERM)
    assert nohup.wait(60) == 0
    stack.run("consume", "--until-end")
    sent = sum(path.read_bytes().count(b'"offset"') for path in ledgers.values())
    report = stack.json("verify")
    assert (report["missing"], report["duplicated"]) == (0, 0)
    assert report["stored"] + report["dead_letters"] == sent


def test_workers_that_are_stopped_while_they_start_end_in_order(stack: Project) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        process = stack.start("consume", "--workers", "2", anew=True)
        assert process.stderr is not None
        assert b"2 workers started" in process.stderr.readline()
        process.send_signal(number)
        account, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
        assert b"ended: stopped" in account
        assert b"error" not in said


def test_stats_as_lines_ends_as_the_live_view_does(stack: Project) -> None:
    for number, code in ((signal.SIGTERM, 0), (signal.SIGHUP, 0), (signal.SIGINT, 130)):
        process = stack.start("stats", "--interval", "1h", anew=True)
        assert process.stdout is not None
        line = process.stdout.readline()
        process.send_signal(number)
        rest, said = process.communicate(timeout=60)
        assert process.returncode == code, said
        assert [json.loads(each)["version"] for each in (line + rest).splitlines()] == [2]
        assert b"stopping" in said
        assert b"Traceback" not in said


def test_up_that_is_terminated_takes_back_what_it_has_started(project: Project) -> None:
    logs = project.directory / ".nrtctl" / "logs"
    for number in (signal.SIGTERM, signal.SIGHUP):
        process = project.start("up", anew=True)
        eventually(lambda: logs.exists() and any(logs.iterdir()), "a process")
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
        assert (process.returncode, said.splitlines()[-1]) == (130, b"error: interrupted")
        states = {each["state"] for each in project.json("status", code=3)}
        assert states == {"stopped"}
        shutil.rmtree(project.directory / ".nrtctl")
    project.run("up")
