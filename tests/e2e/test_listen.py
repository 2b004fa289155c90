"""`nrtctl listen` as a person runs it, against the embedded broker."""

from __future__ import annotations

import asyncio
import http.client
import json
import signal
import ssl
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, TopicPartition

from benchmarks.measure_listen import load, peak_bytes
from nrtctl.kafka.admin import AdminClient, NewTopic
from tests.plugins.certificates import Authority
from tests.plugins.local_broker import LocalBroker
from tests.plugins.ports import free_port
from tests.plugins.stack import Project
from tests.plugins.waiting import eventually

PARTITIONS = 3


class Place:
    """A project whose pipeline has a topic of its own on a broker."""

    def __init__(self, project: Project, broker: LocalBroker) -> None:
        self.project, self.broker = project, broker
        self.topic = f"t-{uuid4().hex}"
        self.port = free_port()
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        for future in admin.create_topics([NewTopic(self.topic, PARTITIONS, 1)]).values():
            future.result()

    def listen(self, *arguments: str, anew: bool = False) -> subprocess.Popen[bytes]:
        process = self.project.start(
            "listen", "--port", str(self.port),
            "--set", f"kafka.bootstrap_servers={self.broker.bootstrap}",
            "--set", f"pipeline.topic={self.topic}", *arguments, anew=anew,
        )  # fmt: skip
        assert process.stderr is not None
        assert process.stderr.readline().startswith(b"listening at http")
        return process

    def messages(self) -> list[tuple[bytes | None, bytes, list[tuple[str, bytes]]]]:
        """Everything in the topic: (key, value, headers)."""
        consumer = Consumer({
            "bootstrap.servers": self.broker.bootstrap, "group.id": "reader",
            "enable.partition.eof": True, "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        })  # fmt: skip
        consumer.assign([TopicPartition(self.topic, n, 0) for n in range(PARTITIONS)])
        found: list[tuple[bytes | None, bytes, list[tuple[str, bytes]]]] = []
        ends = 0
        while ends < PARTITIONS:
            for each in consumer.consume(1000, 0.1):
                if each.error() is not None:
                    ends += 1
                else:
                    found.append((each.key(), each.value() or b"", each.headers() or []))  # type: ignore[arg-type]
        consumer.close()
        return found


@pytest.fixture
def own_broker(make_local_broker: Callable[[], LocalBroker]) -> LocalBroker:
    return make_local_broker()


@pytest.fixture
def place(tmp_path: Path, local_broker: LocalBroker) -> Place:
    project = Project(tmp_path)
    project.init()
    return Place(project, local_broker)


class Sender(threading.Thread):
    """Sends batches, each event with an id of its own, until it is told to stop; a batch that is
    not answered with 202 is left."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._stop_it = threading.Event()
        self.taken: list[str] = []
        self.refused = 0
        self.start()

    def run(self) -> None:
        connection = None
        while not self._stop_it.is_set():
            ids = [uuid4().hex for _ in range(20)]
            body = "\n".join(f'{{"id":"{each}"}}' for each in ids)
            try:
                if connection is None:
                    connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
                connection.request("POST", "/", body, {"Content-Type": "application/x-ndjson"})
                answer = connection.getresponse()
                said = json.loads(answer.read())
            except (OSError, http.client.HTTPException, ValueError):
                if connection is not None:
                    connection.close()
                connection = None
                self._stop_it.wait(0.02)
                continue
            if answer.status == 202:
                assert said == {"events": 20}
                self.taken += ids
            else:
                self.refused += 1
                self._stop_it.wait(0.02)
        if connection is not None:
            connection.close()

    def end(self) -> None:
        self._stop_it.set()
        self.join(90)


def test_every_event_that_was_answered_is_there_after_kills(
    tmp_path: Path, own_broker: LocalBroker
) -> None:
    project = Project(tmp_path)
    project.run("init")
    place = Place(project, own_broker)
    process = place.listen("--delivery-timeout", "20s")
    senders = [Sender(place.port) for _ in range(4)]
    try:
        for number in range(3):
            enough = [len(each.taken) + 100 for each in senders]
            eventually(
                lambda enough=enough: all(  # type: ignore[misc]
                    len(each.taken) >= most for each, most in zip(senders, enough, strict=True)
                ),
                "each sender has sent something",
            )
            if number == 1:
                own_broker.kill()
                own_broker.start()
            else:
                process.kill()
                process.communicate()
                process = place.listen("--delivery-timeout", "20s")
        for each in senders:
            each.end()
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert out.startswith(b"accepted ")
    finally:
        for each in senders:
            each.end()
        if process.poll() is None:
            process.kill()
            process.communicate()
    stored = {json.loads(value)["id"] for _, value, _ in place.messages()}
    taken = {each for sender in senders for each in sender.taken}
    assert len(taken) >= 3 * 4 * 100
    assert taken - stored == set()


def test_with_tls_a_token_and_a_key(place: Place, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    issued = authority.issue("listen", "127.0.0.1")
    place.project.environ |= {
        "NRTCTL_LISTEN__TOKEN": "a-secret-token",
        "NRTCTL_LISTEN__CERTIFICATE": str(issued.certificate),
        "NRTCTL_LISTEN__KEY": str(issued.key),
    }
    process = place.listen("--key", "user", "--header", "X-Kind", "-o", "json", anew=True)
    context = ssl.create_default_context(cafile=str(authority.ca))
    connection = http.client.HTTPSConnection("127.0.0.1", place.port, context=context, timeout=60)
    try:
        for token, status in (("wrong", 401), ("a-secret-token", 202)):
            connection.request(
                "POST", "/", '[{"user": "ü", "n": 1.50}, {"n": 2}]'.encode(),
                {"Content-Type": "application/json", "Authorization": f"Bearer {token}",
                 "X-Kind": "push"},
            )  # fmt: skip
            answer = connection.getresponse()
            answer.read()
            assert answer.status == status
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=60)
    finally:
        connection.close()
        process.kill()
        process.communicate()
    assert json.loads(out) == {"events": 2, "requests": {"202": 1, "401": 1}}
    assert b"a-secret-token" not in out + errors
    assert sorted(place.messages(), key=lambda each: each[1]) == [
        (None, b'{"n": 2}', [("X-Kind", b"push")]),
        ("ü".encode(), '{"user": "ü", "n": 1.50}'.encode(), [("X-Kind", b"push")]),
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--host", "0.0.0.0"), b"anyone who can reach 0.0.0.0 could send events"),
        (("--max-body", "many"), b"--max-body: 'many' is not a size"),
        (("--set", "listen.signature=hex", "--set", "listen.secret=x"), b"signature_header"),
        (("--set", "listen.certificate=no.pem", "--set", "listen.key=no.pem"), b"no such file"),
    ],
)
def test_a_wrong_call_is_2_before_anything_is_asked(
    tmp_path: Path, arguments: tuple[str, ...], said: bytes
) -> None:
    project = Project(tmp_path)
    project.run("init")
    assert said in project.run("listen", *arguments, code=2).stderr


@pytest.mark.long
def test_two_hundred_connections(place: Place) -> None:
    """2,000 requests of 100 events; `python -m benchmarks.measure_listen` says what they cost."""
    process = place.listen()
    try:
        url = f"http://127.0.0.1:{place.port}/"
        assert len(asyncio.run(load(url, 200, 2000, 100))) == 2000
        assert peak_bytes(process.pid) < 400 * 2**20
    finally:
        process.kill()
        process.communicate()
    assert len(place.messages()) == 200_000
