"""The embedded broker killed, its files torn, its disk full: what was acknowledged is there."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from kio.schema.errors import ErrorCode

from nrtctl.local.process import EXIT_ADDRESS, EXIT_LOCKED, EXIT_STORAGE, Endpoint
from tests.contract.kafka.test_groups import Member, state
from tests.plugins.kafka_wire import (
    Closed,
    Wire,
    batch,
    batches_in,
    create_topic,
    fetch,
    list_offsets,
    produce,
    wait_for_topic,
)
from tests.plugins.local_broker import LocalBroker
from tests.plugins.waiting import eventually

Make = Callable[..., LocalBroker]
Connect = Callable[[str], Wire]
TOPIC = "t"


def commit(wire: Wire, group: str, offset: int, metadata: str = "") -> ErrorCode:
    answer = wire.call(
        "offset_commit",
        8,
        group_id=group,
        generation_id_or_member_epoch=-1,
        member_id="",
        topics=[
            {
                "name": TOPIC,
                "partitions": [
                    {
                        "partition_index": 0,
                        "committed_offset": offset,
                        "committed_metadata": metadata,
                    }
                ],
            }
        ],
    )
    return ErrorCode(answer.topics[0].partitions[0].error_code)


def committed(wire: Wire, group: str) -> tuple[int, str]:
    answer = wire.call(
        "offset_fetch",
        7,
        group_id=group,
        topics=[{"name": TOPIC, "partition_indexes": (0,)}],
        require_stable=False,
    )
    partition = answer.topics[0].partitions[0]
    return partition.committed_offset, partition.metadata


def partition_directory(broker: LocalBroker) -> Path:
    (directory,) = (broker.data_dir / "topics").glob("*/0")
    return directory


def active_segment(broker: LocalBroker) -> Path:
    return sorted(partition_directory(broker).glob("*.log"))[-1]


@pytest.mark.parametrize("kills", [2, pytest.param(5, marks=pytest.mark.long)])
def test_kill_in_mid_produce_loses_nothing_acknowledged(
    make_local_broker: Make, wire: Connect, kills: int
) -> None:
    broker = make_local_broker()
    create_topic(wire(broker.bootstrap), TOPIC, 2, {"segment.bytes": "300000"})
    acknowledged: dict[bytes | None, tuple[int | None, int | None]] = {}
    failed: list[KafkaError] = []

    def delivered(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            failed.append(error)
        else:
            acknowledged[message.value()] = (message.partition(), message.offset())

    producer = Producer(
        {
            "bootstrap.servers": broker.bootstrap,
            "enable.idempotence": True,
            "linger.ms": 1,
            "reconnect.backoff.ms": 10,
            "reconnect.backoff.max.ms": 100,
            "retry.backoff.ms": 10,
            "log_level": 0,
        }
    )
    sent = 0
    for round_ in range(kills):
        commits = wire(broker.bootstrap)
        until = len(acknowledged) + 2000
        while len(acknowledged) < until:
            try:
                producer.produce(TOPIC, b"%08d" % sent + b"x" * 500, on_delivery=delivered)
                sent += 1
                producer.poll(0)
            except BufferError:
                producer.poll(0.1)
        last_commit = round_ * 100 + 7
        assert commit(commits, "g", last_commit, f'{{"end":{sent}}}') == ErrorCode.none
        noted = sent
        broker.kill()
        broker.start()
        assert committed(wire(broker.bootstrap), "g") == (last_commit, f'{{"end":{noted}}}')
    assert producer.flush(60) == 0
    assert failed == []
    assert len(acknowledged) == sent
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "reader"})
    consumer.assign([TopicPartition(TOPIC, at, 0) for at in range(2)])
    found: dict[bytes | None, tuple[int | None, int | None]] = {}
    read = 0
    while len(found) < sent:
        for message in consumer.consume(1000, 0.2):
            assert message.error() is None
            found[message.value()] = (message.partition(), message.offset())
            read += 1
    consumer.close()
    assert found == acknowledged
    assert read == sent


@pytest.mark.parametrize(
    "tail",
    [
        pytest.param(b"\x00" * 1000, id="zeros"),
        pytest.param(batch([b"y" * 200])[:-1], id="batch without its last byte"),
        pytest.param(batch([b"y" * 200])[:-1] + b"!", id="batch with a wrong byte"),
        pytest.param(b"\x00" * 7, id="less than a header"),
    ],
)
def test_a_torn_tail_is_cut_at_the_last_good_batch(
    make_local_broker: Make, wire: Connect, tail: bytes
) -> None:
    broker = make_local_broker()
    connection = wire(broker.bootstrap)
    create_topic(connection, TOPIC)
    for _ in range(3):
        produce(connection, TOPIC, batch([b"x" * 100]))
    broker.kill()
    segment = active_segment(broker)
    good = segment.read_bytes()
    segment.write_bytes(good + tail)
    broker.start()
    connection = wire(broker.bootstrap)
    assert segment.read_bytes() == good
    assert wait_for_topic(connection, TOPIC).partitions[0].leader_epoch == 1
    assert produce(connection, TOPIC, batch([b"z"])).base_offset == 3
    answer = fetch(connection, TOPIC, 0)
    assert batches_in(answer.records) == [(0, 0, 0), (1, 1, 0), (2, 2, 0), (3, 3, 1)]
    assert fetch(connection, TOPIC, 0, epoch=0).error_code == ErrorCode.fenced_leader_epoch
    asked = {"partition": 0, "current_leader_epoch": 1, "leader_epoch": 0}
    found = connection.call(
        "offset_for_leader_epoch",
        4,
        replica_id=-1,
        topics=[{"topic": TOPIC, "partitions": [asked]}],
    )
    partition = found.topics[0].partitions[0]
    assert (partition.leader_epoch, partition.end_offset) == (0, 3)
    assert "torn bytes" in broker.log.read_text()


def test_an_epoch_stays_when_nothing_is_torn(make_local_broker: Make, wire: Connect) -> None:
    broker = make_local_broker()
    create_topic(wire(broker.bootstrap), TOPIC)
    produce(wire(broker.bootstrap), TOPIC, batch([b"x"]))
    broker.kill()
    broker.start()
    connection = wire(broker.bootstrap)
    assert wait_for_topic(connection, TOPIC).partitions[0].leader_epoch == 0
    assert list_offsets(connection, TOPIC, -1)[1] == 1


@pytest.mark.parametrize("how", ["lost", "broken", "old"])
def test_indexes_and_checkpoints_are_only_a_help(
    make_local_broker: Make, wire: Connect, how: str
) -> None:
    broker = make_local_broker()
    connection = wire(broker.bootstrap)
    create_topic(connection, TOPIC, configs={"segment.bytes": "100000"})
    producer = connection.call("init_producer_id", 4, transaction_timeout=1).producer_id
    for at in range(40):
        records = batch([b"x" * 9000], timestamps=[1000 * at], producer=(producer, 0, at))
        produce(connection, TOPIC, records)
        if how == "old" and at == 20:
            broker.restart()
            connection = wire(broker.bootstrap)
            old = {
                path: path.read_bytes()
                for path in partition_directory(broker).iterdir()
                if path.suffix != ".log"
            }
    broker.kill()
    for path in partition_directory(broker).iterdir():
        if path.suffix == ".log":
            continue
        if how == "old":
            path.write_bytes(old.get(path, b""))
        elif how == "broken":
            path.write_bytes(path.read_bytes()[:-3] + b"zzz")
        else:
            path.unlink()
    broker.start()
    connection = wire(broker.bootstrap)
    assert list_offsets(connection, TOPIC, -1)[1] == 40
    for at in range(40):
        assert list_offsets(connection, TOPIC, 1000 * at)[1] == at
        assert batches_in(fetch(connection, TOPIC, at, max_bytes=1).records)[0][:2] == (at, at)
    again = produce(connection, TOPIC, batch([b"x" * 9000], producer=(producer, 0, 39)))
    assert (again.error_code, again.base_offset) == (ErrorCode.none, 39)
    gap = produce(connection, TOPIC, batch([b"x"], producer=(producer, 0, 41)))
    assert gap.error_code == ErrorCode.out_of_order_sequence_number


def test_producers_are_known_when_the_checkpoint_is_older_than_the_index(
    make_local_broker: Make, wire: Connect
) -> None:
    """As a kill leaves it that comes between the two writes when a segment is sealed."""
    broker = make_local_broker()
    connection = wire(broker.bootstrap)
    create_topic(connection, TOPIC, configs={"segment.bytes": "100000"})
    producer = connection.call("init_producer_id", 4, transaction_timeout=1).producer_id

    def big(sequence: int) -> bytes:
        return batch([b"x" * 9000], producer=(producer, 0, sequence))

    for sequence in range(3):
        produce(connection, TOPIC, big(sequence))
    broker.restart()
    connection = wire(broker.bootstrap)
    checkpoint = partition_directory(broker) / "checkpoint"
    old = checkpoint.read_bytes()
    for sequence in range(3, 11):
        produce(connection, TOPIC, big(sequence))
    produce(connection, TOPIC, batch([b"of another, in the next segment" * 300]))
    assert len(list(partition_directory(broker).glob("*.log"))) == 2
    broker.kill()
    checkpoint.write_bytes(old)
    broker.start()
    connection = wire(broker.bootstrap)
    for sequence in (7, 10):
        again = produce(connection, TOPIC, big(sequence))
        assert (again.error_code, again.base_offset) == (ErrorCode.none, sequence)
    gap = produce(connection, TOPIC, big(12))
    assert gap.error_code == ErrorCode.out_of_order_sequence_number
    assert produce(connection, TOPIC, big(11)).base_offset == 12


def test_after_a_power_cut_everything_is_checked(make_local_broker: Make, wire: Connect) -> None:
    """A wrong byte in the middle, which a mere kill cannot cause: told, and nothing is cut."""
    broker = make_local_broker()
    connection = wire(broker.bootstrap)
    create_topic(connection, TOPIC, configs={"segment.bytes": "20000"})
    for _ in range(10):
        produce(connection, TOPIC, batch([b"x" * 9000]))
    broker.kill()
    (broker.data_dir / "running").write_text("an earlier boot of the machine")
    second = sorted(partition_directory(broker).glob("*.log"))[1]
    data = bytearray(second.read_bytes())
    data[-1] ^= 1
    second.write_bytes(data)
    broker.start()
    connection = wire(broker.bootstrap)
    assert list_offsets(connection, TOPIC, -1)[1] == 10
    assert wait_for_topic(connection, TOPIC).partitions[0].leader_epoch == 1
    assert fetch(connection, TOPIC, 3).error_code == ErrorCode.corrupt_message
    assert "offsets 3–3: damaged" in broker.log.read_text()


@pytest.mark.parametrize("tail", [b"0123", b'deadbeef ["commit","g",[["t",0,99,-1,"",0]]]\n'])
def test_a_torn_offsets_journal(make_local_broker: Make, wire: Connect, tail: bytes) -> None:
    broker = make_local_broker()
    connection = wire(broker.bootstrap)
    create_topic(connection, TOPIC)
    assert commit(connection, "g", 5, "five") == ErrorCode.none
    broker.kill()
    with (broker.data_dir / "groups.journal").open("ab") as journal:
        journal.write(tail)
    broker.start()
    connection = wire(broker.bootstrap)
    assert committed(connection, "g") == (5, "five")
    assert commit(connection, "g", 6, "six") == ErrorCode.none
    broker.kill()
    broker.start()
    assert committed(wire(broker.bootstrap), "g") == (6, "six")


def limit_file_size(broker: LocalBroker, size: int) -> None:
    """Let every write of the broker beyond `size` fail, in its middle if need be."""
    assert broker.process is not None
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.prlimit(broker.process.pid, resource.RLIMIT_FSIZE, (size, hard))


def test_a_full_disk_fails_the_write_and_nothing_else(
    make_local_broker: Make, wire: Connect
) -> None:
    broker = make_local_broker("--fsync", "always")
    connection = wire(broker.bootstrap)
    create_topic(connection, TOPIC)
    produce(connection, TOPIC, batch([b"x" * 50_000]))
    segment = active_segment(broker)
    before = segment.read_bytes()
    limit_file_size(broker, len(before) + 1000)
    for _ in range(3):
        answer = produce(connection, TOPIC, batch([b"y" * 5000]))
        assert answer.error_code == ErrorCode.kafka_storage_error
        assert "disk" in answer.error_message
        assert segment.read_bytes() == before
    assert len(fetch(connection, TOPIC, 0).records) == len(before)
    assert "cannot be written" in broker.log.read_text()
    limit_file_size(broker, resource.RLIM_INFINITY)
    assert produce(connection, TOPIC, batch([b"z" * 5000])).base_offset == 1
    broker.kill()
    broker.start()
    assert list_offsets(wire(broker.bootstrap), TOPIC, -1)[1] == 2


def test_a_full_disk_fails_a_commit_and_keeps_the_last_one(
    make_local_broker: Make, wire: Connect
) -> None:
    broker = make_local_broker()
    connection = wire(broker.bootstrap)
    create_topic(connection, TOPIC)
    assert commit(connection, "g", 1, "x" * 1000) == ErrorCode.none
    limit_file_size(broker, (broker.data_dir / "groups.journal").stat().st_size + 100)
    assert commit(connection, "g", 2, "y" * 1000) == ErrorCode.kafka_storage_error
    assert committed(connection, "g") == (1, "x" * 1000)
    assert create_topic(connection, "u", 1, {"retention.ms": "1"}).error_code in (
        ErrorCode.none,
        ErrorCode.kafka_storage_error,
    )
    limit_file_size(broker, resource.RLIM_INFINITY)
    assert commit(connection, "g", 3, "z") == ErrorCode.none
    broker.kill()
    broker.start()
    assert committed(wire(broker.bootstrap), "g") == (3, "z")


def test_who_was_fenced_while_the_disk_was_full_stays_fenced(
    make_local_broker: Make, wire: Connect
) -> None:
    broker = make_local_broker("--min-session-timeout-ms", "500")
    create_topic(wire(broker.bootstrap), TOPIC)
    zombie = Member(wire(broker.bootstrap), "g")
    zombie.join(session_timeout=500)
    zombie.sync({zombie.member_id: b"a"})
    assert zombie.commit(TOPIC, 1) == ErrorCode.none
    limit_file_size(broker, (broker.data_dir / "groups.journal").stat().st_size + 10)
    connection = wire(broker.bootstrap)
    eventually(lambda: state(connection, "g") == "Empty", "an empty group")
    successor = Member(wire(broker.bootstrap), "g")
    successor.join()
    assert successor.sync({successor.member_id: b"a"}).error_code == ErrorCode.none
    assert zombie.commit(TOPIC, 2) == ErrorCode.unknown_member_id
    assert successor.commit(TOPIC, 3) == ErrorCode.kafka_storage_error
    limit_file_size(broker, resource.RLIM_INFINITY)
    assert successor.commit(TOPIC, 4) == ErrorCode.none
    broker.kill()
    broker.start()
    for member in (zombie, successor):
        member.wire = wire(broker.bootstrap)
    assert zombie.commit(TOPIC, 5) == ErrorCode.unknown_member_id
    assert committed(wire(broker.bootstrap), "g") == (4, "")
    assert successor.commit(TOPIC, 6) == ErrorCode.none


def test_deleted_records_stay_deleted(make_local_broker: Make, wire: Connect) -> None:
    broker = make_local_broker()
    connection = wire(broker.bootstrap)
    create_topic(connection, TOPIC)
    produce(connection, TOPIC, batch([b"a", b"b", b"c"]))
    partition = {"partition_index": 0, "offset": 2}
    connection.call("delete_records", 2, topics=[{"name": TOPIC, "partitions": [partition]}])
    broker.kill()
    broker.start()
    connection = wire(broker.bootstrap)
    assert list_offsets(connection, TOPIC, -2)[1] == 2
    assert fetch(connection, TOPIC, 1).error_code == ErrorCode.offset_out_of_range


def test_an_emptied_log_keeps_its_end(make_local_broker: Make, wire: Connect) -> None:
    broker = make_local_broker()
    connection = wire(broker.bootstrap)
    create_topic(connection, TOPIC, configs={"retention.ms": "1000"})
    produce(connection, TOPIC, batch([b"a", b"b", b"c"], timestamps=[1, 2, 3]))
    eventually(lambda: list_offsets(connection, TOPIC, -2)[1] == 3, "retention took all")
    broker.kill()
    broker.start()
    assert produce(wire(broker.bootstrap), TOPIC, batch([b"d"])).base_offset == 3


def test_a_clean_stop_leaves_no_endpoint_and_starts_again(
    make_local_broker: Make, wire: Connect
) -> None:
    broker = make_local_broker()
    endpoint = Endpoint.read(broker.data_dir)
    assert endpoint is not None
    assert broker.stop() == 0
    assert Endpoint.read(broker.data_dir) is None
    broker.start()
    again = Endpoint.read(broker.data_dir)
    assert again is not None
    assert again.instance_id == endpoint.instance_id
    assert wire(broker.bootstrap).call("metadata", 9, topics=None).brokers


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nrtctl.local.broker", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_reasons_not_to_start(make_local_broker: Make, tmp_path: Path) -> None:
    broker = make_local_broker()
    locked = run("--data-dir", str(broker.data_dir))
    assert locked.returncode == EXIT_LOCKED
    assert broker.process is not None
    assert f"in use by process {broker.process.pid}" in locked.stderr
    taken = run("--data-dir", str(tmp_path / "other"), "--port", str(broker.port))
    assert taken.returncode == EXIT_ADDRESS
    assert str(broker.port) in taken.stderr
    (tmp_path / "file").touch()
    unusable = run("--data-dir", str(tmp_path / "file" / "below"))
    assert unusable.returncode == EXIT_STORAGE
    assert run("--data-dir", str(tmp_path / "other"), "--retention-ms", "-5").returncode == 2
    assert run("--fsync", "sometimes").returncode == 2
    for failed in (locked, taken, unusable):
        assert failed.stderr.count("\n") == 1
        assert failed.stdout == ""


def test_state_files_it_cannot_read_are_named(make_local_broker: Make) -> None:
    broker = make_local_broker()
    broker.stop()
    (broker.data_dir / "topics.json").write_text("{")
    failed = run("--data-dir", str(broker.data_dir))
    assert failed.returncode == 1
    assert "topics.json" in failed.stderr
    assert failed.stderr.count("\n") == 1


def test_it_ends_with_the_standard_input_it_was_told_to_watch(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "nrtctl.local.broker", "--data-dir", str(tmp_path)),
            "--until-stdin-closes",
        ],
        stdin=subprocess.PIPE,
    )
    assert process.stdin is not None
    while Endpoint.read(tmp_path) is None:
        assert process.poll() is None
    process.stdin.close()
    assert process.wait(30) == 0


def test_connections_are_bounded(make_local_broker: Make, wire: Connect) -> None:
    broker = make_local_broker("--max-connections", "3", "--max-request-bytes", "10000")
    connections = [wire(broker.bootstrap) for _ in range(3)]
    for connection in connections:
        connection.call("api_versions", 0)
    with socket.create_connection(("127.0.0.1", broker.port)) as refused:
        refused.settimeout(30)
        with contextlib.suppress(ConnectionResetError):
            assert refused.recv(1) == b""
    connections[0].socket.sendall(b"\0\0\x27\x11")
    with pytest.raises(Closed):
        connections[0].receive_frame()
    connections[1].call("api_versions", 0)


def test_what_is_advertised(make_local_broker: Make, wire: Connect) -> None:
    broker = make_local_broker("--advertised-host", "broker.example")
    answer = wire(broker.bootstrap).call("metadata", 9, topics=None)
    assert [(found.host, found.port) for found in answer.brokers] == [
        ("broker.example", broker.port)
    ]


def test_auto_creation_when_asked_for(make_local_broker: Make, wire: Connect) -> None:
    broker = make_local_broker("--auto-create-topics", "--default-partitions", "3")
    connection = wire(broker.bootstrap)
    made = connection.call(
        "metadata", 12, topics=[{"name": "new"}], allow_auto_topic_creation=True
    ).topics[0]
    assert len(made.partitions) == 3
    left = connection.call(
        "metadata", 12, topics=[{"name": "other"}], allow_auto_topic_creation=False
    ).topics[0]
    assert left.error_code == ErrorCode.unknown_topic_or_partition
    state = json.loads((broker.data_dir / "topics.json").read_text())
    assert list(state["topics"]) == ["new"]
