"""Damage within a log: where it lies, where good batches begin again, and what is kept of it.

Called by `log.segment`, `log.recovery` and `log.partition`. Nothing damaged is deleted: a batch in
the middle stays where it is, a torn end is set aside in a file beside the log.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from nrtctl.local.broker.wire.batches import (
    HEADER_SIZE,
    PREFIX_SIZE,
    BatchHeader,
    has_good_crc,
    has_true_count,
    read_header,
)
from nrtctl.local.process import write_atomically

HOLES: Final = "holes.json"
SET_ASIDE: Final = "torn-*.bin"
MAX_KEPT_BYTES: Final = 64 * 1024 * 1024
MAX_KEPT_FILES: Final = 8
"""Of one partition; the oldest makes room."""

MAX_LOST: Final = 2**31
"""Offsets between two batches that are believed."""

_BUDGET: Final = 8 * 1024**3
"""Bytes that the search for a good batch holds against checksums."""


class Hole(NamedTuple):
    """Bytes [position, end) of a segment and offsets [first, next_offset) that cannot be read."""

    position: int
    end: int
    first: int
    next_offset: int


def hole_text(hole: Hole) -> str:
    return f"offsets {hole.first}–{hole.next_offset - 1}: damaged, and cannot be read"


def is_framed(header: BatchHeader, position: int, size: int) -> bool:
    """Whether it can be the header of a whole batch at `position` of a file of `size` bytes."""
    return (
        header.magic == 2
        and header.length >= HEADER_SIZE - PREFIX_SIZE
        and position + header.size <= size
        and has_true_count(header)
    )


def next_good(
    data: memoryview, raw: Any, position: int, expected: int
) -> tuple[int, BatchHeader] | None:
    """The first whole batch behind `position` with the offset `expected` or above, and its place.

    A batch that is part of a message is no batch of the log: what follows must fit as well.

    Args:
        data, raw: the file, as a view and as what `re` searches.
    """
    size = len(data)
    budget = _BUDGET
    said = _said_size(data, position, expected)
    for high in {expected >> 32, (expected + MAX_LOST) >> 32}:
        pattern = re.compile(re.escape(struct.pack(">I", high)) + rb"(?s:.{12})\x02")
        at = position + 1
        while budget > 0 and (match := pattern.search(raw, at)) is not None:
            at = match.start()
            if at + HEADER_SIZE > size:
                break
            header = read_header(data, at)
            if is_framed(header, at, size) and 0 <= header.base_offset - expected <= MAX_LOST:
                budget -= header.size
                fits = at == said or _is_followed(data, at + header.size, header.next_offset)
                if fits and has_good_crc(data, at, header):
                    return at, header
            at += 1
    return None


def _said_size(data: memoryview, position: int, expected: int) -> int:
    """Where the damaged batch ends, if its header still tells."""
    if position + HEADER_SIZE > len(data):
        return -1
    header = read_header(data, position)
    is_told = header.base_offset == expected and is_framed(header, position, len(data))
    return position + header.size if is_told else -1


def _is_followed(data: memoryview, position: int, offset: int) -> bool:
    if position == len(data):
        return True
    if position + HEADER_SIZE > len(data):
        return False
    header = read_header(data, position)
    return header.magic == 2 and header.base_offset == offset


def set_aside(directory: Path, base_offset: int, fd: int, position: int, offset: int) -> int:
    """Keep what lies behind `position` of a segment, which is about to be cut; how many bytes.

    Nothing is kept of zeros, which a file system leaves after a power cut. Raises OSError.
    """
    size = os.fstat(fd).st_size - position
    data = os.pread(fd, min(size, MAX_KEPT_BYTES), position)
    if not data.strip(b"\0"):
        return 0
    kept = sorted(directory.glob(SET_ASIDE), key=lambda path: path.stat().st_mtime_ns)
    for path in kept[: max(0, len(kept) - MAX_KEPT_FILES + 1)]:
        path.unlink()
    name = f"torn-{base_offset:020}-{offset}"
    path = directory / f"{name}.bin"
    number = 1
    while path.exists():
        number += 1
        path = directory / f"{name}-{number}.bin"
    write_atomically(path, data)
    return len(data)


def kept_files(directory: Path) -> list[tuple[Path, int, int]]:
    """(file, offset it was cut at, bytes) of what was set aside."""
    found = []
    for path in sorted(directory.glob(SET_ASIDE)):
        with contextlib.suppress(OSError, ValueError, IndexError):
            found.append((path, int(path.stem.split("-")[2]), path.stat().st_size))
    return found


def read_holes(directory: Path) -> dict[int, list[Hole]]:
    """By the segment's base offset. What is not readable is found again by reading."""
    try:
        found = json.loads((directory / HOLES).read_bytes())
        return {int(base): [Hole(*each) for each in holes] for base, holes in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def write_holes(directory: Path, holes: Mapping[int, list[Hole]]) -> None:
    """Raises OSError."""
    if holes:
        write_atomically(directory / HOLES, json.dumps(holes).encode())
    else:
        with contextlib.suppress(FileNotFoundError):
            (directory / HOLES).unlink()
