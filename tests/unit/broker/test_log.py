"""One partition's log on a real directory, without a broker around it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nrtctl.local.broker.log import partition as partition_module
from nrtctl.local.broker.log.epochs import Epochs
from nrtctl.local.broker.log.partition import PartitionLog
from nrtctl.local.broker.log.producers import KEPT_BATCHES, MAX_PRODUCERS, Producers
from nrtctl.local.broker.wire.batches import read_header, record_timestamps
from nrtctl.local.broker.wire.errors import ErrorCode, Refused
from tests.plugins.kafka_wire import CODECS, batch, batches_in

NOW = 1_000_000_000_000


def open_log(directory: Path, *, thorough: bool = False) -> PartitionLog:
    return PartitionLog(directory, thorough=thorough, now_ms=NOW)


def append(log: PartitionLog, records: bytes, segment_bytes: int = 1 << 30) -> int:
    data = memoryview(bytearray(records))
    offset, _ = log.append(read_header(data), data, now_ms=NOW, segment_bytes=segment_bytes)
    return offset


# (records in the batch, value size, timestamp) of each batch; sizes around the index interval.
batches = st.lists(
    st.tuples(st.integers(1, 4), st.sampled_from([1, 500, 40_000]), st.integers(0, 50)),
    min_size=1,
    max_size=30,
)


@settings(max_examples=40, deadline=None)
@given(batches, st.sampled_from([1024, 60_000, 1 << 30]), st.sampled_from([1, 3000, 100_000]))
def test_reading_finds_every_offset_and_time(
    tmp_path_factory: pytest.TempPathFactory,
    written: list[tuple[int, int, int]],
    segment_bytes: int,
    read_bytes: int,
) -> None:
    directory = tmp_path_factory.mktemp("log")
    log = open_log(directory)
    times: list[int] = []
    for count, size, time in written:
        stamps = [time + at for at in range(count)]
        assert append(log, batch([b"x" * size] * count, timestamps=stamps), segment_bytes) == len(
            times
        )
        times += stamps
    for reopened in (False, True):
        if reopened:
            log.close()
            log = open_log(directory)
        assert log.log_end == len(times)
        seen = 0
        while seen < log.log_end:
            found = batches_in(log.read(seen, read_bytes, at_least_one=True))
            assert found[0][0] == seen
            seen = found[-1][1] + 1
        for offset in range(len(times)):
            first, last, _ = batches_in(log.read(offset, 1, at_least_one=True))[0]
            assert first <= offset <= last
        for time in range(0, 56, 5):
            expected = next(((at, t) for at, t in enumerate(times) if t >= time), None)
            assert log.offset_for_timestamp(time) == expected
        assert log.max_timestamp() == (times.index(max(times)), max(times))
    log.close()


@settings(max_examples=40, deadline=None)
@given(batches, st.data())
def test_any_cut_is_recovered_to_a_prefix(
    tmp_path_factory: pytest.TempPathFactory,
    written: list[tuple[int, int, int]],
    data: st.DataObject,
) -> None:
    directory = tmp_path_factory.mktemp("log")
    log = open_log(directory)
    ends = [0]
    for count, size, time in written:
        append(log, batch([b"x" * size] * count, timestamps=[time] * count))
        ends.append(log.log_end)
    if data.draw(st.booleans()):
        log.checkpoint()
    sizes = [0]
    for first in ends[:-1]:
        sizes.append(sizes[-1] + read_header(log.read(first, 1, at_least_one=True)).size)
    log.close_files()
    (segment,) = directory.glob("*.log")
    cut = data.draw(st.integers(0, segment.stat().st_size))
    os.truncate(segment, cut)
    log = open_log(directory)
    whole = max(at for at, size in enumerate(sizes) if size <= cut)
    assert log.log_end == ends[whole]
    assert segment.stat().st_size == sizes[whole]
    assert append(log, batch([b"next"])) == ends[whole]
    log.close()


def test_a_failed_write_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = open_log(tmp_path)
    append(log, batch([b"x"], producer=(7, 0, 0)))
    before = log.read(0, 1 << 20, at_least_one=True)
    real = os.pwrite
    room = 50

    def full(fd: int, data: memoryview, at: int) -> int:
        nonlocal room
        if not room:
            raise OSError(28, "No space left on device")
        written = real(fd, data[:room], at)
        room -= written
        return written

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="No space"):
        append(log, batch([b"y" * 100], producer=(7, 0, 1)))
    monkeypatch.undo()
    assert log.read(0, 1 << 20, at_least_one=True) == before
    assert next(tmp_path.glob("*.log")).stat().st_size == len(before)
    assert append(log, batch([b"z"], producer=(7, 0, 1))) == 1
    log.close()


def test_a_roll_that_fails_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = open_log(tmp_path)
    append(log, batch([b"x" * 2000]), segment_bytes=1024)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nrtctl.local.broker.log.segment.Segment.save_index", full)
    with pytest.raises(OSError, match="No space"):
        append(log, batch([b"y"]), segment_bytes=1024)
    monkeypatch.undo()
    assert append(log, batch([b"y"]), segment_bytes=1024) == 1
    log.close()
    log = open_log(tmp_path)
    assert log.log_end == 2
    log.close()


def test_checkpoints_come_with_the_bytes_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition_module, "CHECKPOINT_BYTES", 10_000)
    log = open_log(tmp_path)
    for _ in range(3):
        append(log, batch([b"x" * 4000]))
    assert (tmp_path / "checkpoint").exists()
    log.close_files()


def test_opening_scans_only_what_lies_behind_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log(tmp_path)
    for _ in range(50):
        append(log, batch([b"x" * 1000]), segment_bytes=10_000)
    log.checkpoint()
    for _ in range(2):
        append(log, batch([b"x" * 1000]))
    log.close_files()
    checked = []
    monkeypatch.setattr(
        "nrtctl.local.broker.log.recovery.has_good_crc",
        lambda _, at, header: checked.append(at) or True,
    )
    log = open_log(tmp_path)
    assert len(checked) == 2
    assert log.log_end == 52
    log.close()


def test_sealed_files_are_closed_and_opened_again(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    for _ in range(10):
        append(log, batch([b"x" * 1000]), segment_bytes=1024)

    def open_files() -> int:
        links = (os.readlink(path) for path in Path("/proc/self/fd").iterdir() if path.is_symlink())
        return sum(link.startswith(str(tmp_path)) for link in list(links))

    assert open_files() == 10
    log.unsynced.clear()
    log.close_idle_files()
    assert open_files() == 1
    assert batches_in(log.read(3, 1, at_least_one=True))[0][0] == 3
    log.close()
    assert open_files() == 0


@pytest.mark.parametrize("codec", CODECS)
def test_record_timestamps(codec: str) -> None:
    stamps = [5000, 1, 7000, 6999]
    records = batch([b"v" * 300] * 4, timestamps=stamps, codec=codec)
    assert list(record_timestamps(records)) == list(enumerate(stamps))


@pytest.mark.parametrize("codec", ["gzip", "snappy", "snappy-java", "lz4", "zstd"])
def test_broken_compression_is_a_value_error(codec: str) -> None:
    records = batch([b"v" * 300] * 4, codec=codec)
    with pytest.raises(ValueError):
        list(record_timestamps(records[:61] + b"\xff" * 20))


@pytest.mark.parametrize("codec", ["gzip", "snappy", "snappy-java", "lz4", "zstd"])
def test_a_decompression_bomb_is_refused(codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nrtctl.local.broker.wire.batches.MAX_RECORDS_BYTES", 1 << 20)
    records = batch([b"\0" * (4 << 20)], codec=codec)
    with pytest.raises(ValueError, match="too large"):
        list(record_timestamps(records))


def test_producers_remember_and_expire() -> None:
    producers = Producers()

    def header(producer: int, sequence: int, epoch: int = 0) -> object:
        return read_header(batch([b"x"], producer=(producer, epoch, sequence)))

    for sequence in range(8):
        producers.update(header(1, sequence), sequence, NOW)
    restored = Producers.restore(producers.snapshot())
    assert [restored.check(header(1, at)) for at in range(8 - KEPT_BATCHES, 8)] == list(
        range(8 - KEPT_BATCHES, 8)
    )
    with pytest.raises(Refused) as refused:
        restored.check(header(1, 0))
    assert refused.value.code == ErrorCode.out_of_order_sequence_number
    restored.expire(NOW + 25 * 3600 * 1000)
    assert len(restored) == 0
    for producer in range(MAX_PRODUCERS + 5):
        restored.update(header(producer, 0), 0, NOW + producer)
    assert len(restored) == MAX_PRODUCERS
    assert restored.check(header(0, 99)) is None


def test_epochs_end_where_the_next_begins() -> None:
    epochs = Epochs([(0, 0)])
    epochs.bump(100)
    epochs.bump(100)
    epochs.bump(250)
    assert epochs.history == [(0, 0), (2, 100), (3, 250)]
    assert epochs.end_offset(0, 300) == (0, 100)
    assert epochs.end_offset(1, 300) == (0, 100)
    assert epochs.end_offset(2, 300) == (2, 250)
    assert epochs.end_offset(3, 300) == (3, 300)
    assert epochs.end_offset(4, 300) == (-1, -1)
