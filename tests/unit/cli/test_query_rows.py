"""How many rows a query gave: counted as they pass."""

from __future__ import annotations

import pytest

from nrtctl.cli.query_command import CELLS, LINES, RowCount


@pytest.mark.parametrize(
    ("form", "blocks", "rows"),
    [
        (LINES, [b'{"a":1}\n{"a":2}\n', b'{"a":3}\n'], 3),
        (LINES, [], None),
        (CELLS, [b'["a"]\n["UInt8"]\n'], 0),
        (CELLS, [b'["a"]\n["UInt8"]\n["1"]\n', b'["2"]\n["3"]\n'], 3),
        (CELLS, [b"1,2\n3,4\n"], None),
        (LINES, [b"created\n"], None),
    ],
)
def test_rows_are_counted_as_they_pass(form: str, blocks: list[bytes], rows: int | None) -> None:
    found = RowCount()
    assert list(found.of(iter(blocks), form)) == blocks
    assert found.rows == rows
