"""Members that follow each other, whatever their number, and wherever what is fed is cut."""

from __future__ import annotations

import bz2
import gzip
import lzma
import sys
from collections.abc import Callable
from typing import Any

import pytest

from nrtctl.producer.sources.files import unpacking
from nrtctl.producer.sources.files.unpacking import Compression, Unpacker

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PACK: dict[Compression, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress, "zstd": zstd.compress,
}  # fmt: skip
TEXTS = [b"", b"a", b"", b"bc" * 50_000, bytes(range(256)) * 20, b""]


def unpacked(unpacker: Unpacker, pieces: list[bytes]) -> bytes:
    found = b""
    for piece in pieces:
        unpacker.feed(piece)
        while text := unpacker.read():
            found += text
    unpacker.finish()
    return found


@pytest.mark.parametrize("size", [7, 1000, 10**6])
@pytest.mark.parametrize("name", PACK)
def test_members_are_one_stream(name: Compression, size: int) -> None:
    packed = b"".join(PACK[name](text) + b"\0" * (number % 3) for number, text in enumerate(TEXTS))
    pieces = [packed[at : at + size] for at in range(0, len(packed), size)]
    assert unpacked(Unpacker(name, 1000), pieces) == b"".join(TEXTS)


class Counted:
    """A decompressor that counts the bytes that it is given."""

    given = 0

    def __init__(self, made: Any) -> None:
        self._made = made

    def decompress(self, data: bytes, size: int) -> Any:
        Counted.given += len(data)
        return self._made.decompress(data, size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._made, name)


@pytest.mark.parametrize("name", PACK)
def test_each_of_many_members_copies_little_of_the_rest(
    name: Compression, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = unpacking._decompressor(name)
    monkeypatch.setattr(unpacking, "_decompressor", lambda name: lambda: Counted(make()))
    monkeypatch.setattr(Counted, "given", 0)
    packed = PACK[name](b"") * 2000
    assert unpacked(Unpacker(name, 1000), [packed]) == b""
    assert Counted.given < 2000 * 1024
