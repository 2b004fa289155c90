"""Request and response bodies in gzip, deflate, zstd and lz4 (frame). Used by `app`."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any

import lz4.frame
import zstandard


class BadBody(Exception):
    """A body that is not what its Content-Encoding says."""


def decompressor(encoding: str) -> Callable[[bytes], bytes] | None:
    """A function that takes the body piece by piece; None for no encoding.

    Raises:
        BadBody: an encoding that is not known (and the function: a body that is not of it).
    """
    if encoding in {"", "identity"}:
        return None
    makers: dict[str, Callable[[], Any]] = {
        "gzip": lambda: zlib.decompressobj(zlib.MAX_WBITS | 32),
        "deflate": lambda: zlib.decompressobj(zlib.MAX_WBITS | 32),
        "zstd": lambda: zstandard.ZstdDecompressor().decompressobj(),
        "lz4": lz4.frame.LZ4FrameDecompressor,
    }
    if encoding not in makers:
        raise BadBody(f"unknown Content-Encoding {encoding!r}")
    inner = makers[encoding]()

    def take(data: bytes) -> bytes:
        try:
            return bytes(inner.decompress(data))
        except (zlib.error, zstandard.ZstdError, RuntimeError, EOFError) as error:
            raise BadBody(f"the body is not {encoding}: {error}") from error

    return take


def choose(accept: str) -> str:
    """The encoding to answer in, of those the client accepts; empty for none."""
    offered = [part.split(";")[0].strip() for part in accept.split(",")]
    return next((name for name in ("lz4", "zstd", "gzip", "deflate") if name in offered), "")


def compressed(pieces: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    if encoding == "lz4":
        with lz4.frame.LZ4FrameCompressor() as lz:
            yield lz.begin()
            for piece in pieces:
                yield lz.compress(piece)
            yield lz.flush()
        return
    stream: Any
    if encoding == "zstd":
        stream = zstandard.ZstdCompressor(level=1).compressobj()
    else:
        stream = zlib.compressobj(1, wbits=zlib.MAX_WBITS | (16 if encoding == "gzip" else 0))
    for piece in pieces:
        data = stream.compress(piece)
        if data:
            yield data
    yield stream.flush()
