"""Transactions, request by request: the same on both brokers, but for when markers are written.

Apache Kafka writes them after EndTxn has been answered, and answers CONCURRENT_TRANSACTIONS
meanwhile; the embedded broker writes them before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from kio.schema.errors import ErrorCode

from tests.contract.kafka.conftest import Broker
from tests.plugins.kafka_wire import Wire, batch, fetch, fetch_request, list_offsets, produce
from tests.plugins.local_broker import LocalBroker
from tests.plugins.waiting import eventually

COMMITTED = 1
AGAIN = {
    ErrorCode.concurrent_transactions,
    ErrorCode.coordinator_not_available,
    ErrorCode.coordinator_load_in_progress,
    ErrorCode.not_coordinator,
}


def patiently(code: Callable[[], ErrorCode]) -> ErrorCode:
    """The first code that is not to be tried again."""
    found: list[ErrorCode] = []

    def answered() -> bool:
        found.append(ErrorCode(code()))
        return found[-1] not in AGAIN

    eventually(answered, "the coordinator")
    return found[-1]


class TransactionalProducer:
    """One transactional id over a connection; what it asks for is expected to be granted."""

    def __init__(self, connection: Wire, name: str, *, timeout: int = 60_000) -> None:
        self.connection = connection
        self.name = name
        self.id, self.epoch = -1, -1
        self.sequences: dict[tuple[str, int], int] = {}
        eventually(lambda: self._find() == ErrorCode.none, "a coordinator")
        assert self.begin_producer(timeout=timeout) == ErrorCode.none

    def _find(self) -> ErrorCode:
        answer = self.connection.call("find_coordinator", 2, key=self.name, key_type=1)
        return ErrorCode(answer.error_code)

    def begin_producer(self, *, timeout: int = 60_000, version: int = 4, **values: int) -> int:
        def ask() -> ErrorCode:
            answer = self.connection.call(
                "init_producer_id",
                version,
                transactional_id=self.name,
                transaction_timeout=timeout,
                **values,
            )
            if answer.error_code == ErrorCode.none:
                self.id, self.epoch = answer.producer_id, answer.producer_epoch
                self.sequences.clear()
            return ErrorCode(answer.error_code)

        return patiently(ask)

    def add(
        self, topic: str, *partitions: int, version: int = 3, epoch: int | None = None
    ) -> ErrorCode:
        def ask() -> ErrorCode:
            answer = self.connection.call(
                "add_partitions_to_txn",
                version,
                v3_and_below_transactional_id=self.name,
                v3_and_below_producer_id=self.id,
                v3_and_below_producer_epoch=self.epoch if epoch is None else epoch,
                v3_and_below_topics=[{"name": topic, "partitions": partitions or (0,)}],
            )
            (results,) = answer.results_by_topic_v3_and_below
            first = min(results.results_by_partition, key=lambda each: each.partition_index)
            return ErrorCode(first.partition_error_code)

        return patiently(ask)

    def add_group(self, group: str) -> ErrorCode:
        return patiently(
            lambda: (
                self.connection.call(
                    "add_offsets_to_txn",
                    3,
                    transactional_id=self.name,
                    producer_id=self.id,
                    producer_epoch=self.epoch,
                    group_id=group,
                ).error_code
            )
        )

    def commit_offset(
        self, group: str, topic: str, offset: int, *, version: int = 3, **member: Any
    ) -> ErrorCode:
        self.connection.call("find_coordinator", 2, key=group, key_type=0)
        partition = {
            "partition_index": 0,
            "committed_offset": offset,
            "committed_metadata": "m",
        }
        return patiently(
            lambda: (
                self.connection.call(
                    "txn_offset_commit",
                    version,
                    transactional_id=self.name,
                    group_id=group,
                    producer_id=self.id,
                    producer_epoch=self.epoch,
                    topics=[{"name": topic, "partitions": [partition]}],
                    **member,
                )
                .topics[0]
                .partitions[0]
                .error_code
            )
        )

    def send(
        self, topic: str, *values: bytes, partition: int = 0, version: int = 9, **other: Any
    ) -> ErrorCode:
        first = self.sequences.get((topic, partition), 0)
        records = batch(values, producer=(self.id, self.epoch, first), attributes=0x10)
        answer = produce(
            self.connection,
            topic,
            records,
            partition=partition,
            version=version,
            **({"transactional_id": self.name} | other),
        )
        if answer.error_code == ErrorCode.none:
            self.sequences[topic, partition] = first + len(values)
        return ErrorCode(answer.error_code)

    def end(self, *, commits: bool, version: int = 3) -> ErrorCode:
        return ErrorCode(
            self.connection.call(
                "end_txn",
                version,
                transactional_id=self.name,
                producer_id=self.id,
                producer_epoch=self.epoch,
                committed=commits,
            ).error_code
        )

    def whole(self, topic: str, *values: bytes, commits: bool) -> None:
        """A transaction in partition 0, with its marker written."""
        assert self.add(topic) == ErrorCode.none
        assert self.send(topic, *values) == ErrorCode.none
        end = fetch(self.connection, topic, 0).high_watermark
        assert self.end(commits=commits) == ErrorCode.none
        marked(self.connection, topic, end + 1)


def marked(connection: Wire, topic: str, end: int, *, partition: int = 0, start: int = 0) -> None:
    eventually(
        lambda: fetch(connection, topic, start, partition=partition).high_watermark >= end,
        "markers",
    )


@pytest.fixture
def producer(connection: Wire, group: str) -> TransactionalProducer:
    return TransactionalProducer(connection, f"id-{group}")


@pytest.mark.parametrize("commits", [True, False])
def test_a_transaction_is_held_back_until_it_ends(
    connection: Wire, topic: str, producer: TransactionalProducer, commits: bool
) -> None:
    assert produce(connection, topic, batch([b"before"])).error_code == ErrorCode.none
    assert producer.add(topic) == ErrorCode.none
    assert producer.send(topic, b"a", b"b") == ErrorCode.none
    assert produce(connection, topic, batch([b"beside"])).error_code == ErrorCode.none
    every = fetch(connection, topic, 0)
    assert (every.high_watermark, every.last_stable_offset) == (4, 1)
    assert every.aborted_transactions is None
    stable = fetch(connection, topic, 0, isolation=COMMITTED)
    assert bases(stable.records) == [0]
    assert stable.aborted_transactions == ()
    assert not fetch(connection, topic, 1, isolation=COMMITTED).records
    assert list_offsets(connection, topic, -1, isolation=COMMITTED)[1] == 1
    assert list_offsets(connection, topic, -1)[1] == 4
    late = list_offsets(connection, topic, 1_000_001, isolation=COMMITTED)
    assert late == (ErrorCode.none, -1, -1)
    assert list_offsets(connection, topic, 1_000_001)[1] == 2
    assert producer.end(commits=commits) == ErrorCode.none
    marked(connection, topic, 5)
    found = fetch(connection, topic, 0, isolation=COMMITTED)
    assert (found.high_watermark, found.last_stable_offset) == (5, 5)
    assert bases(found.records)[:3] == [0, 1, 3]  # Apache Kafka has the marker elsewhere
    assert bases(fetch(connection, topic, 4, isolation=COMMITTED).records) == [4]
    void = [] if commits else [(producer.id, 1)]
    assert [(each.producer_id, each.first_offset) for each in found.aborted_transactions] == void


def bases(records: bytes | None) -> list[int]:
    found, at, data = [], 0, records or b""
    while at + 12 <= len(data):
        found.append(int.from_bytes(data[at : at + 8], "big"))
        at += 12 + int.from_bytes(data[at + 8 : at + 12], "big")
    return found


@pytest.mark.parametrize("commits", [True, False])
def test_a_marker_is_byte_for_byte_the_same(
    connection: Wire, topic: str, producer: TransactionalProducer, commits: bool
) -> None:
    producer.whole(topic, b"a", commits=commits)
    (data,) = [fetch(connection, topic, 1).records]
    assert data is not None
    marker = bytearray(data)
    assert len(marker) == 78
    assert int.from_bytes(marker[43:51], "big") == producer.id
    assert int.from_bytes(marker[51:53], "big") in {producer.epoch, producer.epoch + 1}
    marker[12:16] = marker[17:21] = bytes(4)  # leader epoch, checksum
    marker[27:43] = bytes(16)  # times
    marker[43:53] = bytes(10)
    marker[73:77] = bytes(4)  # the coordinator's epoch
    kind = b"\1" if commits else b"\0"
    assert marker == (
        (1).to_bytes(8, "big")
        + (66).to_bytes(4, "big")
        + bytes(4) + b"\2" + bytes(4) + b"\0\x30" + bytes(4) + bytes(26)
        + b"\xff\xff\xff\xff" + b"\0\0\0\1"
        + b"\x20\0\0\0\x08\0\0\0" + kind + b"\x0c\0\0\0\0\0\0\0"
    )  # fmt: skip


def test_aborted_ones_are_told_of_for_any_range(connection: Wire, topic: str, group: str) -> None:
    """Two producers' transactions lie within one another; each is named while it matters."""
    one = TransactionalProducer(connection, f"one-{group}")
    other = TransactionalProducer(connection, f"other-{group}")
    assert one.add(topic) == other.add(topic) == ErrorCode.none
    assert one.send(topic, b"0") == other.send(topic, b"1") == ErrorCode.none
    assert one.send(topic, b"2") == ErrorCode.none
    assert one.end(commits=False) == ErrorCode.none
    marked(connection, topic, 4)
    assert fetch(connection, topic, 0).last_stable_offset == 1
    assert other.send(topic, b"4") == ErrorCode.none
    assert other.end(commits=False) == ErrorCode.none
    marked(connection, topic, 6)
    other.whole(topic, b"6", commits=True)
    first, second = (one.id, 0), (other.id, 1)
    expected = {0: {first, second}, 3: {first, second}, 4: {second}, 5: {second}, 6: set()}
    for offset, void in expected.items():
        found = fetch(connection, topic, offset, isolation=COMMITTED).aborted_transactions
        assert {(each.producer_id, each.first_offset) for each in found} == void, offset


def test_who_has_been_fenced(
    connection: Wire, topic: str, producer: TransactionalProducer, group: str
) -> None:
    """A second producer of the same id aborts what the first has open, and the first is out."""
    assert producer.add(topic) == producer.add_group(group) == ErrorCode.none
    assert producer.send(topic, b"a") == ErrorCode.none
    second = TransactionalProducer(connection, producer.name)
    assert second.id == producer.id
    assert second.epoch > producer.epoch
    marked(connection, topic, 2)
    assert fetch(connection, topic, 0).last_stable_offset == 2
    assert producer.send(topic, b"b") == ErrorCode.invalid_producer_epoch
    assert producer.add(topic) == ErrorCode.producer_fenced
    assert producer.add(topic, version=1) == ErrorCode.invalid_producer_epoch
    assert producer.add_group(group) == ErrorCode.producer_fenced
    assert producer.end(commits=True) == ErrorCode.producer_fenced
    assert producer.end(commits=True, version=1) == ErrorCode.invalid_producer_epoch
    assert producer.commit_offset(group, topic, 1) == ErrorCode.invalid_producer_epoch
    mine = {"producer_id": producer.id, "producer_epoch": producer.epoch}
    assert producer.begin_producer(**mine) == ErrorCode.producer_fenced
    assert producer.begin_producer(**mine, version=3) == ErrorCode.invalid_producer_epoch
    second.whole(topic, b"c", commits=True)


def test_a_producer_that_goes_on_after_an_error(
    connection: Wire, topic: str, producer: TransactionalProducer
) -> None:
    """KIP-360: it says who it was, is given the next epoch, and may ask twice for it."""
    producer.whole(topic, b"a", commits=False)
    before = {"producer_id": producer.id, "producer_epoch": producer.epoch}
    assert producer.begin_producer(**before) == ErrorCode.none
    given = (producer.id, producer.epoch)
    assert given == (before["producer_id"], before["producer_epoch"] + 1)
    assert producer.begin_producer(**before) == ErrorCode.none
    assert (producer.id, producer.epoch) == given
    producer.whole(topic, b"b", commits=True)
    half = {"producer_id": producer.id, "producer_epoch": -1}
    assert producer.begin_producer(**half) == ErrorCode.invalid_request


def test_what_is_refused(
    connection: Wire, topic: str, producer: TransactionalProducer, group: str
) -> None:
    assert producer.begin_producer(timeout=0) == ErrorCode.invalid_transaction_timeout
    assert producer.begin_producer(timeout=900_001) == ErrorCode.invalid_transaction_timeout
    assert producer.end(commits=True) == ErrorCode.invalid_txn_state
    assert producer.send(topic, b"not added") == ErrorCode.invalid_txn_state
    assert producer.commit_offset(group, topic, 1) == ErrorCode.invalid_txn_state
    assert producer.add("not-there") == ErrorCode.unknown_topic_or_partition
    assert producer.add(topic, 0, 7) == ErrorCode.operation_not_attempted
    assert producer.send(topic, b"no id", transactional_id=None) == (
        ErrorCode.transactional_id_authorization_failed
    )
    producer.whole(topic, b"a", commits=True)
    assert patiently(lambda: producer.end(commits=True)) == ErrorCode.none
    assert producer.end(commits=False) == ErrorCode.invalid_txn_state
    stranger = TransactionalProducer(connection, f"stranger-{group}")
    stranger.id += 1_000_000
    assert stranger.add(topic) == ErrorCode.invalid_producer_id_mapping
    assert stranger.end(commits=True) == ErrorCode.invalid_producer_id_mapping
    stranger.name = f"nobody-{group}"
    assert stranger.add_group(group) == ErrorCode.invalid_producer_id_mapping


def test_in_a_transaction_everything_of_a_partition_is(
    connection: Wire, topic: str, producer: TransactionalProducer
) -> None:
    assert producer.add(topic) == producer.send(topic, b"a") == ErrorCode.none
    plain = batch([b"b"], producer=(producer.id, producer.epoch, 1))
    assert produce(connection, topic, plain).error_code == ErrorCode.invalid_txn_state
    assert producer.end(commits=True) == ErrorCode.none


def test_a_transaction_that_takes_too_long_is_aborted(
    connection: Wire, topic: str, group: str
) -> None:
    def begun() -> TransactionalProducer | None:
        """With a message; None: it took too long before there was one."""
        slow = TransactionalProducer(connection, f"slow-{group}", timeout=500)
        is_open = slow.add(topic) == slow.send(topic, b"a") == ErrorCode.none
        return slow if is_open else None

    slow = eventually(begun, "a message in a transaction")
    assert slow is not None

    def ended() -> bool:
        found = fetch(connection, topic, 0)
        return bool(found.last_stable_offset == found.high_watermark > 0)

    eventually(ended, "its end")
    found = fetch(connection, topic, 0, isolation=COMMITTED)
    assert slow.id in {each.producer_id for each in found.aborted_transactions}
    assert slow.end(commits=True) == ErrorCode.producer_fenced


@pytest.mark.parametrize("commits", [True, False])
def test_offsets_of_a_group_come_with_the_transaction(
    connection: Wire, topic: str, producer: TransactionalProducer, group: str, commits: bool
) -> None:
    def committed(*, stable: bool) -> tuple[ErrorCode, int]:
        answer = connection.call(
            "offset_fetch",
            7,
            group_id=group,
            topics=[{"name": topic, "partition_indexes": (0,)}],
            require_stable=stable,
        )
        found = answer.topics[0].partitions[0]
        return ErrorCode(found.error_code), found.committed_offset

    assert producer.add_group(group) == ErrorCode.none
    assert producer.commit_offset(group, topic, 5) == ErrorCode.none
    assert producer.commit_offset(group, topic, 7) == ErrorCode.none
    assert committed(stable=False) == (ErrorCode.none, -1)
    assert committed(stable=True) == (ErrorCode.unstable_offset_commit, -1)
    assert producer.end(commits=commits) == ErrorCode.none
    expected = (ErrorCode.none, 7 if commits else -1)
    eventually(lambda: committed(stable=True) == expected, "the group's offset")
    assert producer.add_group(group) == ErrorCode.none
    assert producer.commit_offset(group, topic, 9, generation_id=3, member_id="nobody") in {
        ErrorCode.unknown_member_id,
        ErrorCode.illegal_generation,
    }
    assert producer.end(commits=False) == ErrorCode.none


def test_records_are_deleted_within_transactions(
    connection: Wire, topic: str, producer: TransactionalProducer
) -> None:
    """What was aborted below the log's start is not named any more, what reaches over it is."""
    producer.whole(topic, b"0", b"1", commits=False)
    producer.whole(topic, b"3", b"4", commits=False)
    assert delete_before(connection, topic, 4) == 4
    found = fetch(connection, topic, 4, isolation=COMMITTED)
    assert (found.log_start_offset, found.last_stable_offset) == (4, 6)
    assert [each.first_offset for each in found.aborted_transactions] == [3]
    assert producer.add(topic) == producer.send(topic, b"6", b"7") == ErrorCode.none
    assert delete_before(connection, topic, 7) == 7
    assert fetch(connection, topic, 7).last_stable_offset in {6, 7}
    assert producer.end(commits=True) == ErrorCode.none
    marked(connection, topic, 9, start=7)


def delete_before(connection: Wire, topic: str, offset: int) -> int:
    partitions = [{"partition_index": 0, "offset": offset}]
    answer = connection.call(
        "delete_records", 2, topics=[{"name": topic, "partitions": partitions}], timeout=10_000
    )
    low: int = answer.topics[0].partitions[0].low_watermark
    return low


def test_what_tools_see(connection: Wire, topic: str, producer: TransactionalProducer) -> None:
    def described() -> Any:
        answer = connection.call("describe_transactions", 0, transactional_ids=(producer.name,))
        return answer.transaction_states[0]

    def listed(*states: str) -> list[str]:
        answer = connection.call(
            "list_transactions",
            1,
            state_filters=states,
            producer_id_filters=(producer.id,),
            duration_filter=-1,
        )
        return [each.transaction_state for each in answer.transaction_states]

    def in_partition() -> list[tuple[int, int, bool]]:
        answer = connection.call(
            "describe_producers", 0, topics=[{"name": topic, "partition_indexes": (0,)}]
        )
        return [
            (each.producer_id, each.current_txn_start_offset, each.coordinator_epoch >= 0)
            for each in answer.topics[0].partitions[0].active_producers
        ]

    assert (listed("Empty"), listed("Ongoing")) == (["Empty"], [])
    assert producer.add(topic) == producer.send(topic, b"a") == ErrorCode.none
    assert described().transaction_state == "Ongoing"
    assert (described().producer_id, described().producer_epoch) == (producer.id, producer.epoch)
    assert [(each.topic, each.partitions) for each in described().topics] == [(topic, (0,))]
    assert listed("Ongoing") == listed() == ["Ongoing"]
    assert listed("Empty") == []
    assert in_partition() == [(producer.id, 0, False)]
    assert producer.end(commits=True) == ErrorCode.none
    eventually(lambda: listed() == ["CompleteCommit"], "its end")
    assert described().topics == ()
    assert in_partition() == [(producer.id, -1, True)]


def test_several_partitions_end_together(
    connection: Wire, new_topic: Callable[..., str], producer: TransactionalProducer
) -> None:
    topic = new_topic(partitions=3)
    assert producer.add(topic, 0, 1) == ErrorCode.none
    assert producer.send(topic, b"a") == ErrorCode.none
    assert producer.send(topic, b"b", partition=1, version=11) == ErrorCode.none
    assert producer.send(topic, b"c", partition=2) == ErrorCode.invalid_txn_state
    assert producer.send(topic, b"c", partition=2, version=11) == ErrorCode.transaction_abortable
    assert producer.end(commits=True) == ErrorCode.none
    for partition in range(2):
        marked(connection, topic, 2, partition=partition)
    assert fetch(connection, topic, 0, partition=2).high_watermark == 0


def test_a_reader_of_committed_messages_waits_for_the_end(
    broker: Broker,
    connection: Wire,
    wire: Callable[[str], Wire],
    topic: str,
    producer: TransactionalProducer,
) -> None:
    assert producer.add(topic) == producer.send(topic, b"a") == ErrorCode.none
    reader = wire(broker.bootstrap)
    wanted = fetch_request(topic, [(0, 0, 1000)], max_wait=20_000, isolation=COMMITTED)
    asked = reader.send("fetch", 12, **wanted)
    assert producer.send(topic, b"b") == ErrorCode.none
    assert producer.end(commits=True) == ErrorCode.none
    answer = reader.receive("fetch", 12, asked).responses[0].partitions[0]
    assert bases(answer.records)[:2] == [0, 1]


def test_markers_are_not_for_clients_to_write(
    local_broker: LocalBroker, wire: Callable[[str], Wire], new_local_topic: str
) -> None:
    """Apache Kafka asks its authorizer, and has none here."""
    marker = {
        "producer_id": 1,
        "producer_epoch": 0,
        "transaction_result": True,
        "topics": [{"name": new_local_topic, "partition_indexes": (0,)}],
        "coordinator_epoch": 0,
    }
    connection = wire(local_broker.bootstrap)
    answer = connection.call("write_txn_markers", 1, markers=[marker])
    (partition,) = answer.markers[0].topics[0].partitions
    assert partition.error_code == ErrorCode.cluster_authorization_failed
    assert fetch(connection, new_local_topic, 0).high_watermark == 0
