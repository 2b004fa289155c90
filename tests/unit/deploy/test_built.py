"""The built files: what a wheel holds, and that an sdist makes the same one.

`tests/e2e/test_installed.py` installs them, in `make test-long`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NEEDED = (
    "src",
    "deploy",
    "docs",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "hatch_build.py",
    ".gitignore",
)
"""Of the checkout, by what is built here."""


def build(tree: Path, kind: str, into: Path) -> Path:
    """Args: kind: `sdist` or `wheel`."""
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(into)],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (found,) = into.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return found


def contents(wheel: Path) -> Mapping[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout, with files in it that must not get out."""
    tree = tmp_path_factory.mktemp("tree")
    for name in NEEDED:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", ".nrtctl", ".env")
            shutil.copytree(ROOT / name, tree / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy(ROOT / name, tree / name)
    for secret in (".env", "deploy/.env", ".nrtctl/clickhouse/password", "src/.env"):
        path = tree / secret
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("PASSWORD=hunter2")
    return tree


@pytest.fixture(scope="module")
def wheel(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tree, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tree, "sdist", tmp_path_factory.mktemp("sdist"))


def test_a_wheel_has_the_product_and_what_docker_needs(wheel: Path, tree: Path) -> None:
    held = contents(wheel)
    source = tree / "src"
    for path in source.rglob("*"):
        if path.is_file() and path.name != ".env":
            assert held[path.relative_to(source).as_posix()] == path.read_bytes()
    for name in ("docker-compose.yml", "nrtctl.toml"):
        assert held[f"nrtctl/deploy/{name}"] == (tree / "deploy" / name).read_bytes()
    assert b"nrtctl = nrtctl" in held[next(n for n in held if n.endswith("entry_points.txt"))]


def test_an_sdist_makes_the_same_wheel(sdist: Path, wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (tree,) = tmp_path.iterdir()
    again = contents(build(tree, "wheel", tmp_path / "again"))
    assert again == contents(wheel)


def test_no_secret_is_built_in(sdist: Path, wheel: Path) -> None:
    with tarfile.open(sdist) as archive:
        files = [archive.extractfile(each) for each in archive.getmembers() if each.isfile()]
        held = [file.read() for file in files if file is not None]
    assert len(held) > 100
    assert not any(b"hunter2" in data for data in [*held, *contents(wheel).values()])
