"""Transactions while the embedded broker is killed: each is there whole, or not at all.

`tests/unit/broker/test_transactions.py` kills it at each write; here a client lives through it, and
asks again what was not answered.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import pytest
from kio.schema.errors import ErrorCode

from tests.contract.kafka.test_clients import values
from tests.contract.kafka.test_transactions import TransactionalProducer
from tests.plugins.kafka_wire import Closed, Wire, create_topic
from tests.plugins.local_broker import LocalBroker
from tests.plugins.waiting import eventually

TOPIC, GROUP, PARTITIONS = "t", "g", 3


class Lasting(Wire):
    """A connection that is made anew when it ends, and asks again."""

    def __init__(self, broker: LocalBroker) -> None:
        self.broker = broker
        super().__init__(broker.bootstrap)

    def call(self, api: str, version: int, **values: Any) -> Any:
        answers: list[Any] = []

        def answered() -> bool:
            try:
                answers.append(super(Lasting, self).call(api, version, **values))
            except (Closed, OSError):
                self._again()
            return bool(answers)

        eventually(answered, "an answer")
        return answers[0]

    def _again(self) -> None:
        self.close()
        try:
            super().__init__(self.broker.bootstrap)
        except OSError:
            return  # it is not up yet: the next call finds the connection closed


@pytest.mark.parametrize("kills", [2, pytest.param(5, marks=pytest.mark.long)])
def test_transactions_are_whole_when_the_broker_is_killed(
    make_local_broker: Callable[..., LocalBroker], kills: int
) -> None:
    broker = make_local_broker()
    connection = Lasting(broker)
    assert create_topic(connection, TOPIC, PARTITIONS, {"segment.bytes": "20000"}).error_code == 0
    producer = TransactionalProducer(connection, "id")
    over = threading.Event()

    def kill() -> None:
        chance = random.Random(1)
        for _ in range(kills):
            over.wait(chance.uniform(0.1, 0.4))
            broker.kill()
            broker.start()
        over.set()

    killing = threading.Thread(target=kill)
    killing.start()
    committed: list[int] = []
    number = 0
    while not over.is_set() or len(committed) < 20:
        number += 1
        commits = number % 3 > 0
        transaction(producer, number, commits=commits)
        if commits:
            committed.append(number)
    killing.join()
    expected = [b"%d" % each for each in committed for _ in range(2)]
    for partition in range(PARTITIONS):
        assert values(broker, TOPIC, partition, "read_committed") == expected
    answer = connection.call(
        "offset_fetch",
        7,
        group_id=GROUP,
        topics=[{"name": TOPIC, "partition_indexes": (0,)}],
        require_stable=True,
    )
    assert answer.topics[0].partitions[0].committed_offset == committed[-1]
    connection.close()


def transaction(producer: TransactionalProducer, number: int, *, commits: bool) -> None:
    assert producer.add(TOPIC, *range(PARTITIONS)) == ErrorCode.none
    value = b"%d" % number
    for partition in range(PARTITIONS):
        assert producer.send(TOPIC, value, value, partition=partition) == ErrorCode.none
    assert producer.add_group(GROUP) == ErrorCode.none
    assert producer.commit_offset(GROUP, TOPIC, number) == ErrorCode.none
    assert producer.end(commits=commits) == ErrorCode.none
