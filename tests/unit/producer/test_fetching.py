"""What `nrtctl produce --input https://…` asks, what it makes of an answer, what it remembers."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from nrtctl.clock import SystemClock, notices
from nrtctl.config.model import Fetch
from nrtctl.errors import ConfigError, ConnectError, NrtctlError
from nrtctl.producer.fetching.addresses import checked, redirected, shown, with_parameter
from nrtctl.producer.fetching.answers import Answer, Fetcher, login_of, name_of, retry_after
from nrtctl.producer.fetching.cursor import Kept, Reached
from nrtctl.producer.fetching.records import Highest, parsed_cursor, parsed_path, raw_at
from tests.plugins.http_answers import Server


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/a?b=c",
        "http://127.0.0.1:8000/",
        "http://localhost/x",
        "http://[::1]:1/",
    ],
)
def test_what_may_be_asked(url: str) -> None:
    assert checked(url, allow_http=False) == url


def test_http_is_asked_elsewhere_only_where_that_is_said() -> None:
    with pytest.raises(ConfigError, match="is not encrypted"):
        checked("http://example.com/?key=secret", allow_http=False)
    assert checked("http://example.com/#x", allow_http=True) == "http://example.com/"


@pytest.mark.parametrize("url", ["https://", "https://a b/", "https://a:99999/", "https://u:p@a/"])
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        checked(url, allow_http=True)
    assert "u:p" not in str(caught.value)


def test_a_query_is_not_shown_and_takes_a_cursor() -> None:
    url = "https://u:p@example.com/a/b?key=secret#x"
    assert shown(url) == "https://example.com/a/b"
    assert (
        with_parameter("https://a/?x=1&since=1", "since", "é&") == "https://a/?x=1&since=%C3%A9%26"
    )


@pytest.mark.parametrize(
    ("location", "target"),
    [("/b?c", "https://a.example/b?c"), ("https://b.example/", "https://b.example/"),
     ("c", "https://a.example/x/c")],
)  # fmt: skip
def test_where_a_redirect_may_lead(location: str, target: str) -> None:
    assert redirected("https://a.example/x/y", location, allow_http=False) == target


@pytest.mark.parametrize(
    "location",
    ["http://a.example/", "file:///etc/passwd", "https://u@b/", "ftp://x/", "https://:1", "",
     "https://[::bad"],
)  # fmt: skip
def test_where_a_redirect_may_not_lead(location: str) -> None:
    with pytest.raises(NrtctlError, match="not followed"):
        redirected("https://a.example/x", location, allow_http=True)


def test_a_redirect_leaves_this_machine_with_tls_only() -> None:
    here, there = "http://127.0.0.1:8080/x", "http://169.254.169.254/latest"
    with pytest.raises(NrtctlError, match="not followed: it is not encrypted"):
        redirected(here, there, allow_http=False)
    assert redirected(here, there, allow_http=True) == there
    assert redirected(here, "http://localhost/y", allow_http=False) == "http://localhost/y"


def test_records_are_found_and_stay_as_they_are() -> None:
    text = b' {"n": 1, "data": {"x": [1, "]"], "items": [ {"a": 1.50}, {"b": "\\u00e4"} ]}, "z": 0}'
    assert raw_at(text, ("data", "items"), "it") == b'[ {"a": 1.50}, {"b": "\\u00e4"} ]'
    for path in (("items",), ("data", "y"), ("n", "x"), ("data", "x", "y")):
        with pytest.raises(NrtctlError, match="it has no "):
            raw_at(text, path, "it")
    with pytest.raises(NrtctlError, match="it has no array at data"):
        raw_at(text, ("data",), "it")
    for wrong in (b"\xff", b'{"data": nope}', b'{"data" 1}'):
        with pytest.raises(NrtctlError, match="it is not JSON"):
            raw_at(wrong, ("data",), "it")


def test_the_highest_value() -> None:
    def highest(*values: Any, start: str = "") -> str:
        found = Highest(("a", "at"), start)
        for each in values:
            found.see(json.dumps({"a": {"at": each}}).encode())
        return found.text

    assert highest(9, 10, 2.5) == "10"
    assert highest("9", "10") == "10"
    assert highest("2024-01-02", "2024-01-10T", start="2023") == "2024-01-10T"
    assert highest(start="7") == "7"
    assert highest(5, start="7") == "7"
    nothing: tuple[Any, ...] = (None, True, [], {})
    for wrong in nothing:
        with pytest.raises(NrtctlError, match=r"a record has no text or number at a\.at"):
            highest(wrong)


def test_an_exponent_beyond_every_number_stops_no_fetch() -> None:
    highest = Highest(("id",), "7")
    for value in ("1e9999999999999999999999", "8"):
        highest.see(json.dumps({"id": value}).encode())
    assert highest.text == "1e9999999999999999999999", "a text, as others that are no number"


def test_options_that_are_none() -> None:
    assert parsed_cursor("since=a.b") == ("since", ("a", "b"))
    for wrong in ("since", "=a", "since=", "since=a..b"):
        with pytest.raises(ConfigError):
            parsed_cursor(wrong)
    with pytest.raises(ConfigError):
        parsed_path("", "--records")


def test_what_is_remembered(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "state", "https://a/?key=secret", "t")
    assert kept.read() == Reached()
    reached = Reached("e", "m", "d", "7")
    kept.write(reached)
    assert Kept(tmp_path / "state", "https://a/?key=secret", "t").read() == reached
    assert Kept(tmp_path / "state", "https://a/?key=secret", "u").read() == Reached()
    assert "secret" not in kept.path.read_text() + str(kept.path)
    assert kept.path.stat().st_mode & 0o77 == 0
    kept.path.write_text("{")
    with pytest.raises(NrtctlError, match="cannot be read"):
        kept.read()


def test_small_things() -> None:
    assert retry_after(" 7 ", 0) == 7
    assert retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 50) == 10
    assert retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 70) == 0
    assert retry_after("soon", 0) is None
    assert name_of("https://a/../.x/export?k=v", {"content-type": "text/csv; charset=utf-8"}) == (
        "export.csv"
    )
    assert name_of("https://a/x.csv", {"content-type": "text/csv"}) == "x.csv"
    assert name_of("https://a/", {}) == "answer"
    assert login_of(Fetch(token="t")) == {"authorization": "Bearer t"}
    assert login_of(Fetch(token="t", token_header="X-Key")) == {"X-Key": "t"}
    assert login_of(Fetch(username="u", password="p")) == {"authorization": "Basic dTpw"}
    for wrong in ({"username": "u"}, {"token": "t", "username": "u", "password": "p"},
                  {"token_header": "X"}, {"token": "t", "token_header": "a b"}):  # fmt: skip
        with pytest.raises(ValueError):
            Fetch(**wrong)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


Ask = Callable[..., Answer | None]


@pytest.fixture
def ask(server: Server, tmp_path: Path) -> Ask:
    waits: list[tuple[str, float]] = []

    def asking(
        reached: Reached = Reached(), *, tries: int = 1, most: int = 10_000,  # noqa: B008
        settings: Fetch = Fetch(token="tok"),  # noqa: B008
    ) -> Answer | None:  # fmt: skip
        fetcher = Fetcher(settings, f"{server.url}/a?x=1", "since", most=most, clock=SystemClock())
        return fetcher.patiently(
            reached, tmp_path, threading.Event(), tries=tries,
            waiting=lambda why, seconds: waits.append((why, seconds)),
        )  # fmt: skip

    asking.waits = waits  # type: ignore[attr-defined]
    return asking


def test_an_answer_is_a_file_and_the_next_question_says_what_is_known(
    server: Server, ask: Ask
) -> None:
    server.answers = [
        (200, {"ETag": '"e1"', "Last-Modified": "yesterday"}, b'[{"a":1}]'), (304, {}, b""),
        (200, {}, b'[{"a":1}]'), (204, {}, b""), (200, {}, b""),
    ]  # fmt: skip
    answer = ask(Reached(cursor="7 8"))
    assert answer is not None
    assert answer.path.read_bytes() == b'[{"a":1}]'
    assert answer.reached == Reached('"e1"', "yesterday", answer.reached.digest, "7 8")
    assert ask(answer.reached) is None
    assert ask(answer.reached) is None, "the same answer is not sent twice"
    assert ask() is None
    assert ask() is None
    (path, headers), (_, again), *_ = server.asked
    assert path == "/a?x=1&since=7+8"
    assert headers["authorization"] == "Bearer tok"
    assert (again["if-none-match"], again["if-modified-since"]) == ('"e1"', "yesterday")


def test_a_packed_answer_is_unpacked_within_its_limit(server: Server, ask: Ask) -> None:
    packed = {"Content-Encoding": "gzip"}
    server.answers = [
        (200, packed, gzip.compress(b"{}" * 5000)), (200, packed, gzip.compress(b" " * 50_000_000)),
        (200, {}, b" " * 10_001), (200, packed, gzip.compress(b"{}")[:-5]),
        (200, {"Content-Encoding": "br"}, b"x"),
    ]  # fmt: skip
    answer = ask()
    assert answer is not None
    assert answer.path.stat().st_size == 10_000
    for why in ("more than 10,000 bytes", "more than 10,000 bytes", "ends in the middle", "br"):
        with pytest.raises(NrtctlError, match=why):
            ask()


def test_a_login_does_not_go_to_another_host(server: Server, ask: Ask) -> None:
    other = Server()
    try:
        server.answers = [
            (302, {"Location": "/b"}, b""),
            (307, {"Location": f"{other.url}/c"}, b""),
        ]
        other.answers = [(200, {}, b"{}")]
        assert ask() is not None
        assert [path for path, _ in server.asked] == ["/a?x=1", "/b"]
        assert all("authorization" in headers for _, headers in server.asked)
        assert "authorization" not in other.asked[0][1]
    finally:
        other.close()
    server.answers = [(302, {"Location": "/a"}, b"")] * 6
    with pytest.raises(NrtctlError, match="more than 5 times"):
        ask()


def test_a_token_that_no_header_can_hold_is_not_said(ask: Ask) -> None:
    settings = Fetch().model_copy(update={"token": SecretStr("planted\nx")})
    with pytest.raises(NrtctlError, match="a header of the request would not be valid") as caught:
        ask(settings=settings)
    assert "planted" not in f"{caught.value} {caught.value.hint}"
    assert caught.value.__suppress_context__, "a traceback would quote it"


def test_what_passes_is_waited_for(server: Server, ask: Ask) -> None:
    server.answers = [(429, {"Retry-After": "0"}, b""), (200, {"Content-Length": "9"}, b"{}")]
    with pytest.raises(ConnectError, match=r"breaks off.*, 2 times"):
        ask(tries=2)
    waits = ask.waits  # type: ignore[attr-defined]
    assert [(why.rpartition(" answers ")[2], seconds) for why, seconds in waits] == [("429", 1)], (
        "a server that names no pause is not asked without one"
    )


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 206])
def test_what_does_not_pass_is_an_error(server: Server, ask: Ask, status: int) -> None:
    server.answers = [(status, {}, b"")]
    with pytest.raises(NrtctlError, match=str(status)):
        ask(tries=5)
    assert len(server.asked) == 1


def test_a_silent_server_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = threading.Event()
    said: list[str] = []

    def answer(_path: str) -> tuple[int, dict[str, str], bytes]:
        assert told.wait(60)
        return 200, {}, b"[1]"

    def tell(text: str) -> None:
        said.append(text)
        told.set()

    monkeypatch.setattr(notices, "AFTER_SECONDS", 0.01)
    monkeypatch.setattr(notices, "_listener", tell)
    server = Server(answer)
    fetcher = Fetcher(Fetch(), f"{server.url}/a?key=x", None, most=9, clock=SystemClock())
    assert fetcher.ask(Reached(), tmp_path, threading.Event()) is not None
    assert said[0] == f"waiting for {server.url}/a for up to 30 s: it does not answer yet"
    server.close()


def test_who_does_not_answer(server: Server, ask: Ask) -> None:
    server.close()
    with pytest.raises(ConnectError, match="does not answer"):
        ask()


def test_a_command_that_ends_asks_no_more(server: Server, tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    fetcher = Fetcher(Fetch(), server.url, None, most=10, clock=SystemClock())
    asked = partial(fetcher.patiently, tries=None, waiting=lambda why, seconds: None)
    assert asked(Reached(), tmp_path, stop) is None
    assert server.asked == []
