"""Keeps what is acknowledged, on a disk that fills. Used by `engine`; docs/decisions/0021.

chdb 26.9 ignores every error of write(2), and only counts it: on a full disk an insert or a merge
ends well, with files that are empty or cut short. So

- inserts are refused while little is free, and the engine begins no merge then;
- a statement during which the disk may have been full is acknowledged only if no write failed;
- once one has failed, every table is read again from the disk. The engine then sets aside the parts
  whose files are not as long as they should be, and goes back to those they were merged from,
  which are still there (`grants.OLD_PARTS_LIFETIME`);
- definitions are not written while next to nothing is free, and one that was cut nevertheless is
  written again as it was before the statement. Until then its table is not read again, since it
  would not be found.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nrtctl.local.front.definitions import Definitions, is_whole
from nrtctl.local.front.errors import EngineError
from nrtctl.local.front.gate import Closed, Gate
from nrtctl.local.front.parts import mark_cut_files
from nrtctl.local.front.space import FOR_DEFINITIONS, Space
from nrtctl.local.front.statement import identifier

log = logging.getLogger(__name__)

LOOK_EVERY = 0.05
COUNT_EVERY, COUNT_IN_DOUBT_EVERY = 10.0, 1.0
"""Seconds between two looks at the failed writes; well below `grants.OLD_PARTS_LIFETIME`."""
TIME_TO_LEAVE = 5.0
LONGEST_WAIT = 30.0
AGAIN = 0.2

FAILED_WRITES = "WriteBufferFromFileDescriptorWriteFailed"
_TABLES = (
    "SELECT hex(database), hex(name), hex(metadata_path) FROM system.tables "
    "WHERE engine LIKE '%MergeTree' AND database != 'system'"
)
_BROKEN_PROJECTIONS = (
    "SELECT DISTINCT hex(database), hex(table), hex(name) FROM system.projection_parts "
    "WHERE active AND is_broken"
)
_SET_ASIDE = (
    "SELECT database, table, name FROM system.detached_parts WHERE reason = 'broken-on-start'"
)


class Keeper:
    """Close it.

    Args:
        ask: runs a statement of the front's own, past the gate. Raises EngineError.
        data: the engine's directory.
    """

    def __init__(self, ask: Callable[[str], str], data: Path, space: Space) -> None:
        self._ask = ask
        self._data = data
        self._space = space
        self._gate = Gate()
        self._sound = time.monotonic()
        """No write that failed before this is unknown."""
        self._known = 0
        self._failed = False
        self._projections_broken = True
        self._definitions = Definitions(data)
        self._cut = False
        """A definition is, and could not be written again yet."""
        self._closing = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="keeper", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing = True
        self._wake.set()
        self._thread.join()

    @contextmanager
    def passing(self) -> Iterator[Callable[[], None]]:
        """Run a statement within. Call what this gives before the statement is answered well.

        Raises:
            EngineError: (so does the call) a write has failed, so that what the tables show, or
                what the statement has written, may not last.
        """
        try:
            with self._gate.passing(LONGEST_WAIT) as turn:
                self._confirm(turn)
                yield lambda: self._confirm(turn)
        except Closed:
            raise _not_enough("the tables are read again, after a write has failed") from None

    def need_room(self) -> None:
        """Raises EngineError: so little is free that nothing is inserted."""
        self._need(self._space.kept)

    def before_definition(self) -> None:
        """Call it before a statement that changes a definition.

        Raises EngineError: so little is free that it might not be written.
        """
        self._need(FOR_DEFINITIONS)
        self._definitions.remember()

    def _need(self, kept: int) -> None:
        free = self._space.look()
        if free < kept:
            raise _not_enough(
                f"the disk is full: {free / 2**20:.0f} MiB are free, "
                f"of which {kept / 2**20:.0f} MiB are kept"
            )

    def _confirm(self, turn: int) -> None:
        self._space.look()
        if self._space.may_have_been_full(self._sound):
            self._count()
        if self._failed or self._gate.turn != turn:
            raise _not_enough("a write has failed, perhaps one of this statement: send it again")

    def _count(self) -> None:
        began = time.monotonic()
        if self._failed_writes() == self._known:
            self._sound = max(self._sound, began)
        else:
            self._failed = True
            self._gate.close()
            self._wake.set()

    def _failed_writes(self) -> int:
        sql = f"SELECT value FROM system.events WHERE event = '{FAILED_WRITES}'"
        return int(self._ask(sql) or 0)

    def _watch(self) -> None:
        while not self._closing:
            self._wake.wait(LOOK_EVERY)
            try:
                free = self._space.look()
                doubt = self._space.may_have_been_full(self._sound)
                if time.monotonic() - self._sound >= (
                    COUNT_IN_DOUBT_EVERY if doubt else COUNT_EVERY
                ):
                    self._count()
                if self._failed and not self._closing:
                    self._read_again()
                elif self._cut and free >= FOR_DEFINITIONS:
                    self._mend_definitions()
                elif self._projections_broken and free >= 2 * self._space.kept:
                    self._mend_projections()
            except Exception:
                log.exception("watching the disk")
                time.sleep(1)

    def _read_again(self) -> None:
        log.warning("a write has failed: the tables are read again")
        self._wake.clear()
        try:
            self._ask("KILL QUERY WHERE query_id != queryID() ASYNC")
            if not self._gate.empty(TIME_TO_LEAVE):
                log.warning("some statements are still running")
            before = set(self._lines(_SET_ASIDE))
            self._cut = not self._definitions.mend()
            self._reload(list(self._defined()))
            for part in sorted(set(self._lines(_SET_ASIDE)) - before):
                log.warning("set aside: %s", part.replace("\t", " "))
            self._failed = False
            self._gate.open()
        except BaseException:
            self._wake.set()
            raise

    def _reload(self, tables: list[str]) -> None:
        detached: list[str] = []
        try:
            for table in tables:
                self._ask(f"DETACH TABLE {table}")
                detached.append(table)
            mark_cut_files(self._data)
            self._sound = time.monotonic()
            self._known = self._failed_writes()
            self._projections_broken = True
        finally:
            for table in detached:
                self._attach(table)

    def _attach(self, table: str) -> None:
        """Statements that have not ended yet keep it from being attached."""
        said = ""
        while not self._closing:
            try:
                self._ask(f"ATTACH TABLE {table}")
                return
            except EngineError as error:
                if str(error) != said:
                    said = str(error)
                    log.warning("%s", said)
                time.sleep(AGAIN)

    def _defined(self) -> Iterator[str]:
        """The tables, without those that would not be found if they were read again."""
        for line in self._lines(_TABLES):
            names, _, place = line.rpartition("\t")
            path = self._data / bytes.fromhex(place).decode()
            with suppress(FileNotFoundError):
                if is_whole(path):
                    yield _table(names)
                    continue
            log.warning("the definition %s is cut", path)

    def _mend_definitions(self) -> None:
        """Then all is read again, their tables too."""
        self._cut = not self._definitions.mend()
        if not self._cut:
            self._failed = True
            self._gate.close()
            self._wake.set()

    def _mend_projections(self) -> None:
        for line in self._lines(_BROKEN_PROJECTIONS):
            names, _, projection = line.rpartition("\t")
            table, name = _table(names), _name(projection)
            log.warning("projection %s of %s is created again", name, table)
            self._ask(f"ALTER TABLE {table} MATERIALIZE PROJECTION {name}")
        self._projections_broken = False

    def _lines(self, sql: str) -> list[str]:
        return self._ask(sql).splitlines()


def _table(line: str) -> str:
    """Args: line: database, tab, name, each in hexadecimal digits: as it is, whatever is in it."""
    return ".".join(map(_name, line.split("\t")))


def _name(digits: str) -> str:
    return identifier(bytes.fromhex(digits).decode())


def _not_enough(text: str) -> EngineError:
    return EngineError(f"Code: 243. DB::Exception: {text}. (NOT_ENOUGH_SPACE)")
