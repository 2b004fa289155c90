"""The HTTP application: one request, one statement. Started by `__main__`."""

from __future__ import annotations

import functools
import json
import logging
import os
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import anyio
from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from nrtctl.local.front import access, compression
from nrtctl.local.front.compression import BadBody
from nrtctl.local.front.engine import Engine, EngineError, SessionBusy, run, stream
from nrtctl.local.front.statement import BadRequest, Statement, read_statement

log = logging.getLogger(__name__)

MOST_STATEMENT_BYTES = 16 * 2**20
STATUS = {
    60: 404, 81: 404, 36: 400, 62: 400, 27: 400, 117: 400, 516: 403, 497: 403, 192: 403,
    202: 503, 252: 500, 241: 500, 159: 408, 373: 500,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Limits:
    """What one front takes on at once."""

    max_inserts: int = 4
    max_queries: int = 16
    max_body_bytes: int = 2**30
    wait_seconds: float = 30.0


class Refused(Exception):
    """An answer that the engine was not asked for."""

    def __init__(self, status: int, code: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.code = code


class Front:
    """The state behind the routes."""

    def __init__(self, engine: Engine, *, password: str, host: str, limits: Limits) -> None:
        self._engine = engine
        self._password = password
        self._host = host
        self._limits = limits
        self._inserts = CapacityLimiter(limits.max_inserts)
        self._queries = CapacityLimiter(limits.max_queries)

    def application(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/ping", self._ping),
                Route("/replicas_status", self._ping),
                Route("/", self._root, methods=["GET", "POST"]),
            ]
        )

    async def _ping(self, request: Request) -> Response:
        return PlainTextResponse("Ok.\n")

    async def _root(self, request: Request) -> Response:
        query_id = request.query_params.get("query_id") or str(uuid.uuid4())
        try:
            return await self._answer(request, query_id)
        except Refused as refused:
            text = f"Code: {refused.code}. DB::Exception: {refused}"
            return self._error(text, refused.code, query_id, refused.status)
        except EngineError as error:
            return self._error(str(error), error.code, query_id, STATUS.get(error.code, 500))
        except (BadRequest, BadBody) as error:
            text = f"Code: 36. DB::Exception: {error}. (BAD_ARGUMENTS)"
            return self._error(text, 36, query_id, 400)
        except SessionBusy:
            text = "Code: 373. DB::Exception: Session is locked by a concurrent client. "
            return self._error(text + "(SESSION_IS_LOCKED)", 373, query_id, 500)
        except ClientDisconnect:
            return PlainTextResponse("", 499)

    async def _answer(self, request: Request, query_id: str) -> Response:
        self._check(request)
        if request.method == "GET" and not request.query_params.get("query", "").strip():
            return PlainTextResponse("Ok.\n")
        body = await self._body(request)
        try:
            head = os.pread(body, min(MOST_STATEMENT_BYTES, os.fstat(body).st_size), 0)
            statement = read_statement(dict(request.query_params), head[: 2**20])
            if statement.takes_data:
                return await self._insert(request, query_id, statement, body)
            sql = statement.sql
            if not request.query_params.get("query", "").strip():
                if os.fstat(body).st_size > MOST_STATEMENT_BYTES:
                    raise Refused(413, 62, "the statement is too long. (SYNTAX_ERROR)")
                sql = self._decoded(head)
            elif head.strip():
                sql = f"{sql}\n{self._decoded(head)}"
            if not sql.strip():
                raise Refused(400, 62, "the query is empty. (SYNTAX_ERROR)")
            statement = Statement(
                sql, statement.word, settings=statement.settings, parameters=statement.parameters
            )
        finally:
            os.close(body)
        return await self._query(request, query_id, statement)

    @staticmethod
    def _decoded(data: bytes) -> str:
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise BadRequest("the statement is not UTF-8 text") from error

    def _check(self, request: Request) -> None:
        if not access.host_allowed(request.headers.get("host", ""), self._host):
            raise Refused(403, 497, "the Host header names another server. (ACCESS_DENIED)")
        given = access.credentials(request.headers, request.query_params)
        if not access.allowed(given, self._password):
            raise Refused(
                403,
                516,
                f"{given[0] or 'default'}: Authentication failed: password is incorrect, or there "
                "is no user with such name. (AUTHENTICATION_FAILED)",
            )

    async def _body(self, request: Request) -> int:
        """The request's body, decompressed, in a file of memory; its descriptor."""
        if request.query_params.get("decompress") == "1":
            raise BadRequest("decompress=1 is not served; use Content-Encoding")
        decode = compression.decompressor(request.headers.get("content-encoding", ""))
        descriptor = _memory_file()
        try:
            size = 0
            async for piece in request.stream():
                data = decode(piece) if decode is not None and piece else piece
                size += len(data)
                if size > self._limits.max_body_bytes:
                    raise Refused(413, 307, "the body is too large. (TOO_MANY_BYTES)")
                _write_all(descriptor, data)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    async def _acquire(self, limiter: CapacityLimiter, borrower: object) -> None:
        with anyio.move_on_after(self._limits.wait_seconds) as scope:
            await limiter.acquire_on_behalf_of(borrower)
        if scope.cancelled_caught:
            raise Refused(
                503, 202, "Too many simultaneous queries. (TOO_MANY_SIMULTANEOUS_QUERIES)"
            )

    def _settings(self, request: Request, statement: Statement) -> dict[str, str]:
        settings = dict(statement.settings)
        if request.method == "GET":
            settings.setdefault("readonly", "1")
        return settings

    def _connection(self, request: Request, statement: Statement) -> Any:
        database = request.query_params.get("database") or request.headers.get(
            "x-clickhouse-database", ""
        )
        return self._engine.connection(
            request.query_params.get("session_id", ""),
            database,
            self._settings(request, statement),
        )

    async def _insert(
        self, request: Request, query_id: str, statement: Statement, body: int
    ) -> Response:
        def work() -> Any:
            path = f"/dev/fd/{body}" if statement.data_from == 0 else None
            shorter = None
            if path is None:
                shorter = _from(body, statement.data_from)
                path = f"/dev/fd/{shorter}"
            try:
                with self._connection(request, statement) as connection:
                    return run(
                        connection,
                        f"INSERT INTO {statement.target} FROM INFILE '{path}' COMPRESSION 'none' "
                        f"FORMAT {statement.data_format}",
                    )
            finally:
                if shorter is not None:
                    os.close(shorter)

        if os.fstat(body).st_size == statement.data_from:
            return self._done(query_id, 0, 0)
        borrower = object()
        await self._acquire(self._inserts, borrower)
        try:
            result = await to_thread.run_sync(work)
        finally:
            self._inserts.release_on_behalf_of(borrower)
        return self._done(query_id, result.rows_read(), result.bytes_read())

    def _done(self, query_id: str, rows: int, size: int) -> Response:
        summary = {"read_rows": str(rows), "written_rows": str(rows), "written_bytes": str(size)}
        headers = {**self._headers(query_id), "X-ClickHouse-Summary": json.dumps(summary)}
        return Response(b"", headers=headers)

    async def _query(self, request: Request, query_id: str, statement: Statement) -> Response:
        output = (
            request.query_params.get("default_format")
            or request.headers.get("x-clickhouse-format")
            or "TabSeparated"
        )
        encoding = ""
        if request.query_params.get("enable_http_compression") == "1":
            encoding = compression.choose(request.headers.get("accept-encoding", ""))
        borrower = object()
        await self._acquire(self._queries, borrower)
        open_stack = ExitStack()
        open_stack.callback(self._queries.release_on_behalf_of, borrower)

        def start() -> tuple[bytes | None, Iterator[bytes]]:
            connection = open_stack.enter_context(self._connection(request, statement))
            if statement.streams(output):
                pieces = stream(connection, statement.sql, output, statement.parameters)
                open_stack.callback(pieces.close)  # type: ignore[attr-defined]
                return next(pieces, None), pieces
            result = run(connection, statement.sql, output, statement.parameters)
            return result.bytes(), iter(())

        try:
            first, rest = await to_thread.run_sync(start)
        except BaseException:
            await to_thread.run_sync(open_stack.close)
            raise
        headers = {
            **self._headers(query_id),
            "X-ClickHouse-Format": output,
            "X-ClickHouse-Summary": '{"read_rows":"0","written_rows":"0"}',
        }
        if encoding:
            headers["Content-Encoding"] = encoding
        return StreamingResponse(
            _pieces(first, rest, encoding, open_stack),
            headers=headers,
            media_type="text/plain; charset=UTF-8",
        )

    def _headers(self, query_id: str) -> dict[str, str]:
        return {
            "X-ClickHouse-Query-Id": query_id,
            "X-ClickHouse-Server-Display-Name": "nrtctl",
            "X-ClickHouse-Timezone": self._engine.timezone,
        }

    def _error(self, text: str, code: int, query_id: str, status: int) -> Response:
        if "(version " not in text:
            text = f"{text} (version {self._engine.version})"
        headers = {**self._headers(query_id), "X-ClickHouse-Exception-Code": str(code)}
        return PlainTextResponse(text + "\n", status, headers=headers)


async def _pieces(
    first: bytes | None, rest: Iterator[bytes], encoding: str, opened: ExitStack
) -> AsyncIterator[bytes]:
    """The answer's pieces; an error in the middle is written into it, as ClickHouse does."""

    def plain() -> Iterator[bytes]:
        if first is not None:
            yield first
            try:
                yield from rest
            except EngineError as error:
                yield f"\n__exception__\r\n{error}\r\n".encode()

    source = compression.compressed(plain(), encoding) if encoding else plain()
    try:
        while True:
            piece = await to_thread.run_sync(functools.partial(next, source, None))
            if piece is None:
                return
            if piece:
                yield piece
    finally:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(opened.close)


def _memory_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("body", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _from(descriptor: int, offset: int) -> int:
    """A memory file of what follows `offset`."""
    rest = _memory_file()
    at, size = offset, os.fstat(descriptor).st_size
    while at < size:
        piece = os.pread(descriptor, 2**20, at)
        _write_all(rest, piece)
        at += len(piece)
    return rest
