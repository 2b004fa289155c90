"""The embedded engine: the only importer of chdb. Used by `app`, from worker threads.

A request has a connection of its own (about 0.2 ms), so its settings touch nobody else's; a request
with a session_id keeps its connection for the next one, without the settings of its own.
`chdb._chdb` is the layer under chdb's Python API, which would import pyarrow (0.2 s, 40 MB) and
lacks `classify_query`.
"""

from __future__ import annotations

import importlib
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from nrtctl.local.front import default_database
from nrtctl.local.front.asynchronous_metrics import make_view
from nrtctl.local.front.errors import EngineError
from nrtctl.local.front.grants import write_configuration
from nrtctl.local.front.keeper import Keeper
from nrtctl.local.front.outward import NOT_ALLOWED, SHADOWED, Refused
from nrtctl.local.front.parts import mark_cut_files
from nrtctl.local.front.sessions import Session, Sessions
from nrtctl.local.front.set_aside import Opening
from nrtctl.local.front.space import Space
from nrtctl.local.front.statement import ExternalTable, identifier, quoted

_chdb: Any = importlib.import_module("chdb._chdb")

MiB = 2**20
SERVER_SETTINGS = {
    "mark_cache_size": 64 * MiB,
    "primary_index_cache_size": 64 * MiB,
    "index_mark_cache_size": 16 * MiB,
    "query_condition_cache_size": 16 * MiB,
    "background_pool_size": 2,
    "background_schedule_pool_size": 4,
    "database_catalog_unused_dir_cleanup_period_sec": 0,
}
DEFAULT = "default"
"""The database of a new connection."""
RESIDENT = 256 * MiB
"""Bytes that the process takes before the first statement, which the engine does not count."""
MOST_HELD_RESULT = 256 * MiB
"""Bytes of a result that cannot be sent in pieces (see `formats`)."""


class Running:
    """A connection with one request's settings.

    Args:
        confirm: raises EngineError if what was written while it ran may be cut.
    """

    def __init__(self, connection: Any, confirm: Callable[[], None] = lambda: None) -> None:
        self._connection = connection
        self.confirm = confirm

    def run(
        self,
        sql: str | bytes,
        output: str = "TabSeparated",
        values: Mapping[str, str] | None = None,
    ) -> Any:
        """The engine's result, whole. Raises EngineError."""
        try:
            return self._connection.query(sql, output, params=dict(values or {}))
        except Exception as error:
            raise EngineError(error) from error

    def stream(
        self,
        sql: str | bytes,
        output: str,
        values: Mapping[str, str],
        joined: Callable[[bytes], bytes],
        told: Callable[[Any], None],
    ) -> Iterator[bytes]:
        """The answer to a reading statement, in pieces.

        Args:
            joined: makes of each piece what follows those before it.
            told: is given each of the engine's pieces.

        Raises:
            EngineError: before the first piece, or between two.
        """
        result = None
        try:
            result = self._connection.send_query(sql, output, params=dict(values))
            while True:
                piece = self._connection.streaming_fetch_result(result)
                data = b"" if piece is None else bytes(piece.bytes())
                if piece is not None:
                    told(piece)
                if data:
                    yield joined(data)
                if piece is None or not piece.rows_read():
                    return
        except (RuntimeError, UnicodeDecodeError) as error:
            raise EngineError(error) from error
        finally:
            if result is not None:
                with suppress(RuntimeError):
                    self._connection.streaming_cancel_query(result)


class Engine:
    """One data directory.

    Args:
        path: the engine's own directory.
        max_memory: bytes that the process may take; all statements and merges together have four
            fifths of what the process itself leaves of them, since the allocator holds more.
        logs: whether statements and more are kept in the tables of `errors.SYSTEM_LOGS`. The engine
            knows them no more when it is opened again, so what was there is deleted.
        still_ours: called before a statement runs and before it is answered; it does not return
            where the directory is no longer this engine's own.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_memory: int,
        logs: bool = False,
        still_ours: Callable[[], None] = lambda: None,
    ) -> None:
        self._path = str(path)
        self._still_ours = still_ours
        space = Space.of(path.parent)
        for_statements = (max_memory - RESIDENT) * 4 // 5
        settings = {
            **SERVER_SETTINGS,
            "max_server_memory_usage": for_statements,
            "config-file": write_configuration(path.parent, kept_free=space.kept, logs=logs),
        }
        mark_cut_files(path)
        shutil.rmtree(path / "data" / "system", ignore_errors=True)
        made = default_database.prepare(path)
        options = "&".join(f"{name}={value}" for name, value in settings.items())
        self._defaults = {
            "max_memory_usage": str(for_statements * 3 // 4),
            "implicit_select": "0",
        }
        if logs:
            self._defaults["log_queries"] = "1"
        self._keep = Opening(path).connect(lambda: _chdb.connect(f"{self._path}?{options}"))
        _shadow()
        self._asking = threading.Lock()
        default_database.make(self.ask, made=made)
        self.ask(make_view())
        self._sessions = Sessions(self._open_session)
        result = self.ask("SELECT version(), timezone()")
        self.version, self.timezone = result.split("\t")
        self.refused = self._refused()
        if logs:
            self.ask("SYSTEM FLUSH LOGS")
        self._keeper = Keeper(self.ask, path, space)
        self.need_room = self._keeper.need_room
        self.before_definition = self._keeper.before_definition

    def cancel(self) -> None:
        """Cancel what runs, and do not wait for its end: a statement whose next piece nobody takes
        ends when its request closes it, which may have something to ask first."""
        with suppress(EngineError):
            self.ask("KILL QUERY WHERE query_id != queryID() ASYNC")

    def close(self) -> None:
        """Release the directory. Nothing runs any more."""
        self._keeper.close()
        self.cancel()
        self._sessions.close()
        self._keep.close()

    def ask(self, sql: str) -> str:
        """The answer to a small statement of the front's own."""
        with self._asking:
            return str(Running(self._keep).run(sql).bytes().decode().strip())

    def _refused(self) -> Refused:
        functions = self.ask("SELECT name FROM system.table_functions").splitlines()
        engines = self.ask("SELECT name FROM system.table_engines").splitlines()
        engines += self.ask("SELECT name FROM system.database_engines").splitlines()
        return Refused.among(functions, engines)

    def statements(self, sql: bytes) -> tuple[int, bool]:
        """How many statements the text holds, and whether all of them only read."""
        with self._asking:
            found = self._keep.classify_query(sql)
        return found["statement_count"], found["query_class"] == _chdb.query_class.READ_ONLY

    def kill(self, mark: str) -> None:
        """Cancel the statement that runs under `mark`, if it still does."""
        with suppress(EngineError):
            self.ask(f"KILL QUERY WHERE Settings['log_comment'] = {quoted(mark)} ASYNC")

    @contextmanager
    def connection(
        self,
        session: Session | None,
        database: str,
        settings: Mapping[str, str],
        mark: str,
        tables: Sequence[ExternalTable] = (),
    ) -> Iterator[Running]:
        """A connection with the request's settings, for this request only.

        Args:
            mark: names what runs here, for `kill`; it is kept in the setting log_comment, unless
                the request sets that.
            tables: temporary tables for this request.

        Raises:
            EngineError: a setting or the database is refused, or the disk was full.
            SessionError: the session is busy, or unknown.
        """
        self._still_ours()
        with (
            self._keeper.passing() as confirm,
            self._opened(session, database, settings, mark, tables) as raw,
        ):

            def sound() -> None:
                confirm()
                self._still_ours()

            yield Running(raw, sound)

    @contextmanager
    def _opened(
        self,
        session: Session | None,
        database: str,
        settings: Mapping[str, str],
        mark: str,
        tables: Sequence[ExternalTable],
    ) -> Iterator[Any]:
        assigned = {**self._defaults, **settings} if session is None else dict(settings)
        assigned.setdefault("log_comment", mark)
        if session is None:
            raw = self._connect()
            try:
                _enter(Running(raw), database, assigned, tables, fresh=True)
                yield raw
            finally:
                raw.close()
            return
        with self._sessions.borrowed(session) as raw:
            running = Running(raw)
            before = _state(running, database, settings)
            try:
                _enter(running, database, assigned, tables)
                yield raw
            finally:
                drops = [f"DROP TEMPORARY TABLE IF EXISTS {identifier(t.name)}" for t in tables]
                _restore(running, [*drops, *before])

    def _connect(self) -> Any:
        """Raises EngineError: for example, the database `default` has been dropped."""
        try:
            return _chdb.connect(self._path)
        except RuntimeError as error:
            raise EngineError(error) from error

    def _open_session(self) -> Any:
        raw = self._connect()
        _enter(Running(raw), "", self._defaults)
        return raw


def _shadow() -> None:
    """Put functions of this process in the place of those that reach out of the data directory."""

    def refuse(argument: str) -> str:
        raise RuntimeError(NOT_ALLOWED)

    for name in SHADOWED:
        with suppress(RuntimeError):  # there already, if the engine is opened a second time
            _chdb.create_function(name, refuse, ["String"], "String")


def _enter(
    running: Running,
    database: str,
    settings: Mapping[str, str],
    tables: Sequence[ExternalTable] = (),
    *,
    fresh: bool = False,
) -> None:
    """Args: fresh: it is a new connection, which is in the database `DEFAULT` already."""
    if database and not (fresh and database == DEFAULT):
        running.run(f"USE {identifier(database)}")
    readonly = settings.get("readonly")
    text = ", ".join(f"{n} = {quoted(v)}" for n, v in settings.items() if n != "readonly")
    only_read = f"readonly = {quoted(readonly)}" if readonly not in {None, "", "0"} else ""
    if not tables:
        running.run(f"SET {', '.join(filter(None, (text, only_read)))}")
        return
    running.run(f"SET {text}")
    for table in tables:
        running.run(table.making)
        running.run(table.filling)
    if only_read:
        running.run(f"SET {only_read}")


def _state(running: Running, database: str, settings: Mapping[str, str]) -> list[str]:
    """The statements that bring a session back to what it is now."""
    back = []
    if database:
        digits = running.run("SELECT hex(currentDatabase())").bytes().decode()
        back.append(f"USE {identifier(bytes.fromhex(digits).decode())}")
    if settings:
        names = ", ".join(quoted(name) for name in settings)
        lines = running.run(
            f"SELECT name, changed, hex(value) FROM system.settings WHERE name IN ({names})"
        )
        pairs = [
            f"{name} = {quoted(bytes.fromhex(value).decode()) if changed == '1' else 'DEFAULT'}"
            for name, changed, value in (
                line.split("\t") for line in lines.bytes().decode().splitlines()
            )
        ]
        if pairs:
            back.append(f"SET {', '.join(pairs)}")
    return back


def _restore(running: Running, statements: list[str]) -> None:
    for sql in statements:
        with suppress(EngineError):
            running.run(sql)
