"""Our consumer as a member: it leaves its group, says what it waits for, takes new partitions."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupState, KafkaException, Producer, TopicPartition

from nrtctl.clock import SystemClock
from nrtctl.clock.stop import Stop
from nrtctl.config.servers import Kafka
from nrtctl.kafka import clients, topics
from nrtctl.kafka.admin import AdminClient, NewPartitions
from nrtctl.kafka.commits import Commit
from nrtctl.kafka.membership import Group
from nrtctl.kafka.rebalance_wait import RebalanceWait
from nrtctl.store.intents import Position
from tests.contract.kafka.conftest import Broker
from tests.plugins.waiting import eventually

MUCH_LESS_THAN_A_SESSION = 25
"""Seconds: who does not leave stays for 45."""


class Members:
    """Groups as `consume` makes them; what they say, and where their partitions start."""

    def __init__(self, broker: Broker, topic: str, group: str) -> None:
        self.broker, self.topic, self.group = broker, topic, group
        self.admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        self.said: list[str] = []
        self.starts: dict[int, Position] = {}
        self.made: list[Group] = []

    def start(self, properties: dict[str, str] | None = None, **given: Any) -> Group:
        made = Group(
            lambda on_commit: clients.make_consumer(
                Kafka(),
                self.group,
                address=self.broker.bootstrap,
                on_commit=on_commit,
                properties=properties,
            ),
            self.topic,
            "events",
            **{
                "start": "earliest",
                "clock": SystemClock(),
                "stop": Stop(),
                "waiting": lambda reason, seconds: self.said.append(reason),
                "note": self.said.append,
                "address": self.broker.bootstrap,
                "partitions": 1,
                "rebalance_wait": self._rebalance_wait,
                **given,
            },
        )
        made.subscribe(self.starts.update, lambda numbers: None, lambda numbers: None)
        self.made.append(made)
        return made

    def _rebalance_wait(self, own: Callable[[], str | None]) -> RebalanceWait:
        return RebalanceWait(
            self.topic,
            self.group,
            lambda: self.admin.describe_consumer_groups([self.group])[self.group],
            own=own,
            session_timeout=45,
            clock=SystemClock(),
            waiting=lambda reason, seconds: self.said.append(reason),
            note=self.said.append,
        )

    def found(self) -> Any:
        """Once a broker answers for the group: one that has just started may not for a moment."""

        def answer() -> Any:
            with suppress(KafkaException):
                return self.admin.describe_consumer_groups([self.group])[self.group].result()

        return eventually(answer, "the group is described")

    def count(self) -> int:
        return len(self.found().members)

    def is_shared_by(self, members: int) -> bool:
        found = self.found()
        return found.state == ConsumerGroupState.STABLE and len(found.members) == members

    def fetch_until(self, condition: Callable[[], bool], *groups: Group) -> list[Any]:
        found: list[Any] = []

        def fetched() -> bool:
            if condition():
                return True
            for each in groups:
                found.extend(each.fetch(100, 0.05))
            return False

        eventually(fetched, "what it fetches for")
        return found


@pytest.fixture
def members(broker: Broker, topic: str, group: str) -> Iterator[Members]:
    made = Members(broker, topic, group)
    yield made
    for each in made.made:
        with suppress(RuntimeError):  # it is closed
            each.close()


def test_a_consumer_without_partitions_says_so_and_leaves_its_group(members: Members) -> None:
    one, other = members.start(), members.start()
    spare = f"group {members.group} has 2 members"
    members.fetch_until(lambda: any(spare in each for each in members.said), one, other)
    idle, busy = (one, other) if other.assigned else (other, one)
    assert (idle.assigned, busy.assigned) == (set(), {0})
    idle.close()
    eventually(lambda: members.count() == 1, "one has left", within=MUCH_LESS_THAN_A_SESSION)
    busy.close()
    eventually(lambda: members.count() == 0, "both have left", within=MUCH_LESS_THAN_A_SESSION)


def test_a_member_with_an_id_leaves_its_group_where_it_is_to(
    members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else Kafka keeps its place, so that it may come back. What a rebalance gives to one that
    leaves is not looked at: Kafka answers nothing then."""
    stays, leaves = (
        members.start({"group.instance.id": name}, leaves=name == "leaves")
        for name in ("stays", "leaves")
    )
    members.fetch_until(lambda: members.is_shared_by(2), stays, leaves)
    looked_at: list[Any] = []
    monkeypatch.setattr(leaves, "positions", looked_at.append)
    stays.close()
    leaves.close()
    assert looked_at == []
    assert [each.group_instance_id for each in members.found().members] == ["stays"]


MEMBER = """
import sys
from confluent_kafka import Consumer
member = Consumer({
    "bootstrap.servers": sys.argv[1], "group.id": sys.argv[2],
    "partition.assignment.strategy": "cooperative-sticky",
})
member.subscribe([sys.argv[3]])
while True:
    member.poll(0.1)
"""


def test_a_consumer_whose_group_waits_for_a_dead_member_says_why_nothing_is_committed(
    members: Members,
) -> None:
    """A consumer's commits stand in line behind its own wish to join again."""
    one = members.start()
    members.fetch_until(lambda: one.assigned == {0}, one)
    told = [members.broker.bootstrap, members.group, members.topic]
    with subprocess.Popen([sys.executable, "-c", MEMBER, *told]) as dead:
        members.fetch_until(lambda: members.is_shared_by(2), one)
        dead.kill()
    heir = members.start()

    def is_said() -> bool:
        if not one.commits:
            one.commit([Commit(0, 0)], lambda commit: lambda verdict, why: None)
        wanted = f"no offset of {members.topic} is committed, so that no batch can begin: "
        said = [each for each in members.said if each.startswith(wanted)]
        return any("must join again, or be silent for 45 s" in each for each in said)

    members.fetch_until(is_said, one, heir)


@pytest.mark.parametrize("start", ["earliest", "latest"])
def test_a_partition_that_is_added_is_read_from_its_start(members: Members, start: str) -> None:
    """Even where the group began at the log's end: what is added later is all new."""
    producer = Producer({"bootstrap.servers": members.broker.bootstrap})
    producer.produce(members.topic, b"before", partition=0)
    producer.flush()
    group = members.start(start=start)
    members.fetch_until(lambda: group.assigned == {0}, group)
    assert (members.starts[0].offset, members.starts[0].unsaid) == (
        (1, True) if start == "latest" else (0, False)
    )
    wanted = NewPartitions(members.topic, 3)
    members.admin.create_partitions([wanted])[members.topic].result()
    while len(members.admin.list_topics(members.topic).topics[members.topic].partitions) < 3:
        pass
    late = Producer({"bootstrap.servers": members.broker.bootstrap})
    late.produce(members.topic, b"after", partition=2)
    late.flush()
    members.fetch_until(lambda: group.assigned == {0, 1, 2}, group)
    assert members.starts[2].offset == 0
    assert any("new partitions: 1, 2" in each for each in members.said)


def test_what_was_added_while_nobody_ran_is_read_from_its_start_too(members: Members) -> None:
    producer = Producer({"bootstrap.servers": members.broker.bootstrap})
    producer.produce(members.topic, b"before", partition=0)
    producer.flush()
    group = members.start(start="latest")
    members.fetch_until(lambda: group.assigned == {0}, group)
    group._consumer.commit(offsets=[TopicPartition(members.topic, 0, 1)], asynchronous=False)
    group.close()
    wanted = NewPartitions(members.topic, 2)
    members.admin.create_partitions([wanted])[members.topic].result()
    while len(members.admin.list_topics(members.topic).topics[members.topic].partitions) < 2:
        pass
    late = Producer({"bootstrap.servers": members.broker.bootstrap})
    late.produce(members.topic, b"after", partition=1)
    late.flush()
    again = members.start(start="latest", partitions=2)
    members.fetch_until(lambda: again.assigned == {0, 1}, again)
    assert (members.starts[0].offset, members.starts[1].offset) == (1, 0)


def test_a_topic_that_came_is_read_from_its_start_and_that_is_committed(members: Members) -> None:
    """Who joins later does not know that the topic came, and would begin at its end."""
    producer = Producer({"bootstrap.servers": members.broker.bootstrap})
    producer.produce(members.topic, b"new", partition=0)
    producer.flush()
    group = members.start(start="latest", came=True)
    members.fetch_until(lambda: group.assigned == {0}, group)
    assert (members.starts[0].offset, members.starts[0].unsaid) == (0, True)
    group._consumer.commit(offsets=[TopicPartition(members.topic, 0, 0)], asynchronous=False)
    group.close()
    again = members.start(start="latest")
    members.fetch_until(lambda: again.assigned == {0}, again)
    assert (members.starts[0].offset, members.starts[0].unsaid) == (0, False)


def test_who_asks_for_the_topic_takes_no_message_away(broker: Broker, topic: str) -> None:
    consumer = clients.make_consumer(Kafka(), "asking", address=broker.bootstrap)
    consumer.assign([TopicPartition(topic, 0, 0)])
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    producer.produce(topic, b"first", partition=0)
    assert producer.flush(60) == 0
    where = TopicPartition(topic, 0)

    def fetched() -> bool:
        return bool(consumer.get_watermark_offsets(where, cached=True)[1] == 1)

    eventually(fetched, "the client has fetched the message")
    assert topics.partition_count(consumer, topic, address=broker.bootstrap, timeout=30) == 1
    (message,) = consumer.consume(1, 30)
    assert message.value() == b"first"
    consumer.close()
