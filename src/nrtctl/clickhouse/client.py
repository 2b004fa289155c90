"""ClickHouse over HTTP: the only importer of clickhouse_connect.

Everything else takes a `ClickHouseClient`, and sees the errors of `nrtctl.errors` or `QueryError`.
"""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import clickhouse_connect
import urllib3
from clickhouse_connect.driver import httputil
from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError
from urllib3.exceptions import HTTPError, InsecureRequestWarning

from nrtctl.clickhouse.answers import plain, unbroken
from nrtctl.clickhouse.between import Asked
from nrtctl.clickhouse.error_codes import ADVICE, Cause, explain, failed
from nrtctl.clickhouse.failures import AccessRefused as AccessRefused
from nrtctl.clickhouse.failures import ClickHouseGone as ClickHouseGone
from nrtctl.clickhouse.queries import Rows, pieces_of
from nrtctl.clickhouse.refusals import NAMES, grant, missing_right, no_connection, tls_files
from nrtctl.clock.notices import if_it_lasts
from nrtctl.config.servers import ClickHouse
from nrtctl.errors import QueryError as QueryError
from nrtctl.net import tls
from nrtctl.net.proxies import Proxy, proxy_for

logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())
clickhouse_connect.common.set_setting("max_error_size", 2**16)
"""Characters: the end of an error names the view that failed."""

READ_BYTES = 2**18
CHANGED = "; a password that has changed is read when this command is started again"
SENT_TOGETHER = 2**16
"""Bytes of an insert below which its pieces are joined."""
USER_FIRST = frozenset({"max_partitions_per_insert_block"})
"""Settings of an insert for which `clickhouse.settings` goes before what nrtctl sends."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The rows of a SELECT, and what the server says it took: rows read, seconds."""

    columns: Sequence[str]
    rows: list[tuple[Any, ...]]
    read_rows: int
    seconds: float


class ClickHouseClient:
    """One HTTP client. It has no session, so several threads may use it at once."""

    def __init__(
        self, settings: ClickHouse, *, url: str, password: str | None, database: str | None = None
    ) -> None:
        self._settings = settings
        self.url = url
        self.database = settings.database
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        if secure:
            tls.check(tls_files(settings), NAMES)
        proxy = proxy_for(url, os.environ)
        if secure and not settings.verify:
            _accept_unverified(url, *([] if proxy is None else [proxy.url]))
        self._translated = Translated(url, settings, proxy)
        self._pool = _pool(settings, proxy, secure=secure)
        self._asked = Asked(self._pool, url, through=proxy is not None)
        most = max(settings.connect_timeout, settings.request_timeout)
        waited = f"waiting for ClickHouse at {url} for up to {most:g} s"
        with self._translated, if_it_lasts(lambda: f"{waited}: it does not answer yet"):
            self._client = clickhouse_connect.get_client(
                host=parts.hostname,
                port=parts.port or (8443 if secure else 8123),
                interface=parts.scheme,
                username=settings.username,
                password=password or "",
                database=database or "default",
                connect_timeout=max(1, round(settings.connect_timeout)),
                send_receive_timeout=max(1, round(settings.request_timeout)),
                autogenerate_session_id=False,
                pool_mgr=self._asked,
                client_cert=str(settings.client_certificate)
                if settings.client_certificate
                else None,
                tls_mode="strict" if password else "mutual",
                compress=False,
                query_retries=0,
                client_name="nrtctl",
                settings=dict(settings.settings),
            )
        self._translated.connected = True

    @property
    def server_version(self) -> str:
        return str(self._client.server_version)

    def query(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> list[tuple[Any, ...]]:
        """The rows of a SELECT.

        Raises:
            QueryError, AccessRefused, ClickHouseGone
        """
        return self.query_named(sql, parameters, settings)[1]

    def ask(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> Answer:
        """The rows of a SELECT with what it cost; raises as `query` does.

        What clickhouse-connect takes for a command has no row, or one if it answers, as CHECK does:
        clickhouse-connect gives a row of what it cost, or fields without names.
        """
        with self._translated:
            context = self._client.create_query_context(
                query=sql, parameters=dict(parameters or {}), settings=dict(settings or {})
            )
            result = self._client.query(context=context)
            columns: Sequence[str] = result.column_names
            rows = [tuple(row) for row in result.result_rows]
            if context.is_command:
                texts = [] if columns else ["\t".join(map(str, row)) for row in rows]
                rows = [(text,) for text in texts if text]
                columns = ("result",)
            return Answer(
                columns=columns,
                rows=rows,
                read_rows=int(result.summary.get("read_rows", 0)),
                seconds=int(result.summary.get("elapsed_ns", 0)) / 1e9,
            )

    def query_named(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> tuple[Sequence[str], list[tuple[Any, ...]]]:
        """Column names and rows of a SELECT."""
        answer = self.ask(sql, parameters, settings)
        return answer.columns, answer.rows

    def stream(
        self,
        sql: str,
        format: str,
        *,
        settings: Mapping[str, Any] | None = None,
        query_id: str | None = None,
    ) -> Iterator[bytes]:
        """What a statement answers, in blocks of whole lines, as they arrive.

        Args:
            format: one whose lines are JSON; a FORMAT within the statement goes before it, and
                then the answer comes as the server sends it, behind an empty block. Nothing comes
                of a statement that answers nothing.

        Raises:
            QueryError: also in the middle, where the server fails there.
        """
        given = {**(settings or {}), **({} if query_id is None else {"query_id": query_id})}
        with self._translated:
            response: Any = self._client.raw_stream(
                sql, settings=given, transport_settings={"X-ClickHouse-Format": format}
            )
            try:
                tag = response.headers.get("X-ClickHouse-Exception-Tag", "")
                ours = response.headers.get("X-ClickHouse-Format", format) == format
                pieces = iter(lambda: response.read(READ_BYTES), b"")
                if not ours:
                    yield b""
                yield from unbroken(pieces, tag.encode()) if ours else pieces
            finally:
                response.close()

    def cancel(self, query_id: str) -> None:
        """Ask the server to stop a query; does not wait for it."""
        with self._translated:
            self._client.command(
                "KILL QUERY WHERE query_id = {id:String} ASYNC", parameters={"id": query_id}
            )

    def command(self, sql: str, settings: Mapping[str, Any] | None = None) -> Any:
        """Run a statement that returns nothing, or one value."""
        with self._translated:
            return self._client.command(sql, settings=dict(settings or {}))

    def insert(
        self, table: str, columns: Sequence[str], body: Rows, settings: Mapping[str, Any]
    ) -> int | None:
        """Insert RowBinary rows as one block.

        Returns:
            How many rows were written, those that views wrote elsewhere among them; None: the
            server does not say.

        Raises:
            ClickHouseGone: it may or may not have been carried out.
        """
        own = USER_FIRST & self._settings.settings.keys()
        sent = Sent(pieces_of(body))
        with self._translated:
            answer = self._client.raw_insert(
                table,
                column_names=list(columns),
                # The client would copy bytes, to put the statement before them.
                insert_block=sent,  # type: ignore[arg-type]
                transport_settings={"Content-Length": str(sent.size)},
                settings={name: value for name, value in settings.items() if name not in own},
                fmt="RowBinary",
            )
        written = answer.summary.get("written_rows")
        return None if written is None else int(written)

    def close(self) -> None:
        self._client.close()
        httputil.all_managers.pop(self._asked, None)  # type: ignore[call-overload]
        if self._pool is not httputil.default_pool_manager():
            self._pool.clear()
            httputil.all_managers.pop(self._pool, None)


class Sent:
    """A body of pieces, one after another; who iterates anew gets all of it again.

    Attributes: size: in bytes.
    """

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces
        self.size = sum(map(len, pieces))

    def __iter__(self) -> Iterator[bytes]:
        """Pieces of some size: each costs a call of the system's. A large one is not copied."""
        small: list[bytes] = []
        size = 0
        for piece in self._pieces:
            small.append(piece)
            size += len(piece)
            if size >= SENT_TOGETHER:
                yield b"".join(small)
                small, size = [], 0
        if small:
            yield b"".join(small)


def _accept_unverified(*urls: str) -> None:
    """No warning of these hosts: it was asked for, and `doctor` says so. Of others there is one."""
    for url in urls:
        host = re.escape(urlsplit(url).hostname or "")
        warnings.filterwarnings("ignore", f".* host '{host}'", InsecureRequestWarning)


def _pool(settings: ClickHouse, proxy: Proxy | None, *, secure: bool) -> Any:
    """Connections that go where we say: left to itself, the library asks the environment."""
    options: dict[str, Any] = {}
    if secure:
        files = {
            "ca_cert": settings.ca_certificate,
            "client_cert": settings.client_certificate,
            "client_cert_key": settings.client_key,
        }
        options = {name: str(path) for name, path in files.items() if path is not None}
        if not settings.verify:
            options["verify"] = False
    if proxy is not None:
        options["http_proxy"] = proxy.url
        if proxy.login is not None:
            options["proxy_headers"] = urllib3.make_headers(proxy_basic_auth=proxy.login)
    return httputil.get_pool_manager(**options) if options else httputil.default_pool_manager()


class Translated:
    """Turns every exception of the client library into one of ours."""

    def __init__(self, url: str, settings: ClickHouse, proxy: Proxy | None = None) -> None:
        self.url = url
        self._proxy = proxy
        self.connected = False
        """Set once ClickHouse has answered."""
        self._settings = settings

    def __enter__(self) -> None:
        return None

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        if error is None or not isinstance(error, (ClickHouseError, HTTPError, OSError)):
            return
        code = getattr(error, "code", None)
        text = plain(str(error))
        via = "" if self._proxy is None or code is not None else f" through the proxy {self._proxy}"
        found = explain(code, text)
        if found.cause is Cause.RIGHTS:
            right = missing_right(str(error))
            raise AccessRefused(
                f"ClickHouse at {self.url} does not allow the user "
                f"{self._settings.username!r} to do this: "
                f"{text if right is None else f'the right {right} is missing'}",
                code,
                hint=None if right is None else f"`{grant(right, self._settings)}` gives it",
            ) from error
        if found.cause is Cause.LOGIN or "HTTP status 401" in text or "HTTP status 403" in text:
            raise AccessRefused(
                f"ClickHouse at {self.url} refuses the user {self._settings.username!r}"
                f"{via}: {text}",
                code,
                hint=f"{ADVICE[Cause.LOGIN]}{CHANGED if self.connected else ''}",
            ) from error
        network = isinstance(error, (OperationalError, HTTPError, OSError))
        if code is None and (network or (via and "HTTP status" in text)):
            first = not self.connected and not via
            reason = no_connection(str(error), self.url, self._settings, first=first)
            if reason is not None:
                raise ClickHouseGone(
                    f"ClickHouse at {self.url}{via}: {reason.why}", hint=reason.fix
                ) from error
            raise ClickHouseGone(
                f"ClickHouse at {self.url} does not answer{via}: {text}",
                hint="`nrtctl status` shows the stack, `nrtctl up` starts it"
                if self._proxy is None
                else f"unset {self._proxy.variable}, or add {urlsplit(self.url).hostname} to "
                "NO_PROXY, to connect without the proxy",
            ) from error
        raise failed(text, code) from error
