"""`nrtctl produce` as a person types it, against the embedded broker."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, TopicPartition

from nrtctl.kafka.admin import AdminClient, NewTopic
from nrtctl.producer.ledger import Ledger
from tests.plugins.local_broker import LocalBroker
from tests.plugins.stack import COMMAND, Project
from tests.plugins.waiting import eventually

PARTITIONS = 3
Message = tuple[int | None, int | None, bytes | None, bytes | None]


class Topic:
    """A topic of a test's own on a running broker, and the command that sends to it."""

    def __init__(self, project: Project, bootstrap: str, name: str) -> None:
        self.project, self.bootstrap, self.name = project, bootstrap, name
        self.options = ("--set", f"kafka.bootstrap_servers={bootstrap}", "--topic", name)
        admin = AdminClient({"bootstrap.servers": bootstrap})
        for future in admin.create_topics([NewTopic(name, PARTITIONS, 1)]).values():
            future.result()

    def produce(self, *arguments: str, code: int = 0, stdin: bytes | None = None) -> Any:
        done = self.project.run(
            "produce", *self.options, *arguments, "-o", "json", code=code, stdin=stdin
        )
        return json.loads(done.stdout) if done.stdout else done.stderr.decode()

    def messages(self) -> list[Message]:
        """Everything in the topic: (partition, offset, key, value)."""
        consumer = Consumer({
            "bootstrap.servers": self.bootstrap, "group.id": "reader",
            "enable.partition.eof": True, "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        })  # fmt: skip
        consumer.assign([TopicPartition(self.name, n, 0) for n in range(PARTITIONS)])
        found: list[Message] = []
        ends = 0
        while ends < PARTITIONS:
            for message in consumer.consume(1000, 0.1):
                if message.error() is not None:
                    ends += 1
                else:
                    found.append(
                        (message.partition(), message.offset(), message.key(), message.value())
                    )
        consumer.close()
        return found

    def values(self) -> list[bytes]:
        return [value or b"" for _, _, _, value in self.messages()]


@pytest.fixture
def topic(tmp_path: Path, local_broker: LocalBroker) -> Topic:
    project = Project(tmp_path)
    project.init()
    return Topic(project, local_broker.bootstrap, f"t-{uuid4().hex}")


def test_a_seed_and_a_start_are_the_same_messages(topic: Topic) -> None:
    arguments = ("--count", "3000", "--seed", "7", "--start", "2026-01-01T00:00:00Z")
    summary = topic.produce(*arguments)
    assert (summary["sent"], summary["acknowledged"], summary["failed"]) == (3000, 3000, 0)
    assert summary["seconds"] > 0
    once = topic.values()
    topic.produce(*arguments)
    assert Counter(topic.values()) == Counter(once * 2)
    assert min(json.loads(value)["event_timestamp"] for value in once) == 1_767_225_600_000


def test_a_user_stays_in_one_partition_in_order(topic: Topic) -> None:
    topic.produce("--count", "3000", "--users", "40", "--start", "2026-01-01")
    homes: dict[bytes | None, set[int | None]] = {}
    last: dict[bytes | None, int] = {}
    for partition, _, key, value in topic.messages():
        event = json.loads(value or b"")
        assert key == event["user_id"].encode()
        homes.setdefault(key, set()).add(partition)
        assert event["event_timestamp"] > last.get(key, 0)
        last[key] = event["event_timestamp"]
    assert len(homes) == 40
    assert {len(each) for each in homes.values()} == {1}


def test_a_file_of_lines_goes_over_untouched(topic: Topic, tmp_path: Path) -> None:
    lines = [b'{"user_id":"u%d", "n": %d}' % (n % 9, n) for n in range(5_000)] + [
        b"no json", b"\xff\x00\x01", b'{"a":1}{"b":2}', b"x" * 2_000_000,
    ]  # fmt: skip
    (tmp_path / "in.jsonl").write_bytes(b"\n".join(lines) + b"\n\n")
    summary = topic.produce("--input", "in.jsonl")
    assert (summary["acknowledged"], summary["failed"], summary["skipped"]) == (5_004, 0, 1)
    assert Counter(topic.values()) == Counter(lines)
    keys = {key for _, _, key, _ in topic.messages()}
    assert keys == {None, *(b"u%d" % n for n in range(9))}


def test_csv_from_stdin_by_another_key(topic: Topic) -> None:
    data = b'Country,Customer,n\nFrance,17850.0,1\n"Isle of\nMan",,2\nbad\n'
    summary = topic.produce(
        "--input", "-", "--format", "csv", "--key", "Country", stdin=data, code=1
    )
    assert (summary["sent"], summary["acknowledged"], summary["failed"]) == (2, 2, 1)
    assert summary["examples"] == ["stdin, line 5: 1 cell, but the header has 3"]
    assert {(key, value) for _, _, key, value in topic.messages()} == {
        (b"France", b'{"Country":"France","Customer":"17850.0","n":"1"}'),
        (b"Isle of\nMan", b'{"Country":"Isle of\\nMan","Customer":null,"n":"2"}'),
    }


def test_a_key_that_no_message_has_is_told(topic: Topic) -> None:
    line = b'{"user_id":"u"}'
    for options, told in (((), b""), (("--key", "user"), b"1 message was sent without a key")):
        done = topic.project.run("produce", *topic.options, *options, "--input", "-", stdin=line)
        assert b"acknowledged 1" in done.stdout
        assert (b"without a key, as none has 'user'" in done.stderr) is bool(told)
        assert told in done.stderr
    assert [key for _, _, key, _ in topic.messages()] in ([b"u", None], [None, b"u"])


def test_lines_from_a_pipe_leave_before_it_ends(topic: Topic) -> None:
    process = subprocess.Popen(
        [*COMMAND, "produce", *topic.options, "--input", "-", "-o", "json"],
        cwd=topic.project.directory,
        env=topic.project.environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(b'{"n": 1}\n')
    process.stdin.flush()
    while topic.values() != [b'{"n": 1}']:
        assert process.poll() is None
    out, errors = process.communicate(b'{"n": 2}')
    assert process.returncode == 0, errors
    assert json.loads(out)["acknowledged"] == 2
    assert Counter(topic.values()) == Counter([b'{"n": 1}', b'{"n": 2}'])


def test_the_first_interrupt_flushes_and_counts(topic: Topic) -> None:
    process = topic.project.start("produce", *topic.options, "--rate", "20000", "-o", "json")
    eventually(lambda: topic.messages() or process.poll() is not None, "the first messages")
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    summary = json.loads(out)
    assert summary["ended"] == "stopped"
    assert summary["acknowledged"] == summary["sent"] == len(topic.messages())
    assert sum(summary["partitions"].values()) == summary["acknowledged"]


def test_a_broker_that_goes_away_is_waited_for(
    topic: Topic, tmp_path: Path, make_local_broker: Any
) -> None:
    broker = make_local_broker()
    other = Topic(topic.project, broker.bootstrap, "t")
    process = topic.project.start(
        "produce", *other.options, "--rate", "2000", "--count", "6000", "--ledger", "ledger",
        "-o", "json",
    )  # fmt: skip
    eventually(lambda: other.messages() or process.poll() is not None, "the first messages")
    assert process.poll() is None
    broker.kill()
    assert process.stderr is not None
    said = process.stderr.readline()
    assert b"Kafka does not answer" in said
    broker.start()
    out, _ = process.communicate(timeout=120)
    summary = json.loads(out)
    assert process.returncode == 0, summary
    assert (summary["sent"], summary["acknowledged"], summary["failed"]) == (6_000, 6_000, 0)
    stored = {(p, offset): json.loads(value or b"") for p, offset, _, value in other.messages()}
    assert len(stored) == 6_000, "idempotence: what was sent again is there once"
    entries = list(Ledger(tmp_path / "ledger"))
    assert len(entries) == 6_000
    for entry in entries:
        assert entry.partition is not None
        assert entry.offset is not None
        assert stored[entry.partition, entry.offset]["event_id"] == entry.id


def test_a_broker_that_stays_away_fails_what_it_did_not_take(
    make_local_broker: Any, topic: Topic
) -> None:
    broker = make_local_broker()
    other = Topic(topic.project, broker.bootstrap, "t")
    process = topic.project.start(
        "produce", *other.options, "--rate", "1000", "--delivery-timeout", "2s", "-o", "json"
    )
    eventually(lambda: other.messages() or process.poll() is not None, "the first messages")
    assert process.poll() is None
    broker.kill()
    assert process.stderr is not None
    assert b"Kafka does not answer" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    summary = json.loads(out)
    assert process.returncode == 1, errors
    assert summary["failed"] == summary["reasons"]["_MSG_TIMED_OUT"] > 0
    assert b"--delivery-timeout sets how long a message is tried" in errors
    assert summary["sent"] == summary["acknowledged"] + summary["failed"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--input", "nothing.csv"), 2, "there is no file nothing.csv"),
        (("--input", "."), 2, "nrtctl.toml is neither JSON, nor CSV, nor Parquet"),
        (("--input", "*.csv"), 2, "no file matches *.csv"),
        (("--input", "-", "nrtctl.toml"), 2, "stdin (-) cannot be combined with files"),
        (("--input", "-", "--format", "xml"), 2, "'xml' is not known"),
        (("--input", "-", "--late", "5"), 2, "cannot be used with --input"),
        (("--input", "-", "--users", "5"), 2, "cannot be used with --input"),
        (
            ("--input", "-", "--format", "jsonl", "--delimiter", ";"),
            2,
            "--delimiter is for csv and tsv, and cannot be used with --format jsonl",
        ),
        (("--metrics-host", "::1"), 2, "can only be used with --metrics-port"),
        (("--key", "status", "--count", "1"), 2, "can only be used with --input"),
        (("--late", "60", "--invalid", "60"), 2, "more than 100 %"),
        (("--duration", "5"), 2, "--duration: '5' is not a duration"),
        (("--start", "yesterday", "--count", "1"), 2, "'yesterday' is not a time: write it as"),
        (("--ledger", "nrtctl.toml", "--count", "1"), 2, "exists already"),
        (("--topic", "no-such-topic", "--count", "1"), 1, "topic 'no-such-topic' does not exist"),
        (
            (
                "--set",
                "kafka.bootstrap_servers=127.0.0.1:1",
                "--set",
                "kafka.connect_timeout=1s",
                "--set",
                "stack.kind=external",
            ),
            3,
            "does not answer at 127.0.0.1:1",
        ),
    ],
)
def test_errors_are_clear_and_leave_stdout_empty(
    topic: Topic, arguments: tuple[str, ...], code: int, message: str
) -> None:
    said = topic.produce(*arguments, code=code, stdin=b"")
    assert isinstance(said, str)
    assert message in " ".join(said.split())
    assert "Traceback" not in said


def test_what_the_ledger_expects_comes_true(stack: Project) -> None:
    summary = stack.json(
        "produce", "--count", "2000", "--seed", "5", "--late", "10", "--duplicate", "10",
        "--invalid", "20", "--ledger", "ledger",
    )  # fmt: skip
    assert summary["acknowledged"] == 2000
    stack.run("consume", "--until-end")
    stored = {
        (row["_partition"], row["_offset"]): row["event_id"]
        for row in stack.rows("SELECT _partition, _offset, event_id FROM events")
    }
    dead = {
        (row["_partition"], row["_offset"]): row["reason"]
        for row in stack.rows("SELECT _partition, _offset, reason FROM dead_letters")
    }
    entries = list(Ledger(stack.directory / "ledger"))
    assert len(entries) == len(stored) + len(dead) == 2000
    for entry in entries:
        assert entry.partition is not None
        assert entry.offset is not None
        where = (entry.partition, entry.offset)
        if entry.expect == "stored":
            assert stored[where] == entry.id
        else:
            assert dead[where] == entry.reason, entry.kind
    assert Counter(entry.kind for entry in entries)["late"] > 100


def test_without_generated_events_faker_is_not_imported() -> None:
    code = (
        "import sys, nrtctl.producer.run\n"
        "from nrtctl.producer.sources import faults, files, reference_events\n"
        "print('faker' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout.strip() == b"False"
