"""Produce: validation, idempotence, limits."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from kio.schema.errors import ErrorCode

from tests.contract.kafka.conftest import Broker, dear_on_apache
from tests.plugins.kafka_wire import (
    Wire,
    batch,
    batches_in,
    fetch,
    produce,
    wait_for_topic,
)
from tests.plugins.waiting import eventually


def new_producer(connection: Wire) -> int:
    def loaded() -> Any:
        answer = connection.call("init_producer_id", 4, transaction_timeout=1000)
        loading = answer.error_code == ErrorCode.coordinator_load_in_progress
        return None if loading else answer

    answer = eventually(loaded, "the coordinator")
    assert answer.error_code == ErrorCode.none
    assert answer.producer_epoch == 0
    return int(answer.producer_id)


def log_end(connection: Wire, topic: str) -> int:
    return int(fetch(connection, topic, 0).high_watermark)


def test_offsets_are_consecutive(connection: Wire, topic: str) -> None:
    assert produce(connection, topic, batch([b"a", b"b", b"c"])).base_offset == 0
    assert produce(connection, topic, batch([b"d"])).base_offset == 3
    answer = fetch(connection, topic, 0)
    assert answer.high_watermark == 4
    assert [found[:2] for found in batches_in(answer.records)] == [(0, 2), (3, 3)]


@pytest.mark.parametrize("version", [3, 5, 7, 8, 9, 10, 11, 12])
def test_produce_in_every_encoding(connection: Wire, topic: str, version: int) -> None:
    answer = produce(connection, topic, batch([b"x" * 10]), version=version)
    assert (answer.error_code, answer.base_offset) == (ErrorCode.none, 0)


def _broken(records: bytes) -> bytes:
    return records[:-1] + bytes([records[-1] ^ 1])


@pytest.mark.parametrize(
    ("records", "error"),
    [
        pytest.param(_broken(batch([b"x"])), ErrorCode.corrupt_message, id="checksum"),
        pytest.param(batch([b"x"])[:-3], ErrorCode.invalid_record, id="cut short"),
        pytest.param(batch([b"x"]) + batch([b"y"]), ErrorCode.invalid_record, id="two batches"),
        pytest.param(b"", ErrorCode.invalid_record, id="nothing"),
        pytest.param(batch([b"x"], attributes=0x20), ErrorCode.invalid_record, id="control"),
        pytest.param(batch([b"x"], magic=1), ErrorCode.invalid_record, id="old format"),
        pytest.param(
            batch([b"x" * (11 << 20)]), ErrorCode.message_too_large, id="over message.max.bytes"
        ),
    ],
)
def test_bad_batches_are_refused(
    connection: Wire, topic: str, records: bytes, error: ErrorCode
) -> None:
    assert produce(connection, topic, records).error_code == error
    assert log_end(connection, topic) == 0


def test_a_two_megabyte_message_passes(connection: Wire, topic: str) -> None:
    assert produce(connection, topic, batch([b"x" * (2 << 20)])).error_code == ErrorCode.none


def test_a_topics_own_limit_holds(connection: Wire, new_topic: Callable[..., str]) -> None:
    topic = new_topic(configs={"max.message.bytes": "1000"})
    assert produce(connection, topic, batch([b"x" * 900])).error_code == ErrorCode.none
    assert produce(connection, topic, batch([b"x" * 1000])).error_code == (
        ErrorCode.message_too_large
    )


def test_unknown_partitions_and_acks(connection: Wire, topic: str) -> None:
    records = batch([b"x"])
    unknown = ErrorCode.unknown_topic_or_partition
    assert produce(connection, topic, records, partition=7).error_code == unknown
    assert produce(connection, "no-such-topic", records).error_code == unknown
    assert produce(connection, topic, records, acks=2).error_code == (
        ErrorCode.invalid_required_acks
    )
    assert log_end(connection, topic) == 0


def test_acks_0_is_not_answered_and_written_in_order(connection: Wire, topic: str) -> None:
    for at in range(20):
        data = [{"index": 0, "records": batch([b"%d" % at])}]
        connection.send(
            "produce", 9, acks=0, timeout=1000, topic_data=[{"name": topic, "partition_data": data}]
        )
    assert produce(connection, topic, batch([b"last"])).base_offset == 20


def test_pipelined_batches_keep_their_order(connection: Wire, topic: str) -> None:
    sent = []
    for at in range(100):
        data = [{"index": 0, "records": batch([b"%d" % at])}]
        sent.append(
            connection.send(
                "produce",
                9,
                acks=-1,
                timeout=1000,
                topic_data=[{"name": topic, "partition_data": data}],
            )
        )
    offsets = [
        connection.receive("produce", 9, id_).responses[0].partition_responses[0].base_offset
        for id_ in sent
    ]
    assert offsets == list(range(100))


def test_log_append_time(connection: Wire, new_topic: Callable[..., str]) -> None:
    topic = new_topic(configs={"message.timestamp.type": "LogAppendTime"})
    answer = produce(connection, topic, batch([b"x"], timestamps=[5]))
    assert answer.log_append_time is not None
    stamped = int(answer.log_append_time.timestamp() * 1000 + 0.5)
    records = fetch(connection, topic, 0).records
    assert int.from_bytes(records[35:43], "big") == stamped
    assert int.from_bytes(records[21:23], "big") & 0x08
    own = batch([b"x"], attributes=0x08)
    assert produce(connection, topic, own).error_code == ErrorCode.invalid_timestamp


class TestIdempotence:
    def test_a_repeated_batch_gets_its_first_offset(self, connection: Wire, topic: str) -> None:
        producer = new_producer(connection)
        for sequence in range(5):
            produce(connection, topic, batch([b"x"], producer=(producer, 0, sequence)))
        for sequence in range(5):
            answer = produce(connection, topic, batch([b"x"], producer=(producer, 0, sequence)))
            assert (answer.error_code, answer.base_offset) == (ErrorCode.none, sequence)
        assert log_end(connection, topic) == 5

    def test_a_gap_is_refused(self, connection: Wire, topic: str) -> None:
        producer = new_producer(connection)
        assert produce(connection, topic, batch([b"x"], producer=(producer, 0, 0))).error_code == 0
        answer = produce(connection, topic, batch([b"x"], producer=(producer, 0, 2)))
        assert answer.error_code == ErrorCode.out_of_order_sequence_number
        answer = produce(connection, topic, batch([b"x", b"y"], producer=(producer, 0, 1)))
        assert (answer.error_code, answer.base_offset) == (ErrorCode.none, 1)
        assert log_end(connection, topic) == 3

    def test_only_the_last_five_batches_are_remembered(self, connection: Wire, topic: str) -> None:
        producer = new_producer(connection)
        for sequence in range(7):
            produce(connection, topic, batch([b"x"], producer=(producer, 0, sequence)))
        codes = [
            produce(connection, topic, batch([b"x"], producer=(producer, 0, sequence))).error_code
            for sequence in range(7)
        ]
        assert codes == [ErrorCode.out_of_order_sequence_number] * 2 + [ErrorCode.none] * 5
        assert log_end(connection, topic) == 7

    def test_twenty_in_flight_keep_their_order_and_none_passes_a_gap(
        self, connection: Wire, topic: str
    ) -> None:
        producer = new_producer(connection)

        def pipelined(sequences: list[int]) -> list[tuple[ErrorCode, int]]:
            """All sent before the first answer is read: (error, base offset) of each."""
            sent = []
            for sequence in sequences:
                data = [{"index": 0, "records": batch([b"x"], producer=(producer, 0, sequence))}]
                topics = [{"name": topic, "partition_data": data}]
                request = {"acks": -1, "timeout": 1000, "topic_data": topics}
                sent.append(connection.send("produce", 9, **request))
            answers = [connection.receive("produce", 9, id_) for id_ in sent]
            found = [answer.responses[0].partition_responses[0] for answer in answers]
            return [(ErrorCode(one.error_code), one.base_offset) for one in found]

        assert pipelined(list(range(20))) == [(ErrorCode.none, at) for at in range(20)]
        assert pipelined(list(range(15, 20))) == [(ErrorCode.none, at) for at in range(15, 20)]
        lost = pipelined([20, *range(22, 41)])
        assert lost[0] == (ErrorCode.none, 20)
        assert {code for code, _ in lost[1:]} == {ErrorCode.out_of_order_sequence_number}
        assert log_end(connection, topic) == 21
        assert pipelined(list(range(21, 41))) == [(ErrorCode.none, at) for at in range(21, 41)]

    def test_a_duplicate_must_match_as_a_whole(self, connection: Wire, topic: str) -> None:
        producer = new_producer(connection)
        produce(connection, topic, batch([b"x", b"y"], producer=(producer, 0, 0)))
        answer = produce(connection, topic, batch([b"x"], producer=(producer, 0, 0)))
        assert answer.error_code == ErrorCode.out_of_order_sequence_number

    def test_an_unknown_producer_may_begin_anywhere(self, connection: Wire, topic: str) -> None:
        answer = produce(
            connection, topic, batch([b"x"], producer=(new_producer(connection), 0, 9))
        )
        assert (answer.error_code, answer.base_offset) == (ErrorCode.none, 0)

    def test_epochs(self, connection: Wire, topic: str) -> None:
        producer = new_producer(connection)

        def code(epoch: int, sequence: int) -> ErrorCode:
            records = batch([b"x"], producer=(producer, epoch, sequence))
            return ErrorCode(produce(connection, topic, records).error_code)

        assert code(1, 0) == ErrorCode.none
        assert code(0, 1) == ErrorCode.invalid_producer_epoch
        assert code(2, 1) == ErrorCode.out_of_order_sequence_number
        assert code(2, 0) == ErrorCode.none
        assert code(1, 1) == ErrorCode.invalid_producer_epoch

    def test_sequences_wrap(self, connection: Wire, topic: str) -> None:
        producer = new_producer(connection)
        last = 2**31 - 1
        answers = [
            produce(connection, topic, batch([b"x", b"y"], producer=(producer, 0, last - 1))),
            produce(connection, topic, batch([b"x"], producer=(producer, 0, 0))),
        ]
        assert [answer.error_code for answer in answers] == [ErrorCode.none] * 2

    def test_a_batch_across_the_wrap_is_known_again(self, connection: Wire, topic: str) -> None:
        producer = new_producer(connection)
        records = batch([b"x", b"y", b"z"], producer=(producer, 0, 2**31 - 2))
        assert produce(connection, topic, records).base_offset == 0
        assert produce(connection, topic, records).base_offset == 0
        answer = produce(connection, topic, batch([b"x"], producer=(producer, 0, 1)))
        assert (answer.error_code, answer.base_offset) == (ErrorCode.none, 3)

    @dear_on_apache
    def test_state_survives_a_roll_and_a_restart(
        self,
        broker: Broker,
        connection: Wire,
        new_topic: Callable[..., str],
        wire: Callable[[str], Wire],
    ) -> None:
        topic = new_topic(configs={"segment.bytes": str(1 << 20)})
        producer = new_producer(connection)
        now = int(time.time() * 1000)

        def big(sequence: int) -> bytes:
            return batch([b"x" * 400_000], timestamps=[now], producer=(producer, 0, sequence))

        for sequence in range(4):
            produce(connection, topic, big(sequence))
        broker.restart()
        again = wire(broker.bootstrap)
        wait_for_topic(again, topic)

        def led() -> Any:
            answer = produce(again, topic, big(3))
            return answer if answer.error_code != ErrorCode.not_leader_or_follower else None

        answer = eventually(led, "a leader after the restart")
        assert (answer.error_code, answer.base_offset) == (ErrorCode.none, 3)
        answer = produce(again, topic, big(5))
        assert answer.error_code == ErrorCode.out_of_order_sequence_number
        answer = produce(again, topic, big(4))
        assert (answer.error_code, answer.base_offset) == (ErrorCode.none, 4)
        assert new_producer(again) > producer
