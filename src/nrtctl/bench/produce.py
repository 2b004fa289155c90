"""Events a second into a topic: generated, and from a file beside kcat. Called by `bench produce`.

nrtctl and kcat take turns on the same broker and file, each as a whole command: its start is in the
time. kcat has its defaults, and in `idempotent` what ours has: no message twice, none out of order.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nrtctl.bench.children import Usage
from nrtctl.bench.events import write_lines
from nrtctl.bench.figures import figure
from nrtctl.bench.scratch import Pipeline, Scratch
from nrtctl.config.counted import counted
from nrtctl.errors import CheckFailed

KEY = "user_id"
IDEMPOTENT = ("-X", "enable.idempotence=true")
Say = Callable[[str], None]


def produce(
    stack: Scratch, *, count: int, runs: int, say: Say = lambda text: None
) -> dict[str, Any]:
    """Rates in events a second; the ratios are kcat's seconds over ours.

    Raises:
        CheckFailed: not every event was acknowledged.
        NrtctlError: a command failed.
    """
    kcat = shutil.which("kcat")
    brokers = stack.addresses().bootstrap_servers
    lines, keyed_lines = stack.directory / "lines.jsonl", stack.directory / "keyed.tsv"
    say(f"generating {counted(count, 'event')}")
    size = write_lines(lines, count)
    if kcat:
        write_lines(keyed_lines, count, keyed=True)
    measured: dict[str, list[float]] = {}

    def note(name: str, used: Usage) -> None:
        measured.setdefault(f"{name}_rate", []).append(count / used.seconds)
        measured.setdefault(f"{name}_per_cpu_second", []).append(count / used.cpu)

    def compare(name: str, used: Usage, seconds: float | None) -> None:
        if seconds is not None:
            measured.setdefault(f"{name}_ratio", []).append(seconds / used.seconds)

    def with_kcat(topic: str, path: Path, *more: str, name: str = "") -> float | None:
        if kcat is None:
            return None
        command = [kcat, "-P", "-q", "-b", brokers, "-t", topic, "-l", *more, str(path)]
        with stack.child("kcat", command) as child:
            used = child.wait()
        note(f"kcat_{name or topic}", used)
        return used.seconds

    for number in range(1, runs + 1):
        database = f"bench_produce_{number}"
        for topic, ours, path, more in (
            ("unkeyed", (), lines, ()),
            ("keyed", ("--key", KEY), keyed_lines, ("-K", "\t")),
        ):
            say(f"run {number} of {runs}: a file, {topic}")
            with stack.pipeline(topic=topic, database=database) as pipeline:
                theirs = with_kcat(topic, path, *more)
                used = _send(pipeline, count, "--input", str(lines), *ours)
                safe = with_kcat(topic, path, *more, *IDEMPOTENT, name=f"{topic}_idempotent")
            note(topic, used)
            compare(topic, used, theirs)
            compare(f"{topic}_idempotent", used, safe)
        say(f"run {number} of {runs}: generated")
        with stack.pipeline(topic="generated", database=database) as pipeline:
            note("generated", _send(pipeline, count, "--count", str(count)))
    found = {
        name: figure(values, 3 if name.endswith("ratio") else 1)
        for name, values in measured.items()
    }
    return {"count": count, "bytes": size, "kcat": kcat is not None, **found}


def _send(pipeline: Pipeline, count: int, *arguments: str) -> Usage:
    used = pipeline.run("produce", *arguments)
    acknowledged = json.loads(used.output)["acknowledged"]
    if acknowledged != count:
        raise CheckFailed(
            f"only {counted(acknowledged, 'event was', 'events were')} acknowledged of {count:,}"
        )
    return used
