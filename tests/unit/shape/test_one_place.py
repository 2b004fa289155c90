"""What is said in one place only."""

from __future__ import annotations

from pathlib import Path

import pytest

import nrtctl

SOURCE = Path(nrtctl.__file__).parent


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("_target = '", {"store/target.py"}),
        ("_topic = '", {"store/target.py"}),
        ("DELETE WHERE", {"store/deletion.py"}),
        ("insert_deduplication_token", {"store/incarnations.py", "store/writer.py"}),
    ],
)
def test_it_is_written_once(text: str, places: set[str]) -> None:
    found = {
        str(path.relative_to(SOURCE))
        for path in SOURCE.rglob("*.py")
        if text in path.read_text() and path.relative_to(SOURCE).parts[0] != "local"
    }
    assert found == places
