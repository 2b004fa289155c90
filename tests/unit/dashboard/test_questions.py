"""What pages ask, over the application itself: which pipeline, how often, how many at once."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping
from typing import Any

import pytest

from nrtctl.errors import ConfigError, ConnectError
from nrtctl.stats.past import Range, Series
from nrtctl.view.dashboard import pasts
from nrtctl.view.dashboard.app import make_app
from nrtctl.view.dashboard.board import Board
from nrtctl.view.dashboard.pasts import MOST_SECONDS, Pasts
from nrtctl.view.dashboard.questions import (
    AT_ONCE,
    MOST_BODY,
    WAITING,
    WHERE_IT_IS,
    Question,
)
from nrtctl.view.dashboard.token import Token


async def ask(app: Any, path: str, *headers: str, body: bytes | None = None) -> tuple[int, Any]:
    """Status, and the JSON of the answer or its text. Args: headers: of Authorization."""
    path, _, query = path.partition("?")
    scope = {
        "type": "http", "method": "GET" if body is None else "POST", "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(), "root_path": "",
        "headers": [(b"host", b"localhost"), *((b"authorization", h.encode()) for h in headers)],
        "scheme": "http", "server": ("localhost", 1), "http_version": "1.1",
    }  # fmt: skip
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body or b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    answer = b"".join(each.get("body", b"") for each in sent)
    try:
        return sent[0]["status"], json.loads(answer)
    except ValueError:
        return sent[0]["status"], answer.decode()


def answers(pipeline: str, asked: Mapping[str, str]) -> Any:
    if asked.get("error") == "call":
        raise ConfigError("no such thing", hint="another one")
    if asked.get("error") == "service":
        raise ConnectError("ClickHouse does not answer", hint="`nrtctl up`")
    return {"pipeline": pipeline, "asked": dict(asked), "nan": float("nan")}


def test_a_question_is_about_one_pipeline_and_says_what_is_wrong() -> None:
    async def run() -> None:
        board = Board(asyncio.get_running_loop(), ["orders", "clicks"])
        app = make_app(board, {"it": Question(answers)})
        assert await ask(app, "/it.json?pipeline=clicks&n=1") == (
            200, {"pipeline": "clicks", "asked": {"pipeline": "clicks", "n": "1"}, "nan": None},
        )  # fmt: skip
        status, found = await ask(app, "/it.json")
        assert (status, found["hint"]) == (400, "one of orders, clicks")
        assert (await ask(app, "/it.json?pipeline=x"))[0] == 404
        assert await ask(app, "/it.json?pipeline=orders&error=call") == (
            400, {"error": "no such thing", "hint": "another one"},
        )  # fmt: skip
        assert await ask(app, "/it.json?pipeline=orders&error=service") == (
            503, {"error": "ClickHouse does not answer", "hint": "`nrtctl up`"},
        )  # fmt: skip

        app = make_app(board, {"it": Question(answers, of_all=True)})
        assert (await ask(app, "/it.json"))[1]["pipeline"] == ""

    asyncio.run(run())


def test_a_guarded_question_wants_the_token_once_and_as_it_is() -> None:
    async def run() -> None:
        board, token = Board(asyncio.get_running_loop()), Token()
        guarded = {"it": Question(answers, guarded=True)}
        app = make_app(board, guarded, token)
        right = f"Bearer {token.text}"
        assert (await ask(app, "/it.json", right))[0] == 200
        assert (await ask(app, "/it.json", f"bearer {token.text}"))[0] == 200
        for given in ((), ("",), (token.text,), (right, right), (right[:-1],), (f"{right}x",)):
            status, found = await ask(app, "/it.json", *given)
            assert (status, found["hint"]) == (401, WHERE_IT_IS)
        assert (await ask(make_app(board, guarded), "/it.json", right))[0] == 401
        assert Token().text != token.text

    asyncio.run(run())


def test_what_is_sent_is_text_and_not_too_long() -> None:
    async def run() -> None:
        board = Board(asyncio.get_running_loop())
        app = make_app(board, {"it": Question(answers, takes_body=True)})
        status, found = await ask(app, "/it.json", body="SELECT 'ä'".encode())
        assert (status, found["asked"]) == (200, {"body": "SELECT 'ä'"})
        assert (await ask(app, "/it.json", body=b"x" * (MOST_BODY + 1)))[0] == 400
        assert (await ask(app, "/it.json", body=b"\xff"))[0] == 400
        assert (await ask(app, "/it.json"))[0] == 405

    asyncio.run(run())


def test_a_few_questions_run_at_once_and_too_many_are_refused() -> None:
    go, running = threading.Semaphore(0), threading.Semaphore(0)

    def waits(_pipeline: str, _asked: Mapping[str, str]) -> Any:
        running.release()
        go.acquire()
        return {}

    async def run() -> None:
        app = make_app(Board(asyncio.get_running_loop()), {"it": Question(waits)})
        asked = [asyncio.create_task(ask(app, "/it.json")) for _ in range(AT_ONCE + WAITING)]
        for _ in range(AT_ONCE):
            await asyncio.to_thread(running.acquire)
        assert not running.acquire(blocking=False)
        assert (await ask(app, "/it.json"))[0] == 503
        for _ in asked:
            go.release()
        assert [status for status, _ in await asyncio.gather(*asked)] == [200] * len(asked)

    asyncio.run(run())


def test_what_is_asked_when_the_dashboard_ends_is_no_error_of_ours() -> None:
    async def run() -> None:
        running, go = threading.Event(), threading.Event()

        def waits(pipeline: str, asked: Mapping[str, str]) -> None:
            running.set()
            go.wait()

        app = make_app(Board(asyncio.get_running_loop()), {"it": Question(waits)})
        asked = asyncio.create_task(ask(app, "/it.json"))
        await asyncio.to_thread(running.wait)
        asked.cancel()
        assert await asked == (503, {"error": "the dashboard was ended", "hint": None})
        go.set()

    asyncio.run(run())


def test_a_range_is_asked_for_once_a_step_and_what_was_watched_is_added() -> None:
    now, asked = [1000.0], []

    def look_back(pipeline: str, range_: Range) -> dict[str, Any]:
        asked.append((pipeline, range_.seconds))
        series = {"time": [10, 15], "p50": [1, 2], "lag_records": [4, 0]}
        return {"step_seconds": 5, "series": series, "reasons": {}}

    looks: dict[str, Series] = {"time": [12.0], "parts": [3], "lag_records": [900]}
    counted = Pasts(look_back, lambda name: looks, now=lambda: now[0])
    first = counted("a", {"range": "5m"})
    assert first["series"] == {
        "time": [10, 15], "p50": [1, 2], "lag_records": [4, 900], "parts": [None, 3],
    }  # fmt: skip
    now[0] += 4.9
    assert counted("a", {"range": "5m"}) == first
    assert asked == [("a", 300)]
    now[0] += 0.1
    counted("a", {"range": "5m"})
    counted("b", {"range": "1h"})
    assert asked == [("a", 300), ("a", 300), ("b", 3600)]
    for wrong in ({}, {"range": "7m"}):
        with pytest.raises(ConfigError) as caught:
            counted("a", wrong)
        assert caught.value.hint == "one of 5m, 15m, 1h, 6h, 24h"


def test_a_range_of_all_pipelines_is_told_in_time_and_names_those_that_fail(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pasts, "AT_ONCE", 1)
    now, asked, slow = [1000.0], list[str](), [0.0]

    def look_back(pipeline: str, range_: Range) -> dict[str, Any]:
        asked.append(pipeline)
        now[0] += slow[0]
        if pipeline == "gone":
            raise ConnectError("no such table")
        series = {"time": [5, 10], "p99": [len(asked), 2], "batches_per_second": [1, 1]}
        return {"step_seconds": 5, "series": series, "reasons": {"wrong type": [1, 1]}}

    names = ["a", "gone", "b", "c"]
    watched: dict[str, Series] = {"time": [9.0], "parts": [3.0], "lag_seconds": [4.0]}
    known = Pasts(look_back, lambda name: watched, names, now=lambda: now[0])
    found = known.of_all("", {"range": "5m"})
    assert (sorted(asked), found["step_seconds"]) == (sorted(names), 5)
    assert found["errors"] == {"gone": "no such table"}
    assert sorted(found["pipelines"]) == ["a", "b", "c"]
    assert all(
        each.keys() == {"time", "p99", "lag_seconds"} for each in found["pipelines"].values()
    )
    slow[0], now[0] = MOST_SECONDS, now[0] + 5
    asked.clear()
    assert sorted(known.of_all("", {"range": "5m"})["pipelines"]) == ["a", "b", "c"]
    assert asked == ["gone"]
    fresh = Pasts(look_back, lambda name: watched, ["a", "b", "c"], now=lambda: now[0])
    found = fresh.of_all("", {"range": "5m"})
    assert ([*found["pipelines"]], [*found["errors"]]) == (["a"], ["b", "c"])
    assert all("not counted in time" in each for each in found["errors"].values())
    with pytest.raises(ConfigError):
        known.of_all("", {"range": "1y"})
