"""docs/messages.md: its pipelines are accepted, and its messages become what stands beside them."""

from __future__ import annotations

import json
import re
import tomllib
from decimal import Decimal

import pytest

from nrtctl.pipeline.options import LENIENCIES
from nrtctl.producer.sources.files import Read
from tests.contract.schema.test_shapes import fates
from tests.plugins.doc_blocks import Block
from tests.plugins.doc_pages import ROOT, blocks_of
from tests.plugins.pipeline_engine import Engine

PAGE = ROOT / "docs" / "messages.md"
BLOCKS = blocks_of(PAGE)
EXAMPLES = [
    (block, following if following.language == "text" else None)
    for block, following in zip(BLOCKS, [*BLOCKS[1:], BLOCKS[0]], strict=True)
    if block.language == "toml"
]


@pytest.mark.parametrize(("config", "shown"), EXAMPLES, ids=lambda each: each and str(each.line))
def test_an_example_is_as_the_page_says(engine: Engine, config: Block, shown: Block | None) -> None:
    engine.up(**tomllib.loads(config.text)["pipeline"])
    if shown is not None:
        lines, meant = zip(*(line.split(" → ") for line in shown.text.splitlines()), strict=True)
        expected = [
            json.loads(each, parse_float=Decimal) if each[0] == "[" else each.replace(": ", ":")
            for each in meant
        ]
        engine.send_read(Read(line.encode(), None, (), 1, "here") for line in lines)
        assert list(zip(lines, fates(engine, len(lines)), strict=True)) == list(
            zip(lines, expected, strict=True)
        )


def test_the_page_has_examples() -> None:
    assert sum(shown is not None for _, shown in EXAMPLES) >= 4


def test_the_page_has_every_leniency() -> None:
    rows = re.findall(r"^\| `(.+?)` \| (.+) \| (.+) \|$", PAGE.read_text(), re.M)
    known = [(name, each.types, each.meaning) for name, each in LENIENCIES.items()]
    assert [row for row in rows if row[0] in LENIENCIES] == known
