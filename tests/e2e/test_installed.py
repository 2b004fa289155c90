"""The product from its built files, in an environment of its own, outside the checkout.

`tests/unit/deploy/test_built.py` has what the files hold, in `make test`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# The package index has to be there: what the product needs is installed.
pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


def run(*command: str, at: Path, home: Path) -> str:
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("NRTCTL_", "PYTHON"))}
    own = {"HOME": str(home), "XDG_STATE_HOME": str(home / "state"), "XDG_CONFIG_HOME": str(home)}
    done = subprocess.run(
        command, cwd=at, env=kept | own, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_it_runs_where_it_is_installed(kind: str, tmp_path: Path) -> None:
    built, venv, place = tmp_path / "built", tmp_path / "venv", tmp_path / "elsewhere"
    place.mkdir()
    run(
        sys.executable,
        "-m",
        "hatchling",
        "build",
        "-t",
        kind,
        "-d",
        str(built),
        at=ROOT,
        home=place,
    )
    (file,) = built.iterdir()
    run(sys.executable, "-m", "venv", str(venv), at=place, home=place)
    python = str(venv / "bin" / "python")
    constraints = str(ROOT / "constraints.txt")
    run(
        *(python, "-m", "pip", "install", "--quiet", "-c", constraints, f"{file}[local]"),
        at=place, home=Path.home(),
    )  # fmt: skip
    at = run(python, "-c", "import nrtctl; print(nrtctl.__file__)", at=place, home=place)
    assert Path(at.strip()).is_relative_to(venv)
    nrtctl = str(venv / "bin" / "nrtctl")
    assert run(nrtctl, "--version", at=place, home=place).startswith("nrtctl ")
    assert "every event is accounted for" in run(nrtctl, "demo", at=place, home=place)
