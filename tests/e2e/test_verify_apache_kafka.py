"""`nrtctl verify` where offsets have gaps that are no loss: transaction markers, aborted messages,
compaction. On the local broker and, in `make test-long`, on Apache Kafka; ClickHouse is the local
one."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from nrtctl.kafka.admin import AdminClient, NewTopic
from nrtctl.local.process import Endpoint
from tests.plugins import damage
from tests.plugins.stack import Project
from tests.plugins.waiting import eventually


@pytest.fixture
def mixed(stack: Project, request: pytest.FixtureRequest) -> Iterator[Project]:
    """The project on Apache Kafka, or on a local broker that is not the stack's, and the local
    ClickHouse, with a topic of its own."""
    kafka = request.getfixturevalue(request.param)
    local = dict(stack.environ)
    front = Endpoint.read(stack.directory / ".nrtctl" / "clickhouse")
    assert front is not None
    password = (stack.directory / ".nrtctl" / "clickhouse" / "password").read_text().strip()
    stack.environ |= {
        "NRTCTL_STACK__KIND": "external",
        "NRTCTL_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap,
        "NRTCTL_CLICKHOUSE__URL": f"http://{front.host}:{front.port}",
        "NRTCTL_CLICKHOUSE__PASSWORD": password,
        "NRTCTL_PIPELINE__TOPIC": f"gaps-{uuid.uuid4().hex[:8]}",
        "NRTCTL_CONSUMER__GROUP": f"group-{uuid.uuid4().hex[:8]}",
    }
    yield stack
    stack.environ = local  # so that `down` ends the local stack


BOTH = pytest.mark.parametrize(
    "mixed",
    ["local_broker", pytest.param("apache_kafka", marks=pytest.mark.long)],
    indirect=True,
)


def value(number: int) -> bytes:
    same = str(uuid.UUID(int=number))
    return json.dumps({
        "event_id": same, "user_id": same, "session_id": same, "event_type": "SEARCH",
        "event_timestamp": 1790000000000 + number, "request_latency_ms": 5, "status": "SUCCESS",
    }).encode()  # fmt: skip


def bootstrap_of(mixed: Project) -> str:
    return mixed.environ["NRTCTL_KAFKA__BOOTSTRAP_SERVERS"]


def create(mixed: Project, **settings: str) -> str:
    topic = mixed.environ["NRTCTL_PIPELINE__TOPIC"]
    client = AdminClient({"bootstrap.servers": bootstrap_of(mixed)})
    for future in client.create_topics([NewTopic(topic, 1, 1, config=settings)]).values():
        future.result(20)
    mixed.run("up", "--set", "pipeline.partitions=1")
    return topic


@BOTH
def test_markers_and_aborted_messages_are_no_loss(mixed: Project) -> None:
    topic = create(mixed)
    producer = Producer(
        {"bootstrap.servers": bootstrap_of(mixed), "transactional.id": uuid.uuid4().hex}
    )
    producer.init_transactions(20)
    kept = 0
    for number in range(100):
        producer.begin_transaction()
        for place in range(3):
            producer.produce(topic, value(number * 3 + place), partition=0)
        if number % 10 == 9:
            producer.flush(20)
            producer.abort_transaction(20)
        else:
            producer.commit_transaction(20)
            kept += 3
    mixed.run("consume", "--until-end")
    report = mixed.json("verify")
    assert (report["stored"], report["missing"], report["duplicated"]) == (kept, 0, 0)
    partition = report["partitions"][0]
    assert partition["committed"] == partition["log_end"] >= 400
    assert report["lag"] == 0
    damage.delete(mixed, "events", "_offset % 2 = 0")
    left = mixed.value("SELECT count() FROM events")
    assert mixed.json("verify", code=5)["missing"] == kept - left > 100
    assert mixed.json("verify", "--repair", "--execute")["repair"]["reloaded"] == kept - left
    assert mixed.value("SELECT uniqExact(event_id) FROM events") == kept


def without_lag(mixed: Project) -> dict[str, Any]:
    """What `verify` says; nothing while there is lag."""
    report: dict[str, Any] = mixed.json("verify")
    return {} if report["lag"] else report


@BOTH
def test_no_lag_is_left_behind_transactions(mixed: Project) -> None:
    """An open one holds readers up at its first message; what lies before it is committed."""
    topic = create(mixed)
    producer = Producer(
        {"bootstrap.servers": bootstrap_of(mixed), "transactional.id": uuid.uuid4().hex}
    )
    producer.init_transactions(20)

    def send(first: int, end: Callable[[float], None] | None) -> None:
        producer.begin_transaction()
        for number in range(first, first + 10):
            producer.produce(topic, value(number), partition=0)
        producer.flush(20)
        if end is not None:
            end(20)

    send(0, producer.abort_transaction)
    mixed.run("consume", "--until-end")
    assert mixed.json("verify")["partitions"][0]["committed"] == 11
    send(10, producer.commit_transaction)
    send(20, producer.abort_transaction)
    send(30, None)
    mixed.run("consume", "--until-end")
    first = mixed.json("verify")["partitions"][0]
    assert (first["committed"], first["stored"], first["missing"]) == (33, 10, 0)
    with mixed.start("consume") as consumer:
        producer.commit_transaction(20)
        send(40, producer.abort_transaction)
        report = eventually(partial(without_lag, mixed), "no lag")
        mixed.run("stats", "--once", "--fail-if", "lag_records > 0")
        consumer.terminate()
        consumer.communicate(timeout=60)
    partition = report["partitions"][0]
    assert (partition["committed"], partition["log_end"]) == (55, 55)
    assert (report["stored"], report["missing"], report["duplicated"]) == (20, 0, 0)
    assert mixed.value("SELECT uniqExact(event_id) FROM events") == 20


@BOTH
def test_compacted_offsets_are_no_loss(mixed: Project) -> None:
    topic = create(mixed, **{
        "cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.01",
        "max.compaction.lag.ms": "100",
    })  # fmt: skip
    producer = Producer({"bootstrap.servers": bootstrap_of(mixed)})
    for number in range(2000):
        producer.produce(topic, value(number), key=str(number % 20), partition=0)
    producer.flush(20)

    def compacted() -> bool:
        if messages(bootstrap_of(mixed), topic) < 1000:
            return True
        producer.produce(topic, value(5000), key="tick", partition=0)
        producer.flush(20)
        time.sleep(1)
        return False

    eventually(compacted, "a compacted topic", within=90)
    mixed.run("consume", "--until-end")
    report = mixed.json("verify")
    assert (report["missing"], report["duplicated"], report["lag"]) == (0, 0, 0)
    assert 0 < report["stored"] < 1000
    one = mixed.value("SELECT max(_offset) FROM events")
    damage.delete(mixed, "events", f"_offset = {one}")
    assert mixed.json("verify", code=5)["missing"] == 1


def messages(bootstrap: str, topic: str) -> int:
    """How many messages the log holds."""
    consumer = Consumer({
        "bootstrap.servers": bootstrap, "group.id": "count", "enable.partition.eof": True,
        "auto.offset.reset": "earliest",
    })  # fmt: skip
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        found = 0
        while True:
            for message in consumer.consume(5000, 1.0):
                if message.error() is not None:
                    return found
                found += 1
    finally:
        consumer.close()
