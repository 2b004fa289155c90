"""Request and response bodies in gzip, deflate, zstd and lz4 (frame). Used by `body`, `answer`."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any

import lz4.frame
import zstandard

MOST_AT_ONCE = 2**20
"""Bytes that one step of decompression gives."""
MOST_WINDOW = 128 * 2**20
ZSTD_STEP = 1024
"""Bytes of zstd given at once; they make 32 MiB at most."""

_BROKEN = (zlib.error, zstandard.ZstdError, RuntimeError, EOFError)


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


class _Lz4:
    def __init__(self) -> None:
        self._inner = lz4.frame.LZ4FrameDecompressor()
        self.ended = False

    def step(self, data: bytes) -> tuple[bytes, bytes, bool]:
        piece = bytes(self._inner.decompress(data, max_length=MOST_AT_ONCE))
        self.ended = self._inner.eof
        if self.ended:
            return piece, self._inner.unused_data or b"", False
        return piece, b"", self._inner.needs_input


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
    "lz4": _Lz4,
    "zstd": _Zstd,
}


def choose(accept: str) -> str:
    """The encoding to answer in, of those the client accepts; empty for none."""
    refused = ("q=0", "q=0.0")
    parts = [[word.strip() for word in part.split(";")] for part in accept.lower().split(",")]
    offered = [part[0] for part in parts if not any(word in refused for word in part[1:])]
    return next((name for name in ("lz4", "zstd", "gzip", "deflate") if name in offered), "")


def compressor(encoding: str) -> tuple[Callable[[bytes], bytes], Callable[[], bytes]]:
    """Functions that compress one piece, and that end the body."""
    if encoding == "lz4":
        lz = lz4.frame.LZ4FrameCompressor()
        begun = [lz.begin()]

        def compress(data: bytes) -> bytes:
            return (begun.pop() if begun else b"") + bytes(lz.compress(data))

        return compress, lambda: (begun.pop() if begun else b"") + bytes(lz.flush())
    stream: Any
    if encoding == "zstd":
        stream = zstandard.ZstdCompressor(level=1).compressobj()
    else:
        stream = zlib.compressobj(1, wbits=zlib.MAX_WBITS | (16 if encoding == "gzip" else 0))
    return stream.compress, stream.flush
