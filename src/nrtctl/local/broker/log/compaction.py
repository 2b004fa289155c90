"""Which records of a log compaction keeps, and the segments that are left. Used by `log.cleaner`.

Offsets stay without gaps between batches: a batch reaches over the offsets of those behind it that
are gone, and where a segment begins with such offsets, a batch without records holds them. So all
that finds damage works on a compacted log as on any other. Messages of transactions that were
aborted go, those of others are in none any more; markers go as nulls do. Source:
https://kafka.apache.org/documentation/#compaction.
"""

from __future__ import annotations

import mmap
import os
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Final

from nrtctl.local.broker.log.cleaned import Job, Outcome
from nrtctl.local.broker.log.segment import Segment
from nrtctl.local.broker.wire.batches import (
    CODEC_MASK,
    CONTROL,
    HEADER_SIZE,
    MAX_RECORDS_BYTES,
    TRANSACTIONAL,
    BatchHeader,
    decompress,
    has_good_crc,
    has_true_count,
    read_header,
)
from nrtctl.local.broker.wire.recode import (
    committed,
    stretched,
    with_records,
    without_records,
)
from nrtctl.local.broker.wire.records import Record, walk

MAX_KEYS: Final = 300_000
"""Different keys that one pass tells apart; more are left to the next one."""
_LONG_KEY: Final = 24


class Damaged(Exception):
    """A segment is not what it should be: it is left alone."""


def compact(job: Job, max_keys: int = MAX_KEYS) -> Outcome:
    """Write the segments that change beside the old ones, synced. Raises Damaged, OSError."""
    latest: dict[bytes, int] = {}
    cleaned_to = job.dirty_from
    void = _Void(job.aborted)
    for base, size in job.segments:
        for header, _, data in _batches(job, base, size):
            if header.next_offset <= job.dirty_from:
                continue
            if header.attributes & CONTROL or void.has(header):
                cleaned_to = header.next_offset
                continue
            if len(latest) + header.record_count > max_keys and latest:
                break
            for record in walk(data, header.record_count):
                if record.key is not None:
                    latest[_short(record.key)] = header.base_offset + record.offset_delta
            cleaned_to = header.next_offset
        else:
            continue
        break
    changed = [
        base
        for base, size in job.segments
        if base < cleaned_to and _compact_one(job, base, size, latest, void)
    ]
    return Outcome(cleaned_to, changed)


class _Void:
    """Which batches belong to a transaction that was aborted."""

    def __init__(self, aborted: Sequence[tuple[int, int, int]]) -> None:
        self._by_producer: dict[int, list[tuple[int, int]]] = {}
        for producer_id, first, last in aborted:
            self._by_producer.setdefault(producer_id, []).append((last, first))

    def has(self, header: BatchHeader) -> bool:
        if not header.attributes & TRANSACTIONAL:
            return False
        ends = self._by_producer.get(header.producer_id, [])
        at = bisect_left(ends, (header.base_offset, -1))
        return at < len(ends) and ends[at][1] <= header.base_offset


def _compact_one(job: Job, base: int, size: int, latest: dict[bytes, int], void: _Void) -> bool:
    """Whether the segment changes, and so has a new file."""
    made = Segment(Path(job.directory), base, made_by=job.name)
    is_changed = False
    waiting: bytearray | None = None
    for header, raw, data in _batches(job, base, size):
        if header.attributes & CONTROL and header.base_offset >= job.drop_tombstones_before:
            _write(made, waiting)
            _write(made, bytearray(raw))
            waiting = None  # a marker holds no offsets but its own
            continue
        records = [] if header.attributes & CONTROL else list(walk(data, header.record_count))
        kept = [] if void.has(header) else _kept(job, header, records, latest)
        if len(kept) < header.record_count or header.attributes & TRANSACTIONAL:
            is_changed = True
        if kept or waiting is None:
            _write(made, waiting)
            waiting = _made(header, raw, data, kept)
        else:
            waiting = stretched(waiting, header.next_offset)
    if is_changed:
        _write(made, waiting)
        os.fsync(made.fd)
        made.save_index()
        made.close()
    else:
        made.delete()
    return is_changed


def _kept(
    job: Job, header: BatchHeader, records: Sequence[Record], latest: dict[bytes, int]
) -> list[Record]:
    kept = []
    for each in records:
        offset = header.base_offset + each.offset_delta
        is_old = each.key is not None and latest.get(_short(each.key), offset) > offset
        is_over = each.is_tombstone and offset < job.drop_tombstones_before
        if not is_old and not is_over:
            kept.append(each)
    return kept


def _made(header: BatchHeader, raw: bytes, data: bytes, kept: Sequence[Record]) -> bytearray:
    """What is left of a batch. None is in a transaction any more: nothing rests on its marker."""
    if not kept:
        return without_records(header)
    if len(kept) < header.record_count:
        return with_records(header, data, kept)
    return committed(raw) if header.attributes & TRANSACTIONAL else bytearray(raw)


def _write(made: Segment, batch: bytearray | None) -> None:
    if batch is not None:
        header = read_header(memoryview(batch))
        made.append(header, memoryview(batch), header.base_offset)


def _batches(job: Job, base: int, size: int) -> Iterator[tuple[BatchHeader, bytes, bytes]]:
    """(header, whole batch, records decompressed) of each. Raises Damaged, OSError."""
    path = Segment(Path(job.directory), base).path
    expected = base
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as mapped,
        memoryview(mapped) as data,
    ):
        at = 0
        while at < size:
            header = read_header(data, at) if at + HEADER_SIZE <= size else None
            if (
                header is None
                or header.base_offset != expected
                or header.size < HEADER_SIZE
                or at + header.size > size
                or not has_true_count(header)
                or not has_good_crc(data, at, header)
            ):
                raise Damaged(f"{path}: no batch of offset {expected} at {at}")
            raw = bytes(data[at : at + header.size])
            codec = header.attributes & CODEC_MASK
            yield header, raw, decompress(codec, raw[HEADER_SIZE:], MAX_RECORDS_BYTES)
            at += header.size
            expected = header.next_offset


def _short(key: bytes) -> bytes:
    return key if len(key) < _LONG_KEY else blake2b(key, digest_size=_LONG_KEY).digest()
