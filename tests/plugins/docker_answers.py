"""What the stand-in `docker` answers (the texts are docker's).

Behind `compose up` it starts the local stack at the ports and with the password that it was given,
so what comes after, topics and tables and queries, is real. Run by the script of `fake_docker`.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any


def answer(home: str) -> int:
    """One run of the executable; its exit code."""
    words, base = sys.argv[1:], Path(home)
    with (base / "calls.jsonl").open("a") as file:
        file.write(json.dumps(words) + "\n")
    scenario = json.loads((base / "scenario.json").read_text())
    for name, start in (
        ("compose_version", ["compose", "version"]),
        ("engine_version", ["version"]),
    ):
        if words[: len(start)] == start:
            code, out, err = scenario[name]
            print(out, end="\n" if out else "")
            print(err, end="\n" if err else "", file=sys.stderr)
            return int(code)
    assert words.pop(0) == "compose", words
    options: dict[str, str] = {}
    while words[0].startswith("--"):
        options[words[0]] = words[1]
        words = words[2:]
    return _compose(base, scenario, options, words)


def _compose(
    base: Path, scenario: dict[str, Any], options: dict[str, str], words: list[str]
) -> int:
    missing = _missing(Path(options["--file"]))
    if missing:
        print(f"error while interpolating: required variable {missing[0]} is missing a value")
        return 1
    command, rest = words[0], words[1:]
    if command == "up":
        if scenario["hang"]:
            return _hang(base)
        if scenario["up"] is not None:
            code, lines = scenario["up"]
            print("\n".join(lines), file=sys.stderr)
            return int(code)
        _start(base)
        for name in rest[rest.index("--wait-timeout") + 2 :]:
            print(f" Container {options['--project-name']}-{name}-1  Healthy", file=sys.stderr)
        return 0
    if command == "ps":
        containers = scenario["ps"]
        print("\n".join(json.dumps(each) for each in containers or _running(base)))
        return 0
    if command == "logs":
        print("\n".join(scenario["logs"].get(rest[-1], [])))
        return 0
    if command == "down":
        from nrtctl.stack.state_dir import delete, identity

        stop(base)
        if "--volumes" in rest:
            delete(base / "stack", identity(base / "stack"))
        return 0
    print(f"unknown docker command: {command}", file=sys.stderr)
    return 1


def _missing(file: Path) -> list[str]:
    """Variables that the file requires (`${NAME:?…}`) and nobody gave."""
    required = re.findall(r"\$\{([A-Z_]+):\?", file.read_text())
    return [name for name in required if not os.environ.get(name)]


def _start(base: Path) -> None:
    from nrtctl.config.load import load_config
    from nrtctl.stack import local

    environ = {
        "HOME": str(base),
        "NRTCTL_STACK__KIND": "local",
        "NRTCTL_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{os.environ['KAFKA_PORT']}",
        "NRTCTL_CLICKHOUSE__URL": f"http://127.0.0.1:{os.environ['CLICKHOUSE_PORT']}",
        "NRTCTL_CLICKHOUSE__PASSWORD": os.environ["CLICKHOUSE_PASSWORD"],
    }
    local.start(load_config(environ=environ, cwd=base).config, base / "stack")


def _running(base: Path) -> list[dict[str, Any]]:
    from nrtctl.stack.state_dir import live

    return [
        {"Service": name, "State": "running", "Health": "healthy", "ExitCode": 0}
        for name in ("kafka", "clickhouse")
        if live(base / "stack", name) is not None
    ]


def _hang(base: Path) -> int:
    """Like an `up --wait` whose containers never get well: until it is interrupted."""
    ended: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: ended.append(number))
    print(" Container nrtctl-kafka-1  Waiting", file=sys.stderr, flush=True)
    while not ended:
        time.sleep(0.05)
    (base / "interrupted").touch()
    return 130


def stop(home: Path) -> None:
    """End what `compose up` has started."""
    from nrtctl.stack import local

    if (home / "stack").exists():
        local.stop(home / "stack")
