"""Compressed bytes into plain ones, told by their first bytes. Called by `reading`.

Memory stays bounded however much a little input unpacks to. Members that follow each other (two
files of gzip in one, frames of zstd) are one stream.
"""

from __future__ import annotations

import bz2
import lzma
import re
import sys
import zlib
from collections.abc import Callable
from typing import Any, Literal

Compression = Literal["gzip", "bzip2", "xz", "zstd", "zip"]

_MAGIC: dict[Compression, re.Pattern[bytes]] = {
    "gzip": re.compile(rb"\x1f\x8b\x08"),
    "bzip2": re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)"),
    "xz": re.compile(rb"\xfd7zXZ\0"),
    "zstd": re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),
    "zip": re.compile(rb"PK(?:\x03\x04|\x05\x06)"),
}
_BEGINNINGS = (
    b"\x1f\x8b\x08", *(b"BZh%d1AY&SY" % level for level in range(1, 10)), b"\xfd7zXZ\0",
    b"\x28\xb5\x2f\xfd", *(bytes([skipped]) + b"\x2a\x4d\x18" for skipped in range(0x50, 0x60)),
    b"PK\x03\x04",
)  # fmt: skip


_FIRST_SLICE = 512
"""Bytes that the decompressor of a new member is given; each time after that twice as many, up to
`_LAST_SLICE`."""

_LAST_SLICE = 64 * 1024
_ZEROS = re.compile(rb"\0*+")


def compression_of(beginning: bytes) -> Compression | None:
    for name, magic in _MAGIC.items():
        if magic.match(beginning):
            return name
    return None


def undecided(beginning: bytes) -> bool:
    """Whether a few more bytes could make it the beginning of something compressed."""
    return any(known.startswith(beginning) for known in _BEGINNINGS)


class Damaged(Exception):
    """The compressed bytes are not what they should be. The words say how."""


class Unpacker:
    """Feed it bytes, and read until it gives none.

    Args:
        size: the most bytes that one `read` returns.
    """

    def __init__(self, compression: Compression, size: int) -> None:
        self._name = compression
        self._make = _decompressor(compression)
        self._size = size
        self._member: Any = None
        self._input = b""
        self._at = 0
        self._slice = _FIRST_SLICE
        self._pending = False

    def feed(self, data: bytes) -> None:
        self._input = self._input[self._at :] + data
        self._at = 0
        self._pending = True

    def read(self) -> bytes:
        """What can be unpacked now. Empty: more input is needed.

        Raises:
            Damaged.
        """
        while self._pending:
            if self._member is None:
                self._at = _end_of_zeros(self._input, self._at)
                if self._at == len(self._input):
                    break
                self._member = self._make()
                self._slice = _FIRST_SLICE
            try:
                found = self._step()
            except (zlib.error, lzma.LZMAError, OSError, ValueError, EOFError) as error:
                raise Damaged(f"its {self._name} data is damaged: {error}") from error
            except Exception as error:
                if type(error).__name__ != "ZstdError":
                    raise
                raise Damaged(f"its {self._name} data is damaged: {error}") from error
            if found:
                return found
        self._pending = False
        return b""

    def _step(self) -> bytes:
        """A decompressor copies what it is given and does not use: it is given little of what may
        belong to the next member."""
        member = self._member
        given = b""
        if self._name == "gzip" or member.needs_input:
            given = self._input[self._at : self._at + self._slice]
            self._slice = min(2 * self._slice, _LAST_SLICE)
        found = bytes(member.decompress(given, self._size))
        self._at += len(given)
        if member.eof:
            self._at -= len(member.unused_data)
            self._member = None
        elif self._name == "gzip":
            self._at -= len(member.unconsumed_tail)
        more = self._at < len(self._input)
        if self._member is None:
            self._pending = more
        elif self._name == "gzip":
            self._pending = more or len(found) == self._size
        else:
            self._pending = more or not member.needs_input
        return found

    def finish(self) -> None:
        """The input has ended.

        Raises:
            Damaged: in the middle.
        """
        if self._member is not None:
            raise Damaged(f"its {self._name} data ends in the middle, so the file is incomplete")


def _end_of_zeros(data: bytes, start: int) -> int:
    found = _ZEROS.match(data, start)
    return found.end() if found else start


def _decompressor(compression: Compression) -> Callable[[], Any]:
    match compression:
        case "gzip":
            return lambda: zlib.decompressobj(31)
        case "bzip2":
            return bz2.BZ2Decompressor
        case "xz":
            return lzma.LZMADecompressor
        case "zstd":
            if sys.version_info >= (3, 14):
                from compression import zstd
            else:
                from backports import zstd
            return zstd.ZstdDecompressor
    raise ValueError(f"{compression} is not a stream")
