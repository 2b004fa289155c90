"""What tests of sources share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from nrtctl.producer.sources import Record, Source, records_of

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write bytes to a file; its path."""

    def write(data: bytes, name: str = "input") -> str:
        path = tmp_path / name
        path.write_bytes(data)
        return str(path)

    return write


@pytest.fixture
def drain() -> Callable[..., list[Record]]:
    """Take all of a source."""

    def drain(source: Source, limit: int = 1000) -> list[Record]:
        records = []
        try:
            while not source.exhausted:
                piece = source.take(limit)
                assert len(piece) <= limit
                records += records_of(piece)
            assert source.take(limit) == []
        finally:
            source.close()
        return records

    return drain
