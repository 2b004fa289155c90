"""Sessions: connections that outlive a request, by the client's session_id. Used by `engine`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

MOST_SESSIONS = 100
DEFAULT_TIMEOUT = 60.0


class SessionError(Exception):
    """A session cannot be used; `code` is ClickHouse's."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Session:
    """What a request says of its session; `timeout` is seconds, `must_exist` is session_check,
    `ends` is close_session."""

    name: str
    timeout: float = DEFAULT_TIMEOUT
    must_exist: bool = False
    ends: bool = False


@dataclass(slots=True)
class _Open:
    connection: Any
    timeout: float
    lock: threading.Lock = field(default_factory=threading.Lock)
    used: float = field(default_factory=time.monotonic)


class Sessions:
    """Args: connect: makes a connection."""

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._connect = connect
        self._open: dict[str, _Open] = {}
        self._lock = threading.Lock()

    @contextmanager
    def borrowed(self, session: Session) -> Iterator[Any]:
        """The session's connection, made if need be.

        Raises:
            SessionError: another request has it, it is not there, or there are too many.
        """
        opened = self._take(session)
        try:
            yield opened.connection
        finally:
            opened.used = time.monotonic()
            opened.timeout = session.timeout
            if session.ends:
                self._drop(session.name)
            opened.lock.release()

    def close(self) -> None:
        with self._lock:
            for opened in self._open.values():
                if opened.lock.acquire(timeout=5):
                    opened.connection.close()
            self._open.clear()

    def _take(self, session: Session) -> _Open:
        with self._lock:
            self._expire()
            opened = self._open.get(session.name)
            if opened is None:
                if session.must_exist:
                    raise SessionError("Session not found. (SESSION_NOT_FOUND)", 372)
                if len(self._open) >= MOST_SESSIONS:
                    self._drop_oldest()
                opened = self._open[session.name] = _Open(self._connect(), session.timeout)
            if not opened.lock.acquire(blocking=False):
                text = "Session is locked by a concurrent client. (SESSION_IS_LOCKED)"
                raise SessionError(text, 373)
            return opened

    def _drop(self, name: str) -> None:
        with self._lock:
            if (opened := self._open.pop(name, None)) is not None:
                opened.connection.close()

    def _expire(self) -> None:
        now = time.monotonic()
        for name, opened in list(self._open.items()):
            if now - opened.used > opened.timeout and not opened.lock.locked():
                self._open.pop(name).connection.close()

    def _drop_oldest(self) -> None:
        idle = [name for name, opened in self._open.items() if not opened.lock.locked()]
        if not idle:
            raise SessionError("Too many sessions. (TOO_MANY_SIMULTANEOUS_QUERIES)", 202)
        oldest = min(idle, key=lambda name: self._open[name].used)
        self._open.pop(oldest).connection.close()
