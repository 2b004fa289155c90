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


def test_the_contract_tests_meet_the_servers_of_the_compose_file() -> None:
    flow: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/servers.yml").read_text())
    (job,) = flow["jobs"].values()
    compose = yaml.safe_load((ROOT / "deploy/docker-compose.yml").read_text())["services"]
    images = {service["image"] for service in job["services"].values()}
    assert images == {compose[name]["image"] for name in ("kafka", "clickhouse")}
    words = job["steps"][-1]["run"].split()
    assert words[words.index("--kafka") + 1] == "127.0.0.1:9092"
    assert words[words.index("--clickhouse") + 1] == "http://127.0.0.1:8123"
    assert flow["permissions"] == {"contents": "read"}
