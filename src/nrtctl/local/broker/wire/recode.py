"""Record batches written anew: with fewer of their records, or with another codec.

Used by `log.compaction` and `handlers.produce`. Records stay the bytes that they were.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Final, NamedTuple

from nrtctl.local.broker.wire.batches import (
    CODEC_MASK,
    CONTROL,
    HEADER,
    HEADER_SIZE,
    LOG_APPEND_TIME,
    MAX_RECORDS_BYTES,
    NO_PRODUCER,
    NO_TIMESTAMP,
    PREFIX_SIZE,
    SPARSE,
    TRANSACTIONAL,
    BatchHeader,
    decompress,
    read_header,
    seal,
)
from nrtctl.local.broker.wire.errors import ErrorCode, Refused
from nrtctl.local.broker.wire.records import Record, walk

CODECS: Final = {"uncompressed": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
_SNAPPY_BLOCK: Final = 32 * 1024


class Wants(NamedTuple):
    """What a topic wants of the batches that are produced to it.

    Attributes:
        codec: the number of the one they are kept in; None: as they come.
        level: of that codec; -1 is its own default.
        keys: whether each record needs one.
    """

    codec: int | None
    level: int
    keys: bool

    def work_on(self, header: BatchHeader) -> bool:
        """Whether `as_wanted` has to look at the batch."""
        return self.keys or self.codec not in (None, header.attributes & CODEC_MASK)


def as_wanted(batch: memoryview, header: BatchHeader, wants: Wants) -> memoryview:
    """A batch that has been checked, as its topic keeps it.

    Raises:
        Refused: INVALID_RECORD: a record has no key.
    """
    data = decompress(header.attributes & CODEC_MASK, bytes(batch[HEADER_SIZE:]), MAX_RECORDS_BYTES)
    if wants.keys and any(each.key is None for each in walk(data, header.record_count)):
        raise Refused(
            ErrorCode.invalid_record, "Compacted topic cannot accept message without key."
        )
    if wants.codec in (None, header.attributes & CODEC_MASK):
        return batch
    attributes = header.attributes & ~CODEC_MASK | wants.codec
    return memoryview(_made(header._replace(attributes=attributes), data, wants.level))


def with_records(header: BatchHeader, data: bytes, kept: Sequence[Record]) -> bytearray:
    """The batch with only some of its records, at the offsets that they have.

    It belongs to no producer any more: what a producer sends is counted by the offsets of a batch.

    Args:
        data: its records, decompressed.
    """
    timestamp = header.max_timestamp
    if not header.attributes & LOG_APPEND_TIME:
        times = [header.base_timestamp + each.timestamp_delta for each in kept]
        timestamp = max(times, default=NO_TIMESTAMP)
    left = header._replace(max_timestamp=timestamp, record_count=len(kept))
    return _made(_sparse(left), b"".join(data[each.begin : each.end] for each in kept))


def without_records(header: BatchHeader) -> bytearray:
    """A batch of the same offsets that holds nothing, also where it was a marker."""
    attributes = header.attributes & ~CODEC_MASK
    return with_records(header._replace(attributes=attributes), b"", ())


def committed(batch: bytes) -> bytearray:
    """A batch of a transaction that has been committed, as one that was in none."""
    made = bytearray(batch)
    HEADER.pack_into(made, 0, *_sparse(read_header(batch)))
    seal(memoryview(made))
    return made


def stretched(batch: bytearray, next_offset: int) -> bytearray:
    """The same records, and offsets without one up to `next_offset`."""
    header = _sparse(read_header(memoryview(batch)))
    header = header._replace(last_offset_delta=next_offset - header.base_offset - 1)
    HEADER.pack_into(batch, 0, *header)
    seal(memoryview(batch))
    return batch


def _sparse(header: BatchHeader) -> BatchHeader:
    return header._replace(
        attributes=header.attributes & ~(TRANSACTIONAL | CONTROL) | SPARSE,
        producer_id=NO_PRODUCER,
        producer_epoch=-1,
        base_sequence=-1,
    )


def _made(header: BatchHeader, data: bytes, level: int = -1) -> bytearray:
    payload = _compressed(header.attributes & CODEC_MASK, data, level) if data else b""
    length = HEADER_SIZE - PREFIX_SIZE + len(payload)
    batch = bytearray(HEADER.pack(*header._replace(length=length)) + payload)
    seal(memoryview(batch))
    return batch


def _compressed(codec: int, data: bytes, level: int) -> bytes:
    if codec == 1:
        packer = zlib.compressobj(level, wbits=31)
        return packer.compress(data) + packer.flush()
    if codec == 2:
        return _snappy(data)
    if codec == 3:
        import lz4.frame

        # What Java's reader takes: blocks that do not rest on one another.
        found: bytes = lz4.frame.compress(
            data,
            compression_level=max(level, 0),
            block_linked=False,
            store_size=False,
        )
        return found
    if codec == 4:
        import zstandard

        return zstandard.ZstdCompressor(level=3 if level == -1 else level).compress(data)
    return data


def _snappy(data: bytes) -> bytes:
    """In the framing of snappy-java, which every client reads."""
    import cramjam

    out = bytearray(b"\x82SNAPPY\x00" + struct.pack(">ii", 1, 1))
    for at in range(0, len(data), _SNAPPY_BLOCK):
        block = bytes(cramjam.snappy.compress_raw(data[at : at + _SNAPPY_BLOCK]))
        out += struct.pack(">i", len(block)) + block
    return bytes(out)
