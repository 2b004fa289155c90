"""A current state all the way: changes sent, killed, damaged, mended, replayed, made again."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.plugins import damage
from tests.plugins.stack import Project

PIPELINE = """
[pipeline]
topic = "accounts"
partitions = 2
table = "changes"
key = "id"

[pipeline.fields]
id = "UInt32"
version = "Int64"
op = "LowCardinality(String)"
balance = "Int32"

[pipeline.columns]
cents = "{cents}"

[pipeline.rejects]
"too much" = "balance > {most}"

[pipeline.latest.accounts]
key = "id"
version = "{version}"
deleted = "op = 'd'"
"""
SMALL = ("--set", "batch.max_rows=40", "--set", "consumer.session_timeout=6s")
WANTED = (
    "SELECT id, row.1 AS version, row.2 AS balance, row.3 AS cents FROM (SELECT id, "
    "argMax((version, balance, cents, op), ({version}, _partition, _offset)) AS row FROM changes "
    "GROUP BY id HAVING row.4 != 'd') ORDER BY id"
)
FOUND = "SELECT id, version, balance, cents FROM accounts ORDER BY id"
KEYS = 60


def configure(stack: Project, **values: Any) -> None:
    config = stack.directory / "nrtctl.toml"
    head = config.read_text().partition("[pipeline]")[0]
    values = {"cents": "balance * 100", "most": 900, "version": "version", **values}
    config.write_text(head + PIPELINE.format(**values))


def send(stack: Project, tmp_path: Path, numbers: range) -> None:
    """Changes of accounts: one in 5 is late, one in 11 an end, one in 13 too much."""
    lines = tmp_path / "changes.jsonl"
    changes = [
        {
            "id": n * 7 % KEYS,
            "version": n - 200 if n % 5 == 0 else n,
            "op": "d" if n % 11 == 0 else "u",
            "balance": 901 if n % 13 == 0 else n % 900,
        }
        for n in numbers
    ]
    lines.write_text("".join(f"{json.dumps(each)}\n" for each in changes))
    stack.run("produce", "--input", str(lines))


def right(stack: Project, version: str = "version") -> None:
    """The view says what the rows say, and `verify` that all is well."""
    assert stack.rows(FOUND) == stack.rows(WANTED.format(version=version))
    report = stack.json("verify")
    keys = stack.value("SELECT uniqExact(id) FROM changes")
    assert report["latest"] == [
        {"name": "accounts", "keys": keys, "wrong": 0, "missing": 0, "extra": 0, "older": 0,
         "examples": [], "problem": ""}
    ]  # fmt: skip


@pytest.fixture
def filled(stack: Project, tmp_path: Path) -> Project:
    configure(stack)
    stack.run("up")
    send(stack, tmp_path, range(500))
    stack.run("consume", "--until-end", "--set", "batch.max_rows=100")
    right(stack)
    return stack


def test_a_state_is_right_after_a_kill_and_a_damage(filled: Project, tmp_path: Path) -> None:
    send(filled, tmp_path, range(500, 700))
    filled.environ["NRTCTL_FAULT"] = "insert-answered=2"
    assert filled.run("consume", *SMALL, code=None).returncode == -signal.SIGKILL
    del filled.environ["NRTCTL_FAULT"]
    filled.run("consume", "--until-end", *SMALL)
    right(filled)
    (state,) = filled.rows("SELECT name FROM system.tables WHERE engine = 'ReplacingMergeTree'")
    before = filled.rows(FOUND)
    damage.delete(filled, state["name"], "id < 9")
    seen = filled.run("verify", code=5)
    assert b"latest.accounts: 60 keys, 0 wrong, 9 missing, 0 extra" in seen.stdout
    assert b"nrtctl verify --repair" in seen.stderr
    dry = filled.run("verify", "--repair", code=5)
    assert b"nothing was changed" in dry.stdout
    done = filled.json("verify", "--repair", "--execute")
    assert done["repair"]["latest"] == {"accounts": 9}
    assert filled.rows(FOUND) == before
    right(filled)


@pytest.mark.long
def test_a_state_is_right_after_a_replay_and_a_load(filled: Project) -> None:
    """`tests/contract/schema/test_latest.py` and the exchange below are the short forms."""
    before = filled.rows(FOUND)
    configure(filled, most=2000)
    filled.run("up")
    filled.run("dlq", "replay", "--execute")
    assert filled.value("SELECT count() FROM changes") == 500
    assert filled.rows(FOUND) != before
    right(filled)
    configure(filled, most=100)
    filled.run("up")
    filled.run("replay", "load", "--execute")
    assert filled.value("SELECT max(balance) FROM accounts") <= 100
    right(filled)


def test_a_state_is_exchanged_with_the_table(filled: Project, tmp_path: Path) -> None:
    configure(filled, cents="balance * 1000", version="-version", most=2000)
    load = ("replay", "load", "--into", "changes_2")
    filled.run(*load, "--execute")
    send(filled, tmp_path, range(500, 520))
    filled.run("consume", "--until-end", *SMALL, code=None)
    filled.environ["NRTCTL_FAULT"] = "swap-exchanged=1"
    killed = filled.run(*load, "--resume", "--swap", "--execute", code=None)
    assert killed.returncode == -signal.SIGKILL
    del filled.environ["NRTCTL_FAULT"]
    filled.run(*load, "--resume", "--swap", "--execute", *SMALL)
    right(filled, "-version")
    assert filled.value("SELECT min(cents = balance * 1000) FROM accounts") == 1
    send(filled, tmp_path, range(520, 600))
    filled.run("consume", "--until-end", *SMALL)
    right(filled, "-version")
    states = filled.rows("SELECT name FROM system.tables WHERE engine = 'ReplacingMergeTree'")
    assert len(states) == 1
