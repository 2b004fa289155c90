"""What stands between nrtctl and ClickHouse answers in its place, or breaks an answer off."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from nrtctl.clickhouse.client import ClickHouseClient, ClickHouseGone
from nrtctl.clock import SystemClock
from nrtctl.config.servers import ClickHouse
from nrtctl.errors import NrtctlError
from nrtctl.schema import INSERT_SETTINGS
from nrtctl.store.batch import Batch
from nrtctl.store.chain import Chain
from nrtctl.store.envelope import row_encoder
from nrtctl.store.intents import OffsetRange
from nrtctl.store.intents.delivery import Mode
from nrtctl.store.pressure import Pressure
from nrtctl.store.target import Target
from nrtctl.store.writer import Writer
from tests.plugins.clickhouse_front import ClickHouseFront
from tests.plugins.pipeline_engine import Engine

PAGE = b"<html><head><title>Sign in</title></head><body>Who are you?</body></html>"


class Faulty(NamedTuple):
    """An answer in ClickHouse's place. `carried_out`: ClickHouse gets the request all the same."""

    status: int
    body: bytes = PAGE
    headers: tuple[tuple[str, str], ...] = (("Server", "nginx"),)
    carried_out: bool = False
    cut: bool = False


class Between(ThreadingHTTPServer):
    """Hands requests on to ClickHouse; those of inserts as `inserted` says, of this number and
    size."""

    daemon_threads = True

    def __init__(self, behind: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind = urlsplit(behind).netloc
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.inserted: Callable[[int, int], Faulty | None] = lambda number, size: None
        self.asked: Faulty | None = None
        self.inserts = 0


class _Handler(BaseHTTPRequestHandler):
    server: Between

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        faulty = self.server.asked
        if b"INSERT INTO" in body[:200] or "INSERT+INTO" in self.path:
            self.server.inserts += 1
            faulty = self.server.inserted(self.server.inserts, len(body))
        if faulty is None or faulty.carried_out:
            there = http.client.HTTPConnection(self.server.behind)
            there.request("POST", self.path, body, dict(self.headers.items()))
            answer = there.getresponse()
            data = answer.read()
            there.close()
            if faulty is None:
                left_out = {"transfer-encoding", "content-length", "connection"}
                headers = [each for each in answer.getheaders() if each[0].lower() not in left_out]
                self._answer(answer.status, headers, data)
                return
        self._answer(faulty.status, list(faulty.headers), faulty.body, cut=faulty.cut)

    do_GET = do_POST  # noqa: N815

    def _answer(
        self, status: int, headers: list[tuple[str, str]], body: bytes, *, cut: bool = False
    ) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) + 1000 * cut))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def between(clickhouse_front: ClickHouseFront) -> Iterator[Between]:
    made = Between(clickhouse_front.url)
    thread = threading.Thread(target=made.serve_forever, args=(0.05,))
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def client(between: Between, clickhouse_front: ClickHouseFront) -> Iterator[ClickHouseClient]:
    made = ClickHouseClient(ClickHouse(), url=between.url, password=clickhouse_front.password)
    yield made
    made.close()


def store(engine: Engine, client: ClickHouseClient, count: int) -> list[str]:
    """Store that many messages through the proxy; what was said while it waited."""
    line, clock = engine.pipeline, SystemClock()
    encode = row_encoder(line.topic, 1, 0)
    rows = [
        encode(offset, 1, b"k", json.dumps({"id": offset, "pad": "p" * 1000}).encode())
        for offset in range(count)
    ]
    said: list[str] = []
    Writer(
        Target(
            line.topic, engine.database, line.landing, line.table, line.dead_letters,
            INSERT_SETTINGS, 1,
        ),
        client,
        declare=lambda partition, span, look: clock.monotonic(),
        lease=600.0,
        clock=clock,
        pressure=Pressure(engine.database, (line.table,), clock),
        waiting=lambda reason, seconds: said.append(reason),
        chain=Chain(line, engine.database, clock),
    ).write(
        Batch.of_rows(0, "e", OffsetRange(0, count), range(count), rows), Mode.NEW, None, Event()
    )  # fmt: skip
    return said


ELSEWHERE = (("Location", "https://login.example/?token=secret"),)


@pytest.mark.parametrize("carried_out", [False, True])
@pytest.mark.parametrize(
    ("faulty", "words"),
    [
        (Faulty(200), "something else (HTTP status 200, nginx): Sign in"),
        (Faulty(200, b""), "something else (HTTP status 200, nginx)"),
        (Faulty(502, b"<html>Bad Gateway</html>"), "(HTTP status 502, nginx): Bad Gateway"),
        (Faulty(504), "(HTTP status 504, nginx)"),
        (Faulty(302, b"", ELSEWHERE), "(HTTP status 302): redirects to https://login.example"),
        (Faulty(200, cut=True), ""),
        (Faulty(200, b"", (("X-ClickHouse-Query-Id", "1"),), cut=True), ""),
    ],
)
def test_an_answer_that_is_not_clickhouses_is_no_answer(
    engine: Engine,
    between: Between,
    client: ClickHouseClient,
    faulty: Faulty,
    words: str,
    carried_out: bool,
) -> None:
    """What it answers to an insert says nothing of the rows: they are stored, each once."""
    engine.up(fields={"id": "UInt32"})
    answer = faulty._replace(carried_out=carried_out)
    between.inserted = lambda number, size: answer if number == 1 else None
    (said,) = store(engine, client, 5)
    assert words in said
    assert "secret" not in said
    assert len(engine.stored()) == 5


def test_what_is_too_large_for_a_proxy_is_halved(
    engine: Engine, between: Between, client: ClickHouseClient
) -> None:
    engine.up(fields={"id": "UInt32"})
    between.inserted = lambda number, size: Faulty(413) if size > 5000 else None
    assert store(engine, client, 20) == []
    assert len(engine.stored()) == 20
    assert between.inserts > 4


def test_one_message_that_is_too_large_for_a_proxy_names_its_limit(
    engine: Engine, between: Between, client: ClickHouseClient
) -> None:
    engine.up(fields={"id": "UInt32"})
    between.inserted = lambda number, size: Faulty(413)
    with pytest.raises(NrtctlError, match=r"offset 0: .*\(HTTP status 413\).*client_max_body_size"):
        store(engine, client, 3)
    assert not engine.stored()
    assert not engine.rejected()


def test_a_page_is_not_taken_for_rows(between: Between, client: ClickHouseClient) -> None:
    between.asked = Faulty(200)
    for ask in (
        lambda: client.query("SELECT 1"),
        lambda: client.command("SELECT 1"),
        lambda: list(client.stream("SELECT 1", "JSONEachRow")),
    ):
        with pytest.raises(ClickHouseGone, match=r"something else .*: Sign in"):
            ask()
    between.asked = None
    assert client.query("SELECT 1") == [(1,)]


def test_a_password_that_is_changed_meanwhile_needs_a_new_start(
    engine: Engine, between: Between, client: ClickHouseClient
) -> None:
    engine.up(fields={"id": "UInt32"})
    headers = (("X-ClickHouse-Exception-Code", "516"),)
    body = b"Code: 516. DB::Exception: default: Authentication failed. (AUTHENTICATION_FAILED)"
    between.inserted = lambda number, size: Faulty(403, body, headers)
    with pytest.raises(NrtctlError, match="is read when this command is started again"):
        store(engine, client, 3)
