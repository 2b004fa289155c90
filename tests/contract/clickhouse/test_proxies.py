"""Requests to ClickHouse and the proxies of the environment, on real sockets."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from nrtctl.clickhouse.client import AccessRefused, ClickHouseClient, ClickHouseGone
from nrtctl.config.servers import ClickHouse
from nrtctl.errors import ConnectError

SECRET = "planted-password"


class Proxy(ThreadingHTTPServer):
    """Notes what it is asked, and answers each request with `status`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.status = 502
        self.asked: list[tuple[str, str | None]] = []
        self.address = f"http://127.0.0.1:{self.server_address[1]}"


class Answer(BaseHTTPRequestHandler):
    server: Proxy

    def _answer(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Proxy-Authorization")))
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "9")
        self.end_headers()
        self.wfile.write(b"no way in")

    do_GET = do_POST = do_CONNECT = _answer  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """It is the environment's proxy for everything."""
    made = Proxy()
    thread = threading.Thread(target=made.serve_forever, args=(0.05,))
    thread.start()
    for name in ("http_proxy", "https_proxy", "no_proxy", "NO_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    login = made.address.replace("://", f"://user:{SECRET}@")
    monkeypatch.setenv("HTTP_PROXY", login)
    monkeypatch.setenv("https_proxy", login)
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def refusal(url: str, *, password: str | None = SECRET) -> ConnectError:
    settings = ClickHouse(url=url, connect_timeout="2s", request_timeout="5s")
    with pytest.raises(ConnectError) as caught:
        ClickHouseClient(settings, url=url, password=password)
    assert SECRET not in f"{caught.value}{caught.value.hint}"
    return caught.value


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_nothing_for_this_machine_reaches_a_proxy(proxy: Proxy, scheme: str, host: str) -> None:
    error = refusal(f"{scheme}://{host}:1")
    assert "proxy" not in error.message
    assert proxy.asked == []


def test_a_proxy_that_refuses_is_named_and_shown_its_own_login(proxy: Proxy) -> None:
    error = refusal("http://ch.example:8123")
    assert isinstance(error, ClickHouseGone)
    assert f"through the proxy {proxy.address} (HTTP_PROXY)" in error.message
    assert "add ch.example to NO_PROXY" in (error.hint or "")
    path, login = proxy.asked[0]
    assert path.startswith("http://ch.example:8123/")
    assert login == "Basic " + base64.b64encode(f"user:{SECRET}".encode()).decode()
    proxy.status = 403
    assert isinstance(refusal("http://ch.example:8123"), AccessRefused)
    error = refusal("https://ch.example:8443")
    assert f"through the proxy {proxy.address} (https_proxy)" in error.message
    assert proxy.asked[-1][0] == "ch.example:8443"


def test_a_proxy_that_is_away_is_named(monkeypatch: pytest.MonkeyPatch, proxy: Proxy) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://user:{SECRET}@127.0.0.1:1")
    error = refusal("http://ch.example:8123")
    assert "through the proxy http://127.0.0.1:1 (HTTP_PROXY): Connection refused" in error.message


def test_no_proxy_leads_past_it(monkeypatch: pytest.MonkeyPatch, proxy: Proxy) -> None:
    monkeypatch.setenv("NO_PROXY", "192.0.2.0/24,invalid")
    assert "proxy" not in refusal("http://ch.invalid:8123").message
    assert proxy.asked == []
