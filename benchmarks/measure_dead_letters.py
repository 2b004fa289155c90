"""How long 100,000 dead letters take: `python -m benchmarks.measure_dead_letters [COUNT]`.

A local stack of its own in a temporary directory: messages whose status is a number are produced
and consumed into dead letters, listed, filtered, and replayed with a fix. Prints one line a step.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.plugins.stack import Project

FIX = """replaceOne(value, '"status": 7', '"status": "SUCCESS"')"""


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        project = Project(Path(directory))
        project.run("init")
        project.use_free_ports()
        try:
            project.run("up")
            project.run("produce", "--input", "-", stdin=messages(count))
            project.run("consume", "--until-end")
            timed("list, the first 100", lambda: project.run("dlq", "list"))
            timed("list --text", lambda: project.run("dlq", "list", "--text", "0000-00000000007"))
            timed("list -o jsonl, all", lambda: project.run("dlq", "list", "-o", "jsonl"))
            timed("replay, dry", lambda: project.run("dlq", "replay", "--fix", FIX))
            timed(
                "replay --execute",
                lambda: project.run("dlq", "replay", "--fix", FIX, "--execute", timeout=600),
            )
            found = project.json("verify")
            print({name: found[name] for name in ("stored", "dead_letters", "ok")})
        finally:
            project.down()


def messages(count: int) -> bytes:
    lines = []
    for number in range(count):
        name = f"00000000-0000-0000-0000-{number:012}"
        event = {
            "event_id": name, "user_id": name, "session_id": name, "event_type": "VIEW_PRODUCT",
            "event_timestamp": 1_767_225_600_000 + number, "request_latency_ms": 12, "status": 7,
            "product_id": number % 10_000 + 1,
        }  # fmt: skip
        lines.append(json.dumps(event).encode())
    return b"\n".join(lines) + b"\n"


def timed(what: str, run: Callable[[], object]) -> None:
    began = time.monotonic()
    run()
    print(f"{what:<22}{time.monotonic() - began:6.2f} s, the command's start included", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 100_000)
