"""What `import nrtctl` offers, that it costs nothing until it is used, and that it is typed."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import nrtctl
from tests.plugins.doc_pages import ROOT, blocks_of

HEAVY = {
    "asyncio", "chdb", "clickhouse_connect", "confluent_kafka", "faker", "kio", "numpy", "orjson",
    "pandas", "pyarrow", "pydantic", "rich", "starlette", "typer", "uvicorn",
}  # fmt: skip


def imported_for_type_checkers() -> dict[str, str]:
    """Name to module, of the imports that only a type checker sees."""
    tree = ast.parse(Path(nrtctl.__file__).read_text())
    return {
        each.name: str(node.module).removeprefix("nrtctl.")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module != "__future__"
        for each in node.names
        if each.name != "import_module"
    }


def test_all_is_what_can_be_had_and_what_type_checkers_see() -> None:
    assert nrtctl.__all__ == sorted(nrtctl.__all__)
    assert {*nrtctl.__all__} == {*nrtctl._MODULES, "__version__"}
    assert imported_for_type_checkers() == nrtctl._MODULES
    for name in nrtctl.__all__:
        assert getattr(nrtctl, name).__doc__, name
        assert name in dir(nrtctl)


def test_no_module_of_ours_takes_them_from_there() -> None:
    """The layers contract does not look at these imports."""
    named = re.compile(rf"from nrtctl import|\bnrtctl\.(?:{'|'.join(nrtctl._MODULES)})\b")
    for path in Path(nrtctl.__file__).parent.rglob("*.py"):
        text = path.read_text()
        for node in ast.walk(ast.parse(text)) if named.search(text) else ():
            if isinstance(node, ast.ImportFrom) and node.module == "nrtctl":
                assert not {each.name for each in node.names} & {*nrtctl._MODULES}, path
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert node.value.id != "nrtctl" or node.attr not in nrtctl._MODULES, path


def test_every_error_of_the_tree_is_offered() -> None:
    from nrtctl import errors

    tree = {name for name, each in vars(errors).items() if isinstance(each, type)}
    assert tree <= {*nrtctl.__all__}


def test_what_is_not_there_is_said_as_usual() -> None:
    with pytest.raises(AttributeError, match="module 'nrtctl' has no attribute 'connekt'"):
        nrtctl.connekt  # noqa: B018
    assert not hasattr(nrtctl, "_nothing")


@pytest.mark.parametrize(
    ("code", "most"),
    [
        ("import nrtctl", {"nrtctl"}),
        ("import nrtctl.testing", {"nrtctl", "nrtctl.testing"}),
        (
            "import nrtctl.testing.fixtures",
            {"nrtctl", "nrtctl.testing", "nrtctl.testing.fixtures"},
        ),
    ],
)
def test_an_import_loads_no_library_and_nothing_else_of_ours(code: str, most: set[str]) -> None:
    shown = "print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\n{shown}"],
        capture_output=True,
        text=True,
        check=True,
    )
    modules = set(done.stdout.split())
    assert {name for name in modules if name.partition(".")[0] == "nrtctl"} == most
    assert modules & HEAVY == set()


@pytest.mark.long  # `make lint` checks tests that use most of it
@pytest.mark.timeout(300)  # mypy reads the libraries once
def test_a_program_that_uses_it_passes_strict_type_checks(tmp_path: Path) -> None:
    """A small one, and every example of the page."""
    programs = {"program.py": PROGRAM, "wrong.py": WRONG}
    for block in blocks_of(ROOT / "docs/python-api.md"):
        if block.language == "python":
            programs[f"example_{block.line}.py"] = block.text
    assert len(programs) > 5
    for name, text in programs.items():
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", *sorted(programs)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    said = [line for line in done.stdout.splitlines() if "error:" in line]
    assert [line for line in said if not line.startswith("wrong.py")] == [], done.stderr
    assert [line.rpartition(" ")[2] for line in said] == ["[call-arg]", "[arg-type]"], said


PROGRAM = """
from threading import Event

import nrtctl


def main(stop: Event) -> int:
    loaded: nrtctl.Loaded = nrtctl.load_config(overrides=["batch.max_rows=1000"])
    config: nrtctl.Config = loaded.config
    pipeline: nrtctl.Pipeline = config.pipeline
    client = nrtctl.Client(loaded)
    ready: nrtctl.Up = client.up()
    produced: nrtctl.Produced = client.produce([nrtctl.Message(b"{}"), {"a": 1}, b"x", "y"])
    inserts: list[nrtctl.Insert] = []
    try:
        consumed: nrtctl.Consumed = client.consume(stop=stop, observe=inserts.append)
    except nrtctl.NotStored as error:
        consumed = error.consumed
    report: nrtctl.Report = client.verify()
    shot: nrtctl.Snapshot = client.snapshot(window=60, by="partition")
    moved: nrtctl.Moved = client.replay({0: None, 1: 47}, execute=False)
    rows = client.query("SELECT 1 AS one")
    print(ready.kafka, pipeline.table, produced.sent, report.ok, shot.stored, moved.before, rows)
    return consumed.records
"""

WRONG = """
import nrtctl

nrtctl.Client().consume(until_the_end=True)
nrtctl.Client().produce(7)
"""
