"""Request and response bodies in gzip, deflate, zstd, lz4 (frame), xz, bz2 and snappy.

Snappy is framed as Hadoop does, which is what ClickHouse reads: blocks of a length in big-endian
and chunks of raw snappy, each after its own length. Used by `body`, `answer`.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import cramjam
import lz4.frame
import zstandard

MOST_AT_ONCE = 2**20
"""Bytes that one step of decompression gives."""
MOST_WINDOW = 128 * 2**20
MOST_XZ = 72 * 2**20
"""Bytes of memory that xz may want: `xz -9` wants 65 MiB."""
ZSTD_STEP = 1024
"""Bytes of zstd given at once; they make 32 MiB at most."""

MOST_SNAPPY = 32 * 2**20
"""Bytes of one block of snappy, and of a chunk in it."""
SNAPPY_BLOCK = 2**18
"""Bytes of each block of snappy that is written, as by Hadoop."""

_BROKEN = (
    *(zlib.error, zstandard.ZstdError, lzma.LZMAError, cramjam.DecompressionError),
    *(RuntimeError, EOFError, OSError, ValueError),
)


class BadBody(Exception):
    """A body that is not what its Content-Encoding, or `decompress`, says.

    `code` is ClickHouse's.
    """

    def __init__(self, text: str, code: int = 36) -> None:
        super().__init__(text)
        self.code = code


class Decoder:
    """Decompresses a body that comes in pieces; several members may follow one another.

    Raises:
        BadBody: the encoding is not known.
    """

    def __init__(self, encoding: str) -> None:
        if encoding not in _MAKERS:
            raise BadBody(f"unknown Content-Encoding {encoding!r}. (BAD_ARGUMENTS)")
        self._encoding = encoding
        self._make = _MAKERS[encoding]
        self._member: Any = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What came out, in pieces of bounded size. Raises BadBody."""
        try:
            while data or self._member is not None:
                if self._member is None:
                    self._member = self._make()
                piece, data, wants_more = self._member.step(data)
                if self._member.ended:
                    self._member = None
                if piece:
                    yield piece
                if wants_more:
                    return
        except _BROKEN as error:
            raise BadBody(f"the body is not {self._encoding}: {error}. (BAD_ARGUMENTS)") from error

    def finish(self) -> None:
        """Raises BadBody where the body ended too early."""
        if self._member is not None:
            raise BadBody(f"the {self._encoding} body is cut off. (BAD_ARGUMENTS)")


class _Zlib:
    def __init__(self) -> None:
        self._inner = zlib.decompressobj(zlib.MAX_WBITS | 32)
        self.ended = False

    def step(self, data: bytes) -> tuple[bytes, bytes, bool]:
        """(what came out, what is left to give, whether more input is needed)"""
        piece = self._inner.decompress(self._inner.unconsumed_tail + data, MOST_AT_ONCE)
        self.ended = self._inner.eof
        if self.ended:
            return piece, self._inner.unused_data, False
        return piece, b"", not self._inner.unconsumed_tail and len(piece) < MOST_AT_ONCE


class _Bounded:
    """A decompressor that gives as much as it is asked for: lz4's, and those of Python itself."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._inner = make()
        self.ended = False

    def step(self, data: bytes) -> tuple[bytes, bytes, bool]:
        piece = bytes(self._inner.decompress(data, max_length=MOST_AT_ONCE))
        self.ended = self._inner.eof
        if self.ended:
            return piece, self._inner.unused_data or b"", False
        return piece, b"", self._inner.needs_input


class _Snappy:
    """All blocks that follow one another."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._at = 0
        self._left = 0
        self.ended = False

    def step(self, data: bytes) -> tuple[bytes, bytes, bool]:
        self._held += data
        out = bytearray()
        while len(out) < MOST_AT_ONCE:
            length = self._length()
            if length is None or (self._left and len(self._held) < self._at + 4 + length):
                break
            begin = self._at = self._at + 4
            if not self._left:
                self._left = length
                continue
            self._at += length
            out += self._chunk(bytes(self._held[begin : self._at]))
        wants_more = len(out) < MOST_AT_ONCE
        del self._held[: self._at]
        self._at = 0
        self.ended = not self._held and not self._left
        return bytes(out), b"", wants_more

    def _length(self) -> int | None:
        """The next one; None: it has not come yet. Raises ValueError."""
        if len(self._held) < self._at + 4:
            return None
        (length,) = struct.unpack_from(">I", self._held, self._at)
        if length > MOST_SNAPPY:
            raise ValueError(f"a block of {length} bytes, where {MOST_SNAPPY} are the most")
        return int(length)

    def _chunk(self, chunk: bytes) -> bytes:
        """Raises ValueError or DecompressionError."""
        size = _snappy_size(chunk)
        if size > self._left:
            raise ValueError("a chunk is longer than its block")
        self._left -= size
        return bytes(cramjam.snappy.decompress_raw(chunk))


def _snappy_size(chunk: bytes) -> int:
    """What raw snappy says that it becomes: the varint at its beginning. Raises ValueError."""
    size = 0
    for at, byte in enumerate(chunk[:5]):
        size |= (byte & 0x7F) << (7 * at)
        if byte < 0x80:
            return size
    raise ValueError("a chunk does not say how long it is")


class _Zstd:
    def __init__(self) -> None:
        self._inner = zstandard.ZstdDecompressor(max_window_size=MOST_WINDOW).decompressobj(
            write_size=MOST_AT_ONCE
        )
        self._given = b""
        self.ended = False

    def step(self, data: bytes) -> tuple[bytes, bytes, bool]:
        # What comes out is not bounded by the library: 4 bytes can stand for a block of 128 KiB.
        given, data = data[:ZSTD_STEP], data[ZSTD_STEP:]
        piece = self._inner.decompress(given) if given else b""
        self.ended = self._inner.eof
        if self.ended:
            return piece, self._inner.unused_data + data, False
        return piece, data, not data


_MAKERS: dict[str, Callable[[], Any]] = {
    "gzip": _Zlib,
    "deflate": _Zlib,
    "lz4": partial(_Bounded, lz4.frame.LZ4FrameDecompressor),
    "zstd": _Zstd,
    "xz": partial(_Bounded, partial(lzma.LZMADecompressor, lzma.FORMAT_XZ, MOST_XZ)),
    "bz2": partial(_Bounded, bz2.BZ2Decompressor),
    "snappy": _Snappy,
}
_PREFERRED = ("lz4", "zstd", "gzip", "deflate", "snappy", "bz2", "xz")


def choose(accept: str) -> str:
    """The encoding to answer in, of those the client accepts; empty for none."""
    refused = ("q=0", "q=0.0")
    parts = [[word.strip() for word in part.split(";")] for part in accept.lower().split(",")]
    offered = [part[0] for part in parts if not any(word in refused for word in part[1:])]
    return next((name for name in _PREFERRED if name in offered), "")


def compressor(encoding: str) -> tuple[Callable[[bytes], bytes], Callable[[], bytes]]:
    """Functions that compress one piece, and that end the body."""
    if encoding == "lz4":
        lz = lz4.frame.LZ4FrameCompressor()
        begun = [lz.begin()]

        def compress(data: bytes) -> bytes:
            return (begun.pop() if begun else b"") + bytes(lz.compress(data))

        return compress, lambda: (begun.pop() if begun else b"") + bytes(lz.flush())
    stream: Any
    if encoding == "snappy":
        return _snappy, lambda: b""
    if encoding == "xz":
        stream = lzma.LZMACompressor(lzma.FORMAT_XZ, preset=1)
    elif encoding == "bz2":
        stream = bz2.BZ2Compressor(1)
    elif encoding == "zstd":
        stream = zstandard.ZstdCompressor(level=1).compressobj()
    else:
        stream = zlib.compressobj(1, wbits=zlib.MAX_WBITS | (16 if encoding == "gzip" else 0))
    return stream.compress, stream.flush


def _snappy(data: bytes) -> bytes:
    out = bytearray()
    for at in range(0, len(data), SNAPPY_BLOCK):
        block = data[at : at + SNAPPY_BLOCK]
        chunk = bytes(cramjam.snappy.compress_raw(block))
        out += struct.pack(">II", len(block), len(chunk)) + chunk
    return bytes(out)
