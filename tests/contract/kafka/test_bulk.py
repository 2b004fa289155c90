"""The client that takes many messages of one text at once, on real brokers."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition

from nrtctl.clock import SystemClock
from nrtctl.config.servers import Kafka
from nrtctl.kafka import clients, librdkafka, native
from nrtctl.kafka.bulk import BulkClient
from nrtctl.producer.run import Produced, run_producer
from nrtctl.producer.sources.files import jsonl
from nrtctl.producer.sources.files.jsonl import AUTO, JsonLines, key_of
from nrtctl.producer.sources.files.line_spans import lines_of
from tests.contract.kafka.conftest import Broker, dear_on_apache
from tests.plugins.compiled import given_native, needs_native
from tests.plugins.local_broker import LocalBroker
from tests.plugins.ports import free_port
from tests.plugins.waiting import eventually

pytestmark = needs_native


def read_all(bootstrap: str, topic: str, partitions: int = 1) -> list[list[tuple[Any, Any]]]:
    """(key, value) of each message, by partition."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "none"})
    all_of_it = [TopicPartition(topic, number, 0) for number in range(partitions)]
    bounds = [consumer.get_watermark_offsets(each, timeout=30) for each in all_of_it]
    count = sum(high - low for low, high in bounds)
    consumer.assign(all_of_it)
    found: list[list[tuple[Any, Any]]] = [[] for _ in all_of_it]

    def read() -> bool:
        for each in consumer.consume(1000, 0.1):
            found[each.partition() or 0].append((each.key(), each.value()))
        return sum(map(len, found)) >= count

    eventually(read, "all messages are read")
    consumer.close()
    return found


class Told:
    """What a bulk client says."""

    def __init__(self) -> None:
        self.errors: list[KafkaError] = []
        self.failed: list[tuple[str, bytes]] = []
        self.statistics: list[str] = []

    def delivered(self, error: KafkaError, message: Any) -> None:
        self.failed.append((error.name(), message.value()))


Make = Callable[..., BulkClient]


@pytest.fixture
def free_address() -> str:
    """Where nobody listens."""
    return f"127.0.0.1:{free_port()}"


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def bulk_client(told: Told) -> Iterator[Make]:
    made: list[BulkClient] = []

    def make(bootstrap: str, topic: str, timeout: float = 60.0) -> BulkClient:
        plain = clients.make_producer(Kafka(), address=bootstrap, on_error=told.errors.append)
        client = clients.make_bulk_producer(
            Kafka(), plain, topic, address=bootstrap, delivery_timeout=timeout, linger_ms=5,
            statistics=(100, told.statistics.append),
        )  # fmt: skip
        assert client is not None
        made.append(client)
        return client

    yield make
    for each in made:
        each.purge()
        each.flush(1)
        each.close()
        each.close()


def send(client: BulkClient, told: Told, text: bytes) -> list[int]:
    """Librdkafka's code for each line."""
    lines, _ = lines_of(given_native(), text)

    def sent() -> list[int] | None:
        with suppress(BufferError):
            refused = client.send_spans(lines.text, lines.begins, lines.sizes, None, told.delivered)
            return [refused.get(number, 0) for number in range(len(lines))]
        client.poll(0.01)
        return None

    return eventually(sent, "what was given one by one is delivered") or []


def flushed(client: BulkClient) -> None:
    eventually(lambda: client.flush(0.1) == 0, "all are delivered or have failed")


def test_messages_keep_their_order_beside_those_that_are_given_one_by_one(
    broker: Broker, topic: str, bulk_client: Make, told: Told
) -> None:
    client = bulk_client(broker.bootstrap, topic)
    client.connect(10)
    expected: list[tuple[Any, Any]] = []
    for turn in range(5):
        text = b"".join(b"%d-%d\n" % (turn, n) for n in range(300))
        assert send(client, told, text) == [0] * 300
        expected += [(None, line) for line in text.split()]
        with pytest.raises(BufferError):
            client.produce(topic, value=b"one", key=b"k%d" % turn)
        flushed(client)
        client.produce(topic, value=b"one", key=b"k%d" % turn)
        expected.append((b"k%d" % turn, b"one"))
    assert len(client) > 0
    flushed(client)
    assert (told.failed, told.errors) == ([], [])
    assert read_all(broker.bootstrap, topic) == [expected]
    batch = [{"value": b"last"}]
    flushed(client)
    assert client.produce_batch(topic, batch, on_delivery=None) == 1
    flushed(client)
    eventually(lambda: client.poll(0.1) or told.statistics, "statistics come")


def test_a_batch_waits_for_spans_under_way(
    broker: Broker, topic: str, bulk_client: Make, told: Told
) -> None:
    client = bulk_client(broker.bootstrap, topic)
    send(client, told, b"a\nb\n")
    batch: list[dict[str, Any]] = [{"value": b"c"}]
    assert client.produce_batch(topic, batch, on_delivery=None) == 0
    assert batch[0]["_error"].code() == KafkaError._QUEUE_FULL


def test_what_is_too_large_is_told_and_the_rest_is_sent(
    broker: Broker, new_topic: Callable[..., str], bulk_client: Make, told: Told
) -> None:
    topic = new_topic(configs={"max.message.bytes": "2000"})
    client = bulk_client(broker.bootstrap, topic)
    huge = b"x" * (11 * 2**20)
    assert send(client, told, b"small\n" + huge) == [0, KafkaError.MSG_SIZE_TOO_LARGE]
    flushed(client)
    large = b"y" * 3000
    assert send(client, told, large) == [0]
    flushed(client)
    assert told.failed == [("MSG_SIZE_TOO_LARGE", large)]
    assert read_all(broker.bootstrap, topic) == [[(None, b"small")]]


def test_a_broker_that_stays_away_is_told_and_fails_what_it_did_not_take(
    bulk_client: Make, told: Told, free_address: str
) -> None:
    client = bulk_client(free_address, "t", timeout=1.0)
    client.connect(0.1)
    assert send(client, told, b"a\nb\n\nc") == [0, 0, 0]
    flushed(client)
    assert told.failed == [("_MSG_TIMED_OUT", each) for each in (b"a", b"b", b"c")]
    assert "_ALL_BROKERS_DOWN" in {each.name() for each in told.errors}


def test_purged_messages_have_failed(bulk_client: Make, told: Told, free_address: str) -> None:
    client = bulk_client(free_address, "t")
    send(client, told, b"a\nb\n")
    assert client.flush(0) >= 2
    client.purge()
    flushed(client)
    assert told.failed == [("_PURGE_QUEUE", b"a"), ("_PURGE_QUEUE", b"b")]


def test_parts_outside_the_text_are_refused(bulk_client: Make, free_address: str) -> None:
    client = bulk_client(free_address, "t")
    lines, _ = lines_of(given_native(), b"abc\ndef")
    text, begins, sizes = lines.text, lines.begins, lines.sizes
    eventually(lambda: client.poll(0.01) == 0 and not len(client), "nothing is under way")

    def more(numbers: array[int], by: int) -> array[int]:
        return array("q", [number + by for number in numbers])

    others = (more(begins, 5), sizes), (more(begins, -1), sizes), (begins, more(sizes, 1))
    for wrong in others:
        for parts, keys in ((wrong, None), ((begins, sizes), (text, *wrong))):
            with pytest.raises(ValueError, match="outside"):
                client.send_spans(text, *parts, keys, lambda *_: None)
    with pytest.raises(ValueError, match="outside"):
        client.send_spans(text, begins, array("q", [-1, 3]), None, lambda *_: None)
    assert client._queued() == 0


def test_a_property_that_is_none_is_an_error(local_broker: LocalBroker) -> None:
    plain = clients.make_producer(Kafka(), address=local_broker.bootstrap)
    library = librdkafka.functions()
    assert library is not None
    nothing: Any = lambda *_: None  # noqa: E731
    for properties in ({"no.such": "x"}, {"linger.ms": 5, "message.timeout.ms": 1, "acks": 7000}):
        with pytest.raises(ValueError, match=r"No such configuration property|acks"):
            BulkClient(
                library, given_native(), plain, "t", properties,
                on_error=nothing, on_statistics=nothing, on_log=nothing,
            )  # fmt: skip


# ---------------------------------------------------------------------- through the producer


def produced(broker: Broker, topic: str, path: Path, key: str | None) -> Produced:
    source = JsonLines(str(path), key=key, form=AUTO)
    found, error = run_producer(
        Kafka(), source, topic, address=broker.bootstrap, clock=SystemClock(), stop=Event()
    )
    assert error is None
    return found


@dear_on_apache
@pytest.mark.parametrize("key", [None, "user_id"])
def test_a_large_file_is_sent_as_a_small_one_is(
    broker: Broker, new_topic: Callable[..., str], tmp_path: Path, key: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """With keys each message is in the partition where the client puts it that takes one by one."""
    lines = [b'{"user_id":"u%d","n":%d}' % (n % 40, n) for n in range(2500)]
    lines[1200:1200] = [b"", b'{"nrtctl_message":1,"key":"own","value":"described"}', b"no json"]
    lines.append(b'{"user_id":"' + b"long" * 10_000 + b'"}')
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b"\n".join(lines))
    plain, bulk = new_topic(3), new_topic(3)
    first = produced(broker, plain, path, key)
    sent: list[int] = []
    send_spans = BulkClient.send_spans
    monkeypatch.setattr(jsonl, "SPANS_FROM", 0)
    monkeypatch.setattr(jsonl, "SPANS_PIECE", 20_000)

    def noted(self: BulkClient, *given: Any) -> Any:
        codes = send_spans(self, *given)
        sent.append(len(given[1]))
        return codes

    monkeypatch.setattr(BulkClient, "send_spans", noted)
    second = produced(broker, bulk, path, key)
    assert sum(sent) > 1700, "all but a piece with what is described, and the long line"
    told = ("sent", "acknowledged", "failed", "unsendable", "skipped", "bytes", "ended")
    assert [getattr(first, each) for each in told] == [getattr(second, each) for each in told]
    assert (second.acknowledged, second.skipped) == (len(lines) - 1, 1)
    expected, found = (read_all(broker.bootstrap, each, 3) for each in (plain, bulk))
    if key is None:
        assert Counter(chain(*found)) == Counter(chain(*expected))
    else:
        keyed = [[each for each in part if each[0] is not None] for part in found]
        assert keyed == [[each for each in part if each[0] is not None] for part in expected]
        assert all(k in (b"own", key_of(v, key)) for part in keyed for k, v in part)


@pytest.mark.parametrize("why", ["no library", "not compiled", "a login by tokens"])
def test_where_it_cannot_be_used_messages_go_as_ever(
    local_broker: LocalBroker, new_local_topic: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, why: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(jsonl, "SPANS_FROM", 0)
    if why == "no library":
        monkeypatch.setattr(librdkafka, "functions", lambda: None)
    elif why == "not compiled":
        monkeypatch.setattr(native, "native", lambda: None)
    else:
        made = clients.make_bulk_producer
        monkeypatch.setattr(
            clients, "make_bulk_producer",
            lambda settings, *given, **named: made(
                settings.model_copy(update={"sasl_mechanism": "OAUTHBEARER"}), *given, **named
            ),
        )  # fmt: skip
    monkeypatch.delattr(BulkClient, "send_spans")
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"user_id":"a"}\n{"user_id":"b"}\n')
    found = produced(local_broker, new_local_topic, path, "user_id")
    assert found.acknowledged == 2
    assert [sorted(each) for each in read_all(local_broker.bootstrap, new_local_topic)] == [
        [(b"a", b'{"user_id":"a"}'), (b"b", b'{"user_id":"b"}')]
    ]
