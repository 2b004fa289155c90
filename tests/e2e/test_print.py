"""`consume -o jsonl` and back through `produce --input`: every byte, key, header and time."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import tempfile
from threading import Event
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nrtctl.clock import SystemClock
from nrtctl.config.servers import Kafka
from nrtctl.kafka.admin import AdminClient, NewTopic
from nrtctl.kafka.printing import print_messages
from nrtctl.producer.run import run_producer
from nrtctl.producer.sources.files.jsonl import AUTO, JsonLines
from tests.plugins.local_broker import LocalBroker
from tests.plugins.stack import COMMAND, Project

DATA = st.none() | st.binary(max_size=60) | st.text(max_size=20).map(str.encode)
NAMES = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
"""A lone surrogate is no text: it has no UTF-8, and the client of Kafka crashes on it."""
HEADERS = st.lists(
    st.tuples(st.text(NAMES, min_size=1, max_size=8), DATA),
    max_size=3,
)
MESSAGES = st.lists(st.tuples(DATA, DATA, HEADERS, st.integers(1, 2**41)), min_size=1, max_size=20)
HOSTILE = [
    (b"k", b'{"a":1}\n', [("h", None), ("h", b""), ("b", b"\xff\x00")], 1),
    (None, None, [], 1_700_000_000_000),
    (b"", b"", [], 5),
    (b"\xff\xfe", bytes(range(256)), [], 6),
    (b'{"nrtctl_message":1,', b'{"nrtctl_message":1,"key":null,"value":null}', [], 7),
    (b"\xe2\x80\xa8", "\u2028\u0000\ufeff\U0001f600".encode(), [("\u202e", b"x")], 8),
]
_NUMBERS = itertools.count()


class Topics:
    """One-partition topics on a running broker, filled and read without nrtctl."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self._admin = AdminClient({"bootstrap.servers": bootstrap})

    def make(self) -> str:
        name = f"printed-{next(_NUMBERS)}"
        for future in self._admin.create_topics(
            [NewTopic(name, 1, 1, config={"retention.ms": "-1"})]
        ).values():
            future.result(30)
        return name

    def fill(self, topic: str, messages: list[Any]) -> None:
        producer = Producer({"bootstrap.servers": self.bootstrap})
        for key, value, headers, timestamp in messages:
            producer.produce(topic, value, key, headers=headers, timestamp=timestamp)
        assert producer.flush(30) == 0

    def read(self, topic: str, number: int) -> list[Any]:
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "r"})
        consumer.assign([TopicPartition(topic, 0, 0)])
        found: list[Any] = []
        while len(found) < number:
            found += [each for each in consumer.consume(1000, 1) if each.error() is None]
        consumer.close()
        return [(m.key(), m.value(), m.headers() or [], m.timestamp()[1]) for m in found]

    def options(self, topic: str) -> tuple[str, ...]:
        return (
            "--set", f"kafka.bootstrap_servers={self.bootstrap}",
            "--set", f"pipeline.topic={topic}",
        )  # fmt: skip


@pytest.fixture(scope="module")
def topics(local_broker: LocalBroker) -> Topics:
    return Topics(local_broker.bootstrap)


def copy(topics: Topics, source: str, target: str) -> bytes:
    """In this process: print `source`, produce the lines to `target`."""
    lines: list[bytes] = []
    address, clock = topics.bootstrap, SystemClock()
    end = {0: Consumer({"bootstrap.servers": address, "group.id": "w"}).get_watermark_offsets(
        TopicPartition(source, 0))[1]}  # fmt: skip
    print_messages(
        Kafka(), source, {0: 0}, lines.append, address=address, clock=clock, stop=Event(), ends=end
    )
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as file:
        file.write(b"".join(lines))
        file.flush()
        summary, failure = run_producer(
            Kafka(), JsonLines(file.name, form=AUTO), target, address=address, clock=clock,
            stop=Event(),
        )  # fmt: skip
    assert failure is None
    assert (summary.failed, summary.unsendable) == (0, 0)
    return b"".join(lines)


@settings(
    max_examples=10,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(MESSAGES)
def test_any_bytes_come_back(topics: Topics, messages: list[Any]) -> None:
    source, target = topics.make(), topics.make()
    topics.fill(source, messages)
    copy(topics, source, target)
    assert topics.read(target, len(messages)) == messages


@pytest.mark.parametrize("broker", ["local_broker", "apache_kafka"])
def test_hostile_messages_through_a_pipe(
    request: pytest.FixtureRequest, broker: str, project: Project
) -> None:
    topics = Topics(request.getfixturevalue(broker).bootstrap)
    source, target = topics.make(), topics.make()
    topics.fill(source, HOSTILE)
    printed = project.run("consume", "-o", "jsonl", "--until-end", *topics.options(source))
    lines = printed.stdout.splitlines()
    assert [json.loads(each)["offset"] for each in lines] == list(range(len(HOSTILE)))
    assert b"stored none" in printed.stderr
    project.run("produce", "--input", "-", *topics.options(target), stdin=printed.stdout)
    assert topics.read(target, len(HOSTILE)) == HOSTILE

    def offsets(*arguments: str) -> list[int]:
        done = project.run("consume", "-o", "jsonl", *arguments, *topics.options(source))
        return [json.loads(each)["offset"] for each in done.stdout.splitlines()]

    assert offsets("--offset", "3", "--until-end") == [3, 4, 5]
    assert offsets("--offset", "1", "--count", "2") == [1, 2]
    assert offsets("--offset", "-2", "--until-end") == [4, 5]
    assert offsets("--offset", "end", "--until-end") == []
    assert offsets("--offset", "@2023-01-01T00:00Z", "--until-end") == [1, 2, 3, 4, 5]
    assert offsets("--offset", "@2030-01-01T00:00Z", "--until-end") == []
    project.run("consume", "-o", "jsonl", "--offset", "3 days", *topics.options(source), code=2)
    project.run("consume", "-o", "jsonl", "--group", "g", *topics.options(source), code=2)
    project.run("consume", "--offset", "3", *topics.options(source), code=2)
    groups = AdminClient({"bootstrap.servers": topics.bootstrap}).list_consumer_groups().result()
    assert "nrtctl-events" not in {each.group_id for each in groups.valid}


def test_a_line_that_is_none_is_named(topics: Topics, project: Project) -> None:
    target = topics.make()
    lines = b'{"nrtctl_message":1,"key":"a","value":"b"}\n{"nrtctl_message":1}\n'
    done = project.run("produce", "--input", "-", *topics.options(target), stdin=lines, code=1)
    assert b"stdin, line 2: key is missing" in done.stderr
    assert [each[:2] for each in topics.read(target, 1)] == [(b"a", b"b")]


def test_a_reader_that_goes_and_a_ctrl_c_end_it_quietly(topics: Topics, project: Project) -> None:
    """Nothing more comes: it is the closed pipe that ends it."""
    source = topics.make()
    topics.fill(source, HOSTILE)
    for closed in (True, False):
        process = subprocess.Popen(
            [*COMMAND, "consume", "-o", "jsonl", "-q", *topics.options(source)],
            cwd=project.directory, env=project.environ, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b'{"nrtctl_message":1,')
        if closed:
            process.stdout.close()
            process.wait(60)
            assert process.stderr is not None
            assert process.stderr.read() == b""
            process.stderr.close()
        else:
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
            assert b"Traceback" not in errors
        assert process.returncode == 0
