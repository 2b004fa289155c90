"""Which records of a log compaction keeps, and the segments that are left. Used by `log.cleaner`.

Offsets stay without gaps between batches: a batch reaches over the offsets of those behind it that
are gone, and where a segment begins with such offsets, a batch without records holds them. So all
that finds damage works on a compacted log as on any other. Source:
https://kafka.apache.org/documentation/#compaction.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Final

from nrtctl.local.broker.log.cleaned import Job, Outcome
from nrtctl.local.broker.log.segment import Segment
from nrtctl.local.broker.wire.batches import (
    CODEC_MASK,
    HEADER_SIZE,
    MAX_RECORDS_BYTES,
    BatchHeader,
    decompress,
    has_good_crc,
    has_true_count,
    read_header,
)
from nrtctl.local.broker.wire.recode import stretched, with_records, without_records
from nrtctl.local.broker.wire.records import walk

MAX_KEYS: Final = 300_000
"""Different keys that one pass tells apart; more are left to the next one."""
_LONG_KEY: Final = 24


class Damaged(Exception):
    """A segment is not what it should be: it is left alone."""


def compact(job: Job, max_keys: int = MAX_KEYS) -> Outcome:
    """Write the segments that change beside the old ones, synced. Raises Damaged, OSError."""
    latest: dict[bytes, int] = {}
    cleaned_to = job.dirty_from
    for base, size in job.segments:
        for header, _, data in _batches(job, base, size):
            if header.next_offset <= job.dirty_from:
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
        if base < cleaned_to and _compact_one(job, base, size, latest)
    ]
    return Outcome(cleaned_to, changed)


def _compact_one(job: Job, base: int, size: int, latest: dict[bytes, int]) -> bool:
    """Whether the segment loses anything, and so has a new file."""
    made = Segment(Path(job.directory), base, made_by=job.name)
    is_changed = False
    waiting: bytearray | None = None
    for header, raw, data in _batches(job, base, size):
        records = list(walk(data, header.record_count))
        kept = []
        for each in records:
            offset = header.base_offset + each.offset_delta
            is_old = each.key is not None and latest.get(_short(each.key), offset) > offset
            is_over = each.is_tombstone and offset < job.drop_tombstones_before
            if not is_old and not is_over:
                kept.append(each)
        if len(kept) < len(records):
            is_changed = True
        if kept or waiting is None:
            _write(made, waiting)
            if not kept:
                waiting = without_records(header)
            elif len(kept) == len(records):
                waiting = bytearray(raw)
            else:
                waiting = with_records(header, data, kept)
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
