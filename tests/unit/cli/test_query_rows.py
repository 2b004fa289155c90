"""How many rows a query gave: counted as they pass."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from nrtctl.cli.dashboard_rows import rows_of
from nrtctl.cli.query_command import CELLS, LINES, RowCount, _cells
from nrtctl.cli.results import Raw
from nrtctl.errors import ConfigError


@pytest.mark.parametrize(
    ("form", "blocks", "rows"),
    [
        (LINES, [b'{"a":1}\n{"a":2}\n', b'{"a":3}\n'], 3),
        (LINES, [], None),
        (CELLS, [b'["a"]\n["UInt8"]\n'], 0),
        (CELLS, [b'["a"]\n["UInt8"]\n["1"]\n', b'["2"]\n["3"]\n'], 3),
        (CELLS, [b"1,2\n3,4\n"], None),
        (LINES, [b"created\n"], None),
        (LINES, [b"", b'{"a":1}\n'], None),
        (CELLS, [b"", b"[1]\n", b"[2]\n"], None),
    ],
)
def test_rows_are_counted_as_they_pass(form: str, blocks: list[bytes], rows: int | None) -> None:
    found = RowCount()
    assert list(found.of(iter(blocks), form)) == blocks
    assert found.rows == rows


class Answering:
    """A client that answers with these blocks."""

    def __init__(self, *blocks: bytes) -> None:
        self._blocks = blocks

    def stream(self, *_: object, **__: object) -> Iterator[bytes]:
        yield from self._blocks


@pytest.mark.parametrize("text", [b"[1]\n", b'["a"]\n["UInt8"]\n', b"[\n", b"1,2\n"])
def test_an_answer_in_a_format_of_its_own_is_taken_for_no_rows(text: bytes) -> None:
    """Also where its lines look like those that were asked for."""
    client: Any = Answering(b"", text)
    with pytest.raises(ConfigError, match="a FORMAT of its own cannot be shown here"):
        rows_of(client, "SELECT 1 FORMAT JSONCompactEachRow")
    shown = _cells(client.stream())
    assert isinstance(shown, Raw)
    assert b"".join(shown.blocks) == text
