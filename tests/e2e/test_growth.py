"""`python -m benchmarks.growth`: everything that grows, in its small form."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.growth.shown import ENGINE_MEMORY
from tests.plugins.doc_pages import ROOT


@pytest.mark.long
@pytest.mark.timeout(600)
def test_each_growth_has_a_table_a_sentence_and_a_picture(tmp_path: Path) -> None:
    picture = tmp_path / "growth.svg"
    command = [sys.executable, "-m", "benchmarks.growth", "--small", "--picture", str(picture)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=580
    )
    for what, steps in (
        ("events", (2000, 4000)),
        ("fields", (1, 5)),
        ("bytes", (100, 1000)),
        ("workers", (1, 2)),
        ("rows in the table", (1000, 20000)),
    ):
        few, more = steps
        assert f"| {what} | " in done.stdout
        assert f"| {few:,} | " in done.stdout
        sentence = f"{more // few} times the {what} ({few:,} to {more:,}) cost "
        assert sentence in done.stdout
    assert ENGINE_MEMORY in done.stdout
    assert "</svg>" in picture.read_text()
