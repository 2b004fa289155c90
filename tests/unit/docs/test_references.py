"""What the pages name is there, and what there is they name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from nrtctl.cli.app import app
from tests.plugins.doc_pages import PAGES, ROOT, name_of

DOCS = "\n".join(page.read_text() for page in PAGES)


def anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]+))?\)", page.read_text()):
        path = page.parent / target if target else page
        assert path.exists(), target
        if anchor:
            assert anchor in anchors(path), f"{target}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_modules_and_tests_that_are_named_are_there(page: Path) -> None:
    text = page.read_text()
    for name in re.findall(r"\b(?:src|tests|benchmarks|deploy)/[\w./-]+\.(?:py|yml|md|toml)", text):
        assert (ROOT / name).exists(), name
    for module in re.findall(r"python -m ((?:tests|benchmarks)[\w.]*)", text):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module
    for name, test in re.findall(r"(tests/[\w./]+\.py)::(\w+)", text):
        assert f"def {test}(" in (ROOT / name).read_text(), f"{name}::{test}"


def test_where_things_are_is_true() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    paths = re.findall(r"`([\w<>]+/[\w/<>]*(?:\.py)?)`", text)
    assert len(paths) > 40
    for path in paths:
        pattern = path.replace("<name>", "*")
        assert list((ROOT / "src/nrtctl").glob(pattern)) or list(ROOT.glob(pattern)), path


def test_the_top_level_can_be_taken_in_at_once() -> None:
    inside = {path.name for path in (ROOT / "src/nrtctl").iterdir()}
    assert len(inside - {"__pycache__", "py.typed"}) <= 25, sorted(inside)


def keys(schema: Mapping[str, Any], of: Mapping[str, Any], before: str = "") -> Iterator[str]:
    if "$ref" in of:
        of = schema["$defs"][of["$ref"].rpartition("/")[2]]
    for name, inner in of.get("properties", {}).items():
        yield f"{before}{name}"
        yield from keys(schema, inner, f"{before}{name}.")


def test_every_setting_is_named() -> None:
    schema = json.loads(CliRunner().invoke(app, ["config", "schema"]).stdout)
    known = set(keys(schema, schema))
    assert "consumer.max_inserts" in known
    for key in known:
        name = key.rpartition(".")[2]
        assert re.search(rf"(?<![a-z_]){name}\b|__{name.upper()}\b", DOCS), key
    sections = "|".join(sorted({key.partition(".")[0] for key in known}))
    for key in re.findall(rf"`((?:{sections})\.[a-z_]+)\b", DOCS):
        # A file, and properties of librdkafka.
        assert key in known or key in {"stack.json", "fetch.queue", "fetch.min"}, key


def test_every_plugin_of_the_tests_is_named() -> None:
    text = (ROOT / "tests" / "README.md").read_text()
    for plugin in (ROOT / "tests" / "plugins").glob("*.py"):
        assert f"`{plugin.stem}`" in text, plugin.name
