"""Damage in a log's files: nothing good is cut, no offset is given twice, nothing bad is read."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from kio.schema.errors import ErrorCode

from nrtctl.local.broker.log.holes import kept_files
from nrtctl.local.broker.log.partition import PartitionLog
from nrtctl.local.broker.log.segment import Segment
from nrtctl.local.broker.wire.batches import read_header
from nrtctl.local.broker.wire.errors import Refused
from tests.plugins.garbage import framed
from tests.plugins.kafka_wire import batch, batches_in
from tests.plugins.log_files import flip, frames, write

SEGMENT = 100_000


class Log:
    """A partition's log in a directory, ended and opened again in several ways."""

    def __init__(self, directory: Path, segment_bytes: int = SEGMENT) -> None:
        self.directory = directory
        self.segment_bytes = segment_bytes
        self.refusals: set[ErrorCode] = set()
        self.start()

    def start(self, *, thorough: bool = False) -> None:
        self.log = PartitionLog(self.directory, thorough=thorough, now_ms=0)

    def end(self, how: str) -> None:
        if how == "clean":
            self.log.close()
        else:
            self.log.close_files()

    def again(self, how: str) -> None:
        self.end(how)
        self.start(thorough=how == "power cut")

    def append(self, data: bytes) -> int:
        records = memoryview(bytearray(data))
        offset, _ = self.log.append(
            read_header(records), records, now_ms=0, segment_bytes=self.segment_bytes
        )
        return offset

    def fill(self, count: int) -> None:
        """Batches of three messages each; message n is of the second n + 1."""
        for _ in range(count):
            first = self.log.log_end
            values = [b"%d " % (first + at) + b"x" * 60 for at in range(3)]
            self.append(batch(values, timestamps=[1000 * (first + at) + 1000 for at in range(3)]))

    @property
    def path(self) -> Path:
        return sorted(self.directory.glob("*.log"))[-1]

    def read(self, offset: int) -> bytes:
        return self.log.read(offset, 1 << 20, at_least_one=True)

    def readable(self) -> list[int]:
        """The base offsets that can be read, from the start to the end."""
        at, found = 0, []
        while at < self.log.log_end:
            try:
                batches = batches_in(self.read(at))
            except Refused as refused:
                self.refusals.add(refused.code)
                at += 1
                continue
            found += [base for base, _, _ in batches]
            at = batches[-1][1] + 1
        assert self.refusals <= {ErrorCode.corrupt_message}
        return found


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """Ten batches: offsets 0 to 29."""
    made = Log(tmp_path / "0")
    made.fill(10)
    return made


def wipe(path: Path) -> None:
    frame = frames(path)[4]
    write(path, frame.start, b"\xff" * (frame.end - frame.start))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a value": lambda path: flip(path, batch=4, at=80),
    "the length": lambda path: write(path, frames(path)[4].start + 8, b"\xff\xff\xff\x00"),
    "a length of nothing": lambda path: write(path, frames(path)[4].start + 8, b"\xff\xff\xff\xf4"),
    "the length by a little": lambda path: flip(path, batch=4, at=11),
    "the format": lambda path: flip(path, batch=4, at=16),
    "the base offset": lambda path: flip(path, batch=4, at=7),
    "the base offset, far away": lambda path: flip(path, batch=4, at=3),
    "the count": lambda path: flip(path, batch=4, at=60),
    "the whole header": lambda path: write(path, frames(path)[4].start, b"\0" * 61),
    "all of it": lambda path: wipe(path),
}


@pytest.mark.parametrize("how", ["kill", "power cut", "clean"])
@pytest.mark.parametrize("what", DAMAGE)
def test_good_batches_behind_damage_stay(log: Log, what: str, how: str) -> None:
    log.end(how)
    path = log.path
    DAMAGE[what](path)
    changed = path.read_bytes()
    log.start(thorough=how == "power cut")
    found_by_readers = how == "clean" and what == "a value"
    expected = [at for at in range(0, 30, 3) if at != 12 or found_by_readers]
    assert log.log.log_end == 30
    assert log.readable() == expected
    assert log.log.damaged() == ([] if found_by_readers else [(12, 15)])
    assert path.read_bytes() == changed
    for at in (0, 11, 15, 29):
        assert log.log.offset_for_timestamp(1000 * at + 1000) == (at, 1000 * at + 1000)
    assert log.log.max_timestamp() == (29, 30_000)
    assert log.append(batch([b"new"])) == 30
    log.log.note_damage()
    for again in ("kill", "clean", "kill"):
        log.again(again)
        assert log.readable() == [*expected, 30]
        assert log.log.damaged() == ([] if found_by_readers else [(12, 15)])


def test_an_epoch_begins_with_what_was_found(log: Log) -> None:
    log.end("kill")
    flip(log.path, batch=4, at=80)
    log.start()
    assert log.log.epochs.current == 1
    log.again("kill")
    assert log.log.epochs.current == 1


@pytest.mark.parametrize("at", [80, 60, 26])
def test_a_damaged_last_batch_keeps_its_offsets(log: Log, at: int) -> None:
    """It was acknowledged, and may have been read: no other message may get its offsets."""
    log.end("kill")
    flip(log.path, batch=9, at=at)
    log.start()
    end = log.log.log_end
    assert end >= 30
    with pytest.raises(Refused, match="corrupt"):
        log.read(27)
    assert log.append(batch([b"new"])) == end
    assert kept_files(log.directory) == []


@pytest.mark.parametrize("tail", [batch([b"y" * 200])[:-1], b"01234", b"\xff" * 500])
def test_a_torn_end_is_cut_and_kept(log: Log, tail: bytes) -> None:
    log.end("kill")
    before = log.path.read_bytes()
    log.path.write_bytes(before + tail)
    log.start()
    assert log.path.read_bytes() == before
    assert log.log.damaged() == []
    ((kept, offset, size),) = kept_files(log.directory)
    assert (offset, size, kept.read_bytes()) == (30, len(tail), tail)
    assert log.append(batch([b"new"])) == 30


def test_zeros_are_cut_and_not_kept(log: Log) -> None:
    log.end("power cut")
    log.path.write_bytes(log.path.read_bytes() + b"\0" * 5000)
    log.start(thorough=True)
    assert log.log.log_end == 30
    assert kept_files(log.directory) == []


def test_at_most_eight_torn_ends_are_kept(log: Log) -> None:
    for number in range(10):
        log.end("kill")
        log.path.write_bytes(log.path.read_bytes() + b"torn %d" % number)
        log.start()
    kept = sorted(path.read_bytes() for path, _, _ in kept_files(log.directory))
    assert kept == [b"torn %d" % at for at in range(2, 10)]


def test_acknowledged_messages_that_are_gone_keep_their_offsets(log: Log) -> None:
    """The checkpoint knows of them, the file has lost them."""
    log.end("clean")
    third = frames(log.path)[3]
    log.path.write_bytes(log.path.read_bytes()[: third.start + 20])
    log.start()
    assert log.log.log_end == 30
    assert log.readable() == [0, 3, 6]
    assert log.append(batch([b"new"])) == 30
    for how in ("kill", "clean", "power cut"):
        log.again(how)
        assert log.readable() == [0, 3, 6, 30]
        assert log.log.damaged() == [(9, 30)]


def test_a_segment_that_is_gone_is_damage(tmp_path: Path) -> None:
    log = Log(tmp_path / "0", segment_bytes=1000)
    log.fill(12)
    log.end("clean")
    second = sorted(log.directory.glob("*.log"))[1]
    first, last = frames(second)[0].base, frames(second)[-1]
    lost = range(first, last.base + last.records)
    second.unlink()
    for how in ("clean", "kill", "power cut"):
        log.start(thorough=how == "power cut")
        assert log.readable() == [at for at in range(0, 36, 3) if at not in lost]
        assert log.log.damaged() == [(lost.start, lost.stop)]
        log.end(how)


def test_damage_in_a_sealed_segment_is_no_reason_to_delete_the_next(tmp_path: Path) -> None:
    log = Log(tmp_path / "0", segment_bytes=1000)
    log.fill(12)
    log.end("power cut")
    files = sorted(log.directory.glob("*.log"))
    last = frames(files[1])[-1]
    flip(files[1], batch=-1, at=90)
    log.start(thorough=True)
    assert sorted(log.directory.glob("*.log")) == files
    assert log.readable() == [at for at in range(0, 36, 3) if at != last.base]
    assert log.log.damaged() == [(last.base, last.base + 3)]


def test_a_batch_within_a_message_is_no_batch_of_the_log(log: Log) -> None:
    """A message may hold what looks like the next batch, offset and checksum included."""
    inner = bytearray(batch([b"inner"]))
    inner[:8] = (33).to_bytes(8, "big")
    assert log.append(batch([bytes(inner) + b"more", b"b", b"c"])) == 30
    log.fill(2)
    log.end("kill")
    flip(log.path, batch=10, at=61)
    log.start()
    assert log.readable() == [*range(0, 30, 3), 33, 36]


def test_two_damaged_batches_side_by_side_are_one_range(log: Log) -> None:
    log.end("kill")
    flip(log.path, batch=2, at=80)
    flip(log.path, batch=3, at=80)
    flip(log.path, batch=5, at=80)
    log.start()
    assert log.log.damaged() == [(6, 12), (15, 18)]
    assert log.readable() == [0, 3, 12, *range(18, 30, 3)]


def test_deleting_records_past_the_damage_ends_it(log: Log) -> None:
    log.end("kill")
    flip(log.path, batch=4, at=80)
    log.start()
    log.log.delete_before(13)
    assert log.log.damaged() == [(13, 15)]
    log.log.delete_before(15)
    assert log.log.damaged() == []


def test_garbage_from_before_records_were_checked_is_walked_within_bounds(log: Log) -> None:
    for bad in (framed(b"\x01\0\0\0" * 3, 3), framed(b"\xff" * 500_000, 3)):
        log.append(bad)
    log.append(framed(b"\x01\0\0\0", 2**31 - 1))
    assert log.log.offset_for_timestamp(900) is not None
    assert log.log.offset_for_timestamp(10**9) is None
    assert log.log.max_timestamp() == (29, 30_000)


def test_bytes_that_came_between_two_batches_are_passed(log: Log) -> None:
    """Bytes are gone from the middle, so what the index calls the end lies behind other bytes."""
    log.end("clean")
    data = log.path.read_bytes()
    second = frames(log.path)[1]
    log.path.write_bytes(data[: second.start + 100] + data[second.start + 110 :] + b"0123456789")
    log.start()
    assert log.append(batch([b"new"])) == 30
    for how in ("power cut", "kill", "clean", "power cut"):
        log.again(how)
        assert log.log.log_end == 31
        assert log.readable() == [0, *range(6, 31, 3)]
        assert log.log.damaged() == [(3, 6)]


@pytest.mark.parametrize("how", ["clean", "kill", "power cut"])
def test_a_disk_that_is_full_as_a_segment_ends_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """A message that still fits into the segment before was there twice over: it was acknowledged,
    and its offset given to another one after a restart."""
    log = Log(tmp_path / "0", segment_bytes=1000)
    log.fill(3)
    log.log.checkpoint()

    def full(_: Segment) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    acknowledged = [0, 3, 6]
    with monkeypatch.context() as disk, suppress(OSError):
        disk.setattr(Segment, "save_index", full)
        log.fill(1)
        acknowledged.append(9)
    acknowledged.append(log.append(batch([b"small"])))
    end = log.log.log_end
    log.again(how)
    assert (log.log.log_end, log.readable(), log.log.damaged()) == (end, acknowledged, [])
    assert log.append(batch([b"new"])) == end


def test_retention_frees_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The segment that is open is ended first, and its index needs room."""
    log = Log(tmp_path / "0")
    log.fill(10)

    def full(_: Segment) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(Segment, "save_index", full)
        log.log.sweep(now_ms=10**9, retention_ms=1000, retention_bytes=-1)
    assert (log.log.log_start, log.log.size) == (30, 0)
    log.again("kill")
    assert log.append(batch([b"new"])) == 30


@pytest.mark.parametrize("how", ["clean", "kill", "power cut"])
def test_an_empty_segment_in_the_middle_of_another_is_none(log: Log, how: str) -> None:
    """As a version before left it on a full disk."""
    log.end(how)
    (log.directory / f"{12:020}.log").touch()
    log.start(thorough=how == "power cut")
    assert (log.log.log_end, log.readable(), log.log.damaged()) == (30, [*range(0, 30, 3)], [])
    assert log.append(batch([b"new"])) == 30
    log.again(how)
    assert log.readable() == [*range(0, 31, 3)]


def test_a_file_that_is_cut_while_it_is_read_is_damage(log: Log) -> None:
    """A reader that was given nothing, and no error, waited for ever."""
    second = frames(log.path)[1]
    assert len(batches_in(log.log.read(0, second.start, at_least_one=True))) == 1
    os.truncate(log.path, second.start)
    with pytest.raises(Refused, match="corrupt"):
        log.read(3)
    assert log.log.damaged() == [(3, 30)]
