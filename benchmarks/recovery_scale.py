"""What recovery costs on a large table.

`python -m benchmarks.recovery_scale --rows 1000000 20000000`

Starts a local stack and fills the table with INSERT … SELECT FROM numbers(…), as if the group had
consumed that many messages. Then, several times: one batch is sent, a consumer is killed between
the engine's answer and the offset commit, and the next one goes on. Prints what that one asked
ClickHouse until it ended: statements, rows read as the engine counts them, milliseconds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.verify_scale import fill
from tests.plugins.stack import Project

BATCH = 200

RECORDER = """
import json, sys, time
from nrtctl.clickhouse.client import ClickHouseClient as Client
from nrtctl.cli import main
lines = open(sys.argv.pop(1), "a")
def record(name, read):
    inner = getattr(Client, name)
    def outer(self, sql, *more, **named):
        began = time.monotonic()
        answer = inner(self, sql, *more, **named)
        took = 1000 * (time.monotonic() - began)
        line = {"call": name, "sql": sql, "ms": took, "read": read(answer)}
        lines.write(json.dumps(line) + "\\n")
        lines.flush()
        return answer
    setattr(Client, name, outer)
record("ask", lambda answer: answer.read_rows)
record("command", lambda answer: 0)
record("insert", lambda answer: 0)
main()
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 20_000_000])
    options.add_argument("--tries", type=int, default=5)
    given = options.parse_args()
    for rows in given.rows:
        with tempfile.TemporaryDirectory(prefix="nrtctl-scale-") as directory:
            project = Project(Path(directory))
            project.run("init")
            project.use_free_ports()
            try:
                project.run("up")
                fill(project, rows)
                _measure(project, rows, given.tries)
            finally:
                project.down()


def _measure(project: Project, rows: int, tries: int) -> None:
    found = [recover(project, number) for number in range(tries)]
    report = project.json("verify")
    assert report["missing"] == report["duplicated"] == 0, report
    for kind in sorted({name for each in found for name in each}):
        _print(rows, kind, [each.get(kind, []) for each in found])


def recover(project: Project, seed: int) -> dict[str, list[dict[str, Any]]]:
    """Kill a consumer after the answer, let another finish: what that one sent, by its kind."""
    project.run("produce", "--count", str(BATCH), "--seed", str(seed))
    project.environ["NRTCTL_FAULT"] = "insert-answered=1"
    try:
        killed = project.run("consume", "--until-end", code=None)
    finally:
        del project.environ["NRTCTL_FAULT"]
    assert killed.returncode == -9, killed
    log = project.directory / "asked.jsonl"
    log.unlink(missing_ok=True)
    subprocess.run(
        [sys.executable, "-c", RECORDER, str(log), "consume", "--until-end"],
        cwd=project.directory,
        env=project.environ,
        check=True,
        capture_output=True,
        timeout=300,
    )
    kinds: dict[str, list[dict[str, Any]]] = {}
    for line in log.read_text().splitlines():
        asked = json.loads(line)
        kinds.setdefault(_kind(asked), []).append(asked)
    return kinds


def _kind(asked: dict[str, Any]) -> str:
    if asked["call"] == "insert":
        return "insert"
    for mark, kind in (
        ("max(_offset)", "highest offsets, once for an assignment"),
        ("uniqExact(_offset)", "count of the batch"),
        ("system.parts", "active parts"),
        ("system.", "other of the server's own tables"),
    ):
        if mark in asked["sql"]:
            return kind
    return str(asked["sql"][:60])


def _print(rows: int, call: str, found: list[list[dict[str, Any]]]) -> None:
    def middle(of: Any) -> float:
        return float(statistics.median(of(each) for each in found))

    print(
        f"{rows:>11,} rows | {call} | times {middle(len):.0f} | rows read "
        f"{middle(lambda each: sum(a['read'] for a in each)):,.0f} | "
        f"{middle(lambda each: sum(a['ms'] for a in each)):.1f} ms",
        flush=True,
    )


if __name__ == "__main__":
    main()
