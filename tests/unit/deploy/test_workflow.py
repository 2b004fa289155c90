"""The workflow of continuous integration runs what has to pass, and nothing beside it."""

from __future__ import annotations

from typing import Any

import yaml

from tests.unit.deploy.files import ROOT

WORKFLOW = ROOT / ".github/workflows/ci.yml"


def test_it_runs_the_one_script() -> None:
    flow: dict[str, Any] = yaml.safe_load(WORKFLOW.read_text())
    (job,) = flow["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    assert (ROOT / ".ci/run").exists()
    assert flow["permissions"] == {"contents": "read"}
    python = next(s["with"]["python-version"] for s in job["steps"] if "python" in s["uses"])
    assert f'requires-python = ">={python}"' in (ROOT / "pyproject.toml").read_text()
