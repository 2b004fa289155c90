"""CPU time of commands that only start: `python -m benchmarks.measure_start [--runs N]`.

User and system time. They take turns, so that what else the machine does falls on all of them.
Compiled modules are kept, as wherever nrtctl is installed, whatever PYTHONDONTWRITEBYTECODE says.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys

PYTHON = [sys.executable]
COMMANDS = {
    "import typer": [*PYTHON, "-c", "import typer"],
    "nrtctl --help": [*PYTHON, "-m", "nrtctl", "--help"],
    "nrtctl produce --help": [*PYTHON, "-m", "nrtctl", "produce", "--help"],
    "nrtctl --version": [*PYTHON, "-m", "nrtctl", "--version"],
}

ENVIRON = {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def cpu_ms(command: list[str]) -> float:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=ENVIRON)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}")
    return 1000 * (used.ru_utime + used.ru_stime)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=30)
    runs = parser.parse_args().runs
    measured: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for command in COMMANDS.values():
        cpu_ms(command)
    for _ in range(runs):
        for name, command in COMMANDS.items():
            measured[name].append(cpu_ms(command))
    base = statistics.median(measured["import typer"])
    for name, times in measured.items():
        middle = statistics.median(times)
        print(f"{name:22} {middle:5.0f} ms (best {min(times):.0f}), {middle / base:.2f} x import")


if __name__ == "__main__":
    main()
