"""Virtual environments of other Python programs, made once in the tests' cache directory."""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
import sys
from pathlib import Path

from tests.plugins.apache_kafka import cache_directory


def environment(name: str, requirements: Path) -> Path:
    """The directory of the commands of an environment with these requirements.

    Raises CalledProcessError, with pip's output: it cannot be had.
    """
    made_of = f"{sys.version_info[:2]} {requirements.read_text()}"
    digest = hashlib.sha256(made_of.encode()).hexdigest()[:12]
    home = cache_directory() / f"{name}-{digest}"
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes may come at once
        complete = home / "complete"
        if not complete.exists():
            venv = home / "venv"
            _run(sys.executable, "-m", "venv", "--clear", str(venv))
            pip = (str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet")
            _run(*pip, "-r", str(requirements))
            complete.touch()
    return home / "venv" / "bin"


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=550)
