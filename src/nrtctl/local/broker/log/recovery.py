"""Opening a partition's log after a clean stop, a kill or a power cut.

A checkpoint says up to where the log was known to be good, with the producers' state there. What
lies behind is scanned, every checksum checked. After a kill the page cache is intact, so the
checkpoint is trusted; when the machine has restarted since (`thorough`), the whole log is scanned.

A torn end is cut, and kept beside the log, where nothing good follows and no whole batch was there.
All other damage stays where it is: its offsets were acknowledged, are never given to other
messages, and cannot be read (`log.holes`).
"""

from __future__ import annotations

import json
import logging
import mmap
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from nrtctl.local.broker.log.epochs import Epochs
from nrtctl.local.broker.log.holes import (
    MAX_LOST,
    Hole,
    hole_text,
    is_framed,
    next_good,
    read_holes,
    set_aside,
    write_holes,
)
from nrtctl.local.broker.log.producers import Producers
from nrtctl.local.broker.log.segment import Segment
from nrtctl.local.broker.log.transactions import Transactions
from nrtctl.local.broker.wire.batches import (
    CONTROL,
    HEADER_SIZE,
    MAX_RECORDS,
    NO_PRODUCER,
    PREFIX_SIZE,
    SPARSE,
    BatchHeader,
    has_good_crc,
    read_header,
)
from nrtctl.local.broker.wire.markers import is_commit
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
    open: list[tuple[int, int]] = field(default_factory=list)
    aborted: int = 0

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
    is_changed: bool


def recover(directory: Path, *, thorough: bool, now_ms: int) -> Recovered:
    """Read what is in `directory`, cut what is torn, note what is damaged. Raises OSError."""
    checkpoint = Checkpoint.read(directory)
    known = checkpoint or Checkpoint()
    transactions = trusted = None
    if not thorough and checkpoint is not None:
        transactions = Transactions.restore(
            directory, checkpoint.open, checkpoint.aborted, checkpoint.next_offset
        )
    if transactions is None:
        transactions = Transactions.anew()
    else:
        trusted = checkpoint
    segments = [Segment(directory, int(path.stem)) for path in sorted(directory.glob("*.log"))]
    producers = Producers.restore(trusted.producers if trusted else [], transactions)
    epochs = Epochs(known.epochs)
    is_changed = False
    kept: list[Segment] = []
    holes = read_holes(directory)
    for number, segment in enumerate(segments, 1):
        if kept and segment.base_offset < kept[-1].next_offset and not segment.file_size():
            # The one before went on after all, when this one could not be begun.
            logger.warning("%s is empty, and %s goes on behind it", segment.path, kept[-1].path)
            segment.delete()
            continue
        behind = segments[number].base_offset if number < len(segments) else None
        if trusted and segment.base_offset < trusted.segment and segment.load_index():
            _known_holes(segment, holes)
        else:
            position = 0
            if trusted and segment.base_offset == trusted.segment and segment.load_index():
                position = segment.size
                _known_holes(segment, holes)
                _replay(segment, trusted.position, producers, now_ms)
            _scan_into(segment, position, producers, producers_from(trusted), now_ms, behind)
            if segment.file_size() > segment.size:
                _cut(directory, segment)
                is_changed = True
        if behind is not None:
            if segment.next_offset < behind:
                segment.pass_hole(Hole(segment.size, segment.size, segment.next_offset, behind))
            segment.save_index()
            segment.close()
        kept.append(segment)
    if not kept:
        kept.append(Segment(directory, known.next_offset))
    last = kept[-1]
    end = last.next_offset
    if end < known.next_offset:
        logger.error("%s ends at %d, before its checkpoint %d", directory, end, known.next_offset)
        last.pass_hole(Hole(last.size, last.size, end, known.next_offset))
        end = known.next_offset
        is_changed = True
    log_start = min(max(known.log_start, kept[0].base_offset), end)
    found = {s.base_offset: s.holes for s in kept if s.holes}
    if found != holes:
        for segment in kept:
            for hole in segment.holes:
                if hole not in holes.get(segment.base_offset, ()):
                    logger.error("%s: %s", segment.path, hole_text(hole))
        write_holes(directory, found)
        is_changed = True
    if is_changed or (thorough and end):
        epochs.bump(end)
        is_changed = True  # so that the epoch is written down: a client knows it from now on
    return Recovered(kept, log_start, epochs, producers, is_changed)


def _known_holes(segment: Segment, holes: Mapping[int, list[Hole]]) -> None:
    """Take those into account that lie within what the segment's index tells of."""
    segment.holes = [
        hole
        for hole in holes.get(segment.base_offset, ())
        if hole.end <= segment.size and hole.next_offset <= segment.next_offset
    ]


def _cut(directory: Path, segment: Segment) -> None:
    """Cut a torn end, which nothing good follows, and keep it beside the log."""
    torn = segment.file_size() - segment.size
    kept = set_aside(directory, segment.base_offset, segment.fd, segment.size, segment.next_offset)
    logger.warning(
        "%s: %d torn bytes cut at offset %d, %d of them kept beside it",
        segment.path,
        torn,
        segment.next_offset,
        kept,
    )
    segment.truncate()


def producers_from(checkpoint: Checkpoint | None) -> int:
    """The first offset whose producer is not in the checkpoint."""
    return checkpoint.next_offset if checkpoint else 0


def _replay(segment: Segment, position: int, producers: Producers, now_ms: int) -> None:
    """Bring the checkpoint's producers up to an index that is newer than the checkpoint.

    A kill between the writing of the two leaves them so, just after a segment was sealed.
    """
    for at, header in segment.headers(position):
        if header.producer_id != NO_PRODUCER:
            commits = False
            if header.attributes & CONTROL:
                commits = is_commit(os.pread(segment.fd, header.size, at))
            producers.update(header, header.base_offset, now_ms, commits=commits)


def _scan_into(
    segment: Segment,
    position: int,
    producers: Producers,
    replay_from: int,
    now_ms: int,
    following: int | None,
) -> None:
    """Take into account what lies from `position` on, damage in the middle included. What is left
    behind `segment.size` is torn.

    Args:
        following: where the next segment begins; None: there is none.
    """
    if not position:
        segment.reset()
    size = segment.file_size()
    if segment.size >= size:
        return
    with mmap.mmap(segment.fd, size, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as data:
        while segment.size < size:
            at, expected = segment.size, segment.next_offset
            header = read_header(data, at) if at + HEADER_SIZE <= size else None
            if (
                header is not None
                and is_framed(header, at, size)
                and has_good_crc(data, at, header)
            ):
                if not _is_misnumbered(data, at, header, expected):
                    if header.base_offset > expected:
                        segment.pass_hole(Hole(at, at, expected, header.base_offset))
                    segment.note(header, header.base_offset, at)
                    if header.base_offset < replay_from:
                        continue  # the checkpoint knows its producer
                    if header.producer_id != NO_PRODUCER:
                        commits = bool(header.attributes & CONTROL) and is_commit(data, at)
                        producers.update(header, header.base_offset, now_ms, commits=commits)
                    elif header.attributes & SPARSE:  # whose it was is not known any more
                        producers.forget()
                    continue
                count = header.record_count
                segment.pass_hole(Hole(at, at + header.size, expected, expected + count))
                continue
            hole = _hole(data, mapped, at, expected, header, following)
            if hole is None:
                return
            segment.pass_hole(hole)


def _is_misnumbered(data: memoryview, at: int, header: BatchHeader, expected: int) -> bool:
    """Whether the base offset of a good batch is damaged: the checksum does not cover it."""
    if header.base_offset == expected:
        return False
    if not expected < header.base_offset <= expected + MAX_LOST:
        return True
    after = at + header.size
    if after + HEADER_SIZE > len(data):
        return False
    following = read_header(data, after)
    return following.magic == 2 and following.base_offset == expected + header.record_count


def _hole(
    data: memoryview,
    raw: Any,
    at: int,
    expected: int,
    header: BatchHeader | None,
    following: int | None,
) -> Hole | None:
    """The damage at `at`, where the offset `expected` should begin; None: the end is torn."""
    found = next_good(data, raw, at, expected)
    if found is not None:
        return Hole(at, found[0], expected, found[1].base_offset)
    if header is not None and header.base_offset == expected:
        end = at + header.size
        counts = [header.record_count, header.last_offset_delta + 1]
        believed = [count for count in counts if 0 < count <= MAX_RECORDS]
        if believed and header.length >= HEADER_SIZE - PREFIX_SIZE and end <= len(data):
            return Hole(at, end, expected, expected + max(believed))
    if following is not None and following > expected:
        return Hole(at, len(data), expected, following)
    return None
