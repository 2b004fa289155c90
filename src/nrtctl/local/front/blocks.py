"""ClickHouse's own compressed blocks, for `compress=1` and `decompress=1`. Used by `app`, `body`.

A block is a checksum of 16 bytes over all that follows, one byte for the method, two lengths of 4
bytes (with and without compression; the first counts these 9 bytes), and the data. Numbers are
little endian. Sources: https://clickhouse.com/docs/native-protocol/compression, and for the
checksum CityHash128 as it was in version 1.0.2 of the library.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import lz4.block
import zstandard
from clickhouse_cityhash.cityhash import CityHash128

from nrtctl.local.front.compression import BadBody

MOST_OF_A_BLOCK = 64 * 2**20
"""Bytes of one block, compressed or not; servers and clients make blocks of about 1 MiB."""
AT_ONCE = 2**20
"""Bytes that one block of ours carries."""

_CHECKSUM = struct.Struct("<QQ")
_HEADER = struct.Struct("<BII")
_BEFORE = _CHECKSUM.size + _HEADER.size
_NONE, _LZ4, _ZSTD = 0x02, 0x82, 0x90
_BROKEN = (lz4.block.LZ4BlockError, zstandard.ZstdError, MemoryError)


def compressed(data: bytes) -> bytes:
    """The data as blocks of LZ4, as a server answers; nothing makes none."""
    return b"".join(_block(data[start : start + AT_ONCE]) for start in range(0, len(data), AT_ONCE))


def _block(data: bytes) -> bytes:
    body = bytes(lz4.block.compress(data, store_size=False))
    rest = _HEADER.pack(_LZ4, len(body) + _HEADER.size, len(data)) + body
    return _checksum(rest) + rest


def _checksum(data: bytes) -> bytes:
    whole = CityHash128(data)
    return _CHECKSUM.pack(whole >> 64, whole & 0xFFFF_FFFF_FFFF_FFFF)


class BlockDecoder:
    """Takes blocks that come in pieces apart. Args: checked: whether checksums must be right."""

    def __init__(self, *, checked: bool = True) -> None:
        self._checked = checked
        self._came = bytearray()
        self._needed = _BEFORE

    @property
    def held(self) -> int:
        """Bytes of a block that is not complete."""
        return len(self._came)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The data of each block that is complete. Raises BadBody."""
        self._came += data
        while len(self._came) >= self._needed:
            method, size, plain = _HEADER.unpack_from(self._came, _CHECKSUM.size)
            if size < _HEADER.size or max(size, plain) > MOST_OF_A_BLOCK:
                raise _bad(
                    f"a block of {size} bytes, {plain} without compression, is not between "
                    f"{_HEADER.size} and {MOST_OF_A_BLOCK} bytes"
                )
            end = _CHECKSUM.size + size
            if len(self._came) < end:
                self._needed = end
                return
            block = bytes(self._came[:end])
            del self._came[:end]
            self._needed = _BEFORE
            yield self._opened(block, method, plain)

    def finish(self) -> None:
        """Raises BadBody where the body ended within a block."""
        if self._came:
            raise _bad("the last block is cut off")

    def _opened(self, block: bytes, method: int, plain: int) -> bytes:
        if self._checked and block[: _CHECKSUM.size] != _checksum(block[_CHECKSUM.size :]):
            raise BadBody(
                "decompress=1: the checksum of a block is wrong: it was changed on its way. "
                "(CHECKSUM_DOESNT_MATCH)",
                40,
            )
        body = block[_BEFORE:]
        try:
            data = _decompressed(method, body, plain)
        except _BROKEN as error:
            raise _bad(str(error)) from error
        if len(data) != plain:
            raise _bad(f"a block holds {len(data)} bytes and says {plain}")
        return data


def _decompressed(method: int, body: bytes, plain: int) -> bytes:
    """Raises BadBody, _BROKEN."""
    if method == _NONE:
        return body
    if method == _LZ4:
        return bytes(lz4.block.decompress(body, uncompressed_size=plain)) if plain else b""
    if method == _ZSTD:
        said = zstandard.frame_content_size(body)
        if said not in {-1, plain}:
            raise _bad(f"a block holds {said} bytes and says {plain}")
        return bytes(zstandard.ZstdDecompressor().decompress(body, max_output_size=plain))
    raise _bad(f"blocks of the method {method:#04x} are not served; LZ4, ZSTD and NONE are")


def _bad(what: str) -> BadBody:
    return BadBody(f"decompress=1: {what}. (CANNOT_DECOMPRESS)", 271)
