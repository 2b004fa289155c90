"""Opening a partition's log after a clean stop, a kill or a power cut.

A checkpoint says up to where the log was known to be good, with the producers' state there. What
lies behind is scanned, every checksum checked, and cut at the last good batch. After a kill the
page cache is intact, so the checkpoint is trusted; when the machine has restarted since
(`thorough`), the whole log is scanned.
"""

from __future__ import annotations

import json
import logging
import mmap
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from nrtctl.local.broker.log.epochs import Epochs
from nrtctl.local.broker.log.producers import Producers
from nrtctl.local.broker.log.segment import Segment
from nrtctl.local.broker.wire.batches import (
    HEADER_SIZE,
    NO_PRODUCER,
    PREFIX_SIZE,
    BatchHeader,
    has_good_crc,
    read_header,
)
from nrtctl.local.process import write_atomically

logger = logging.getLogger(__name__)

CHECKPOINT: Final = "checkpoint"


@dataclass(slots=True)
class Checkpoint:
    """The state of a log up to `next_offset`, which lies in the segment `segment` at `position`."""

    log_start: int = 0
    next_offset: int = 0
    segment: int = 0
    position: int = 0
    epochs: list[tuple[int, int]] = field(default_factory=lambda: [(0, 0)])
    producers: list[Any] = field(default_factory=list)

    def write(self, directory: Path, *, durable: bool) -> None:
        """Replace the checkpoint. Raises OSError."""
        body = json.dumps(
            {name: getattr(self, name) for name in self.__slots__}, separators=(",", ":")
        ).encode()
        data = b"%08x " % zlib.crc32(body) + body
        if durable:
            write_atomically(directory / CHECKPOINT, data)
            return
        temporary = directory / (CHECKPOINT + ".tmp")
        temporary.write_bytes(data)
        temporary.replace(directory / CHECKPOINT)

    @classmethod
    def read(cls, directory: Path) -> Checkpoint | None:
        try:
            data = (directory / CHECKPOINT).read_bytes()
        except OSError:
            return None
        try:
            if int(data[:8], 16) != zlib.crc32(data[9:]):
                return None
            checkpoint = cls(**json.loads(data[9:]))
        except (ValueError, TypeError):
            return None
        checkpoint.epochs = [(epoch, start) for epoch, start in checkpoint.epochs]
        return checkpoint


@dataclass(slots=True)
class Recovered:
    segments: list[Segment]
    log_start: int
    epochs: Epochs
    producers: Producers
    was_cut: bool


def scan(segment: Segment, position: int) -> Iterator[tuple[int, BatchHeader]]:
    """(position, header) of the good batches from `position` to the first bad one or the end."""
    size = segment.file_size()
    if position >= size:
        return
    with mmap.mmap(segment.fd, size, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as data:
        while position + HEADER_SIZE <= size:
            header = read_header(data, position)
            if (
                header.magic != 2
                or header.length < HEADER_SIZE - PREFIX_SIZE
                or position + header.size > size
                or header.record_count <= 0
                or not has_good_crc(data, position, header)
            ):
                return
            yield position, header
            position += header.size


def recover(directory: Path, *, thorough: bool, now_ms: int) -> Recovered:
    """Read what is in `directory`, cut what is torn. Raises OSError."""
    checkpoint = Checkpoint.read(directory)
    trusted = checkpoint if not thorough else None
    known = checkpoint or Checkpoint()
    segments = [Segment(directory, int(path.stem)) for path in sorted(directory.glob("*.log"))]
    producers = Producers.restore(trusted.producers if trusted else [])
    epochs = Epochs(known.epochs)
    was_cut = False
    kept: list[Segment] = []
    for segment in segments:
        if was_cut:
            logger.warning("%s lies behind a cut and is deleted", segment.path)
            segment.delete()
            continue
        is_last = segment is segments[-1]
        if trusted and segment.base_offset < trusted.segment:
            if not segment.load_index():
                _scan_into(segment, 0, producers, known.next_offset, now_ms)
            segment.close()
        else:
            position = 0
            if trusted and segment.base_offset == trusted.segment and segment.load_index():
                position = segment.size
                _replay(segment, trusted.position, producers, now_ms)
            _scan_into(segment, position, producers, producers_from(trusted), now_ms)
            torn = segment.file_size() - segment.size
            if torn:
                logger.warning(
                    "%s: %d torn bytes cut at offset %d", segment.path, torn, segment.next_offset
                )
                segment.truncate()
                was_cut = True
            if not is_last:
                segment.save_index()
                segment.close()
        kept.append(segment)
    if not kept:
        kept.append(Segment(directory, known.next_offset))
    end = kept[-1].next_offset
    if end < known.next_offset:
        logger.warning("%s ends at %d, before its checkpoint %d", directory, end, known.next_offset)
        was_cut = True
    if was_cut or (thorough and end):
        epochs.bump(end)
    log_start = min(max(known.log_start, kept[0].base_offset), end)
    return Recovered(kept, log_start, epochs, producers, was_cut)


def producers_from(checkpoint: Checkpoint | None) -> int:
    """The first offset whose producer is not in the checkpoint."""
    return checkpoint.next_offset if checkpoint else 0


def _replay(segment: Segment, position: int, producers: Producers, now_ms: int) -> None:
    """Bring the checkpoint's producers up to an index that is newer than the checkpoint.

    A kill between the writing of the two leaves them so, just after a segment was sealed.
    """
    for _, header in segment.headers(position):
        if header.producer_id != NO_PRODUCER:
            producers.update(header, header.base_offset, now_ms)


def _scan_into(
    segment: Segment, position: int, producers: Producers, replay_from: int, now_ms: int
) -> None:
    if not position:
        segment.reset()
    try:
        for at, header in scan(segment, position):
            if header.base_offset != segment.next_offset:
                return
            segment.note(header, header.base_offset, at)
            if header.producer_id != NO_PRODUCER and header.base_offset >= replay_from:
                producers.update(header, header.base_offset, now_ms)
    except struct.error:
        return
