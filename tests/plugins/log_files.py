"""Damage in the files of a broker's log, Apache Kafka's or the embedded one's: same format."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import NamedTuple

from crc32c import crc32c

HEADER = 61
_CRC_FROM = 21


class Frame(NamedTuple):
    """One batch in a file: where, and which offsets."""

    start: int
    end: int
    base: int
    records: int


def segments(data_dir: Path, partition: int, topic: str = "*") -> list[Path]:
    """The files of a partition: of the embedded broker (its data directory), or of Apache Kafka
    (its log directory, `topic` being named)."""
    found = sorted((data_dir / "topics").glob(f"*/{partition}/*.log"))
    return found or sorted(data_dir.rglob(f"{topic}-{partition}/*.log"))


def frames(path: Path) -> list[Frame]:
    data = path.read_bytes()
    found, at = [], 0
    while at + HEADER <= len(data):
        base, length = struct.unpack_from(">qi", data, at)
        (delta,) = struct.unpack_from(">i", data, at + 23)
        if length <= 0:
            break  # preallocated
        found.append(Frame(at, at + 12 + length, base, delta + 1))
        at += 12 + length
    return found


def write(path: Path, at: int, data: bytes) -> None:
    """In place, so that a broker which has the file open sees it."""
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def flip(path: Path, *, batch: int, at: re.Pattern[bytes] | int) -> int:
    """Change one byte of a batch; how many messages it has.

    Args:
        at: the place in the batch, or what has a digit as its group 1.
    """
    frame = frames(path)[batch]
    data = path.read_bytes()
    if isinstance(at, int):
        place = frame.start + at
        changed = data[place] ^ 1
    else:
        match = at.search(data, frame.start + HEADER)
        assert match is not None
        assert match.end() <= frame.end
        place = match.start(1)
        changed = ord("9") if data[place] != ord("9") else ord("1")
    write(path, place, bytes([changed]))
    return frame.records


def reseal(path: Path, *, batch: int, payload: bytes = b"", attributes: int | None = None) -> int:
    """Change the records (their first bytes) or the attributes under a checksum that is right; how
    many messages the batch has."""
    frame = frames(path)[batch]
    data = bytearray(path.read_bytes()[frame.start : frame.end])
    data[HEADER : HEADER + len(payload)] = payload
    if attributes is not None:
        struct.pack_into(">h", data, 21, attributes)
    struct.pack_into(">I", data, 17, crc32c(bytes(data[_CRC_FROM:])))
    write(path, frame.start, bytes(data))
    return frame.records
