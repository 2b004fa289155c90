"""The log of one partition: append, read, find by time, retention, checkpoints.

Called by the produce, fetch, list-offsets and delete-records handlers through `broker`, which also
calls `sweep` from time to time. All offsets are absolute, all times milliseconds since the epoch.
"""

from __future__ import annotations

import errno
import logging
import os
from bisect import bisect_right
from pathlib import Path
from typing import Final

from nrtctl.local.broker.log.cleaned import Cleaned, Compaction, Job, Outcome, forget_unfinished
from nrtctl.local.broker.log.holes import Hole, hole_text, write_holes
from nrtctl.local.broker.log.recovery import Checkpoint, recover
from nrtctl.local.broker.log.segment import Segment
from nrtctl.local.broker.wire.batches import (
    LOG_APPEND_TIME,
    NO_PRODUCER,
    BatchHeader,
    chained,
    place,
    read_header,
    record_timestamps,
    stamp,
)
from nrtctl.local.broker.wire.errors import ErrorCode, Refused
from nrtctl.local.broker.wire.markers import marker

logger = logging.getLogger(__name__)

NEVER_MS: Final = 2**63 - 1
CHECKPOINT_BYTES: Final = 64 * 1024 * 1024
CHECKPOINT_BATCHES: Final = 50_000
_REMEMBERED_READS: Final = 16


class PartitionLog:
    """Opens, recovering as needed, the log in `directory`. Raises OSError."""

    def __init__(self, directory: Path, *, thorough: bool, now_ms: int) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.directory = directory
        forget_unfinished(directory)
        self._cleaned = Cleaned.read(directory)
        state = recover(directory, thorough=thorough, now_ms=now_ms)
        self._segments = state.segments
        self.log_start = state.log_start
        self.epochs = state.epochs
        self.producers = state.producers
        self._checkpoint_at = (-1, 0)
        self._bytes_since = 0
        self._batches_since = 0
        self._read_ends: dict[int, tuple[Segment, int]] = {}
        self.unsynced: set[Segment] = set()
        self._known_holes = self._holes()
        if state.is_changed:
            self.checkpoint()

    @property
    def _active(self) -> Segment:
        return self._segments[-1]

    @property
    def log_end(self) -> int:
        """The offset the next record gets; also the high watermark, there being one replica."""
        return self._active.next_offset

    @property
    def last_stable(self) -> int:
        """Where an open transaction begins; readers of committed messages come no further."""
        transactions = self.producers.transactions
        if not transactions.open:
            return self._active.next_offset
        return max(transactions.stable(self._active.next_offset), self.log_start)

    @property
    def size(self) -> int:
        return sum(segment.size for segment in self._segments)

    # ------------------------------------------------------------------ writing

    def append(
        self,
        batch: BatchHeader,
        data: memoryview,
        *,
        now_ms: int,
        segment_bytes: int,
        segment_ms: int = NEVER_MS,
        append_time: bool = False,
    ) -> tuple[int, bool]:
        """Write a validated batch; (its base offset, whether it was there already).

        `data` is changed in place. A batch of an idempotent producer that is in already is not
        written again.

        Raises:
            Refused: a wrong producer epoch or sequence.
            OSError: the disk is full or broken; nothing has changed.
        """
        idempotent = batch.producer_id != NO_PRODUCER
        if idempotent:
            duplicate = self.producers.check(batch)
            if duplicate is not None:
                return duplicate, True
        base_offset = self._write(batch, data, now_ms, segment_bytes, segment_ms, append_time)
        if idempotent:
            self.producers.update(batch, base_offset, now_ms)
        self._checkpoint_at_times(len(data))
        return base_offset, False

    def end_transaction(
        self,
        producer_id: int,
        epoch: int,
        *,
        commits: bool,
        now_ms: int,
        segment_bytes: int,
        segment_ms: int = NEVER_MS,
        append_time: bool = False,
    ) -> None:
        """Write the marker of a transaction's end. Raises OSError, as `append`."""
        data = memoryview(marker(producer_id, epoch, commits=commits, now_ms=now_ms))
        batch = read_header(data)
        base_offset = self._write(batch, data, now_ms, segment_bytes, segment_ms, append_time)
        self.producers.update(batch, base_offset, now_ms, commits=commits)
        self._checkpoint_at_times(len(data))

    def _write(
        self,
        batch: BatchHeader,
        data: memoryview,
        now_ms: int,
        segment_bytes: int,
        segment_ms: int,
        append_time: bool,
    ) -> int:
        """Append to the segment that is open, or to a new one; the base offset. Raises OSError."""
        if self._active.size and (
            self._active.size + len(data) > segment_bytes
            or (segment_ms < NEVER_MS and self._is_older(batch, now_ms, segment_ms, append_time))
        ):
            self._roll()
        active = self._active
        base_offset = active.next_offset
        place(data, base_offset, self.epochs.current)
        if append_time:
            stamp(data, batch.attributes, now_ms)
            batch = batch._replace(
                max_timestamp=now_ms, attributes=batch.attributes | LOG_APPEND_TIME
            )
        position = active.size
        active.append(batch, data, base_offset)
        self.unsynced.add(active)
        self._remember(base_offset, active, position)
        return base_offset

    def _checkpoint_at_times(self, size: int) -> None:
        self._bytes_since += size
        self._batches_since += 1
        if self._bytes_since >= CHECKPOINT_BYTES or self._batches_since >= CHECKPOINT_BATCHES:
            self.checkpoint()

    def _is_older(
        self, batch: BatchHeader, now_ms: int, segment_ms: int, append_time: bool
    ) -> bool:
        """Whether the open segment began so long before the batch, by the records' times."""
        time = now_ms if append_time else batch.max_timestamp
        return time - self._active.first_timestamp() > segment_ms

    def _roll(self) -> None:
        """Begin a new segment. On a full disk the old one goes without its index: retention has to
        roll before it can free anything. Raises OSError: nothing has changed."""
        sealed = self._active
        try:
            sealed.save_index()
        except OSError:
            sealed.index_path.unlink(missing_ok=True)  # it would tell of less than there is
        following = Segment(self.directory, sealed.next_offset)
        _ = following.fd
        self._segments.append(following)
        self.checkpoint()

    def sync(self) -> None:
        """Make every append so far durable. Raises OSError."""
        for segment in tuple(self.unsynced):
            os.fdatasync(segment.fd)
            self.unsynced.discard(segment)

    def take_unsynced(self, into: list[int]) -> None:
        """Add duplicates of the descriptors that want an fsync; the caller syncs and closes them.

        Raises OSError: what has not been added is there the next time.
        """
        for segment in tuple(self.unsynced):
            into.append(os.dup(segment.fd))
            self.unsynced.discard(segment)

    def checkpoint(self, *, durable: bool = False) -> None:
        """Note how far the log is good, so that opening it again scans only what comes after.

        A checkpoint that cannot be written is no failure: the next opening scans more.
        """
        self._bytes_since = self._batches_since = 0
        active = self._active
        mark = (active.next_offset, self.log_start)
        if mark == self._checkpoint_at and not durable:
            return
        transactions = self.producers.transactions
        try:
            active.save_index()
            transactions.save(self.directory, durable=durable)
            Checkpoint(
                log_start=self.log_start,
                next_offset=active.next_offset,
                segment=active.base_offset,
                position=active.size,
                epochs=self.epochs.history,
                producers=self.producers.snapshot(),
                open=list(transactions.open.items()),
                aborted=len(transactions),
            ).write(self.directory, durable=durable)
        except OSError as error:
            if durable:
                raise
            logger.warning("%s: no checkpoint: %s", self.directory, error.strerror)
        else:
            self._checkpoint_at = mark

    def close(self) -> None:
        self.checkpoint()
        self.close_files()

    def close_files(self) -> None:
        self.unsynced.clear()
        for segment in self._segments:
            segment.close()

    # ------------------------------------------------------------------ damage

    def _holes(self) -> dict[int, list[Hole]]:
        return {each.base_offset: list(each.holes) for each in self._segments if each.holes}

    def damaged(self) -> list[tuple[int, int]]:
        """Offsets [start, end) that cannot be read, as far as is known."""
        found: list[tuple[int, int]] = []
        for segment in self._segments:
            for hole in segment.holes:
                if hole.next_offset <= max(self.log_start, hole.first):
                    continue
                start = max(hole.first, self.log_start)
                if found and found[-1][1] == start:
                    start = found.pop()[0]
                found.append((start, hole.next_offset))
        return found

    def note_damage(self) -> None:
        """Write down what reading has found. Raises OSError."""
        holes = self._holes()
        if holes != self._known_holes:
            for base, found in holes.items():
                for hole in found:
                    if hole not in self._known_holes.get(base, ()):
                        logger.error("%s: %s", self.directory, hole_text(hole))
            write_holes(self.directory, holes)
            self._known_holes = holes

    # ------------------------------------------------------------------ reading

    def read(
        self, offset: int, max_bytes: int, *, at_least_one: bool, below: int | None = None
    ) -> bytes:
        """Whole batches from the one that holds `offset` on; empty at the log end.

        With `at_least_one` the first batch is returned even if it is larger than `max_bytes`.
        `below`: what has this offset, where a batch begins, or a later one is not returned.

        Raises:
            Refused: OFFSET_OUT_OF_RANGE; CORRUPT_MESSAGE: the batch that holds `offset` is damaged.
        """
        if not self.log_start <= offset <= self.log_end:
            raise Refused(ErrorCode.offset_out_of_range)
        if offset == self.log_end or (below is not None and offset >= below):
            return b""
        segment, position = self._locate(offset)
        if position is None:
            raise Refused(ErrorCode.corrupt_message)
        end, next_offset = segment.cut_after(position, max_bytes)
        if below is not None and next_offset > below:
            end, next_offset = segment.cut_before(position, below), below
        if end == position:
            if not at_least_one:
                return b""
            first = next(segment.headers(position), None)
            if first is None or first[0] != position:
                raise Refused(ErrorCode.corrupt_message)
            end, next_offset = position + first[1].size, first[1].next_offset
        data = os.pread(segment.fd, end - position, position)
        whole, expected = chained(data, offset)
        if whole < end - position:  # also where the file is shorter than it was
            segment.find_hole(position + whole, expected if data else offset)
            self._read_ends.clear()
            if not whole:
                raise Refused(ErrorCode.corrupt_message)
            return data[:whole]
        if end < segment.size and not any(hole.position == end for hole in segment.holes):
            self._remember(next_offset, segment, end)
        return data

    def available(self, offset: int, enough: int) -> int:
        """Bytes a reader at `offset` could get, counted up to about `enough`."""
        if not self.log_start <= offset < self.log_end:
            return 0
        segment, position = self._locate(offset)
        if position is None:
            return enough
        total = segment.size - position
        if total < enough:
            total += sum(s.size for s in self._segments if s.base_offset > segment.base_offset)
        return total

    def _remember(self, offset: int, segment: Segment, position: int) -> None:
        """A reader will most likely go on at `offset`."""
        if len(self._read_ends) >= _REMEMBERED_READS:
            del self._read_ends[next(iter(self._read_ends))]
        self._read_ends[offset] = (segment, position)

    def _locate(self, offset: int) -> tuple[Segment, int | None]:
        """Segment and position of the batch that holds `offset`; None: it is damaged."""
        remembered = self._read_ends.get(offset)
        if remembered is not None and remembered[0].hole_at(offset) is None:
            return remembered
        at = bisect_right(self._segments, offset, key=lambda segment: segment.base_offset) - 1
        segment = self._segments[at]
        position = segment.position_of(offset)
        return segment, position

    def offset_for_timestamp(self, timestamp: int) -> tuple[int, int] | None:
        """(offset, timestamp) of the first record that is not older; None if all are."""
        for segment in self._segments:
            if segment.max_timestamp < timestamp or segment.next_offset <= self.log_start:
                continue
            for position, header in segment.from_timestamp(timestamp):
                if header.max_timestamp < timestamp or header.next_offset <= self.log_start:
                    continue
                found = self._first_record(segment, position, header, timestamp)
                if found is not None:
                    return found
        return None

    def max_timestamp(self) -> tuple[int, int] | None:
        """(offset, timestamp) of the first record with the largest timestamp; None if empty."""
        if self.log_start == self.log_end:
            return None
        newest = max(self._segments, key=lambda segment: segment.max_timestamp)
        first = next(newest.headers(newest.max_timestamp_at), None)
        if first is None or first[1].next_offset <= self.log_start:
            return self._max_timestamp_by_scan()
        position, header = first
        return self._first_record(newest, position, header, newest.max_timestamp)

    def _max_timestamp_by_scan(self) -> tuple[int, int] | None:
        """DeleteRecords has passed the newest record: look at every batch that is left."""
        found: tuple[int, int] | None = None
        for segment in self._segments:
            for position, header in segment.headers(0, segment.base_offset):
                if header.next_offset > self.log_start and (
                    found is None or header.max_timestamp > found[1]
                ):
                    first = self._first_record(segment, position, header, header.max_timestamp)
                    found = first or found
        return found

    def _first_record(
        self, segment: Segment, position: int, header: BatchHeader, timestamp: int
    ) -> tuple[int, int] | None:
        batch = os.pread(segment.fd, header.size, position)
        try:
            for offset, found in record_timestamps(batch):
                if found >= timestamp and offset >= self.log_start:
                    return offset, found
        except ValueError as error:
            logger.warning("%s: batch %d: %s", segment.path, read_header(batch).base_offset, error)
            return max(header.base_offset, self.log_start), header.max_timestamp
        return None

    # ------------------------------------------------------------------ deleting

    def delete_before(self, offset: int) -> None:
        """Move the log start to `offset`, durably, and delete the segments that lie before it.

        Raises:
            Refused: OFFSET_OUT_OF_RANGE.
        """
        if not 0 <= offset <= self.log_end:
            raise Refused(ErrorCode.offset_out_of_range)
        if offset > self.log_start:
            self.log_start = offset
            self.producers.transactions.forget_below(offset)
            self.checkpoint(durable=True)
            self._drop([s for s in self._segments[:-1] if s.next_offset <= offset])

    def sweep(self, *, now_ms: int, retention_ms: int, retention_bytes: int) -> None:
        """Delete whole segments that are too old or too many; -1 means no limit."""
        self.producers.expire(now_ms)
        if retention_ms >= 0:
            expired = []
            for segment in self._segments:
                if not segment.size or segment.max_timestamp >= now_ms - retention_ms:
                    break
                expired.append(segment)
            if expired and expired[-1] is self._active:
                self._roll()
            self._drop(expired)
        if retention_bytes >= 0:
            excess = self.size - retention_bytes
            surplus = []
            for segment in self._segments[:-1]:
                if excess < segment.size:
                    break
                excess -= segment.size
                surplus.append(segment)
            self._drop(surplus)

    def _drop(self, segments: list[Segment]) -> None:
        if not segments:
            return
        last = segments[-1]
        self._segments = self._segments[len(segments) :]
        self.log_start = max(self.log_start, last.next_offset)
        self.producers.transactions.forget_below(self.log_start)
        self._read_ends.clear()
        self.checkpoint()
        for segment in segments:
            self.unsynced.discard(segment)
            segment.delete()
        logger.info("%s: deleted up to offset %d", self.directory, last.next_offset)

    # ------------------------------------------------------------------ compacting

    def to_compact(self, rules: Compaction, name: str, now_ms: int) -> Job | None:
        """What a pass would work on, if one is due: sealed segments before the first damage, and
        before the first open transaction."""
        done, stable = self._cleaned.to, self.last_stable
        sealed = []
        for segment in self._segments[:-1]:
            is_fresh = rules.min_lag_ms and segment.max_timestamp > now_ms - rules.min_lag_ms
            if segment.holes or (is_fresh and segment.next_offset > done):
                break
            if segment.next_offset > stable:
                break
            sealed.append(segment)
        dirty = [segment for segment in sealed if segment.next_offset > done]
        if not dirty:
            return None
        ratio = sum(each.size for each in dirty) / sum(each.size for each in sealed)
        is_overdue = (
            rules.max_lag_ms < NEVER_MS and dirty[0].first_timestamp() < now_ms - rules.max_lag_ms
        )
        if ratio <= rules.min_dirty_ratio and not is_overdue:
            return None
        before = self._cleaned.tombstones_before(now_ms, rules.keep_tombstones_ms)
        segments = [(each.base_offset, each.size) for each in sealed]
        void = self.producers.transactions.aborted(sealed[0].base_offset, sealed[-1].next_offset)
        aborted = [(each.producer_id, each.first, each.last) for each in void]
        return Job(str(self.directory), name, segments, done, before, aborted)

    def take_compacted(self, job: Job, outcome: Outcome, rules: Compaction, *, now_ms: int) -> None:
        """Put what a pass has made in place of what it was made from. Raises OSError."""
        # Markers below have no messages any more, and go: what is listed would void later ones.
        self.producers.transactions.forget_below(job.drop_tombstones_before)
        self.checkpoint(durable=True)  # the last one may lie in a segment that changes
        for base in outcome.changed:
            at = next((n for n, each in enumerate(self._segments) if each.base_offset == base), -1)
            if at < 0:  # retention was faster
                continue
            made = Segment(self.directory, base, made_by=job.name)
            if self._segments[at].holes or not made.load_index():
                raise OSError(errno.EIO, f"{made.path}: not what was made")
            made.put_in_place_of(self._segments[at])
            self.unsynced.discard(self._segments[at])
            self._segments[at] = made
            self._read_ends.clear()
        self._cleaned.add(outcome.cleaned_to, now_ms, rules.keep_tombstones_ms, self.directory)

    def close_idle_files(self) -> None:
        """Close sealed segments; the next read opens them again."""
        for segment in self._segments[:-1]:
            if segment not in self.unsynced:
                segment.close()
