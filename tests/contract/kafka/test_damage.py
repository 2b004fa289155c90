"""What is damaged in a broker's files is found by whoever reads it, and passed batch by batch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from nrtctl.clock import SystemClock
from nrtctl.config.servers import Kafka
from nrtctl.kafka import clients
from nrtctl.kafka.damage import DamagedLog, Finder
from nrtctl.kafka.log import read_messages
from nrtctl.store.intents import OffsetRange
from tests.contract.kafka.conftest import Broker
from tests.plugins.kafka_wire import Wire, batch, produce
from tests.plugins.local_broker import LocalBroker
from tests.plugins.log_files import flip, frames, reseal, segments

SIZES = (3, 5, 4, 6, 2)


def files(broker: Broker, topic: str) -> list[Path]:
    if isinstance(broker, LocalBroker):
        found = sorted((broker.data_dir / "topics").glob("*/0/*.log"), key=_written)
        return found[-1:]
    return segments(broker.directory / "data", 0, topic)


def _written(path: Path) -> int:
    return path.stat().st_mtime_ns


DAMAGES: dict[str, Callable[[Path, int], int]] = {
    "a flipped bit in a value": lambda path, number: flip(path, batch=number, at=75),
    "records that are none": lambda path, number: reseal(path, batch=number, payload=b"\xff" * 30),
    "an unknown codec": lambda path, number: reseal(path, batch=number, attributes=6),
    "data that does not decompress": lambda path, number: reseal(path, batch=number, attributes=4),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_found_and_passed_batch_by_batch(
    broker: Broker, connection: Wire, topic: str, name: str
) -> None:
    first = 0
    for size in SIZES:
        records = batch([b"%04d" % (first + at) + b"x" * 40 for at in range(size)])
        produce(connection, topic, records)
        first += size
    (path,) = files(broker, topic)
    assert [frame.records for frame in frames(path)] == list(SIZES)
    for number in (1, 3):
        DAMAGES[name](path, number)

    address = broker.bootstrap
    settings = Kafka(bootstrap_servers=address)
    finder = Finder(settings, topic, "damage", address=address)
    assert finder.reason(0, 0) is None
    assert finder.reason(0, 3)
    assert finder.reason(0, 5)
    assert finder.damaged(0, 3) == OffsetRange(3, 8)
    assert finder.damaged(0, 12) == OffsetRange(12, 18)

    def read(damaged: list[OffsetRange] | None) -> list[int]:
        consumer = clients.make_consumer(
            settings,
            "reader",
            address=address,
            properties={"enable.partition.eof": True, "auto.offset.reset": "error"},
        )
        found = []
        for message in read_messages(
            consumer,
            topic,
            0,
            [OffsetRange(0, 20)],
            patience=60,
            clock=SystemClock(),
            finder=finder,
            damaged=None if damaged is None else damaged.append,
        ):
            value = message.value()
            assert value is not None
            assert value.startswith(b"%04d" % message.offset())
            found.append(message.offset())
        return found

    with pytest.raises(DamagedLog, match="the record batch at offset 3 is damaged"):
        read(None)
    passed: list[OffsetRange] = []
    assert read(passed) == [*range(3), *range(8, 12), *range(18, 20)]
    assert passed == [OffsetRange(3, 8), OffsetRange(12, 18)]
