"""The dashboard's HTTP: pages and their files, the newest snapshots, server-sent events, and what
else a page asks.

Of several pipelines they are about all; with `?pipeline=NAME`, about one in depth.

GET and HEAD only read; POST is for a statement that only reads, and for one dead letter that is
mended. What shows data or changes it wants the token (`token`), in a header that no page of another
site can send. The Host header must name loopback, so that a page of another site whose name was
pointed here (DNS rebinding) reads nothing; the policy below lets the page ask nobody but this
server. Run by `serve`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files

from starlette.applications import Starlette
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nrtctl.net.hosts import names_loopback
from nrtctl.view.dashboard.board import Board, to_json
from nrtctl.view.dashboard.questions import WHERE_IT_IS, Asking, Question, refused
from nrtctl.view.dashboard.token import Token

MOST_STREAMS = 32
HEARTBEAT = 15.0
"""Seconds of silence after which a comment is sent: each side learns that the other is there."""

PATIENCE = 30.0
"""Seconds that a browser may take nothing before its stream is ended."""

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
PAGES = {"/": "numbers", "/letters": "letters", "/messages": "messages", "/sql": "sql"}
"""Address to the files of a page: its part of the frame, and its script."""

FILES = (
    "dashboard.css", "icon.svg", "uplot/uPlot.min.css", "uplot/uPlot.iife.min.js",
    "charts.js", "columns.js", "detail.js", "fixes.js", "frame.js", "letters.js", "marks.js",
    "messages.js", "numbers.js", "overview.js", "parts.js", "ranges.js", "sql.js", "words.js",
)  # fmt: skip
KINDS = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


def make_app(
    board: Board,
    questions: Mapping[str, Question] | None = None,
    token: Token | None = None,
    *,
    most_streams: int = MOST_STREAMS,
) -> ASGIApp:
    """The application of one board.

    Args:
        questions: by name; NAME is answered at /NAME.json.
        token: what a guarded question has to come with; None: nobody may ask one.
    """
    frame = _content("frame.html").decode()
    routes: list[BaseRoute] = [
        Route(path, _sends(_page(frame, name), "text/html"), methods=["GET"])
        for path, name in PAGES.items()
    ]
    routes += [
        Route(f"/{name}", _sends(_content(name), KINDS[name.rpartition(".")[2]]), methods=["GET"])
        for name in FILES
    ]

    async def snapshot(request: Request) -> Response:
        try:
            name = chosen(board, request.scope)
        except KeyError as error:
            return _unknown(board, error)
        if not board.number:
            return PlainTextResponse(
                "The first numbers are not there yet.\n", 503, {"retry-after": "1"}
            )
        return Response(board.newest(name), media_type="application/json")

    streams = _Streams(board, most_streams)
    routes.append(Route("/snapshot.json", snapshot, methods=["GET"]))
    routes.append(Route("/events", streams, methods=["GET"]))
    names = Response(to_json(board.names), media_type="application/json")
    routes.append(Route("/pipelines.json", lambda _: names, methods=["GET"]))
    asking = Asking()
    for name, question in (questions or {}).items():
        answer = _answers(board, asking, question, token)
        methods = ["POST" if question.takes_body else "GET"]
        routes.append(Route(f"/{name}.json", answer, methods=methods))
    return _Guard(Starlette(routes=routes))


def _answers(
    board: Board, asking: Asking, question: Question, token: Token | None
) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        if question.guarded and (token is None or not token.is_in(request.scope["headers"])):
            return refused(401, "the token is missing, or an old one", WHERE_IT_IS)
        try:
            name = chosen(board, request.scope)
        except KeyError as error:
            return _unknown(board, error)
        if name is None and not question.of_all:
            return refused(400, "choose a pipeline", f"one of {', '.join(board.names)}")
        return await asking.answer(question, name or "", request)

    return answer


def chosen(board: Board, scope: Scope) -> str | None:
    """The pipeline that is meant; None: all of several.

    Raises:
        KeyError: there is none of that name.
    """
    given = QueryParams(scope["query_string"]).get("pipeline")
    if given is None:
        return None if len(board.names) > 1 else board.names[0]
    if given not in board.names:
        raise KeyError(given)
    return given


def _unknown(board: Board, error: KeyError) -> Response:
    known = ", ".join(board.names)
    text = f"There is no pipeline {error.args[0]!r}; there are {known}.\n"
    return PlainTextResponse(text, 404)


def _content(name: str) -> bytes:
    return (files("nrtctl.view.dashboard") / "page").joinpath(*name.split("/")).read_bytes()


def _page(frame: str, name: str) -> bytes:
    main = _content(f"{name}.html").decode().rstrip("\n")
    return frame.replace("/PAGE.js", f"/{name}.js").replace("MAIN", main).encode()


def _sends(content: bytes, kind: str) -> Callable[[Request], Response]:
    def answer(_request: Request) -> Response:
        return Response(content, media_type=kind)

    return answer


class _Guard:
    """Refuses other names in Host, and puts the headers on every answer."""

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message.get("headers", ()),
                    *((name.encode(), value.encode()) for name, value in HEADERS.items()),
                ]
            await send(message)

        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or not names_loopback(hosts[0].decode("latin-1")):
            refusal = PlainTextResponse("Open this page under the name localhost.\n", 421)
            await refusal(scope, receive, with_headers)
            return
        await self._inner(scope, receive, with_headers)


class _Streams:
    """Server-sent events: first `course`, then a `point` of it and a `snapshot` at each look; of
    several pipelines `courses`, then each `overview`."""

    def __init__(self, board: Board, most: int) -> None:
        self._board = board
        self._most = most
        self._open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            name = chosen(self._board, scope)
        except KeyError as error:
            await _unknown(self._board, error)(scope, receive, send)
            return
        if self._open >= self._most:
            text = f"{self._most} pages are open already.\n"
            full = PlainTextResponse(text, 503, {"retry-after": "5"})
            await full(scope, receive, send)
            return
        self._open += 1
        stream = asyncio.create_task(self._stream(send, name))
        gone = asyncio.create_task(_disconnected(receive))
        try:
            await asyncio.wait({stream, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._open -= 1
            for task in (stream, gone):
                task.cancel()
            await asyncio.gather(stream, gone, return_exceptions=True)

    async def _stream(self, send: Send, name: str | None) -> None:
        async def put(message: Message) -> None:
            async with asyncio.timeout(PATIENCE):
                await send(message)

        kind = [(b"content-type", b"text/event-stream; charset=utf-8")]
        await put({"type": "http.response.start", "status": 200, "headers": kind})
        number = self._board.number
        await put(_body(self._first(name)))
        if number:
            await put(_body(self._next(name)))
        while (newer := await self._board.after(number, HEARTBEAT)) is not None:
            text = ":\n\n" if newer == number else self._next(name)
            number = newer
            await put(_body(text))
        await put({"type": "http.response.body", "body": b"", "more_body": False})

    def _first(self, name: str | None) -> str:
        if name is None:
            return _event("courses", self._board.courses())
        return _event("course", self._board.course(name))

    def _next(self, name: str | None) -> str:
        if name is None:
            return _event("overview", self._board.rows())
        snapshot = _event("snapshot", self._board.newest(name))
        return _event("point", self._board.point(name)) + snapshot


def _event(name: str, data: str) -> str:
    return f"event: {name}\ndata: {data}\n\n"


def _body(text: str) -> Message:
    return {"type": "http.response.body", "body": text.encode(), "more_body": True}


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
