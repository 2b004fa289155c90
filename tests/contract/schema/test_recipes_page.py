"""docs/sources: each recipe is what its page says.

Under a heading stand what is sent (JSON, or CSV as text), the pipeline (TOML), its rows (JSON), the
dead letters in order (text), and a query (SQL) with its rows (JSON).
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from nrtctl.cli.file_options import HowToRead
from nrtctl.producer.drafting import types_of_cells
from nrtctl.producer.sources.files import Reading, open_records
from tests.plugins.doc_blocks import Block, blocks, texts
from tests.plugins.doc_pages import ROOT
from tests.plugins.pipeline_engine import Engine

PAGES = sorted((ROOT / "docs" / "sources").glob("*.md"))
SECTIONS = {
    f"{page.stem}: {heading}": text
    for page in PAGES
    for heading, text in re.findall(r"^#+ (.+)\n((?:(?!^#+ ).*\n?)*)", page.read_text(), re.M)
    if "```" in text
}
SHOWN = {
    "output_format_json_quote_denormals": 1,
    "output_format_json_quote_64bit_integers": 0,
    "output_format_json_quote_decimals": 0,
}


@pytest.mark.parametrize("heading", SECTIONS)
def test_a_recipe_is_as_the_page_says(engine: Engine, heading: str, tmp_path: Path) -> None:
    found = blocks(SECTIONS[heading])
    (at,) = [number for number, block in enumerate(found) if block.language == "toml"]
    engine.up(**tomllib.loads(found[at].text)["pipeline"])
    names = [*engine.pipeline.fields, *engine.pipeline.columns]
    sent = send(engine, written(found[:at], tmp_path), how_to_read(SECTIONS[heading]))
    sql = f"SELECT {', '.join(f'`{name}`' for name in names)} FROM {{db}}.{engine.pipeline.table}"
    several = engine.pipeline.rows is not None
    stored = rows(engine, f"{sql} ORDER BY _offset{', _row' * several}")
    letters = engine.rejected().items()
    dead = [f"{reason}: {field}".removesuffix(": ") for _, (reason, field) in sorted(letters)]
    messages = len(stored)
    if several:
        messages = engine.value(f"SELECT sum(_rows > 0) FROM {{db}}.{engine.pipeline.table}")
    assert messages + len(dead) == sent
    for block, result in shown(found[at + 1 :]):
        match block.language:
            case "sql":
                named = "|".join([engine.pipeline.table, *engine.pipeline.latest])
                sql, count = re.subn(rf"(?<=FROM )({named})\b", r"{db}.\1", block.text)
                assert (count, rows(engine, sql)) == (1, result)
            case "text":
                assert dead == block.text.splitlines()
                dead = []
            case _:
                assert stored == result
                assert [list(row) for row in result] == [names] * len(result)
                stored = []
    assert (stored, dead) == ([], []), "the page does not show them"


def test_each_page_has_recipes_and_is_in_the_index() -> None:
    (index,) = [page for page in PAGES if page.stem == "README"]
    for page in set(PAGES) - {index}:
        assert any(recipe.startswith(f"{page.stem}: ") for recipe in SECTIONS), page.name
        assert f"]({page.name})" in index.read_text(), page.name


def written(samples: list[Block], directory: Path) -> list[str]:
    """The names of files that hold them."""
    paths = []
    for sample in samples:
        ending = "csv" if sample.language == "text" else "json"
        paths.append(directory / f"sample_{sample.line}.{ending}")
        paths[-1].write_text(sample.text)
    return [str(path) for path in paths]


def how_to_read(section: str) -> Reading:
    """With the flags of the first `nrtctl produce --input FILE` in the section's text."""
    command = re.search(r"`nrtctl produce --input [\w.]+([^`]*)`", section)
    flags = re.findall(r" --(\S+)(?: (\w+))?", command[1]) if command else []
    given: dict[str, Any] = {flag.replace("-", "_"): value or True for flag, value in flags}
    return HowToRead(**given).reading()


def send(engine: Engine, paths: list[str], how: Reading) -> int:
    """Insert what `produce` would send of these files; the number of messages."""
    with open_records(paths, how, types=types_of_cells(engine.pipeline)) as records:
        return engine.send_read(records)


def rows(engine: Engine, sql: str) -> list[Any]:
    text = f"SELECT formatRowNoNewline('JSONEachRow', *) FROM ({sql})"
    return [json.loads(row, parse_float=Decimal) for (row,) in engine.query(text, **SHOWN)]


def shown(results: list[Block]) -> Iterator[tuple[Block, list[Any]]]:
    """Each block of rows, of dead letters, or query with the rows that follow it."""
    left = iter(results)
    for block in left:
        said = next(left, block) if block.language == "sql" else block
        yield block, texts(said.text, Decimal) if said.language == "json" else []
