"""What is compiled when nrtctl is installed, and that it is installed without it, too."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hatch_build import FLAGS, LIBRARY, SOURCES, CompileNative

from nrtctl.kafka.native import Native
from tests.plugins.compiled import needs_native

ROOT = Path(__file__).parents[3]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    ignored = shutil.ignore_patterns("__pycache__", "*.native")
    shutil.copytree(ROOT / SOURCES, tmp_path / SOURCES, ignore=ignored)
    return tmp_path


def built(tree: Path, version: str = "standard") -> dict[str, Any]:
    found: dict[str, Any] = {"artifacts": []}
    hook = CompileNative(str(tree), {}, None, None, "", "wheel")  # type: ignore[arg-type]
    hook.initialize(version, found)
    return found


@needs_native
def test_a_wheel_with_compiled_code_is_for_this_platform(tree: Path) -> None:
    found = built(tree)
    assert (found["artifacts"], found["pure_python"]) == ([LIBRARY], False)
    assert found["tag"].startswith("py3-none-")
    assert not found["tag"].endswith("any")
    Native(tree / LIBRARY)
    assert built(tree, "editable") == {"artifacts": [LIBRARY]}


@pytest.mark.parametrize("compiler", ["false", "no-such-compiler", "sh -c 'exit 1'", None])
def test_without_a_compiler_a_wheel_is_for_every_platform(
    tree: Path, compiler: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CC", raising=False)
    if compiler is None:
        monkeypatch.setattr(shutil, "which", lambda name: None)
    else:
        monkeypatch.setenv("CC", compiler)
    (tree / LIBRARY).write_bytes(b"of another time")
    assert built(tree) == {"artifacts": []}
    assert [path.suffix for path in (tree / SOURCES).iterdir()].count(".native") == 0


@needs_native
def test_the_compiler_has_nothing_to_say_against_it() -> None:
    compiler = os.environ.get("CC", "cc")
    for path in sorted((ROOT / SOURCES).glob("*.c")):
        strict = [*FLAGS, "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-fsyntax-only"]
        done = subprocess.run(
            [*compiler.split(), *strict, str(path)], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
