"""The HTTP application: one request, one statement. Started by `__main__`."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from nrtctl import hosts
from nrtctl.local.front import access
from nrtctl.local.front.answer import Pieces, unless_gone
from nrtctl.local.front.body import STORAGE_ERRORS, Body, DataFile, TooLarge, receive
from nrtctl.local.front.compression import BadBody, choose
from nrtctl.local.front.engine import MOST_HELD_RESULT, Engine, Running
from nrtctl.local.front.errors import EngineError, Refused, status_of, too_many
from nrtctl.local.front.formats import HEAD_LINES, media_type
from nrtctl.local.front.sessions import DEFAULT_TIMEOUT, Session, SessionError
from nrtctl.local.front.statement import (
    BadRequest,
    Parameters,
    Shape,
    decoded,
    kill_by_mark,
    read_parameters,
    read_shape,
    refuse_calls,
)

log = logging.getLogger(__name__)

LONGEST_SESSION = 3600.0
READ_AT_ONCE = 2**14
"""Bytes of a statement that are read beside other requests; a longer one is read in a thread."""
MOST_HEAD = 2**18
"""Bytes in which the statement of an insert ends, where its data come behind it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one front takes on at once; seconds and bytes."""

    max_inserts: int = 4
    max_queries: int = 16
    max_body_bytes: int = 2**30
    wait_seconds: float = 30.0
    silence_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Call:
    """What a request asks of the engine."""

    query_id: str
    parameters: Parameters
    shape: Shape
    sql: str


class Front:
    """The state behind the routes.

    Args:
        spill_to: an existing directory on disk for large bodies.
    """

    def __init__(
        self, engine: Engine, *, password: str, host: str, limits: Limits, spill_to: Path
    ) -> None:
        self._engine = engine
        self._password = password
        self._host = host
        self._limits = limits
        self._spill_to = spill_to
        self._inserts = CapacityLimiter(limits.max_inserts)
        self._queries = CapacityLimiter(limits.max_queries)
        self._large_bodies = CapacityLimiter(limits.max_inserts + 4)
        self._threads = CapacityLimiter(limits.max_inserts + limits.max_queries + 8)
        self._running: set[str] = set()

    def application(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/ping", self._ping),
                Route("/replicas_status", self._ping),
                Route("/", self._root, methods=["GET", "POST"]),
            ]
        )

    async def _ping(self, request: Request) -> Response:
        if not hosts.allowed(request.headers.getlist("host"), self._host):
            return PlainTextResponse("The Host header names another server.\n", 403)
        return PlainTextResponse("Ok.\n")

    async def _root(self, request: Request) -> ASGIApp:
        query_id = request.query_params.get("query_id") or str(uuid.uuid4())
        try:
            self._check(request)
            if request.method in {"GET", "HEAD"} and not request.query_params.get("query"):
                return PlainTextResponse("Ok.\n")
            return await self._answer(request, query_id)
        except Refused as refused:
            return self._error(refused.code, str(refused), query_id, refused.status)
        except (EngineError, BadRequest, BadBody, SessionError) as error:
            return self._error(error.code, str(error), query_id, status_of(error.code))
        except TooLarge:
            most = self._limits.max_body_bytes
            text = f"the body is larger than {most} bytes. (TOO_MANY_BYTES)"
            return self._error(307, text, query_id, 413)
        except ClientDisconnect:
            return PlainTextResponse("", 499)
        except OSError as error:
            log.warning("%s: %s", query_id, error)
            code = 243 if error.errno in STORAGE_ERRORS else 1001
            name = "NOT_ENOUGH_SPACE" if code == 243 else "STD_EXCEPTION"
            return self._error(code, f"{error.strerror}. ({name})", query_id, 500)

    def _check(self, request: Request) -> None:
        if not hosts.allowed(request.headers.getlist("host"), self._host):
            raise Refused(497, "the Host header names another server. (ACCESS_DENIED)")
        if access.from_another_site(request.headers):
            raise Refused(497, "a web page of another site may not ask. (ACCESS_DENIED)")
        given = access.credentials(request.headers, request.query_params)
        if given is None or not access.allowed(given, self._password):
            raise _unknown_user(given)

    async def _answer(self, request: Request, query_id: str) -> ASGIApp:
        parameters = read_parameters(request.query_params)
        in_url = request.query_params.get("query", "").encode()
        shape = await self._read(in_url) if in_url.strip() else None

        def data(head: bytes) -> bytes:
            insert = (shape or read_shape(head[:MOST_HEAD], self._engine.refused)).insert
            if insert is None:
                raise BadRequest("the statement is too long", 62, "SYNTAX_ERROR")
            return in_url[insert.data_from :] + head if shape else head[insert.data_from :]

        with ExitStack() as held:
            body = await self._receive(request, data, held)
            held.callback(body.close)
            found = shape or await self._read(body.head)
            if found.insert is not None:
                if body.file is None:
                    body.file = DataFile(self._spill_to)
                    body.file.write(data(body.head))
                call = Call(query_id, parameters, found, found.insert.reading(body.file.path))
                return await self._insert(request, call, body.file)
            text = body.head
            if shape is not None and body.head:
                text = in_url + b"\n" + body.head
                found = await self._read(text)
            elif shape is not None:
                text = in_url
        return await self._query(request, Call(query_id, parameters, found, decoded(text)))

    async def _read(self, text: bytes) -> Shape:
        """Raises BadRequest."""
        if len(text) <= READ_AT_ONCE:
            return read_shape(text, self._engine.refused)
        return await to_thread.run_sync(
            read_shape, text, self._engine.refused, limiter=self._threads
        )

    async def _receive(
        self, request: Request, data: Callable[[bytes], bytes], held: ExitStack
    ) -> Body:
        """The body. A large one needs one of few places, which it keeps as long as `held`."""

        async def pieces() -> AsyncIterator[bytes]:
            source = request.stream()
            while True:
                with anyio.move_on_after(self._limits.silence_seconds) as scope:
                    piece = await anext(source, b"")
                if scope.cancelled_caught:
                    raise Refused(209, "the body does not come. (SOCKET_TIMEOUT)", status=408)
                if not piece:
                    return
                yield piece

        async def place() -> None:
            await self._acquire(self._large_bodies, held)

        encoding = request.headers.get("content-encoding", "").strip().lower()
        return await receive(
            pieces(),
            encoding,
            most=self._limits.max_body_bytes,
            spill_to=self._spill_to,
            data=data,
            place=place,
        )

    async def _acquire(self, limiter: CapacityLimiter, held: ExitStack) -> None:
        """Take a place until `held` is closed. Raises Refused: none was free in time."""
        borrower = object()
        with anyio.move_on_after(self._limits.wait_seconds) as scope:
            await limiter.acquire_on_behalf_of(borrower)
        if scope.cancelled_caught:
            raise too_many()
        held.callback(limiter.release_on_behalf_of, borrower)

    def _connection(
        self, request: Request, call: Call, settings: dict[str, str]
    ) -> AbstractContextManager[Running]:
        query = request.query_params
        session = None
        if name := query.get("session_id"):
            try:
                timeout = float(query.get("session_timeout") or DEFAULT_TIMEOUT)
            except ValueError:
                raise BadRequest("session_timeout is not a number") from None
            timeout = min(timeout, LONGEST_SESSION)
            session = Session(name, timeout, query.get("session_check") == "1")
            if settings.pop("readonly", "0") not in {"", "0"}:
                self._must_only_read(call.sql)
        database = query.get("database") or request.headers.get("x-clickhouse-database", "")
        return self._engine.connection(session, database, settings, call.query_id)

    def _must_only_read(self, sql: str) -> None:
        """A session cannot come back from readonly = 1, so there it is checked beforehand."""
        if not self._engine.statements(sql)[1]:
            raise Refused(164, "Cannot execute query in readonly mode. (READONLY)")

    def _claim(self, query_id: str, held: ExitStack) -> None:
        """The query_id belongs to this request until `held` is closed."""
        if query_id in self._running:
            text = f"Query with id = {query_id} is already running. "
            raise Refused(216, text + "(QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING)")
        self._running.add(query_id)
        held.callback(self._running.discard, query_id)

    async def _insert(self, request: Request, call: Call, data: DataFile) -> Response:
        settings = dict(call.parameters.settings)
        if request.method == "GET":
            settings.setdefault("readonly", "2")

        def work() -> Any:
            if call.shape.insert is not None and call.shape.insert.data_format.lower() == "values":
                data.read_by(partial(refuse_calls, refused=self._engine.refused))
            self._engine.need_room()
            with self._connection(request, call, settings) as running:
                result = running.run(call.sql, values=call.parameters.values)
                running.confirm()
                return result

        with ExitStack() as held:
            self._claim(call.query_id, held)
            await self._acquire(self._inserts, held)
            result = await to_thread.run_sync(work, limiter=self._threads)
        return Response(b"", headers=self._headers(call.query_id) | _summary(result))

    async def _query(self, request: Request, call: Call) -> ASGIApp:
        settings = dict(call.parameters.settings)
        if request.method != "POST":
            settings.setdefault("readonly", "2")
        query = request.query_params
        default = query.get("default_format") or request.headers.get("x-clickhouse-format")
        output = call.shape.output_format or default or "TabSeparated"
        accepted = request.headers.get("accept-encoding", "")
        encoding = choose(accepted) if query.get("enable_http_compression") == "1" else ""
        sql = kill_by_mark(call.sql) if call.shape.word == "KILL" else call.sql
        held = ExitStack()

        def start() -> tuple[bytes, Iterator[bytes], Any]:
            streams = call.shape.word in {"SELECT", "WITH"} and output in HEAD_LINES
            streams = streams and query.get("wait_end_of_query", "0") in {"", "0"}
            if b";" in sql.encode().rstrip(b"; \t\r\n") or call.shape.word == "WITH":
                count, reads = self._engine.statements(sql)
                streams = streams and reads
                if count > 1:
                    raise Refused(62, "Multi-statements are not allowed. (SYNTAX_ERROR)")
            if not streams:
                settings.setdefault("max_result_bytes", str(MOST_HELD_RESULT))
            running = held.enter_context(self._connection(request, call, settings))
            if not streams:
                if call.shape.word == "INSERT":
                    self._engine.need_room()
                result = running.run(sql, output, call.parameters.values)
                running.confirm()
                return bytes(result.bytes()), iter(()), result
            pieces = running.stream(sql, output, call.parameters.values)
            held.callback(pieces.close)  # type: ignore[attr-defined]
            first = next(pieces, b"")
            running.confirm()
            return first, pieces, None

        def kill() -> None:
            if "log_comment" not in call.parameters.settings:
                self._engine.kill(call.query_id)

        try:
            self._claim(call.query_id, held)
            await self._acquire(self._queries, held)
            first, pieces, result = await unless_gone(request.receive, start, kill, self._threads)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(held.close, limiter=self._threads)
            raise
        headers = self._headers(call.query_id) | _summary(result)
        headers |= {"X-ClickHouse-Format": output, "Content-Type": media_type(output)}
        return Pieces(
            first, pieces, headers=headers, encoding=encoding, kill=kill, close=held.close,
            limiter=self._threads, silence=self._limits.silence_seconds,
        )  # fmt: skip

    def _headers(self, query_id: str) -> dict[str, str]:
        return {
            "X-ClickHouse-Query-Id": _printable(query_id),
            "X-ClickHouse-Server-Display-Name": "nrtctl",
            "X-ClickHouse-Timezone": self._engine.timezone,
        }

    def _error(self, code: int, text: str, query_id: str, status: int) -> Response:
        if not text.startswith("Code:"):
            text = f"Code: {code}. DB::Exception: {text}"
        if "(version " not in text:
            text = f"{text} (version {self._engine.version})"
        headers = {**self._headers(query_id), "X-ClickHouse-Exception-Code": str(code)}
        if status == 401:
            headers["WWW-Authenticate"] = 'Basic realm="ClickHouse server HTTP API"'
        return PlainTextResponse(text + "\n", status, headers=headers)


def _unknown_user(given: tuple[bytes, bytes] | None) -> Refused:
    """403 as ClickHouse says it; 401 for what can be no user and password of an HTTP client."""
    user, key = given or (b"", b"")
    name = user.decode(errors="replace") or "default"
    readable = given is not None and user.isascii() and key.isascii()
    return Refused(
        516,
        f"{name}: Authentication failed: password is incorrect, or there "
        "is no user with such name. (AUTHENTICATION_FAILED)",
        status=403 if readable else 401,
    )


def _printable(text: str) -> str:
    return "".join(c if " " <= c <= "~" else "?" for c in text)


def _summary(result: Any) -> dict[str, str]:
    """X-ClickHouse-Summary; of an answer that is still being made there is nothing to say."""
    known = {
        "read_rows": 0 if result is None else result.storage_rows_read() or result.rows_read(),
        "read_bytes": 0 if result is None else result.storage_bytes_read() or result.bytes_read(),
        "written_rows": 0 if result is None else result.rows_written(),
        "written_bytes": 0 if result is None else result.bytes_written(),
        "result_rows": 0 if result is None else result.rows_read(),
        "elapsed_ns": 0 if result is None else round(result.elapsed() * 1e9),
    }
    return {"X-ClickHouse-Summary": json.dumps({name: str(n) for name, n in known.items()})}
