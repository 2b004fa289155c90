"""The blocks of every page that are no commands: they are what they say, and nrtctl takes them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from nrtctl.cli.app import app
from tests.plugins.doc_blocks import Block, texts
from tests.plugins.doc_pages import PAGES, ROOT, blocks_of, name_of

_SECRETS = {
    "NRTCTL_KAFKA__SASL_PASSWORD": "from the environment",
    "NRTCTL_KAFKA__SASL_OAUTH_CLIENT_SECRET": "from the environment",
}
"""What the pages say that no file holds."""


def of(language: str) -> list[tuple[str, Block]]:
    return [
        (f"{name_of(page)}:{block.line}", block)
        for page in PAGES
        for block in blocks_of(page)
        if block.language == language
    ]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_each_block_says_what_it_is(page: Path) -> None:
    blocks_of(page)


def test_there_are_blocks_of_each_kind() -> None:
    assert sum(block.runs for page in PAGES for block in blocks_of(page)) > 20
    assert len(of("toml")) > 5
    assert len(of("json")) > 3
    assert len(of("yaml")) > 2


@pytest.mark.parametrize("where", [where for where, _ in of("toml")])
def test_configurations_are_valid(where: str, tmp_path: Path) -> None:
    path = tmp_path / "nrtctl.toml"
    path.write_text(dict(of("toml"))[where].text)
    done = CliRunner(env=_SECRETS).invoke(app, ["config", "validate", str(path)])
    assert (done.exit_code, done.stderr) == (0, "")


@pytest.mark.parametrize("where", [where for where, _ in of("json")])
def test_json_is_json(where: str) -> None:
    assert texts(dict(of("json"))[where].text)


@pytest.mark.parametrize("where", [where for where, _ in of("yaml")])
def test_yaml_is_yaml(where: str) -> None:
    assert yaml.safe_load(dict(of("yaml"))[where].text)


def test_every_page_is_linked_from_the_readme() -> None:
    """Directly, or by the index of its directory."""
    readme = (ROOT / "README.md").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        assert f"](docs/{page.name})" in readme, page.name
    index = ROOT / "docs" / "decisions" / "README.md"
    assert "](docs/decisions/README.md)" in readme
    decisions = sorted(page for page in index.parent.glob("*.md") if page != index)
    for page in decisions:
        title = page.read_text().partition("\n")[0].removeprefix("# ")
        assert index.read_text().count(f"- [{title}]({page.name})\n") == 1, page.name
    numbers = {int(page.name[:4]) for page in decisions}
    assert set(range(1, 60)) - numbers == {13, 14, 15, 16, 49}, "the index says that these are not"
