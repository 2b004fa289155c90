"""Damage in the embedded broker's files, through its protocol: see `unit/broker/test_recovery`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kio.schema.errors import ErrorCode

from nrtctl.local.damage import Damage, Damaged
from tests.contract.kafka.test_crash import active_segment
from tests.plugins.kafka_wire import Wire, batch, create_topic, fetch, list_offsets, produce
from tests.plugins.local_broker import LocalBroker
from tests.plugins.log_files import flip
from tests.plugins.waiting import eventually

Make = Callable[..., LocalBroker]
Connect = Callable[[str], Wire]
TOPIC = "t"


def wait_for(broker: LocalBroker, damaged: list[Damaged]) -> None:
    """The report is written a moment after damage is met."""
    eventually(
        lambda: Damage.read(broker.data_dir).damaged == damaged, f"damage.json with {damaged}"
    )


def test_damage_is_answered_reported_and_ends_with_its_records(
    make_local_broker: Make, wire: Connect
) -> None:
    broker = make_local_broker()
    connection = wire(broker.bootstrap)
    create_topic(connection, TOPIC)
    for number in range(6):
        produce(connection, TOPIC, batch([b"%d" % number + b"x" * 60] * 3))
    broker.kill()
    flip(active_segment(broker), batch=2, at=80)
    flip(active_segment(broker), batch=5, at=80)
    torn = batch([b"never acknowledged" * 10])[:-5]
    with active_segment(broker).open("ab") as file:
        file.write(torn)
    broker.start()
    connection = wire(broker.bootstrap)
    assert list_offsets(connection, TOPIC, -1)[1] == 18
    for offset, code in ((5, 0), (6, 2), (8, 2), (9, 0), (15, 2), (17, 2), (18, 0)):
        answer = fetch(connection, TOPIC, offset)
        assert (answer.error_code, answer.high_watermark) == (ErrorCode(code), 18)
    found = Damage.read(broker.data_dir)
    assert found.damaged == [Damaged(TOPIC, 0, 6, 9), Damaged(TOPIC, 0, 15, 18)]
    (kept,) = found.set_aside
    assert (kept.topic, kept.partition, kept.offset, kept.size) == (TOPIC, 0, 18, len(torn))
    assert Path(kept.file).read_bytes() == torn
    assert "offsets 6–8: damaged" in broker.log.read_text()
    assert produce(connection, TOPIC, batch([b"new"])).base_offset == 18

    topics = [{"name": TOPIC, "partitions": [{"partition_index": 0, "offset": 18}]}]
    connection.call("delete_records", 2, topics=topics, timeout=10_000)
    wait_for(broker, [])


def test_damage_that_is_met_while_it_runs_is_reported(
    make_local_broker: Make, wire: Connect
) -> None:
    broker = make_local_broker()
    connection = wire(broker.bootstrap)
    create_topic(connection, TOPIC)
    for number in range(4):
        produce(connection, TOPIC, batch([b"%d" % number + b"x" * 60] * 3))
    flip(active_segment(broker), batch=1, at=16)
    assert fetch(connection, TOPIC, 0).error_code == ErrorCode.none
    assert fetch(connection, TOPIC, 3).error_code == ErrorCode.corrupt_message
    assert fetch(connection, TOPIC, 6).error_code == ErrorCode.none
    wait_for(broker, [Damaged(TOPIC, 0, 3, 6)])
