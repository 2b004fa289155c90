"""Every command block of README and docs: it runs as typed, and prints what the page shows."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import pytest

from nrtctl.kafka.native import native
from tests.plugins.doc_pages import PAGES, ROOT, Reader, blocks_of, name_of
from tests.plugins.forked_command import ForkedCommand
from tests.plugins.ports import free_port
from tests.plugins.stack import Project

_FROM_NOTHING = {"README.md", "examples/online-retail/README.md"}
"""Pages that begin without a stack; the others are read beside one that is up."""
RUN = [page for page in PAGES if any(block.runs for block in blocks_of(page))]
BESIDE_A_STACK = [page for page in RUN if name_of(page) not in _FROM_NOTHING]


@pytest.mark.parametrize("page", BESIDE_A_STACK, ids=name_of)
def test_a_page_beside_a_stack(page: Path, stack: Project, forked_command: ForkedCommand) -> None:
    if native() is None and "ok    compiled code" in page.read_text():
        pytest.skip("there is no C compiler")
    settings = tomllib.loads((stack.directory / "nrtctl.toml").read_text())
    kafka = settings["kafka"]["bootstrap_servers"].rpartition(":")[2]
    clickhouse = settings["clickhouse"]["url"].rpartition(":")[2]
    reader = Reader(stack.directory, kafka, clickhouse, commands=forked_command.directory)
    for block in blocks_of(page):
        if block.runs:
            reader.read(block)


@pytest.mark.parametrize(
    ("name", "installed"),
    [*((name, False) for name in sorted(_FROM_NOTHING)),
     pytest.param("README.md", True, marks=pytest.mark.long)],
)  # fmt: skip
def test_a_page_from_nothing(
    name: str, installed: bool, tmp_path: Path, forked_command: ForkedCommand
) -> None:
    """
    Args:
        installed: the commands are those that are installed.
    """
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    commands = None if installed else forked_command.directory
    reader = Reader(tmp_path, str(free_port()), str(free_port()), commands=commands)
    try:
        for block in blocks_of(ROOT / name):
            if block.runs:
                reader.read(block)
    finally:
        for state in tmp_path.rglob(".nrtctl"):
            Project(state.parent).down()
