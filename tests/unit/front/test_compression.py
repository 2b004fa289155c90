"""Bodies in each encoding: in pieces of any size, cut off, and small ones that become large."""

from __future__ import annotations

import random
import struct
from itertools import pairwise

import cramjam
import pytest

from nrtctl.local.front.compression import BadBody, Decoder, choose, compressor

ENCODINGS = ["gzip", "deflate", "zstd", "lz4", "xz", "bz2", "snappy"]
MOST = 32 * 2**20
"""Bytes that one step may give."""


def packed(encoding: str, data: bytes) -> bytes:
    compress, end = compressor(encoding)
    return compress(data) + end()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_pieces_of_any_size_give_the_same(encoding: str) -> None:
    chance = random.Random(encoding)
    data = chance.randbytes(300_000) + bytes(700_000)
    whole = packed(encoding, data) + packed(encoding, b"another member")
    cuts = sorted(chance.sample(range(len(whole)), 40))
    decoder, out = Decoder(encoding), bytearray()
    for start, end in pairwise([0, *cuts, len(whole)]):
        for part in decoder.feed(whole[start:end]):
            out += part
    decoder.finish()
    assert bytes(out) == data + b"another member"


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_is_cut_off_is_noticed(encoding: str) -> None:
    whole = packed(encoding, b"some rows\n" * 100)
    for end in (1, len(whole) // 2, len(whole) - 1):
        decoder = Decoder(encoding)
        list(decoder.feed(whole[:end]))
        with pytest.raises(BadBody, match="cut off"):
            decoder.finish()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_small_body_becomes_a_large_one_in_bounded_steps(encoding: str) -> None:
    compress, end = compressor(encoding)
    whole = b"".join([*(compress(bytes(2**20)) for _ in range(64)), end()])
    sizes = [len(part) for part in Decoder(encoding).feed(whole)]
    assert sum(sizes) == 64 * 2**20
    assert max(sizes) <= MOST


@pytest.mark.parametrize(
    "body",
    [
        struct.pack(">II", 10, 2**30) + b"x" * 100,
        struct.pack(">I", 2**31),
        struct.pack(">II", 3, 10) + bytes(cramjam.snappy.compress_raw(b"longer"))[:10].ljust(10),
        struct.pack(">II", 2**20, 6) + b"\xff\xff\xff\xff\xff\x7f",
        struct.pack(">II", 5, 3) + b"\x05\xff\xff",
        struct.pack(">II", 5, 0),
    ],
)
def test_snappy_that_lies_about_its_lengths_is_refused(body: bytes) -> None:
    with pytest.raises(BadBody, match="the body is not snappy"):
        list(Decoder("snappy").feed(body))


def test_what_costs_least_is_chosen() -> None:
    assert choose("xz, bz2, gzip;q=0.1") == "gzip"
    assert choose("br, bz2, xz, snappy") == "snappy"
    assert choose("xz, gzip;q=0") == "xz"
    assert choose("br") == ""
