"""Transactions in the broker's own files: killed between any two writes or within one, torn, full,
compacted, and read from any offset. Nothing is left open, and all of it is there or nothing."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nrtctl.local.broker.broker import Broker, Options
from nrtctl.local.broker.groups.store import Committed
from nrtctl.local.broker.log.cleaned import Compaction
from nrtctl.local.broker.log.compaction import compact
from nrtctl.local.broker.log.partition import PartitionLog
from nrtctl.local.broker.log.transactions import Transactions
from nrtctl.local.broker.transactions.transaction import LAST_EPOCH, State
from nrtctl.local.broker.wire.batches import (
    CONTROL,
    HEADER_SIZE,
    TRANSACTIONAL,
    next_offset,
    read_header,
)
from nrtctl.local.broker.wire.errors import ErrorCode, Refused
from nrtctl.local.broker.wire.markers import is_commit
from nrtctl.local.broker.wire.records import walk
from tests.plugins.kafka_wire import batch

SEGMENT = 1_500
NEVER = 2**63 - 1
GROUP = "readers"


class NoTimer:
    def cancel(self) -> None:
        """There is nothing to cancel."""


def opened(directory: Path, *, fsync: str = "never") -> Broker:
    directory.mkdir(exist_ok=True)
    found = Broker(
        directory,
        Options(fsync=fsync),
        clock=lambda: 0.0,
        call_later=lambda _delay, _then: NoTimer(),
    )
    if "t" not in found.topics:
        found.create_topic("t", 2, {"segment.bytes": str(SEGMENT)})
    return found


class Killed(BaseException):
    """The process ends here: nothing tidies up after it."""


class Writes:
    """Counts what is written to files, and ends it all in the middle of one."""

    def __init__(self, at: int, cut: float) -> None:
        self.left = at
        self.cut = cut
        self._write = os.pwrite

    def __call__(self, descriptor: int, data: Any, offset: int) -> int:
        if self.left == 0:
            self._write(descriptor, bytes(data)[: int(len(data) * self.cut)], offset)
            raise Killed
        self.left -= 1
        return self._write(descriptor, data, offset)


class Writer:
    """A transactional producer of the broker, and what its transactions should leave."""

    def __init__(self, broker: Broker, name: str = "id") -> None:
        self.broker = broker
        self.name = name
        self.id, self.epoch = broker.transactions.begin_producer(name, 60_000, -1, -1)
        self.sequences = [0, 0]

    def send(self, partition: int, *values: bytes, keys: list[bytes] | None = None) -> None:
        self.broker.transactions.add(
            self.name, self.id, self.epoch, partitions=[("t", partition)], groups=[GROUP]
        )
        append(
            self.broker.topics["t"].partitions[partition].log,
            values,
            producer=(self.id, self.epoch, self.sequences[partition]),
            keys=keys,
        )
        self.sequences[partition] += len(values)

    def commit_offset(self, offset: int) -> None:
        offsets = {("t", 0): Committed(offset, -1, "", 0)}
        self.broker.coordinator.commit_with(self.id, GROUP, -1, "", None, offsets)

    def end(self, *, commits: bool) -> None:
        self.broker.transactions.end(self.name, self.id, self.epoch, commits=commits)


def append(
    log: PartitionLog,
    values: tuple[bytes, ...],
    *,
    producer: tuple[int, int, int] = (-1, -1, -1),
    keys: list[bytes] | None = None,
) -> None:
    attributes = TRANSACTIONAL if producer[0] >= 0 else 0
    data = memoryview(bytearray(batch(values, keys=keys, producer=producer, attributes=attributes)))
    log.append(read_header(data), data, now_ms=1, segment_bytes=SEGMENT)


def batches(log: PartitionLog, offset: int, below: int | None = None) -> Iterator[Any]:
    """(header, whole batch) of each, fetched in small pieces."""
    while offset < log.log_end:
        data = log.read(offset, 300, at_least_one=True, below=below)
        if not data:
            return
        at = 0
        while at < len(data):
            header = read_header(data, at)
            yield header, data[at : at + header.size]
            at += header.size
        offset = next_offset(data)


def committed(log: PartitionLog, offset: int | None = None) -> list[bytes]:
    """The values that a client gives out that reads committed messages only: it is told of what
    was aborted in each answer, and forgets it with the answer, as librdkafka and Java's do."""
    offset = log.log_start if offset is None else offset
    return [value for _, value in committed_records(log, offset).values()]


def committed_records(log: PartitionLog, offset: int = 0) -> dict[int, tuple[bytes | None, bytes]]:
    """(key, value) by offset; values are a byte long."""
    found: dict[int, tuple[bytes | None, bytes]] = {}
    offset, stable = max(offset, log.log_start), log.last_stable
    while offset < stable:
        data = log.read(offset, 700, at_least_one=True, below=stable)
        end = next_offset(data)
        void = sorted(log.producers.transactions.aborted(offset, end), key=lambda each: each.first)
        active: set[int] = set()
        at = 0
        while at < len(data):
            header = read_header(data, at)
            raw = data[at + HEADER_SIZE : at + header.size]
            while void and void[0].first <= header.next_offset - 1:
                active.add(void.pop(0).producer_id)
            if header.attributes & CONTROL:
                if not is_commit(data, at):
                    active.discard(header.producer_id)
            elif not (header.attributes & TRANSACTIONAL and header.producer_id in active):
                for each in walk(raw, header.record_count):
                    place = header.base_offset + each.offset_delta
                    if place >= offset:
                        found[place] = (each.key, raw[each.end - 2 : each.end - 1])
            at += header.size
        offset = end
    return found


def outcome(broker: Broker) -> tuple[list[bytes], list[bytes], int]:
    first, second = (partition.log for partition in broker.topics["t"].partitions)
    offset = broker.store.offsets.get(GROUP, {}).get(("t", 0))
    return committed(first), committed(second), offset.offset if offset else -1


def one_of_each(writer: Writer) -> None:
    """A transaction that is committed, and one that is aborted, over two partitions and a group."""
    writer.send(0, b"a", b"b")
    writer.send(1, b"c")
    writer.commit_offset(5)
    writer.end(commits=True)
    writer.send(0, b"x")
    writer.send(1, b"y")
    writer.commit_offset(6)
    writer.end(commits=False)


STEPS = {0: ([], [], -1), 1: ([b"a", b"b"], [b"c"], 5)}
WRITES = 20
"""Of `one_of_each`: each state, batch, marker and offset is one."""


def test_the_number_of_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broker = opened(tmp_path)
    writer = Writer(broker)
    writes = Writes(1_000, 1)
    monkeypatch.setattr(os, "pwrite", writes)
    one_of_each(writer)
    assert 1_000 - writes.left == WRITES
    assert outcome(broker) == STEPS[1]
    broker.close()


@pytest.mark.parametrize("cut", [0, 0.5])
@pytest.mark.parametrize("at", range(WRITES))
def test_killed_at_any_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int, cut: float
) -> None:
    """What is found after the start is one of the states between transactions; a commit that was
    asked for and noted is carried out, and the next producer can go on."""
    broker = opened(tmp_path)
    writer = Writer(broker)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", Writes(at, cut))
        with pytest.raises(Killed):
            one_of_each(writer)
    again = opened(tmp_path)
    found = outcome(again)
    assert found in STEPS.values()
    noted = broker.transactions.find("id")
    assert noted is not None
    if noted.commits:
        assert found == STEPS[1]
    ended = Writer(again)  # which ends what was open
    assert (ended.id, ended.epoch > writer.epoch) == (writer.id, True)
    for partition in again.topics["t"].partitions:
        assert partition.log.last_stable == partition.log.log_end
    assert again.store.pending == {}
    assert outcome(again) == found
    one_of_each(ended)
    expected = tuple(
        have + more for have, more in zip(found[:2], ([b"a", b"b"], [b"c"]), strict=True)
    )
    assert outcome(again) == (*expected, 5)
    again.close()


def test_each_step_is_durable_before_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With fsync "always": what is written to one file is synced before the next is written to."""
    broker = opened(tmp_path, fsync="always")
    writer = Writer(broker)
    writer.send(0, b"a")
    writer.send(1, b"b")
    writer.commit_offset(5)
    for partition in broker.topics["t"].partitions:
        partition.log.sync()
    steps: list[tuple[str, str]] = []
    names = {path.stat().st_ino: path.name for path in tmp_path.rglob("*") if path.is_file()}
    write, sync = os.pwrite, os.fdatasync

    def noted_write(descriptor: int, data: Any, offset: int) -> int:
        steps.append(("write", names[os.fstat(descriptor).st_ino]))
        return write(descriptor, data, offset)

    def noted_sync(descriptor: int) -> None:
        steps.append(("sync", names[os.fstat(descriptor).st_ino]))
        sync(descriptor)

    monkeypatch.setattr(os, "pwrite", noted_write)
    monkeypatch.setattr(os, "fdatasync", noted_sync)
    writer.end(commits=True)
    journal, logs, groups = "transactions.journal", "00000000000000000000.log", "groups.journal"
    files = [journal, logs, logs, groups, journal]
    assert steps == [(what, name) for name in files for what in ("write", "sync")]
    broker.close()


def test_a_marker_that_cannot_be_written_is_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = opened(tmp_path)
    writer = Writer(broker)
    writer.send(0, b"a")
    writer.send(1, b"b")
    now = [broker.clock_ms()]
    monkeypatch.setattr(broker.transactions, "_clock", lambda: now[0])
    log = broker.topics["t"].partitions[1].log

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    with monkeypatch.context() as patch:
        patch.setattr(log, "end_transaction", full)
        writer.end(commits=True)
        now[0] += 5_000
        broker.transactions.sweep()
        assert refusal(lambda: writer.end(commits=True)) == ErrorCode.concurrent_transactions
        assert refusal(lambda: writer.end(commits=False)) == ErrorCode.invalid_txn_state
        assert refusal(lambda: Writer(broker)) == ErrorCode.concurrent_transactions
        assert refusal(lambda: writer.send(0, b"c")) == ErrorCode.concurrent_transactions
    assert outcome(broker)[:2] == ([b"a"], [])
    now[0] += 5_000
    broker.transactions.sweep()
    assert outcome(broker)[:2] == ([b"a"], [b"b"])
    kinds = [is_commit(raw) for header, raw in batches(log, 0) if header.attributes & CONTROL]
    assert kinds == [True]
    broker.close()


def refusal(do: Callable[[], object]) -> ErrorCode:
    with pytest.raises(Refused) as refused:
        do()
    return refused.value.code


def test_a_power_cut_leaves_nothing_open(tmp_path: Path) -> None:
    """The journal of transactions is behind the logs: nobody would end what is open there."""
    broker = opened(tmp_path)
    writer = Writer(broker)
    writer.send(0, b"a")
    broker.close()
    (tmp_path / "transactions.journal").unlink()
    again = opened(tmp_path)
    log = again.topics["t"].partitions[0].log
    assert (committed(log), log.last_stable, log.log_end) == ([], 2, 2)
    again.close()


def test_a_marker_that_is_lost_is_written_again(tmp_path: Path) -> None:
    """The log is behind the journal, which knows how the transaction ended."""
    broker = opened(tmp_path)
    writer = Writer(broker)
    writer.send(0, b"a")
    before = {path: path.read_bytes() for path in (tmp_path / "topics").rglob("*.log")}
    writer.end(commits=True)
    for partition in broker.topics["t"].partitions:
        partition.log.close_files()
    for path, data in before.items():
        path.write_bytes(data)
    again = opened(tmp_path)
    assert committed(again.topics["t"].partitions[0].log) == [b"a"]
    again.close()


def test_a_topic_that_is_gone_keeps_nothing_open(tmp_path: Path) -> None:
    broker = opened(tmp_path)
    writer = Writer(broker)
    writer.send(0, b"a")
    writer.commit_offset(3)
    broker.delete_topic(broker.topics["t"])
    assert broker.store.pending == {}
    writer.end(commits=True)
    found = broker.transactions.find("id")
    assert found is not None
    assert found.state is State.COMPLETE_COMMIT
    assert GROUP not in broker.store.offsets
    broker.close()


def test_epochs_come_to_an_end(tmp_path: Path) -> None:
    """Then the producer gets another id, also where it asks again."""
    broker = opened(tmp_path)
    first = Writer(broker)
    found = broker.transactions.find("id")
    assert found is not None
    found.epoch = LAST_EPOCH
    ask = broker.transactions.begin_producer
    new, epoch = ask("id", 60_000, first.id, LAST_EPOCH)
    assert (new != first.id, epoch) == (True, 0)
    assert ask("id", 60_000, first.id, LAST_EPOCH) == (new, 0)
    assert refusal(lambda: ask("id", 60_000, first.id, 3)) == ErrorCode.producer_fenced
    broker.close()


def test_ids_that_are_not_used_are_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = opened(tmp_path)
    idle, busy = Writer(broker, "idle"), Writer(broker, "busy")
    busy.send(0, b"a")
    later = broker.clock_ms() + 8 * 24 * 3600 * 1000
    monkeypatch.setattr(broker.transactions, "_clock", lambda: later)
    broker.transactions.sweep()
    assert broker.transactions.find(idle.name) is None
    found = broker.transactions.find(busy.name)
    assert found is not None
    assert found.state is State.COMPLETE_ABORT  # it had timed out
    broker.close()


# ------------------------------------------------------------------ one partition


class Simulated:
    """Producers that write to a log, and what a reader of committed messages should find."""

    def __init__(self, directory: Path, chance: random.Random) -> None:
        self.directory = directory
        self.chance = chance
        self.log = PartitionLog(directory, thorough=False, now_ms=0)
        self.open: dict[int, list[tuple[int, bytes, bytes]]] = {}
        self.first: dict[int, int] = {}
        self.sequences: dict[int, int] = {}
        self.good: dict[int, tuple[bytes, bytes]] = {}

    def step(self) -> None:
        producer = self.chance.randrange(4)
        if producer in self.open and self.chance.random() < 0.3:
            commits = self.chance.random() < 0.5
            sent = self.open.pop(producer)
            del self.first[producer]
            self.log.end_transaction(producer, 0, commits=commits, now_ms=1, segment_bytes=SEGMENT)
            if commits:
                self.good |= {offset: (key, value) for offset, key, value in sent}
            return
        keys = [b"k%d" % self.chance.randrange(6) for _ in range(self.chance.randrange(1, 4))]
        values = tuple(bytes([self.chance.randrange(256)]) for _ in keys)
        offset = self.log.log_end
        if self.chance.random() < 0.2:
            append(self.log, values, keys=keys)
            written = enumerate(zip(keys, values, strict=True))
            self.good |= {offset + at: pair for at, pair in written}
            return
        sequence = self.sequences.get(producer, 0)
        append(self.log, values, keys=keys, producer=(producer, 0, sequence))
        self.sequences[producer] = sequence + len(values)
        self.first.setdefault(producer, offset)
        self.open.setdefault(producer, []).extend(
            (offset + at, key, value)
            for at, (key, value) in enumerate(zip(keys, values, strict=True))
        )

    @property
    def stable(self) -> int:
        """The last stable offset. Once the log is read anew it may lie higher, where the begin of a
        transaction has been deleted, but before what is left of it."""
        start = self.log.log_start
        least = max(min([*self.first.values(), self.log.log_end]), start)
        left = [at for sent in self.open.values() for at, *_ in sent if at >= start]
        assert least <= self.log.last_stable <= min([*left, self.log.log_end])
        return self.log.last_stable

    def again(self) -> None:
        how = self.chance.choice(["clean", "kill", "power cut"])
        if how == "clean":
            self.log.close()
        else:
            self.log.close_files()
        self.log = PartitionLog(self.directory, thorough=how == "power cut", now_ms=0)

    def compact(self, keep_ms: int = 1_000) -> None:
        rules = Compaction(0.0, 0, NEVER, keep_ms)
        now = self.chance.randrange(10**6)
        job = self.log.to_compact(rules, "p", now)
        if job is not None:
            self.log.take_compacted(job, compact(job), rules, now_ms=now)

    def expected(self, offset: int) -> list[bytes]:
        return [value for at, (_, value) in sorted(self.good.items()) if offset <= at < self.stable]

    def latest(self) -> dict[bytes, bytes]:
        return {key: value for at, (key, value) in sorted(self.good.items()) if at < self.stable}

    def check(self) -> None:
        every = range(self.log.log_start, self.stable + 1)
        for offset in self.chance.sample(every, min(len(every), 12)):
            assert committed(self.log, offset) == self.expected(offset), offset


@pytest.mark.parametrize("seed", range(4))
def test_any_order_from_any_offset(tmp_path: Path, seed: int) -> None:
    world = Simulated(tmp_path, random.Random(seed))
    for _ in range(12):
        for _ in range(12):
            world.step()
        if world.chance.random() < 0.5:
            world.again()
        if world.chance.random() < 0.3:
            start = world.chance.randrange(world.log.log_start, world.log.log_end + 1)
            world.log.delete_before(start)
        world.check()
    world.log.close()


@pytest.mark.parametrize("seed", range(5))
def test_compacted_transactions(tmp_path: Path, seed: int) -> None:
    """The last committed value of each key stays, and nothing of what was aborted comes back,
    whether markers are still there or have gone."""
    world = Simulated(tmp_path, random.Random(seed))
    for _ in range(10):
        for _ in range(14):
            world.step()
        if world.chance.random() < 0.5:
            world.again()
        world.compact()
        if world.chance.random() < 0.5:
            world.again()
        given = committed_records(world.log)
        assert all(world.good[at] == record for at, record in given.items())
        latest = {key: value for _, (key, value) in sorted(given.items())}
        assert latest == world.latest()
    world.log.close()


def test_markers_go_when_nothing_rests_on_them(tmp_path: Path) -> None:
    log = PartitionLog(tmp_path, thorough=False, now_ms=0)
    for number in range(40):
        append(log, (b"v",), keys=[b"k"], producer=(1, 0, number))
        log.end_transaction(1, 0, commits=number % 2 == 0, now_ms=1, segment_bytes=SEGMENT)

    def pass_over(now: int) -> None:
        rules = Compaction(0.0, 0, NEVER, 1_000)
        job = log.to_compact(rules, f"p{now}", now)
        assert job is not None
        log.take_compacted(job, compact(job), rules, now_ms=now)

    def markers() -> list[int]:
        return [h.base_offset for h, _ in batches(log, 0) if h.attributes & CONTROL]

    pass_over(1)
    assert len(markers()) == 40
    for number in range(40, 60):
        append(log, (b"w",), keys=[b"k"], producer=(1, 0, number))
        log.end_transaction(1, 0, commits=False, now_ms=1, segment_bytes=SEGMENT)
    pass_over(5_000)
    left = markers()
    assert 20 <= len(left) < 40
    assert min(each.last for each in log.producers.transactions.aborted(0, NEVER)) >= left[0]
    log.close()
    again = PartitionLog(tmp_path, thorough=True, now_ms=0)
    assert committed(again) == [b"v"]
    assert again.last_stable == again.log_end
    again.close()


def test_a_damaged_list_of_aborted_ones_is_made_anew(tmp_path: Path) -> None:
    log = PartitionLog(tmp_path, thorough=False, now_ms=0)
    for number in range(5):
        append(log, (b"v",), producer=(1, 0, number))
        log.end_transaction(1, 0, commits=False, now_ms=1, segment_bytes=SEGMENT)
    log.close()
    path = tmp_path / "aborted.index"
    data = bytearray(path.read_bytes())
    for damage in (b"", data[:50], data[:40] + b"\xff" + data[41:]):
        path.write_bytes(damage)
        again = PartitionLog(tmp_path, thorough=False, now_ms=0)
        assert len(again.producers.transactions) == 5
        assert committed(again) == []
        again.close()
        assert path.read_bytes() == data


def test_what_is_listed_does_not_grow_with_what_came_later() -> None:
    transactions = Transactions()
    for number in range(1_000):
        transactions.began(7, 2 * number)
        transactions.ended(7, 2 * number + 1, commits=False)
    assert [each.first for each in transactions.aborted(100, 104)] == [100, 102]
    transactions.forget_below(500)
    assert [each.first for each in transactions.aborted(0, 504)] == [500, 502]
