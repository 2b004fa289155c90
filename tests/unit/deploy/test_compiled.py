"""What is compiled when nrtctl is installed, and that it is installed without it, too."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hatch_build import FLAGS, LIBRARY, SOURCES, CompileNative

from nrtctl.kafka import native as native_module
from nrtctl.kafka.native import Native, _digest, native
from tests.plugins.compiled import needs_native

ROOT = Path(__file__).parents[3]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    ignored = shutil.ignore_patterns("__pycache__", "*.native")
    shutil.copytree(ROOT / SOURCES, tmp_path / SOURCES, ignore=ignored)
    return tmp_path


def built(tree: Path, version: str = "standard") -> dict[str, Any]:
    found: dict[str, Any] = {"force_include": {}}
    hook = CompileNative(str(tree), {}, None, None, "", "wheel")  # type: ignore[arg-type]
    hook.initialize(version, found)
    return found


@needs_native
def test_a_wheel_with_compiled_code_is_for_this_platform(tree: Path) -> None:
    found = built(tree)
    ((made, place),) = found["force_include"].items()
    assert (place, found["pure_python"]) == (f"nrtctl/kafka/native/{LIBRARY}", False)
    assert found["tag"].startswith("py3-none-")
    assert not found["tag"].endswith("any")
    assert not (tree / SOURCES / LIBRARY).exists(), "another environment may use the same tree"
    assert Native(Path(made)).sources() == _digest()
    shutil.rmtree(Path(made).parent)
    assert built(tree, "editable") == {"force_include": {}}
    assert Native(tree / SOURCES / LIBRARY).sources() == _digest()


@needs_native
def test_what_was_made_of_other_sources_is_not_used(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built(tree, "editable")
    monkeypatch.setattr(native_module, "LIBRARY", tree / SOURCES / LIBRARY)
    native.cache_clear()
    try:
        assert native() is not None
        (tree / SOURCES / "lines.c").write_text("/* another */")
        native.cache_clear()
        assert native() is None
    finally:
        monkeypatch.undo()
        native.cache_clear()


@pytest.mark.parametrize("compiler", ["false", "no-such-compiler", "sh -c 'exit 1'", None])
def test_without_a_compiler_a_wheel_is_for_every_platform(
    tree: Path, compiler: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CC", raising=False)
    if compiler is None:
        monkeypatch.setattr(shutil, "which", lambda name: None)
    else:
        monkeypatch.setenv("CC", compiler)
    assert built(tree) == {"force_include": {}}
    (tree / SOURCES / LIBRARY).write_bytes(b"of another time")
    assert built(tree, "editable") == {"force_include": {}}
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
