"""The embedded engine: the only importer of chdb. Used by `app`, from worker threads.

A request has a connection of its own (about 1 ms), so its settings touch nobody else's; a request
with a session_id keeps its connection for the next one.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import chdb  # noqa: F401  (loads the engine)
from chdb.state import sqlitelike

from nrtctl.local.front.statement import quoted

MOST_SESSIONS = 100
_CODE = re.compile(r"Code:\s*(\d+)")


class EngineError(Exception):
    """The engine's own words, and its error code."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        found = _CODE.search(text)
        self.code = int(found[1]) if found else 1002


class SessionBusy(Exception):
    """Two requests of one session at once."""


class _Session:
    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.lock = threading.Lock()
        self.used = time.monotonic()


class Engine:
    """One data directory.

    Args:
        path: the engine's own directory.
        max_memory: bytes that one statement may take.
    """

    def __init__(self, path: Path, *, max_memory: int) -> None:
        self._path = str(path)
        self._max_memory = max_memory
        self._sessions: dict[str, _Session] = {}
        self._lock = threading.Lock()
        self._keep = sqlitelike.connect(self._path)
        version, zone = self._text("SELECT version(), timezone()").strip().split("\t")
        self.version, self.timezone = version, zone

    def close(self) -> None:
        for session in self._sessions.values():
            session.connection.close()
        self._keep.close()

    def _text(self, sql: str) -> str:
        return str(self._keep.query(sql, "TabSeparated").bytes().decode())

    @contextmanager
    def connection(
        self, session_id: str, database: str, settings: Mapping[str, str]
    ) -> Iterator[Any]:
        """A connection with the request's settings.

        Raises:
            EngineError: a setting is refused.
            SessionBusy
        """
        if not session_id:
            connection = sqlitelike.connect(self._path)
            try:
                self._prepare(connection, database, settings)
                yield connection
            finally:
                connection.close()
            return
        session = self._session(session_id)
        if not session.lock.acquire(blocking=False):
            raise SessionBusy(session_id)
        try:
            self._prepare(session.connection, database, settings)
            yield session.connection
        finally:
            session.used = time.monotonic()
            session.lock.release()

    def _session(self, session_id: str) -> _Session:
        with self._lock:
            if session_id not in self._sessions:
                if len(self._sessions) >= MOST_SESSIONS:
                    idle = [n for n, s in self._sessions.items() if not s.lock.locked()]
                    oldest = min(idle, key=lambda n: self._sessions[n].used, default=None)
                    if oldest is None:
                        raise SessionBusy(session_id)
                    self._sessions.pop(oldest).connection.close()
                self._sessions[session_id] = _Session(sqlitelike.connect(self._path))
            return self._sessions[session_id]

    def _prepare(self, connection: Any, database: str, settings: Mapping[str, str]) -> None:
        if database and database != "default":
            name = database.replace("\\", "\\\\").replace("`", "\\`")
            run(connection, f"USE `{name}`")
        assigned = {"max_memory_usage": str(self._max_memory), **settings}
        readonly = assigned.pop("readonly", None)
        if readonly not in {None, "", "0"}:
            assigned["readonly"] = str(readonly)
        text = ", ".join(f"{name} = {quoted(value)}" for name, value in assigned.items())
        run(connection, f"SET {text}")


def run(
    connection: Any, sql: str, default_format: str = "TabSeparated", parameters: Any = None
) -> Any:
    """Run one statement; the engine's result.

    Raises:
        EngineError
    """
    try:
        return connection.query(sql, default_format, params=dict(parameters or {}))
    except Exception as error:
        raise EngineError(str(error)) from error


def stream(
    connection: Any, sql: str, default_format: str, parameters: Mapping[str, str]
) -> Iterator[bytes]:
    """The answer to a reading statement, in pieces.

    Raises:
        EngineError: before the first piece, or between two.
    """
    try:
        result = connection.send_query(sql, default_format, params=dict(parameters))
    except Exception as error:
        raise EngineError(str(error)) from error
    try:
        while True:
            try:
                piece = result.fetch()
            except Exception as error:
                raise EngineError(str(error)) from error
            if piece is None:
                return
            data = piece.bytes()
            if not data:
                return
            yield data
    finally:
        result.close()
