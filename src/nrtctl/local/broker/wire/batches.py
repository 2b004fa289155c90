"""Record batches (format v2), opaque but for their header and their records' timestamps.

Source: https://kafka.apache.org/documentation/#recordbatch.
Called by the log and `handlers.produce`.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

from crc32c import crc32c

from nrtctl.local.broker.wire.errors import ErrorCode, Refused

HEADER: Final = struct.Struct(">qiibIhiqqqhii")
HEADER_SIZE: Final = HEADER.size
PREFIX: Final = struct.Struct(">qi")
PREFIX_SIZE: Final = PREFIX.size
_CRC_FROM: Final = 21
MAX_RECORDS_BYTES: Final = 256 * 1024 * 1024

NO_TIMESTAMP: Final = -1
NO_PRODUCER: Final = -1
CODEC_MASK: Final = 0x07
LOG_APPEND_TIME: Final = 0x08
TRANSACTIONAL: Final = 0x10
CONTROL: Final = 0x20


class BatchHeader(NamedTuple):
    base_offset: int
    length: int
    leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    base_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    record_count: int

    @property
    def size(self) -> int:
        """Bytes the whole batch takes, header included."""
        return self.length + PREFIX_SIZE

    @property
    def next_offset(self) -> int:
        return self.base_offset + self.last_offset_delta + 1

    @property
    def last_sequence(self) -> int:
        """Sequence numbers wrap from 2^31-1 to 0."""
        return (self.base_sequence + self.last_offset_delta) & 0x7FFFFFFF


def read_header(data: bytes | memoryview, at: int = 0) -> BatchHeader:
    """Raises struct.error when fewer than 61 bytes are left."""
    return BatchHeader._make(HEADER.unpack_from(data, at))


def has_good_crc(data: memoryview, at: int, header: BatchHeader) -> bool:
    body = data[at + _CRC_FROM : at + header.size]
    return int(crc32c(body)) == header.crc  # type: ignore[arg-type,unused-ignore]


def validate_produced(records: memoryview, max_bytes: int) -> BatchHeader:
    """The header of the single batch a producer may send per partition and request.

    Raises:
        Refused: CORRUPT_MESSAGE, INVALID_RECORD, INVALID_TIMESTAMP, MESSAGE_TOO_LARGE or
            INVALID_TXN_STATE.
    """
    if len(records) < HEADER_SIZE:
        raise Refused(ErrorCode.invalid_record, "there is no whole record batch of format 2")
    header = read_header(records)
    if header.magic != 2:
        raise Refused(ErrorCode.invalid_record, "only record batches of format 2 are accepted")
    if header.length < HEADER_SIZE - PREFIX_SIZE:
        raise Refused(ErrorCode.corrupt_message, "the record batch's length is wrong")
    if header.size != len(records):
        raise Refused(ErrorCode.invalid_record, "one whole record batch per partition and request")
    if header.size > max_bytes:
        raise Refused(
            ErrorCode.message_too_large,
            f"the record batch has {header.size} bytes, more than the allowed {max_bytes}",
        )
    if not has_good_crc(records, 0, header):
        raise Refused(ErrorCode.corrupt_message, "the record batch's checksum is wrong")
    if header.record_count <= 0 or header.record_count != header.last_offset_delta + 1:
        raise Refused(ErrorCode.invalid_record, "the record batch's count and offsets disagree")
    if header.attributes & CONTROL:
        raise Refused(ErrorCode.invalid_record, "clients may not write control records")
    if header.attributes & LOG_APPEND_TIME:
        raise Refused(ErrorCode.invalid_timestamp, "only the broker may set log append time")
    if header.attributes & TRANSACTIONAL:
        raise Refused(ErrorCode.invalid_txn_state, "this broker does not serve transactions")
    if header.attributes & CODEC_MASK > 4:
        raise Refused(ErrorCode.unsupported_compression_type, "unknown compression codec")
    if header.producer_id != NO_PRODUCER and header.base_sequence < 0:
        raise Refused(ErrorCode.invalid_record, "an idempotent producer must number its batches")
    return header


def place(records: memoryview, base_offset: int, leader_epoch: int) -> None:
    """Set what the broker decides; both fields lie outside the checksum."""
    struct.pack_into(">q", records, 0, base_offset)
    struct.pack_into(">i", records, 12, leader_epoch)


def stamp(records: memoryview, attributes: int, timestamp: int) -> None:
    """Set log append time, and the checksum that covers it."""
    struct.pack_into(">h", records, 21, attributes | LOG_APPEND_TIME)
    struct.pack_into(">q", records, 35, timestamp)
    crc = int(crc32c(records[_CRC_FROM:]))  # type: ignore[arg-type,unused-ignore]
    struct.pack_into(">I", records, 17, crc)


def record_timestamps(batch: bytes) -> Iterator[tuple[int, int]]:
    """(offset, timestamp in ms) of each record of a whole batch.

    Raises:
        ValueError: the records cannot be decompressed or are malformed.
    """
    header = read_header(batch)
    if header.attributes & LOG_APPEND_TIME:
        yield header.base_offset, header.max_timestamp
        return
    data = decompress(header.attributes & CODEC_MASK, batch[HEADER_SIZE:])
    at = 0
    try:
        for _ in range(header.record_count):
            length, at = _varint(data, at)
            timestamp_delta, then = _varint(data, at + 1)
            offset_delta, _ = _varint(data, then)
            yield header.base_offset + offset_delta, header.base_timestamp + timestamp_delta
            at += length
    except IndexError:
        raise ValueError("a record runs over the end of its batch") from None


def _varint(data: bytes, at: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = data[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (result >> 1) ^ -(result & 1), at
        shift += 7


def decompress(codec: int, data: bytes) -> bytes:
    """The records of a batch. Raises ValueError when they are broken or grow beyond 256 MiB."""
    if codec == 0:
        return data
    out = _DECOMPRESSORS[codec](data)
    if len(out) > MAX_RECORDS_BYTES:
        raise ValueError("the batch is too large when decompressed")
    return out


# Each stops soon after MAX_RECORDS_BYTES, so that a bomb is noticed before it goes off.


def _gzip(data: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(data, MAX_RECORDS_BYTES + 1)
    except zlib.error as error:
        raise ValueError(f"gzip: {error}") from error


def _snappy(data: bytes) -> bytes:
    """One raw block, or the framing that snappy-java uses."""
    import cramjam

    framed = data.startswith(b"\x82SNAPPY\x00")
    out = bytearray()
    at = 16 if framed else 0
    try:
        while at < len(data) and len(out) <= MAX_RECORDS_BYTES:
            end = len(data)
            if framed:
                end = at + 4 + int.from_bytes(data[at : at + 4], "big")
                at += 4
            block = data[at:end]
            if cramjam.snappy.decompress_raw_len(block) > MAX_RECORDS_BYTES:
                raise ValueError("snappy: a block is too large")
            out += bytes(cramjam.snappy.decompress_raw(block))
            at = end
    except cramjam.DecompressionError as error:
        raise ValueError(f"snappy: {error}") from error
    return bytes(out)


def _lz4(data: bytes) -> bytes:
    import lz4.frame

    try:
        decompressor = lz4.frame.LZ4FrameDecompressor()
        return bytes(decompressor.decompress(data, MAX_RECORDS_BYTES + 1))
    except RuntimeError as error:
        raise ValueError(f"lz4: {error}") from error


def _zstd(data: bytes) -> bytes:
    import zstandard

    try:
        with zstandard.ZstdDecompressor().stream_reader(data) as reader:
            return reader.read(MAX_RECORDS_BYTES + 1)
    except zstandard.ZstdError as error:
        raise ValueError(f"zstd: {error}") from error


_DECOMPRESSORS: Final = {1: _gzip, 2: _snappy, 3: _lz4, 4: _zstd}
