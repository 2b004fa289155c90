"""Record batches (format v2), opaque but for their header and their records' timestamps.

Source: https://kafka.apache.org/documentation/#recordbatch.
Called by the log and `handlers.produce`.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from crc32c import crc32c

from nrtctl.local.broker.wire.errors import ErrorCode, Refused
from nrtctl.local.broker.wire.records import MIN_RECORD, check_records, timestamps

HEADER: Final = struct.Struct(">qiibIhiqqqhii")
HEADER_SIZE: Final = HEADER.size
PREFIX: Final = struct.Struct(">qi")
PREFIX_SIZE: Final = PREFIX.size
_FRAME: Final = struct.Struct(">qi4xb6xi30xi")
_CRC_FROM: Final = 21
MAX_RECORDS: Final = 1_000_000
MAX_RECORDS_BYTES: Final = 64 * 1024 * 1024
"""Of a batch, decompressed."""

SMALL_COMPRESSED: Final = 16 * 1024
SMALL_RECORDS: Final = 1024 * 1024
FEW_RECORDS: Final = 2_000
"""Bounds of what is checked at once; more would keep other requests waiting."""

NO_TIMESTAMP: Final = -1
NO_PRODUCER: Final = -1
CODEC_MASK: Final = 0x07
LOG_APPEND_TIME: Final = 0x08
TRANSACTIONAL: Final = 0x10
CONTROL: Final = 0x20
SPARSE: Final = 0x100
"""Set by compaction, and by nothing else: offsets of the batch are without a record."""


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


def has_true_count(header: BatchHeader) -> bool:
    """Whether the number of records can be one for that many offsets."""
    if header.attributes & SPARSE:
        return 0 <= header.record_count <= header.last_offset_delta + 1
    return 0 < header.record_count == header.last_offset_delta + 1


def read_header(data: bytes | memoryview, at: int = 0) -> BatchHeader:
    """Raises struct.error when fewer than 61 bytes are left."""
    return BatchHeader._make(HEADER.unpack_from(data, at))


def chained(data: bytes, offset: int) -> tuple[int, int]:
    """How many bytes of `data` are whole batches that follow one another, the first of them holding
    `offset`, and which offset should come next.

    Checksums are their readers' to check, but for the last batch before something that does not
    follow: then its length may be what is wrong.
    """
    at, size, expected = 0, len(data), -1
    last = (0, offset)
    while at < size:
        if at + HEADER_SIZE > size:
            break
        base, length, magic, delta, count = _FRAME.unpack_from(data, at)
        end = at + PREFIX_SIZE + length
        fits = base <= offset <= base + delta if expected < 0 else base == expected
        if (
            not fits
            or magic != 2
            or ((count != delta + 1 or count <= 0) and not has_true_count(read_header(data, at)))
            or length < HEADER_SIZE - PREFIX_SIZE
            or end > size
        ):
            break
        last = (at, base)
        at, expected = end, base + delta + 1
    else:
        return at, expected
    if expected >= 0:
        view = memoryview(data)
        if not has_good_crc(view, last[0], read_header(view, last[0])):
            return last
    return at, offset if expected < 0 else expected


def next_offset(data: bytes) -> int:
    """Where whole batches that follow one another end."""
    at, found = 0, 0
    while at < len(data):
        base, length, _, delta, _ = _FRAME.unpack_from(data, at)
        at, found = at + PREFIX_SIZE + length, base + delta + 1
    return found


def has_good_crc(data: memoryview, at: int, header: BatchHeader) -> bool:
    body = data[at + _CRC_FROM : at + header.size]
    return int(crc32c(body)) == header.crc  # type: ignore[arg-type,unused-ignore]


def validate_produced(records: memoryview, max_bytes: int) -> BatchHeader:
    """The header of the single batch a producer may send per partition and request.

    Its records are not looked at: `check_small` or `check_payload` does that.

    Raises:
        Refused: CORRUPT_MESSAGE, INVALID_RECORD, INVALID_TIMESTAMP or MESSAGE_TOO_LARGE.
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
    codec = header.attributes & CODEC_MASK
    payload = header.size - HEADER_SIZE
    if header.record_count > MAX_RECORDS:
        raise Refused(
            ErrorCode.message_too_large, f"a record batch has at most {MAX_RECORDS} records"
        )
    if not codec and header.record_count * MIN_RECORD > payload:
        raise Refused(ErrorCode.invalid_record, "the record batch's count cannot be true")
    if header.attributes & CONTROL:
        raise Refused(ErrorCode.invalid_record, "clients may not write control records")
    if header.attributes & LOG_APPEND_TIME:
        raise Refused(ErrorCode.invalid_timestamp, "only the broker may set log append time")
    if codec > 4:
        raise Refused(ErrorCode.unsupported_compression_type, "unknown compression codec")
    if header.producer_id != NO_PRODUCER and header.base_sequence < 0:
        raise Refused(ErrorCode.invalid_record, "an idempotent producer must number its batches")
    return header


def check_small(records: memoryview, header: BatchHeader) -> bool:
    """`check_payload`, if that takes no more than a millisecond or two; else False.

    Raises:
        Refused: as `check_payload`.
    """
    codec = header.attributes & CODEC_MASK
    if header.record_count > FEW_RECORDS * (1 if codec else 5):
        return False
    if codec and header.size > SMALL_COMPRESSED:
        return False
    try:
        check_payload(records, header, SMALL_RECORDS if codec else MAX_RECORDS_BYTES)
    except _TooLarge:
        return False
    return True


def check_payload(
    records: memoryview, header: BatchHeader, max_bytes: int = MAX_RECORDS_BYTES
) -> None:
    """Hold the records of a batch against its header.

    Raises:
        Refused: CORRUPT_MESSAGE: it does not decompress; INVALID_RECORD: the records are garbage.
        _TooLarge: of Refused: it grows beyond `max_bytes` when decompressed.
    """
    data: bytes | memoryview = records[HEADER_SIZE : header.size]
    codec = header.attributes & CODEC_MASK
    try:
        if codec:
            data = decompress(codec, bytes(data), max_bytes)
    except ValueError as error:
        raise Refused(ErrorCode.corrupt_message, f"the record batch: {error}") from error
    try:
        check_records(data, header.record_count)
    except ValueError as error:
        raise Refused(ErrorCode.invalid_record, f"the record batch: {error}") from error


def place(records: memoryview, base_offset: int, leader_epoch: int) -> None:
    """Set what the broker decides; both fields lie outside the checksum."""
    struct.pack_into(">q", records, 0, base_offset)
    struct.pack_into(">i", records, 12, leader_epoch)


def stamp(records: memoryview, attributes: int, timestamp: int) -> None:
    """Set log append time, and the checksum that covers it."""
    struct.pack_into(">h", records, 21, attributes | LOG_APPEND_TIME)
    struct.pack_into(">q", records, 35, timestamp)
    seal(records)


def seal(records: memoryview) -> None:
    """Set the checksum of the whole batch that `records` is."""
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
    try:
        data = decompress(header.attributes & CODEC_MASK, batch[HEADER_SIZE:], MAX_RECORDS_BYTES)
    except Refused as refused:
        raise ValueError(str(refused)) from refused
    for offset_delta, timestamp_delta in timestamps(data, header.record_count):
        yield header.base_offset + offset_delta, header.base_timestamp + timestamp_delta


class _TooLarge(Refused):
    """Decompressed, a batch is larger than allowed."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(
            ErrorCode.message_too_large,
            f"the record batch has more than {max_bytes} bytes when decompressed",
        )


def decompress(codec: int, data: bytes, max_bytes: int) -> bytes:
    """The records of a batch.

    Raises:
        ValueError: they are broken.
        Refused: MESSAGE_TOO_LARGE: they grow beyond `max_bytes`.
    """
    if codec == 0:
        return data
    out = _DECOMPRESSORS[codec](data, max_bytes)
    if len(out) > max_bytes:
        raise _TooLarge(max_bytes)
    return out


# Each stops soon after `max_bytes`, so that a bomb is noticed before it goes off. Data that ends
# before its time, or goes on after it, is broken: it makes clients wait for ever.


def _gzip(data: bytes, max_bytes: int) -> bytes:
    reader = zlib.decompressobj(wbits=31)
    try:
        out = reader.decompress(data, max_bytes + 1)
    except zlib.error as error:
        raise ValueError(f"gzip: {error}") from error
    if len(out) <= max_bytes and (not reader.eof or reader.unused_data):
        raise ValueError("gzip: the data does not end where it should")
    return out


def _snappy(data: bytes, max_bytes: int) -> bytes:
    """One raw block, or the framing that snappy-java uses."""
    import cramjam

    framed = data.startswith(b"\x82SNAPPY\x00")
    out = bytearray()
    at = 16 if framed else 0
    try:
        while at < len(data) and len(out) <= max_bytes:
            end = len(data)
            if framed:
                end = at + 4 + int.from_bytes(data[at : at + 4], "big")
                at += 4
                if end > len(data) or end == at:
                    raise ValueError("snappy: a block runs over the end")
            block = data[at:end]
            if cramjam.snappy.decompress_raw_len(block) > max_bytes - len(out):
                raise _TooLarge(max_bytes)
            out += bytes(cramjam.snappy.decompress_raw(block))
            at = end
    except cramjam.DecompressionError as error:
        raise ValueError(f"snappy: {error}") from error
    return bytes(out)


def _lz4(data: bytes, max_bytes: int) -> bytes:
    import lz4.frame

    try:
        reader = lz4.frame.LZ4FrameDecompressor()
        out = bytes(reader.decompress(data, max_bytes + 1))
    except RuntimeError as error:
        raise ValueError(f"lz4: {error}") from error
    if len(out) <= max_bytes and (not reader.eof or reader.unused_data):
        raise ValueError("lz4: the data does not end where it should")
    return out


def _zstd(data: bytes, max_bytes: int) -> bytes:
    import zstandard

    try:
        size = zstandard.frame_content_size(data)
        if size > max_bytes:
            raise _TooLarge(max_bytes)
        reader = zstandard.ZstdDecompressor(max_window_size=_LONGEST_WINDOW).decompressobj()
        out = _bounded(reader, data, max_bytes)
    except zstandard.ZstdError as error:
        raise ValueError(f"zstd: {error}") from error
    if len(out) <= max_bytes and (not reader.eof or reader.unused_data):
        raise ValueError("zstd: the data does not end where it should")
    return out


def _bounded(reader: Any, data: bytes, max_bytes: int) -> bytes:
    """What `reader` makes of `data`, given to it in pieces until there is too much."""
    out = bytearray()
    for at in range(0, len(data), _PIECE):
        out += reader.decompress(data[at : at + _PIECE])
        if len(out) > max_bytes:
            break
    return bytes(out)


_PIECE: Final = 512
_LONGEST_WINDOW: Final = 2**27
_DECOMPRESSORS: Final = {1: _gzip, 2: _snappy, 3: _lz4, 4: _zstd}
