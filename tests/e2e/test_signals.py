"""The terminal closes, or nobody reads stderr any more: the work is finished, and accounted for."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.stack import COMMAND, Project
from tests.plugins.waiting import eventually


def acknowledged(ledger: Path) -> int:
    return ledger.read_bytes().count(b"\n") if ledger.exists() else 0


def members(stack: Project) -> int:
    """How many consumers are in the group of the stack's pipeline."""
    return len(stack.json("stats", "--once")["consumers"]["members"])


@pytest.mark.parametrize("number", [None, pytest.param("2", marks=pytest.mark.long)])
def test_an_end_with_the_terminal_or_without_a_reader_is_an_orderly_one(
    stack: Project, number: str | None
) -> None:
    """
    Args:
        number: of workers beside the consumer; None: no command with workers.
    """
    names = ("hangup", "unread", "nohup")
    ledgers = {name: stack.directory / f"{name}.jsonl" for name in names}

    def words(name: str) -> tuple[str, ...]:
        return ("produce", "--rate", "100", "--ledger", str(ledgers[name]))

    def is_at_work(name: str) -> bool:
        return acknowledged(ledgers[name]) > 50

    out, into = os.pipe()
    hangup = stack.start(*words("hangup"))
    unread = stack.spawn(*words("unread"), stdout=into, stderr=into)
    nohup = subprocess.Popen(
        [*COMMAND, *words("nohup")],
        cwd=stack.directory,
        env=stack.environ,
        stdin=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
        stdout=subprocess.DEVNULL,
    )
    seldom = ("--set", "batch.max_wait=1s")  # inserts are not what this is about
    consumers = [stack.start("consume", *seldom)]
    if number:
        consumers.append(stack.start("consume", "--workers", number, *seldom, anew=True))
    os.close(into)
    for name in names:
        eventually(partial(is_at_work, name), name)
    eventually(lambda: members(stack) == 1 + int(number or 0), "all consumers")
    os.close(out)
    for process in (hangup, nohup, *consumers):
        process.send_signal(signal.SIGHUP)
    unread.send_signal(signal.SIGINT)
    account, said = hangup.communicate(timeout=60)
    assert (hangup.returncode, unread.wait(60)) == (0, 0), said
    assert b"ended: stopped" in account
    assert b"stopping" in said
    for process in consumers:
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


def also(number: signal.Signals) -> Any:
    """One that ends a command as another does, which `make test` has."""
    return pytest.param(number, marks=pytest.mark.long)


@pytest.mark.parametrize("number", [signal.SIGTERM, also(signal.SIGINT)])
def test_workers_that_are_stopped_while_they_start_end_in_order(
    stack: Project, number: signal.Signals
) -> None:
    process = stack.start("consume", "--workers", "2", anew=True)
    assert process.stderr is not None
    assert b"2 workers started" in process.stderr.readline()
    process.send_signal(number)
    account, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert b"ended: stopped" in account
    assert b"error" not in said


@pytest.mark.parametrize("number", [also(signal.SIGTERM), signal.SIGHUP, signal.SIGINT])
def test_stats_as_lines_ends_as_the_live_view_does(stack: Project, number: signal.Signals) -> None:
    process = stack.start("stats", "--interval", "1h", anew=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    process.send_signal(number)
    rest, said = process.communicate(timeout=60)
    assert process.returncode == (130 if number == signal.SIGINT else 0), said
    assert [json.loads(each)["version"] for each in (line + rest).splitlines()] == [2]
    assert b"stopping" in said
    assert b"Traceback" not in said


@pytest.mark.parametrize("number", [also(signal.SIGTERM), signal.SIGHUP])
def test_up_that_is_terminated_takes_back_what_it_has_started(
    project: Project, number: signal.Signals
) -> None:
    logs = project.directory / ".nrtctl" / "logs"
    process = project.start("up", anew=True)
    eventually(lambda: logs.exists() and any(logs.iterdir()), "a process")
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said.splitlines()[-1]) == (130, b"error: interrupted")
    states = {each["state"] for each in project.json("status", code=3)}
    assert states == {"stopped"}
    shutil.rmtree(project.directory / ".nrtctl")
    project.run("up")
