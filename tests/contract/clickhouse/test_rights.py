"""What a user may not do: ClickHouse's words, and the statement that gives the right."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from nrtctl.clickhouse.client import AccessRefused, ClickHouseClient
from nrtctl.clickhouse.refusals import grant, missing_right
from nrtctl.config.servers import ClickHouse
from tests.plugins.clickhouse_front import ClickHouseFront

SAID = "me: Not enough privileges. To execute this query, it's necessary to have the grant "


class Denying(HTTPServer):
    """Answers everything with error 497. `said`: its words."""

    said = ""


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        assert isinstance(self.server, Denying)
        body = f"Code: 497. DB::Exception: {self.server.said} (ACCESS_DENIED) (version 26.9.1.1)\n"
        self.send_response(403)
        self.send_header("X-ClickHouse-Exception-Code", "497")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def do_GET(self) -> None:
        self.do_POST()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Denying]:
    made = Denying(("127.0.0.1", 0), Handler)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def refused(server: Denying, said: str) -> AccessRefused:
    server.said = said
    url = f"http://127.0.0.1:{server.server_port}"
    settings = ClickHouse(url=url, username="me")
    with pytest.raises(AccessRefused) as caught:
        ClickHouseClient(settings, url=url, password="right")
    return caught.value


def test_the_missing_right_is_named_and_the_user_is_not_refused(server: Denying) -> None:
    error = refused(server, f"{SAID}INSERT(_topic, _offset) ON nrt.events_landing.")
    said = (
        "user 'me' to do this: the right INSERT(_topic, _offset) ON nrt.events_landing is missing"
    )
    assert said in error.message
    assert error.hint == "`GRANT INSERT ON nrt.events_landing TO me` gives it"
    other = refused(server, "the Host header names another server.")
    assert "the Host header names another server" in other.message
    assert "refuses the user" not in other.message
    assert other.hint is None


@pytest.mark.parametrize(
    ("said", "right", "statement"),
    [
        ("ALTER ADD COLUMN(c) ON x.t. (ACCESS_DENIED)",
         "ALTER ADD COLUMN(c) ON x.t", "GRANT ALTER ADD COLUMN ON x.t TO me"),
        ("SELECT, INSERT ON x.t. (Missing permissions: INSERT ON x.t). (ACCESS_DENIED)",
         "INSERT ON x.t", "GRANT INSERT ON x.t TO me"),
        ("SELECT(a) ON x.t, INSERT(a, b) ON x.u. (ACCESS_DENIED)",
         "SELECT(a) ON x.t, INSERT(a, b) ON x.u", "GRANT SELECT ON x.t, INSERT ON x.u TO me"),
        ("SELECT for at least one column on x.t", "SELECT for at least one column on x.t",
         "GRANT SELECT on x.t TO me"),
        ("SELECT ON x.t WITH GRANT OPTION. (ACCESS_DENIED)", "SELECT ON x.t WITH GRANT OPTION",
         "GRANT SELECT ON x.t TO me WITH GRANT OPTION"),
    ],
)  # fmt: skip
def test_rights_as_servers_write_them(said: str, right: str, statement: str) -> None:
    assert missing_right(SAID + said) == right
    assert grant(right, ClickHouse(username="me")) == statement


def test_names_are_quoted_and_clusters_named() -> None:
    settings = ClickHouse(username="a`b", cluster="main")
    assert grant("INSERT ON x.t", settings) == ("GRANT ON CLUSTER 'main' INSERT ON x.t TO `a\\`b`")
    assert missing_right("me: something else. (ACCESS_DENIED)") is None


def test_the_local_stack_gives_no_such_right(clickhouse_front: ClickHouseFront) -> None:
    answer = clickhouse_front.request("CREATE USER somebody")
    assert answer.code == 497
    assert "the local ClickHouse grants nobody the right CREATE USER ON somebody" in answer.text
