"""The HTTP application: one request, one statement. Started by `__main__`."""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from nrtctl.local.front import access
from nrtctl.local.front.answer import Found, Pieces, in_thread, unless_gone
from nrtctl.local.front.blocks import BlockDecoder, compressed
from nrtctl.local.front.body import (
    MOST_STATEMENT,
    STORAGE_ERRORS,
    Body,
    DataFile,
    TooLarge,
    receive,
)
from nrtctl.local.front.compression import BadBody, Decoder, choose
from nrtctl.local.front.engine import MOST_HELD_RESULT, Engine, Running
from nrtctl.local.front.errors import EngineError, Refused, status_of, too_many
from nrtctl.local.front.form import read_form
from nrtctl.local.front.formats import as_written, comes_in_pieces, media_type
from nrtctl.local.front.one_node import without_cluster
from nrtctl.local.front.response_headers import chosen_headers, with_chosen
from nrtctl.local.front.results import Result, Results, Told, Wanted
from nrtctl.local.front.sessions import DEFAULT_TIMEOUT, Session, SessionError
from nrtctl.local.front.statement import (
    BadRequest,
    ExternalTable,
    Parameters,
    Shape,
    is_empty,
    is_insert,
    is_on,
    kill_by_mark,
    read_parameters,
    read_shape,
    refuse_calls,
)
from nrtctl.local.serving import from_another_site
from nrtctl.net import hosts

log = logging.getLogger(__name__)

LONGEST_SESSION = 3600.0
READ_AT_ONCE = 2**14
DEFINING = frozenset(
    {"CREATE", "ALTER", "RENAME", "EXCHANGE", "REPLACE", "ATTACH", "DETACH", "DELETE", "UPDATE"}
)
"""How statements begin that write a definition, or a mutation. DROP and TRUNCATE make room."""
"""Bytes of a statement that are read beside other requests; a longer one is read in a thread."""
REPLACED_WITHIN = 5.0
"""Seconds that a statement has to end when another takes its query_id."""
MOST_KNOWN, MOST_KNOWN_BYTES = 256, 2**12
"""How many statements are remembered as they were read, and how long each may be."""
MOST_HEAD = 2**18
"""Bytes in which the statement of an insert ends, where its data come behind it."""

Route = Callable[[Request], Awaitable[ASGIApp]]

_REFUSALS = (Refused, EngineError, BadRequest, BadBody, SessionError, TooLarge, OSError)


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
    sql: bytes
    tables: Sequence[ExternalTable] = ()


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
        self._results = Results(engine, spill_to)
        self._inserts = asyncio.Semaphore(limits.max_inserts)
        self._queries = asyncio.Semaphore(limits.max_queries)
        self._large_bodies = asyncio.Semaphore(limits.max_inserts + 4)
        self._threads = ThreadPoolExecutor(limits.max_inserts + limits.max_queries + 8, "front")
        self._running: set[str] = set()
        self._known = lru_cache(MOST_KNOWN)(partial(read_shape, refused=engine.refused))
        self._routes: dict[str, tuple[Route, frozenset[str]]] = {
            "/": (self._root, frozenset({"GET", "HEAD", "POST"})),
            "/ping": (self._ping, frozenset({"GET", "HEAD"})),
            "/replicas_status": (self._ping, frozenset({"GET", "HEAD"})),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it. A framework's layers between would cost as much as a small statement."""
        request = Request(scope, receive, send)
        answer = await self._routed(request)
        await answer(scope, receive, send)

    async def _routed(self, request: Request) -> ASGIApp:
        route, methods = self._routes.get(request.scope["path"], (None, frozenset()))
        if route is None:
            return PlainTextResponse("Not Found", 404)
        if request.method not in methods:
            allowed = {"Allow": ", ".join(sorted(methods))}
            return PlainTextResponse("Method Not Allowed", 405, allowed)
        return await route(request)

    async def _ping(self, request: Request) -> Response:
        if not self._meant(request):
            return PlainTextResponse("The Host header names another server.\n", 403)
        return PlainTextResponse("Ok.\n")

    async def _root(self, request: Request) -> ASGIApp:
        query_id = request.query_params.get("query_id") or str(uuid.uuid4())
        try:
            self._check(request)
            if request.method in {"GET", "HEAD"} and not request.query_params.get("query"):
                return PlainTextResponse("Ok.\n")
            return await self._answer(request, query_id)
        except ClientDisconnect:
            return PlainTextResponse("", 499)
        except _REFUSALS as error:
            return self._said(error, query_id, request)
        except asyncio.CancelledError:  # the process ends, and has waited long enough
            stopped = Refused(394, "The server is stopped. (QUERY_WAS_CANCELLED)", status=500)
            return self._said(stopped, query_id, request)

    def _said(self, error: Exception, query_id: str, request: Request) -> Response:
        """The answer to a request that failed; clients that asked for blocks open this one, too,
        but where they were not let in."""
        match error:
            case Refused():
                code, text, status = error.code, str(error), error.status
            case TooLarge():
                most = self._limits.max_body_bytes
                text = f"the body is larger than {most} bytes. (TOO_MANY_BYTES)"
                code, status = 307, 413
            case OSError():
                log.warning("%s: %s", query_id, error)
                code = 243 if error.errno in STORAGE_ERRORS else 1001
                name = "NOT_ENOUGH_SPACE" if code == 243 else "STD_EXCEPTION"
                text, status = f"{error.strerror}. ({name})", 500
            case _:
                code = getattr(error, "code", 1002)
                text, status = str(error), status_of(code)
        answer = self._error(code, text, query_id, status)
        if status not in {401, 403} and request.query_params.get("compress") in {"1", "true"}:
            answer.body = compressed(bytes(answer.body))
            answer.headers["content-length"] = str(len(answer.body))
        return answer

    def _meant(self, request: Request) -> bool:
        """Whether the Host header names this server; HTTP/1.0 needs none: no browser speaks it."""
        named = request.headers.getlist("host")
        return hosts.allowed(named, self._host) or (
            not named and request.scope["http_version"] == "1.0"
        )

    def _check(self, request: Request) -> None:
        if not self._meant(request):
            raise Refused(497, "the Host header names another server. (ACCESS_DENIED)")
        if from_another_site(request.headers):
            raise Refused(497, "a web page of another site may not send queries. (ACCESS_DENIED)")
        given = access.credentials(request.headers, request.query_params)
        if given is None or not access.allowed(given, self._password):
            raise _unknown_user(given)

    async def _answer_form(self, request: Request, query_id: str) -> ASGIApp:
        """The answer to a body of several parts."""
        with ExitStack() as held:
            await self._acquire(self._large_bodies, held)
            form = await read_form(request.headers, self._decoded(request))
            held.callback(form.close)
            query = form.parameters(request.query_params)
            text = without_cluster(query.get("query", "").encode())
            shape = await self._read(text)
            if shape.insert is not None:
                raise BadRequest("the data of an insert must be the whole body, not a part of it")
            tables = form.tables(request.query_params, self._engine.refused)
            call = Call(query_id, read_parameters(query), shape, text, tables)
            return await self._query(request, call)

    async def _decoded(self, request: Request) -> AsyncGenerator[bytes, None]:
        """The body's bytes, bounded. Raises TooLarge, BadBody, Refused."""
        encoding = request.headers.get("content-encoding", "").strip().lower()
        decoder = Decoder(encoding) if encoding not in {"", "identity"} else None
        size = came = 0
        async for piece in self._pieces(request):
            came += len(piece)
            for part in decoder.feed(piece) if decoder is not None else (piece,):
                size += len(part)
                if max(came, size) > self._limits.max_body_bytes:
                    raise TooLarge
                yield part
        if decoder is not None:
            decoder.finish()

    async def _answer(self, request: Request, query_id: str) -> ASGIApp:
        if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
            return await self._answer_form(request, query_id)
        parameters = read_parameters(request.query_params)
        in_url = without_cluster(request.query_params.get("query", "").encode())
        shape = await self._read(in_url) if in_url.strip() else None

        def data(head: bytes) -> bytes | None:
            if shape is None and not is_insert(head):
                insert = None
            else:
                insert = (shape or read_shape(head[:MOST_HEAD], self._engine.refused)).insert
            if insert is None and len(head) > MOST_STATEMENT:
                raise BadRequest("the statement is too long", 62, "SYNTAX_ERROR")
            if insert is None:
                return None
            return in_url[insert.data_from :] + head if shape else head[insert.data_from :]

        with ExitStack() as held:
            body = await self._receive(request, parameters, data, held)
            held.callback(body.close)
            if shape is None and body.file is None:
                body.head = without_cluster(body.head)
            text = body.head if shape is None else in_url
            if shape is not None and shape.insert is None and body.head:
                text = in_url + b"\n" + body.head
                shape = None
            found = shape or await self._read(text)
            if not found.word and is_empty(text):
                raise BadRequest("Empty query", 62, "SYNTAX_ERROR")
            if found.insert is not None:
                if body.file is None:
                    body.file = DataFile(self._spill_to)
                    behind = b"" if shape is None else body.head
                    body.file.write(text[found.insert.data_from :] + behind)
                call = Call(query_id, parameters, found, found.insert.reading(body.file.path))
                return await self._insert(request, call, body.file)
        return await self._query(request, Call(query_id, parameters, found, text))

    async def _read(self, text: bytes) -> Shape:
        """Raises BadRequest."""
        if len(text) <= MOST_KNOWN_BYTES:
            return self._known(text)
        if len(text) <= READ_AT_ONCE:
            return read_shape(text, self._engine.refused)
        return await self._in_thread(partial(read_shape, text, self._engine.refused))

    async def _in_thread(self, work: Callable[[], Found]) -> Found:
        return await in_thread(work, self._threads)

    async def _pieces(self, request: Request) -> AsyncIterator[bytes]:
        """The body as it comes. Raises Refused: it does not come."""
        source = request.stream()
        while True:
            try:
                async with asyncio.timeout(self._limits.silence_seconds):
                    piece = await anext(source, b"")
            except TimeoutError:
                text = "the body did not arrive. (SOCKET_TIMEOUT)"
                raise Refused(209, text, status=408) from None
            if not piece:
                return
            yield piece

    async def _receive(
        self,
        request: Request,
        parameters: Parameters,
        data: Callable[[bytes], bytes | None],
        held: ExitStack,
    ) -> Body:
        """The body. A large one needs one of few places, which it keeps as long as `held`."""

        async def place() -> None:
            await self._acquire(self._large_bodies, held)

        encoding = request.headers.get("content-encoding", "").strip().lower()
        return await receive(
            self._pieces(request),
            encoding,
            BlockDecoder(checked=parameters.checked) if parameters.decompress else None,
            most=self._limits.max_body_bytes,
            spill_to=self._spill_to,
            data=data,
            place=place,
        )

    async def _acquire(self, places: asyncio.Semaphore, held: ExitStack) -> None:
        """Take a place until `held` is closed. Raises Refused: none was free in time."""
        try:
            async with asyncio.timeout(self._limits.wait_seconds):
                await places.acquire()
        except TimeoutError:
            raise too_many() from None
        held.callback(places.release)

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
            if not timeout >= 0:
                raise BadRequest("session_timeout is not a number of seconds")
            if timeout > LONGEST_SESSION:
                raise BadRequest(
                    f"Session timeout '{timeout:.0f}' is larger than max_session_timeout: "
                    f"{LONGEST_SESSION:.0f}",
                    374,
                    "INVALID_SESSION_TIMEOUT",
                )
            session = Session(
                name,
                timeout,
                must_exist=is_on(query, "session_check"),
                ends=is_on(query, "close_session"),
            )
            if settings.pop("readonly", "0") not in {"", "0"}:
                self._must_only_read(call.sql)
        database = query.get("database") or request.headers.get("x-clickhouse-database", "")
        return self._engine.connection(session, database, settings, call.query_id, call.tables)

    def _must_only_read(self, sql: bytes) -> None:
        """A session cannot come back from readonly = 1, so there it is checked beforehand."""
        if not self._engine.statements(sql)[1]:
            raise Refused(164, "Cannot execute query in readonly mode. (READONLY)")

    async def _claim(self, call: Call, held: ExitStack) -> None:
        """The query_id belongs to this request until `held` is closed. Raises Refused."""
        name = call.query_id
        if is_on(call.parameters.settings, "replace_running_query"):
            with suppress(TimeoutError):
                async with asyncio.timeout(REPLACED_WITHIN):
                    while name in self._running:
                        await asyncio.to_thread(self._engine.kill, name)
                        await asyncio.sleep(0.05)
        if name in self._running:
            text = f"Query with id = {name} is already running. "
            raise Refused(216, text + "(QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING)")
        self._running.add(name)
        held.callback(self._running.discard, name)

    async def _insert(self, request: Request, call: Call, data: DataFile) -> Response:
        settings = dict(call.parameters.settings)
        if request.method == "GET":
            settings.setdefault("readonly", "2")

        def work() -> Told:
            if call.shape.insert is not None and call.shape.insert.data_format.lower() == "values":
                data.read_by(partial(refuse_calls, refused=self._engine.refused))
            self._engine.need_room()
            with self._connection(request, call, settings) as running:
                told = Told()
                told.add(running.run(call.sql, values=call.parameters.values))
                running.confirm()
                return told

        with ExitStack() as held:
            await self._claim(call, held)
            await self._acquire(self._inserts, held)
            told = await self._in_thread(work)
        return Response(b"", headers=self._headers(call.query_id) | _summary(told))

    def _types(self, request: Request, call: Call) -> list[str]:
        """The types of the columns of a result, on a connection of its own. Raises EngineError."""
        query = request.query_params
        database = query.get("database") or request.headers.get("x-clickhouse-database", "")
        settings = dict(call.parameters.settings)
        described = call.shape.described(call.sql)
        mark = str(uuid.uuid4())
        with self._engine.connection(None, database, settings, mark, call.tables) as running:
            answer = running.run(described, "JSONCompactEachRow", call.parameters.values)
        lines = answer.bytes().decode(errors="replace").split("\n")
        return [json.loads(line)[1] for line in lines if line]

    async def _query(self, request: Request, call: Call) -> ASGIApp:
        settings = dict(call.parameters.settings)
        if request.method != "POST":
            settings.setdefault("readonly", "2")
        query = request.query_params
        default = query.get("default_format") or request.headers.get("x-clickhouse-format")
        output = as_written(call.shape.output_format or default or "TabSeparated")
        accepted = request.headers.get("accept-encoding", "")
        encoding = choose(accepted) if query.get("enable_http_compression") == "1" else ""
        wanted = Wanted(
            sql=kill_by_mark(call.sql) if call.shape.word == "KILL" else call.sql,
            shape=call.shape,
            output=output,
            values=call.parameters.values,
            whole=is_on(query, "wait_end_of_query"),
            revision=call.parameters.revision,
        )
        asked = settings.get("http_response_headers")
        chosen = chosen_headers(asked) if asked else None
        held, place = ExitStack(), ExitStack()

        def types() -> list[str]:
            try:
                return self._types(request, call)
            except (EngineError, SessionError):
                return []

        def start() -> Result:
            reads = call.shape.word in {"SELECT", "WITH"}
            if b";" in wanted.sql.rstrip(b"; \t\r\n") or call.shape.word == "WITH":
                count, only_reads = self._engine.statements(wanted.sql)
                reads = reads and only_reads
                if count > 1:
                    raise Refused(62, "Multi-statements are not allowed. (SYNTAX_ERROR)")
            streams = reads and comes_in_pieces(output, wanted.sql, settings)
            bounded = not streams and "max_result_bytes" not in settings
            if bounded:
                settings["max_result_bytes"] = str(MOST_HELD_RESULT)
            running = held.enter_context(self._connection(request, call, settings))
            if streams:
                return self._results.taken(wanted, running, held, types)
            if call.shape.word == "INSERT":
                self._engine.need_room()
            if call.shape.word in DEFINING:
                self._engine.before_definition()
            again = reads and bounded
            return self._results.run(wanted, running, held, types, again=again)

        def kill() -> None:
            if "log_comment" not in call.parameters.settings:
                self._engine.kill(call.query_id)

        try:
            await self._claim(call, place)
            await self._acquire(self._queries, place)
            result = await unless_gone(request.receive, start, kill, self._threads)
        except BaseException:
            try:
                await self._in_thread(held.close)
            finally:
                place.close()
            raise
        told = result.told
        headers = self._headers(call.query_id) | _summary(told if result.is_whole else Told())
        if result.first or call.shape.gives_rows:
            headers |= {"X-ClickHouse-Format": output}
        headers |= {"Content-Type": media_type(output)}
        if is_on(query, "send_progress_in_http_headers"):
            headers |= {"X-ClickHouse-Progress": _summary(told)["X-ClickHouse-Summary"]}
        if chosen is not None:
            headers = with_chosen(headers, chosen)
        return Pieces(
            result.first, result.rest, headers=headers, encoding=encoding,
            blocks=call.parameters.compress,
            kill=kill, close=held.close, leave=place.close,
            threads=self._threads, silence=self._limits.silence_seconds, spill_to=self._spill_to,
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


def _summary(told: Told) -> dict[str, str]:
    known = {name: str(number) for name, number in asdict(told).items()}
    return {"X-ClickHouse-Summary": json.dumps(known)}
