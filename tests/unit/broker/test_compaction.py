"""What compaction leaves is the last value of each key, at its offset, whatever is interrupted."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nrtctl.local.broker.log.cleaned import Compaction, Job
from nrtctl.local.broker.log.compaction import Damaged, compact
from nrtctl.local.broker.log.partition import PartitionLog
from nrtctl.local.broker.log.segment import Segment
from nrtctl.local.broker.wire.batches import (
    CODEC_MASK,
    HEADER_SIZE,
    MAX_RECORDS_BYTES,
    decompress,
    has_good_crc,
    read_header,
)
from nrtctl.local.broker.wire.recode import CODECS, Wants, as_wanted
from nrtctl.local.broker.wire.records import walk
from tests.plugins.kafka_wire import CODECS as CLIENT_CODECS
from tests.plugins.kafka_wire import batch

RULES = Compaction(0.0, 0, 2**63 - 1, 1000)
SEGMENT = 2_000


class Log:
    """A partition that is written, compacted and read, and what was written to it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.written: list[tuple[bytes | None, bytes | None]] = []
        self.open()

    def open(self, *, thorough: bool = False) -> None:
        self.log = PartitionLog(self.directory, thorough=thorough, now_ms=0)

    def again(self, how: str) -> None:
        if how == "clean":
            self.log.close()
        else:
            self.log.close_files()
        self.open(thorough=how == "power cut")

    def append(
        self,
        records: list[tuple[bytes | None, bytes | None]],
        codec: str = "none",
        time: int = 1_000,
    ) -> None:
        keys, values = [key for key, _ in records], [value for _, value in records]
        times = [time + at for at in range(len(records))]
        data = batch(values, keys=keys, codec=codec, timestamps=times)
        records_view = memoryview(bytearray(data))
        self.log.append(read_header(records_view), records_view, now_ms=time, segment_bytes=SEGMENT)
        self.written += records

    def read(self) -> dict[int, tuple[bytes | None, bool]]:
        """By offset: the key, and whether the value is null; every batch is sound and follows."""
        found: dict[int, tuple[bytes | None, bool]] = {}
        offset = self.log.log_start
        while offset < self.log.log_end:
            data = memoryview(self.log.read(offset, 1_500, at_least_one=True))
            at = 0
            while at < len(data):
                header = read_header(data, at)
                assert header.base_offset <= offset < header.next_offset
                assert has_good_crc(data, at, header)
                raw = bytes(data[at + HEADER_SIZE : at + header.size])
                whole = decompress(header.attributes & CODEC_MASK, raw, MAX_RECORDS_BYTES)
                for each in walk(whole, header.record_count):
                    found[header.base_offset + each.offset_delta] = (each.key, each.is_tombstone)
                offset = header.next_offset
                at += header.size
        assert offset == self.log.log_end
        return found

    def job(self, now_ms: int = 0) -> Job | None:
        return self.log.to_compact(RULES, "pass", now_ms)

    def compact(self, now_ms: int = 0) -> None:
        job = self.job(now_ms)
        assert job is not None
        self.log.take_compacted(job, compact(job), RULES, now_ms=now_ms)

    def check(self) -> None:
        """Nothing is there that was not written, and the last value of each key is."""
        read = self.read()
        last = {key: offset for offset, (key, _) in enumerate(self.written)}
        for offset, (key, is_null) in read.items():
            assert self.written[offset][0] == key
            assert (self.written[offset][1] is None) == is_null
        for offset, (key, value) in enumerate(self.written):
            if key is None or (last[key] == offset and value is not None):
                assert offset in read, f"{offset} {key!r} is gone"


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """Segments of every codec; ten keys and no key, a tenth of the values null."""
    made = Log(tmp_path / "0")
    chance = random.Random(5)
    for number in range(120):
        records = [
            (
                None if chance.random() < 0.05 else b"key-%d" % chance.randrange(10),
                None if chance.random() < 0.1 else chance.randbytes(40),
            )
            for _ in range(chance.randrange(1, 12))
        ]
        made.append(records, chance.choice(list(CLIENT_CODECS)), time=1_000 + number)
    return made


def in_sealed(log: Log) -> int:
    """The offset where the open segment begins."""
    return int(sorted(log.directory.glob("*.log"))[-1].stem)


def test_what_is_left_is_the_last_value_of_each_key(log: Log) -> None:
    end, size, sealed = log.log.log_end, log.log.size, in_sealed(log)
    log.compact()
    log.check()
    assert log.log.log_end == end
    assert log.log.size < size
    keys = [key for offset, (key, _) in log.read().items() if offset < sealed and key is not None]
    assert len(keys) == len(set(keys)) == 10
    assert log.job() is None, "there is nothing more to do"


@pytest.mark.parametrize("how", ["clean", "kill", "power cut"])
def test_it_reads_the_same_after_it_is_opened_again(log: Log, how: str) -> None:
    log.compact()
    before = log.read()
    log.again(how)
    assert log.read() == before
    assert not log.log.damaged()
    assert log.job() is None
    log.append([(b"key-1", b"new")] * 50)
    log.append([(b"key-1", b"newer")] * 50)
    log.compact()
    log.check()


def test_a_null_goes_when_its_time_is_over(tmp_path: Path) -> None:
    log = Log(tmp_path / "0")
    log.append([(b"a", b"1"), (b"b", b"1"), (b"a", None)])
    log.append([(b"fill", b"x" * SEGMENT)])
    log.compact(now_ms=0)
    assert log.read() == {1: (b"b", False), 2: (b"a", True), 3: (b"fill", False)}
    log.append([(b"fill", b"x" * SEGMENT)])
    log.compact(now_ms=999)
    assert 2 in log.read()
    log.append([(b"fill", b"x" * SEGMENT)])
    log.compact(now_ms=1_000)
    assert 2 not in log.read()
    log.check()


def test_when_a_pass_is_due(tmp_path: Path) -> None:
    log = Log(tmp_path / "0")
    log.append([(b"a", b"x" * 500)], time=1_000)
    assert log.job() is None, "the open segment is never compacted"
    log.append([(b"a", b"x" * SEGMENT)], time=5_000)

    def due(now_ms: int, **changed: Any) -> bool:
        return log.log.to_compact(RULES._replace(**changed), "pass", now_ms) is not None

    assert due(0, min_dirty_ratio=0.99)
    assert not due(0, min_dirty_ratio=1.0)
    assert not due(1_500, min_lag_ms=1_000)
    assert due(2_001, min_lag_ms=1_000)
    assert not due(1_500, min_dirty_ratio=1.0, max_lag_ms=1_000)
    assert due(2_001, min_dirty_ratio=1.0, max_lag_ms=1_000)


def test_more_keys_than_a_pass_tells_apart_are_left_to_the_next(log: Log) -> None:
    passes = 0
    while (job := log.job()) is not None:
        log.log.take_compacted(job, compact(job, max_keys=4), RULES, now_ms=0)
        log.check()
        passes += 1
    assert passes > 1


def crash(*, after: int) -> Callable[..., None]:
    """What stands in for os.replace and Path.replace, and fails once it was called so often."""
    left = [after]
    real = os.replace

    def replace(self: Path, target: Path) -> None:
        if left[0] == 0:
            raise OSError("killed")
        left[0] -= 1
        real(self, target)

    return replace


@pytest.mark.parametrize("after", [0, 1, 2, 3, 7, 11])
@pytest.mark.parametrize("how", ["kill", "power cut"])
def test_a_crash_while_files_are_put_in_place(
    log: Log, after: int, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = log.job()
    assert job is not None
    outcome = compact(job)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", crash(after=after))
        with pytest.raises(OSError, match="killed"):
            log.log.take_compacted(job, outcome, RULES, now_ms=0)
    log.again(how)
    log.check()
    assert not log.log.damaged()
    assert not list(log.directory.glob("*-pass*"))
    while log.job() is not None:
        log.compact()
    log.check()


def test_a_pass_that_is_killed_changes_nothing(log: Log) -> None:
    before = log.read()
    job = log.job()
    assert job is not None
    compact(job)
    log.again("kill")
    assert log.read() == before
    assert not list(log.directory.glob("*-pass*"))


def test_a_producer_goes_on_after_a_power_cut(tmp_path: Path) -> None:
    log = Log(tmp_path / "0")

    def send(sequence: int, key: bytes) -> None:
        data = batch([b"x" * 1_500], keys=[key], producer=(7, 0, sequence))
        records = memoryview(bytearray(data))
        log.log.append(read_header(records), records, now_ms=0, segment_bytes=SEGMENT)
        log.written.append((key, b""))

    for sequence, key in enumerate([b"a", b"b", b"b"]):
        send(sequence, key)
    log.append([(b"b", b"x" * 1_500)])
    log.compact()
    assert 1 not in log.read()
    log.again("power cut")
    send(3, b"c")
    log.check()


def test_what_retention_took_meanwhile_stays_away(log: Log) -> None:
    job = log.job()
    assert job is not None
    outcome = compact(job)
    start = sorted(log.directory.glob("*.log"))[3]
    log.log.delete_before(int(start.stem))
    log.log.take_compacted(job, outcome, RULES, now_ms=0)
    assert sorted(log.directory.glob("*.log"))[0] == start
    log.read()


def test_damage_is_left_alone(log: Log) -> None:
    job = log.job()
    assert job is not None
    base = job.segments[2][0]
    path = Segment(log.directory, base).path
    data = bytearray(path.read_bytes())
    data[100] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(Damaged):
        compact(job)
    log.again("power cut")
    assert log.log.damaged()
    job = log.job()
    assert job is not None
    assert [found for found, _ in job.segments][-1] < base


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("given", CLIENT_CODECS)
def test_a_batch_changes_its_codec_and_nothing_else(name: str, given: str) -> None:
    data = batch(
        [b"value" * 9, None, b""], keys=[b"k", b"l", None], codec=given, producer=(7, 1, 4)
    )
    header = read_header(data)
    made = as_wanted(memoryview(bytearray(data)), header, Wants(CODECS[name], -1, keys=False))
    found = read_header(made)
    assert has_good_crc(made, 0, found)
    assert found.size == len(made)
    assert found.attributes == CODECS[name]
    same = {"length": 0, "crc": 0, "attributes": 0}
    assert found._replace(**same) == header._replace(**same)

    def records(whole: bytes) -> bytes:
        codec = read_header(whole).attributes & CODEC_MASK
        return decompress(codec, whole[HEADER_SIZE:], MAX_RECORDS_BYTES)

    assert records(bytes(made)) == records(data)


def test_a_producer_is_known_where_an_index_was_lost(log: Log) -> None:
    """A kill as a segment is put in place leaves it without one; then its last message, sent again
    because the answer was missed, was stored twice."""
    sent = bytearray(batch([b"once"], keys=[b"k"], producer=(7, 0, 0)))

    def send() -> tuple[int, bool]:
        data = memoryview(bytearray(sent))
        return log.log.append(read_header(data), data, now_ms=1, segment_bytes=SEGMENT)

    offset, _ = send()
    log.compact()
    log.log.close_files()
    for index in sorted(log.directory.glob("*.index"))[:-1]:
        index.unlink()
    log.open()
    assert send() == (offset, True)
