"""The HTTP side: what it answers, and that a scraper in trouble troubles nobody else."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest
from prometheus_client import Gauge
from prometheus_client.parser import text_string_to_metric_families

from nrtctl.clock import ManualClock
from nrtctl.errors import ConfigError
from nrtctl.metrics import server as module
from nrtctl.metrics.collector_registry import make_registry
from nrtctl.metrics.health import TurningHealth
from nrtctl.metrics.server import SLOTS, MetricsServer
from tests.plugins.exposition import complaints, get
from tests.plugins.waiting import eventually


class Told:
    def __init__(self) -> None:
        self.dead: list[str] = []
        self.unready: list[str] = []

    def alive(self) -> list[str]:
        return self.dead

    def ready(self) -> list[str]:
        return self.unready


@pytest.fixture
def health() -> Told:
    return Told()


@pytest.fixture
def server(health: Told) -> Iterator[MetricsServer]:
    registry = make_registry("test")
    Gauge("nrtctl_x_records", "X.", registry=registry).set(3)
    made = MetricsServer(registry, health, "127.0.0.1", 0)
    yield made
    made.close()


def connect(server: MetricsServer) -> socket.socket:
    parts = urlsplit(server.url)
    return socket.create_connection((parts.hostname, parts.port), timeout=60)


def test_what_is_served(server: MetricsServer) -> None:
    status, text = get(f"{server.url}/metrics")
    assert status == 200
    assert complaints(text) == []
    names = {family.name for family in text_string_to_metric_families(text)}
    assert {"nrtctl_build_info", "nrtctl_x_records", "process_cpu_seconds"} <= names
    assert 'command="test"' in text
    assert get(f"{server.url}/nothing")[0] == 404
    assert get(f"{server.url}/") == (200, "nrtctl: /metrics /healthz /readyz\n")


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/"])
def test_a_page_under_another_name_reads_nothing(server: MetricsServer, path: str) -> None:
    with connect(server) as scraper:
        head = f"GET {path} HTTP/1.1\r\nHost: rebound.example\r\nConnection: close\r\n\r\n"
        scraper.sendall(head.encode())
        said = b"".join(iter(lambda: scraper.recv(65536), b""))
    assert said.startswith(b"HTTP/1.0 421 ")
    assert b"nrtctl_" not in said


@pytest.mark.parametrize("sent", ["POST /metrics HTTP/1.1", "GET /metrics HTTP/1.1 <b>", "<b>"])
def test_what_it_does_not_serve_is_refused_as_text(server: MetricsServer, sent: str) -> None:
    with connect(server) as scraper:
        scraper.sendall(f"{sent}\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        said = b"".join(iter(lambda: scraper.recv(65536), b""))
    assert b"html" not in said.lower()
    assert re.search(rb"(501|400) [A-Z][^\n]+\n$", said)


def test_openmetrics_on_request(server: MetricsServer) -> None:
    request = Request(
        f"{server.url}/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}
    )
    with urlopen(request, timeout=60) as answer:
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
        assert answer.read().endswith(b"# EOF\n")


def test_health_and_readiness(server: MetricsServer, health: Told) -> None:
    assert get(f"{server.url}/healthz") == (200, "ok\n")
    assert get(f"{server.url}/readyz") == (200, "ok\n")
    health.unready = ["Kafka does not answer"]
    assert get(f"{server.url}/healthz") == (200, "ok\n")
    assert get(f"{server.url}/readyz") == (503, "Kafka does not answer\n")
    health.dead = ["hung"]
    assert get(f"{server.url}/healthz") == (503, "hung\n")
    assert get(f"{server.url}/readyz") == (503, "hung\nKafka does not answer\n")


def test_a_loop_that_does_not_turn_is_not_alive() -> None:
    clock = ManualClock()
    health = TurningHealth(clock, 30.0, list)
    clock.advance(30)
    assert health.alive() == []
    clock.advance(1)
    assert health.alive() == ["the main loop has not turned for 31 s"]
    health.turned()
    assert health.alive() == []
    patient = TurningHealth(clock, None, list)
    clock.advance(1e6)
    assert patient.alive() == []


def wait_for_taken(server: MetricsServer, count: int) -> None:
    eventually(lambda: server._server.taken == count, f"{count} connections")


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is given up for its time, however busy the machine is."""
    monkeypatch.setattr(module, "PATIENCE", 600.0)
    monkeypatch.setattr(module._Handler, "timeout", 600.0)


@pytest.mark.usefixtures("patient")
def test_all_slots_taken_by_silent_scrapers(server: MetricsServer) -> None:
    """The next one takes the place of the oldest."""
    with ExitStack() as stack:
        silent = []
        for count in range(1, SLOTS + 1):
            silent.append(stack.enter_context(connect(server)))
            silent[-1].sendall(b"GET /healthz HTTP/1.0\r\nX-A:")
            wait_for_taken(server, count)
        assert get(f"{server.url}/healthz") == (200, "ok\n")
        wait_for_taken(server, SLOTS - 1)
        with suppress(ConnectionError):
            assert b"200" not in silent[0].recv(100)
        silent[1].sendall(b"\r\nHost: localhost\r\n\r\n")
        assert b"200 OK" in silent[1].recv(100)
    wait_for_taken(server, 0)


@pytest.mark.usefixtures("patient")
def test_all_slots_being_answered(
    server: MetricsServer, health: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one is closed at once, and the others are answered."""
    asked, answers = threading.Semaphore(0), threading.Event()

    def alive() -> list[str]:
        asked.release()
        assert answers.wait(60)
        return []

    monkeypatch.setattr(health, "alive", alive)
    with ThreadPoolExecutor(SLOTS) as pool:
        try:
            told = [pool.submit(get, f"{server.url}/healthz") for _ in range(SLOTS)]
            assert all(asked.acquire(timeout=60) for _ in told)
            with connect(server) as late, suppress(ConnectionError):
                late.sendall(b"GET / HTTP/1.0\r\n\r\n")
                assert late.recv(10) == b""
        finally:
            answers.set()
        assert [each.result()[0] for each in told] == [200] * SLOTS
    wait_for_taken(server, 0)


def test_a_request_that_drips_is_cut_off(
    server: MetricsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.2)
    with connect(server) as slow:
        slow.sendall(b"GET /")

        def is_cut_off() -> bool:
            try:
                slow.sendall(b"a")
            except ConnectionError:
                return True
            return False

        eventually(is_cut_off, "the connection is closed")
    wait_for_taken(server, 0)


def test_a_port_in_use(server: MetricsServer, health: Told) -> None:
    port = urlsplit(server.url).port
    assert port is not None
    with pytest.raises(ConfigError, match=f"127.0.0.1:{port} is in use") as raised:
        MetricsServer(make_registry("test"), health, "127.0.0.1", port)
    assert raised.value.exit_code == 2
    assert "another port" in str(raised.value.hint)


@pytest.mark.parametrize(("host", "port"), [("192.0.2.1", 0), ("no.such.host.invalid", 0)])
def test_an_address_that_is_not_ours(health: Told, host: str, port: int) -> None:
    with pytest.raises(ConfigError, match="cannot listen on"):
        MetricsServer(make_registry("test"), health, host, port)


def test_closed_means_closed(health: Told) -> None:
    made = MetricsServer(make_registry("test"), health, "127.0.0.1", 0)
    made.close()
    with pytest.raises(ConnectionRefusedError):
        connect(made)
