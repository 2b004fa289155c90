"""Server-sent events over real sockets, from made-up looks: who gets what, and how many."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from nrtctl.errors import ConfigError
from nrtctl.stats.snapshot import Shots
from nrtctl.view.dashboard.app import MOST_STREAMS
from nrtctl.view.dashboard.board import to_json
from nrtctl.view.dashboard.serve import MOST_CONNECTIONS, listen, serve
from tests.unit.view.sample import snapshot


class Stop(Exception):
    """Ends the looking."""


class Stream:
    """What one browser gets."""

    def __init__(self, port: int, query: str = "") -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        self._connection.request("GET", f"/events{query}")
        self.answer = self._connection.getresponse()

    def event(self, expected: str) -> dict[str, Any]:
        name = ""
        while True:
            line = self.answer.readline().decode().rstrip("\n")
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                self.answer.readline()
                assert name == expected
                data: dict[str, Any] = json.loads(line[6:])
                return data

    def course(self) -> dict[str, Any]:
        return self.event("course")

    def lag(self) -> int:
        self.event("point")
        return int(self.event("snapshot")["lag_records"])

    def close(self) -> None:
        self.answer.close()
        self._connection.close()


@dataclass
class Looks:
    """A pipeline whose lag is the number of the look; each look waits for `step`."""

    port: int = 0
    count: int = 0
    step: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(1))
    ended: bool = False

    def look(self) -> Shots:
        self.step.acquire()
        if self.ended:
            raise Stop
        self.count += 1
        return {"": snapshot(lag_records=self.count, time=1_700_000_000.0 + self.count)}

    def open(self) -> Stream:
        return Stream(self.port)


class SeveralLooks(Looks):
    """Two pipelines; the lag of the second is ten times the first one's."""

    def look(self) -> Shots:
        shot = super().look()[""]
        return {"orders": shot, "eu.clicks": replace(shot, lag_records=10 * self.count)}


@contextmanager
def running(made: Looks, names: Sequence[str] = ("",)) -> Iterator[Looks]:
    listening = listen(0)
    made.port = listening.getsockname()[1]
    raised: list[BaseException] = []

    def run() -> None:
        try:
            serve(listening, made.look, interval=0.01, stop=threading.Event(), names=names)
        except Stop as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    yield made
    made.ended = True
    made.step.release()
    thread.join(20)
    listening.close()
    assert raised, "an error of the look ends the dashboard, and is raised"


@pytest.fixture
def looks() -> Iterator[Looks]:
    with running(Looks()) as made:
        yield made


def test_an_end_that_was_asked_for_before_the_server_stood_is_kept() -> None:
    stop = threading.Event()
    stop.set()
    made = Looks()
    with listen(0) as listening:
        serve(listening, made.look, interval=0.01, stop=stop)
    assert made.count <= 2


def test_one_look_serves_all_browsers(looks: Looks) -> None:
    answers = [looks.open() for _ in range(5)]
    for answer in answers:
        answer.course()
        assert answer.lag() == 1
    looks.step.release()
    assert [answer.lag() for answer in answers] == [2] * 5
    assert looks.count == 2
    later = looks.open()
    assert later.course()["lag_records"] == [1, 2]
    assert later.lag() == 2
    for answer in (*answers, later):
        answer.close()


def test_a_page_too_many_is_refused_and_one_that_goes_makes_room(looks: Looks) -> None:
    answers = [looks.open() for _ in range(MOST_STREAMS)]
    for answer in answers:
        answer.course()
    refused = looks.open()
    assert (refused.answer.status, refused.answer.headers["retry-after"]) == (503, "5")
    refused.close()
    answers.pop().close()
    for _ in range(200):
        again = looks.open()
        if again.answer.status == 200:
            break
        again.close()
    assert again.answer.status == 200
    for answer in (*answers, again):
        answer.close()


def test_who_sends_no_request_keeps_nobody_out(looks: Looks) -> None:
    """As many connections as there may be: every page was refused, for as long as they stayed."""
    with ExitStack() as opened:
        for _ in range(MOST_CONNECTIONS):
            slow = opened.enter_context(socket.create_connection(("127.0.0.1", looks.port)))
            slow.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
        stream = looks.open()
        assert stream.answer.status == 200
        stream.course()
        stream.close()


def test_a_head_that_is_too_long_is_refused(looks: Looks) -> None:
    with socket.create_connection(("127.0.0.1", looks.port), timeout=20) as long:
        long.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 2**17)
        assert long.recv(100).startswith(b"HTTP/1.1 431 ")


def test_a_browser_that_takes_nothing_holds_nobody_up(looks: Looks) -> None:
    with socket.create_connection(("127.0.0.1", looks.port)) as stuck:
        stuck.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        reader = looks.open()
        reader.course()
        seen = reader.lag()
        for _ in range(300):
            looks.step.release()
            while (newer := reader.lag()) == seen:
                pass
            seen = newer
        assert seen == looks.count == 301
        reader.close()


def test_of_several_pipelines_it_streams_the_rows_or_one_in_depth() -> None:
    with running(SeveralLooks(), ["orders", "eu.clicks"]) as looks:
        all_, one = Stream(looks.port), Stream(looks.port, "?pipeline=eu.clicks")
        all_.event("courses")
        rows = all_.event("overview")["pipelines"]
        assert {name: row["lag_records"] for name, row in rows.items()} == {
            "orders": 1, "eu.clicks": 10,
        }  # fmt: skip
        assert "lag" not in rows["orders"]
        one.course()
        assert one.lag() == 10
        looks.step.release()
        assert all_.event("overview")["pipelines"]["eu.clicks"]["lag_records"] == 20
        assert one.lag() == 20
        later = Stream(looks.port)
        course = later.event("courses")["orders"]
        assert course["time"] == [1_700_000_001.0, 1_700_000_002.0]
        assert len(course["consumed_per_second"]) == 2
        unknown = Stream(looks.port, "?pipeline=clicks")
        assert unknown.answer.status == 404
        assert b"there are orders, eu.clicks" in unknown.answer.read()
        for each in (all_, one, later, unknown):
            each.close()


def test_a_taken_port_is_an_error_of_the_call() -> None:
    with listen(0) as taken, pytest.raises(ConfigError, match="in use"):
        listen(taken.getsockname()[1])


def test_what_is_no_number_is_null() -> None:
    assert (
        to_json({"a": float("nan"), "b": [float("inf"), 1.5], 3: None})
        == '{"a":null,"b":[null,1.5],"3":null}'
    )
