"""The endpoint of `nrtctl listen` over real connections, with a client of Kafka's that can be told
what to answer: what is answered when, whoever else sends what, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hmac
import json
import random
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import pytest
import trustme
from confluent_kafka import KafkaError

from nrtctl.clock import SystemClock
from nrtctl.kafka.producing import Health
from nrtctl.net import serving as bounds
from nrtctl.producer.listening import bodies
from nrtctl.producer.listening.app import Limits
from nrtctl.producer.listening.login import Login, Signature
from nrtctl.producer.listening.requests import Taking, Target
from nrtctl.producer.listening.serving import Endpoint, Options, Seen, Watching, listening_socket
from tests.plugins.waiting import eventually

ANYBODY = Login()
LIMITS = Limits(body=100_000, read_seconds=30.0, delivery_seconds=30.0)


class Kafka:
    """Takes every message; answers, while it is not `held`, as `verdict` says: an error's code."""

    def __init__(self) -> None:
        self.held = False
        self.away = ""
        self.verdict: Callable[[bytes], int | None] = lambda value: None
        self.stored: list[bytes] = []
        self._queue: list[tuple[bytes, Any]] = []
        self._lock = threading.Lock()
        self._come = threading.Event()

    def produce(self, topic: str, *, value: bytes, key: Any, on_delivery: Any, **_: Any) -> None:
        with self._lock:
            self._queue.append((value, on_delivery))
        self._come.set()

    def poll(self, timeout: float) -> int:
        self._come.wait(timeout)
        if self.held:
            threading.Event().wait(0.01)
            return 0
        self._come.clear()
        with self._lock:
            ready, self._queue = self._queue, []
        for value, told in ready:
            code = self.verdict(value)
            if code is None:
                self.stored.append(value)
            told(None if code is None else KafkaError(code), None)
        return len(ready)

    def __len__(self) -> int:
        return len(self._queue)

    def list_topics(self, topic: str, timeout: float) -> None:
        raise AssertionError("not asked here")


@dataclass
class Running:
    """An endpoint that answers. `said`: what whoever runs it was told."""

    kafka: Kafka
    port: int
    stop: threading.Event
    said: list[str]
    endpoint: Any
    ended: Any = None

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def ask(self, raw: bytes) -> tuple[int, dict[str, Any]]:
        with self.connect() as connection:
            connection.sendall(raw)
            return answer(connection)

    def send(self, body: bytes, *headers: str, path: str = "/") -> tuple[int, dict[str, Any]]:
        return self.ask(request(body, *headers, path=path))


def request(body: bytes, *headers: str, path: str = "/") -> bytes:
    head = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*head, "", ""]).encode() + body


def answer(connection: socket.socket) -> tuple[int, dict[str, Any]]:
    """Status and what is said; (0, {}): the connection is closed without one."""
    with connection.makefile("rb") as file:
        first = file.readline()
        if not first:
            return 0, {}
        length = 0
        while (line := file.readline()) not in {b"\r\n", b""}:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        text = file.read(length)
    status = int(first.split()[1])
    return status, json.loads(text) if text.startswith(b"{") else {}


@contextlib.contextmanager
def running(
    *,
    login: Login = ANYBODY,
    limits: Limits = LIMITS,
    room: int = 2**20,
    most: int = 64,
    certificate: ssl.SSLContext | None = None,
) -> Iterator[Running]:
    kafka, said = Kafka(), list[str]()
    stop, ready = threading.Event(), threading.Event()

    def note(text: str) -> None:
        said.append(text)

    def begun(*_: Any) -> None:
        ready.set()

    def seen(_: Seen) -> None: ...

    options = Options("127.0.0.1", 0, False, limits, Taking(1000), room, most)
    listening = listening_socket("127.0.0.1", 0)
    port = listening.getsockname()[1]
    endpoint = Endpoint(
        kafka, Health(note, 1), "t", {"/": Target("t"), "/a": Target("t")}, options, login,  # type: ignore[arg-type]
        certificate=certificate, address="a:1", clock=SystemClock(),
        watching=Watching(begun, seen, note, note, lambda reason, seconds: said.append(reason)),
    )  # fmt: skip
    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(lambda: asyncio.run(endpoint.run(listening, stop)))
        try:
            assert ready.wait(30)
            yield Running(kafka, port, stop, said, endpoint, ended)
        finally:
            kafka.held = False
            stop.set()
            ended.result(60)
            listening.close()


def test_it_answers_once_kafka_has_acknowledged() -> None:
    with running() as here, here.connect() as connection:
        here.kafka.held = True
        connection.sendall(request(b'[{"a":1},{"a":2}]'))
        eventually(lambda: len(here.kafka) == 2, "both are handed over")
        connection.setblocking(False)
        with pytest.raises(BlockingIOError):
            connection.recv(1)
        connection.settimeout(30)
        here.kafka.held = False
        assert answer(connection) == (202, {"events": 2})
        connection.sendall(request(b'{"a":3}'))
        assert answer(connection) == (202, {"events": 1})
        assert here.kafka.stored == [b'{"a":1}', b'{"a":2}', b'{"a":3}']


def test_what_kafka_does_not_take_is_counted() -> None:
    with running() as here:
        here.kafka.verdict = lambda value: (
            KafkaError._MSG_TIMED_OUT if b"late" in value
            else KafkaError.MSG_SIZE_TOO_LARGE if b"large" in value else None
        )  # fmt: skip
        status, said = here.send(b'[{"a":1},{"a":"late"},{"a":"large"}]')
        assert (status, said["taken"], said["events"]) == (503, 1, 3)
        assert "has not acknowledged 2 of 3 events" in said["error"]
        status, said = here.send(b'[{"a":1},{"a":"large"}]')
        assert (status, said["taken"], said["events"]) == (413, 1, 2)


def test_while_kafka_is_away_it_says_so_at_once() -> None:
    with running() as here:
        here.endpoint._courier.away = True
        status, said = here.send(b"{}")
        assert (status, said) == (503, {"error": "Kafka does not answer; nothing was accepted"})
        assert here.ask(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")[0] == 200
        assert here.ask(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")[0] == 503


def test_a_full_room_is_429_and_whoever_fits_is_taken() -> None:
    with running(room=20_000) as here, here.connect() as large:
        here.kafka.held = True
        large.sendall(request(b'{"a":"%s"}' % (b"x" * 15_000)))
        eventually(lambda: len(here.kafka) == 1, "it is handed over")
        assert here.send(b'{"a":"%s"}' % (b"x" * 15_000))[0] == 429
        with here.connect() as chunked:
            chunked.sendall(
                b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
                b"4000\r\n" + b" " * 0x4000 + b"\r\n0\r\n\r\n"
            )
            assert answer(chunked)[0] == 429
        eventually(lambda: any("429" in each for each in here.said), "it is said")
        here.kafka.held = False
        assert answer(large)[0] == 202
        eventually(lambda: any("room again" in each for each in here.said), "that is said, too")
        assert here.send(b'{"a":"%s"}' % (b"x" * 15_000))[0] == 202


def test_a_body_that_does_not_come_is_given_up() -> None:
    with running(limits=replace(LIMITS, read_seconds=0.2)) as here:
        head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{"
        assert here.ask(head)[0] == 408
        assert here.endpoint._room.used == 0
        assert here.send(b"{}")[0] == 202


@pytest.mark.parametrize("size", [70_000, 200_000, 2_000_000])
@pytest.mark.parametrize("where", ["a header", "headers", "path"])
def test_a_head_that_is_too_long_is_refused(size: int, where: str) -> None:
    """Whether it comes at once or in pieces."""
    with running() as here:
        match where:
            case "a header":
                raw = request(b"{}", f"X-A: {'a' * size}")
            case "headers":
                raw = request(b"{}", *(f"X-{n}: {'a' * 1000}" for n in range(size // 1000)))
            case _:
                raw = request(b"{}", path=f"/?{'a' * size}")
        with here.connect() as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall(raw)
            with contextlib.suppress(ConnectionError):
                status, said = answer(connection)
                assert status == 431
                assert said == {"error": "the request's line and headers are longer than 64 KiB"}
        assert here.send(b"{}", f"X-A: {'a' * 60_000}")[0] == 202
        assert len(here.kafka.stored) == 1


def test_what_is_no_http_is_told_so() -> None:
    with running() as here:
        said = here.ask(b"GET\r\n\r\n")
        assert said == (400, {"error": "the request is not valid HTTP"})


def test_a_head_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "HEAD_SECONDS", 0.2)
    with running() as here:
        for beginning in (b"", b"POST / HTTP/1.1\r\nHost:"):
            with here.connect() as connection:
                connection.sendall(beginning)
                with contextlib.suppress(ConnectionError):
                    assert connection.recv(1) == b""
        eventually(lambda: here.endpoint._connections.count == 0, "none is left")


def test_one_connection_more_takes_the_place_of_the_oldest_that_is_idle() -> None:
    with running(most=3) as here, contextlib.ExitStack() as stack:
        idle = [stack.enter_context(here.connect()) for _ in range(3)]
        eventually(lambda: here.endpoint._connections.count == 3, "they are there")
        here.kafka.held = True
        idle[0].sendall(request(b"{}"))
        eventually(lambda: len(here.kafka) == 1, "the first one works")
        one_more = stack.enter_context(here.connect())
        one_more.sendall(request(b"{}"))
        eventually(lambda: len(here.kafka) == 2, "it has a place")
        with contextlib.suppress(ConnectionError):
            assert idle[1].recv(1) == b"", "the oldest idle one is closed"
        here.kafka.held = False
        assert answer(one_more)[0] == 202
        assert answer(idle[0])[0] == 202


def test_when_all_connections_work_one_more_is_closed() -> None:
    with running(most=1) as here, here.connect() as busy:
        here.kafka.held = True
        busy.sendall(request(b"{}"))
        eventually(lambda: len(here.kafka) == 1, "it works")
        with here.connect() as other, contextlib.suppress(ConnectionError):
            other.sendall(request(b"{}"))
            assert answer(other)[0] == 0
        here.kafka.held = False
        assert answer(busy)[0] == 202


SLOW = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90000\r\nX-Signature: 00\r\n"
SIGNED = Login(None, Signature("hex", b"secret", "X-Signature"))


def wait_for(found: Callable[[], int], wanted: int) -> None:
    eventually(lambda: found() == wanted, f"{wanted}")


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is given up for its time, however busy the machine is."""
    for name in ("HANDSHAKE_SECONDS", "HEAD_SECONDS"):
        monkeypatch.setattr(bounds, name, 600)
    monkeypatch.setattr(bodies, "SLOW_SECONDS", 600)


PATIENT = replace(LIMITS, read_seconds=600)


@pytest.mark.usefixtures("patient")
def test_slow_bodies_of_unknown_senders_give_way_slowest_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bounds, "CREDIT_BYTES", 0)
    with running(most=3, login=SIGNED, limits=PATIENT) as here, contextlib.ExitStack() as stack:
        slow, held = [], 0
        for size in (30_000, 0, 50_000):
            slow.append(stack.enter_context(here.connect()))
            slow[-1].sendall(SLOW + b"\r\n" + b" " * size)
            held += size
            wait_for(lambda: here.endpoint._room.used, held)
        made = hmac.new(b"secret", b"{}", "sha256").hexdigest()
        assert here.send(b"{}", f"X-Signature: {made}")[0] == 202
        with contextlib.suppress(ConnectionError):
            assert slow[1].recv(1) == b"", "the one that sent least is closed"
        eventually(lambda: here.endpoint._room.used == 80_000, "the others are there")


@pytest.mark.usefixtures("patient")
def test_a_sender_who_is_known_keeps_its_place() -> None:
    login = Login(b"secret", SIGNED.signature)
    with running(most=1, login=login, limits=PATIENT) as here, here.connect() as known:
        known.sendall(SLOW + b"Authorization: Bearer secret\r\n\r\n{")
        eventually(lambda: here.endpoint._room.used == 1, "its body is coming")
        with here.connect() as other, contextlib.suppress(ConnectionError):
            other.sendall(request(b"{}", "Authorization: Bearer secret"))
            assert answer(other)[0] == 0
        known.sendall(b"}" + b" " * 89_998)
        assert answer(known)[0] == 202


def test_a_body_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "SLOW_SECONDS", 0.2)
    monkeypatch.setattr(bodies, "LEAST_PER_SECOND", 10**9)
    with running() as here:
        status, said = here.ask(SLOW + b"\r\n" + b" " * 1000)
        assert status == 408
        assert said["error"].startswith("the body arrives too slowly")


def certificates() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's, and a client's."""
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(server)
    authority.configure_trust(client)
    return server, client


@pytest.mark.usefixtures("patient")
def test_handshakes_are_within_the_bounds() -> None:
    certificate, trusted = certificates()
    with running(most=3, certificate=certificate) as here, contextlib.ExitStack() as stack:
        silent = []
        for count in (1, 2, 3):
            silent.append(stack.enter_context(here.connect()))
            wait_for(lambda: here.endpoint._connections.count, count)
        with trusted.wrap_socket(here.connect(), server_hostname="localhost") as one_more:
            one_more.sendall(request(b"{}"))
            assert answer(one_more) == (202, {"events": 1})
        with contextlib.suppress(ConnectionError):
            assert silent[0].recv(1) == b"", "the oldest has given way"
        for each in silent:
            each.close()
        eventually(lambda: here.endpoint._connections.count == 0, "none is left")
        assert not here.endpoint._connections.yielding


def test_a_handshake_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "HANDSHAKE_SECONDS", 0.2)
    with running(certificate=certificates()[0]) as here, here.connect() as silent:
        with contextlib.suppress(ConnectionError):
            assert silent.recv(1) == b""
        eventually(lambda: here.endpoint._connections.count == 0, "it is not counted")


def test_the_end_waits_for_answers_and_takes_nothing_new() -> None:
    with running() as here, here.connect() as busy, here.connect() as idle:
        idle.sendall(request(b"{}"))
        assert answer(idle)[0] == 202
        here.kafka.held = True
        busy.sendall(request(b'{"last":1}'))
        eventually(lambda: len(here.kafka) == 1, "it works")
        here.stop.set()
        eventually(lambda: any("waiting for the answers to 1 request" in each
                               for each in here.said), "it says what for")  # fmt: skip
        with contextlib.suppress(ConnectionError):
            assert idle.recv(1) == b""
        with pytest.raises(ConnectionError):
            here.connect()
        here.kafka.held = False
        assert answer(busy) == (202, {"events": 1})
        assert here.ended.result(60).events == 2


def test_the_token_is_checked_before_the_body() -> None:
    with running(login=Login(b"secret")) as here:
        assert here.send(b"{}", "Authorization: Bearer secret")[0] == 202
        assert here.send(b"{}", "Host: other.example", "Authorization: Bearer secret")[0] == 400
        status, said = here.ask(
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\nExpect: 100-continue\r\n"
            b"Authorization: Bearer wrong\r\n\r\n"
        )
        assert (status, said) == (401, {"error": "the token is not the one that is expected"})
        assert here.send(b"{}", path="/which")[0] == 401, "nobody is told which pipelines there are"


def test_a_page_of_another_site_cannot_send() -> None:
    with running() as here:
        assert here.send(b"{}", "Origin: https://evil.example")[0] == 403
        assert here.send(b"{}", "Origin: null")[0] == 403
        assert here.send(b"{}", "Origin: http://localhost:3000")[0] == 202
        assert here.ask(b"POST / HTTP/1.1\r\nHost: evil\r\nContent-Length: 2\r\n\r\n{}")[0] == 421


PIECES = (b"\r\n", b"\0", b"\r\n\r\n", b":", b"0\r\n\r\n", b"\xff")


def mutants(count: int) -> Iterator[bytes]:
    """Requests of which something is wrong, or nothing."""
    rng = random.Random(7)
    bomb = gzip.compress(b"[" + b" " * 3_000_000 + b"{}]")
    plain = [
        request(b'[{"a":1},{"b":"\xc3\xa4"}]', "Content-Type: application/json"),
        request(b'{"a":1}\n{"b":2}\n', "Content-Type: application/x-ndjson"),
        request(bomb, "Content-Encoding: gzip"),
        request(gzip.compress(b"{}"), "Content-Encoding: gzip"),
        request(b"{}", "ce-specversion: 1.0", "ce-id: 1", "ce-type: t", "ce-source: s"),
        request(b"{}", "Transfer-Encoding: chunked"),
        request(b"{}", "Transfer-Encoding: chunked, identity"),
        request(b"{}", "Content-Length: 3"),
        request(b"{}GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n").replace(b"Length: 4", b"Length: 0"),
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2\r\n{}\r\n0\r\nTrailer: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"fffffffffffffffff\r\n{}\r\n0\r\n\r\n",
        request(b"{}", "Expect: 100-continue"),
        request(b"{}", *(f"X-{n}: {'y' * 1000}" for n in range(100))),
        request(b"[" * 50_000, "Content-Type: application/json"),
        request(b"{}", "Content-Type: multipart/mixed; charset*=utf-8''x; \x01"),
        request(b"{}", path="/" + "%ff" * 50),
        request(b"{}", path="/healthz"),
    ]  # fmt: skip
    for number in range(count):
        raw = bytearray(plain[number % len(plain)])
        for _ in range(rng.choice((0, 1, 1, 2, 8))):
            at = rng.randrange(len(raw))
            match rng.randrange(4):
                case 0:
                    raw[at] = rng.randrange(256)
                case 1:
                    del raw[at : at + rng.randrange(1, 20)]
                case 2:
                    raw[at:at] = rng.choice(
                        (b"\r\n", b"\0", b"\r\n\r\n", b":", b"0\r\n\r\n", b"\xff")
                    )
                case _:
                    raw[at:at] = raw[at : at + rng.randrange(1, 200)]
            if not raw:
                raw = bytearray(b"\r\n")
        yield bytes(raw)


@pytest.mark.parametrize("count", [250, pytest.param(1000, marks=pytest.mark.long)])
def test_many_wrong_requests_leave_it_as_it_was(count: int) -> None:
    statuses = set()
    with running() as here:

        def tried(raw: bytes) -> int:
            with here.connect() as connection, contextlib.suppress(ConnectionError):
                connection.sendall(raw)
                connection.shutdown(socket.SHUT_WR)
                return answer(connection)[0]
            return 0

        with ThreadPoolExecutor(16) as pool:
            statuses |= set(pool.map(tried, mutants(count)))
        assert here.send(b'{"alive":1}') == (202, {"events": 1})
        eventually(lambda: here.endpoint._connections.count == 0, "all connections are closed")
        eventually(lambda: here.endpoint._app.tally.under_way == 0, "all is answered")
        assert here.endpoint._room.used == 0
        assert not here.endpoint._connections.yielding
    assert {202, 400} <= statuses
    assert 500 not in statuses
    assert all(isinstance(json.loads(each), dict | list) for each in here.kafka.stored)
