"""The files of tables, as a failed write leaves them: what the engine does not load is put right
while it has the tables closed. Used by `engine` and `keeper`.

Formats: https://github.com/ClickHouse/ClickHouse, src/Storages/MergeTree/
MergeTreeDataPartChecksum.cpp (checksums.txt, version 4) and MergeTreeMutationEntry.cpp;
src/Compression/CompressedReadBufferBase.cpp. An archive (docs/decisions/0019) begins with a
version byte and a table: how many files, and of each its name, begin and length.
"""

from __future__ import annotations

import logging
from pathlib import Path

import cramjam

log = logging.getLogger(__name__)

ARCHIVE = "data.packed"
ARCHIVE_VERSION = 0
MOST_INDEX = 2**20
_ARCHIVES = (f"store/*/*/*/{ARCHIVE}", f"store/*/*/*/*.proj/{ARCHIVE}")
_CHECKSUMS = b"checksums format version: 4\n"
_HASH = 16
_LZ4, _ZSTD, _NONE = 0x82, 0x90, 0x02
_MOST_LZ4 = 255
"""Bytes that one byte of LZ4 becomes at most."""


def mark_cut_files(data: Path) -> None:
    """Delete mutations that were cut, which keep their table from loading; nobody was told that
    they are there. Give parts that are cut an empty index, which the engine does not overlook: it
    compares no lengths in an archive, nor where a projection is broken as well. Take its archive
    from a projection that is cut: then the engine does without that projection.

    Raises:
        OSError: the files cannot be read or changed.
    """
    for path in data.glob("store/*/*/mutation_*.txt"):
        if not _whole_mutation(path.read_bytes()):
            path.unlink()
            log.warning("%s was cut: deleted", path)
    for pattern in ("store/*/*/*/checksums.txt", *_ARCHIVES):
        for path in data.glob(pattern):
            if is_cut(path):
                path.rename(f"{path}.cut")
                if path.parent.suffix != ".proj":
                    path.touch()
                log.warning("%s was cut", path.parent)


def _whole_mutation(text: bytes) -> bool:
    head, _, commands = text.rpartition(b"\ncommands: ")
    return head.startswith(b"format version:") and commands.endswith(b"\n")


def is_cut(index: Path) -> bool:
    """Whether what `index` lists has not the length that it says: an archive, or the files beside
    it. One that cannot be read says no: what the engine makes of it is the engine's."""
    if index.name == ARCHIVE:
        return _is_cut_archive(index)
    try:
        lengths = file_lengths(index.read_bytes())
    except (ValueError, IndexError, cramjam.DecompressionError):
        return False
    for name, length in lengths.items():
        path = index.with_name(name)
        if not name.endswith(".proj") and path.exists() and path.stat().st_size != length:
            return True
    return False


def _is_cut_archive(path: Path) -> bool:
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(MOST_INDEX)
    if head and head[0] != ARCHIVE_VERSION:
        return False
    try:
        return size < archive_length(head)
    except ValueError:
        return size <= MOST_INDEX


def archive_length(head: bytes) -> int:
    """How long a `data.packed` is that begins so. Raises ValueError: its table is cut."""
    reader = _Reader(head)
    reader.take(1)
    most = 0
    for _ in range(int.from_bytes(reader.take(8), "little")):
        reader.take(reader.number())
        begin, size = (int.from_bytes(reader.take(8), "little") for _ in range(2))
        most = max(most, begin + size)
    return most


def file_lengths(checksums: bytes) -> dict[str, int]:
    """File name to length. Raises ValueError, IndexError, cramjam.DecompressionError."""
    if not checksums.startswith(_CHECKSUMS):
        raise ValueError("another format")
    at = len(_CHECKSUMS) + _HASH
    method, size = checksums[at], int.from_bytes(checksums[at + 1 : at + 5], "little")
    block, length = (
        checksums[at + 9 : at + size],
        int.from_bytes(checksums[at + 5 : at + 9], "little"),
    )
    if method == _ZSTD:
        text = bytes(cramjam.zstd.decompress(block))
    elif method == _LZ4:
        if length > _MOST_LZ4 * size:
            raise ValueError("longer than it can become")
        text = bytes(cramjam.lz4.decompress_block(block, output_len=length))
    elif method == _NONE:
        text = block
    else:
        raise ValueError(f"compressed by {method:#x}")
    reader = _Reader(text)
    found = {}
    for _ in range(reader.number()):
        name = reader.take(reader.number()).decode()
        found[name] = reader.number()
        reader.take(_HASH)
        if reader.take(1) != b"\0":
            reader.number()
            reader.take(_HASH)
    return found


class _Reader:
    def __init__(self, text: bytes) -> None:
        self._text = text
        self._at = 0

    def take(self, size: int) -> bytes:
        self._at += size
        if self._at > len(self._text):
            raise ValueError("cut")
        return self._text[self._at - size : self._at]

    def number(self) -> int:
        """As a VarUInt."""
        value = shift = 0
        while True:
            (byte,) = self.take(1)
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
