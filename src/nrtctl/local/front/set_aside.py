"""Tables that the engine cannot load do not keep it from starting: they are set aside.

chdb ends when one table does not load, and names it only on stderr. So its definition is moved
out of the engine's sight, into `not-loaded/` beside its directory, and the engine is started
again; the data of the table stay where they are. At the next start each definition is put back and
tried again. A definition with a disk of its own (`disk(…)`, possible before it was refused) is set
aside before it is tried, since it may wait for another host.

What was set aside in a start, tables and parts, is told in `set-aside.json`. Used by `engine`.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from nrtctl.local.front.body import memory_file
from nrtctl.local.front.definitions import mend_databases
from nrtctl.local.front.outward import Refused
from nrtctl.local.front.set_aside_file import REPLACED, TOLD
from nrtctl.local.front.statement import BadRequest, read_shape
from nrtctl.local.process import write_atomically

log = logging.getLogger(__name__)

ASIDE = "not-loaded"
MOST = 1000
"""Definitions set aside in one start."""

_DISKS = Refused(frozenset({b"disk"}), frozenset())
_FILE = re.compile(r"(?:metadata|in|from) file (\S+?\.sql)\b")
_JOB = re.compile(r"'(?:load|startup) \w+ ([^\s'.]+)\.([^\s'.]+)'")
_UUID = re.compile(r"UUID '([0-9a-f-]{36})'")
_REASON = re.compile(
    r"(?:Code: (?!722|695)\d+\. DB::Exception: |Poco::Exception\. )(.*)", re.DOTALL
)


@dataclass(slots=True)
class Opening:
    """One start of the engine on `data`.

    Attributes:
        tables: what was set aside, by the definition's path within `data`, and why.
    """

    data: Path
    tables: dict[str, str] = field(default_factory=dict)

    def connect(self, connect: Callable[[], Any]) -> Any:
        """What `connect` returns, without the tables that it cannot load.

        Raises:
            RuntimeError, OSError: it fails for another reason; why stands on stderr.
        """
        parts = set(self._broken_parts())
        self._bring_back()
        mend_databases(self.data)
        self._take_disks()
        while True:
            said: list[str] = []
            try:
                with said_on_stderr(said, self.data.parent):
                    made = connect()
                break
            except RuntimeError:
                blamed = self._blamed(said[0])
                if blamed is None or len(self.tables) >= MOST:
                    os.write(2, said[0].encode())
                    raise
                self._take(blamed, _why(said[0]))
        self._tell(sorted(set(self._broken_parts()) - parts))
        return made

    @property
    def _aside(self) -> Path:
        return self.data.parent / ASIDE

    def _bring_back(self) -> None:
        for path in sorted(self._aside.rglob("*.sql")):
            name = path.relative_to(self._aside)
            place = self.data / name
            if place.exists() or not place.parent.is_dir():
                self.tables[str(name)] = REPLACED
                continue
            _move(path, place)

    def _take_disks(self) -> None:
        for pattern in ("metadata/*.sql", "store/*/*/*.sql"):
            for path in sorted(self.data.glob(pattern)):
                text = path.read_bytes()
                if b"disk" not in text.lower():
                    continue
                try:
                    read_shape(text, _DISKS)
                except BadRequest as error:
                    if error.code == 497:
                        self._take(path, "it has a disk of its own, which is not allowed here")

    def _take(self, path: Path, why: str) -> None:
        name = path.relative_to(self.data)
        place = self._aside / name
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _move(path, place)
        self.tables[str(name)] = why
        log.warning("%s is not loaded: %s", self._shown(str(name)), why)

    def _blamed(self, said: str) -> Path | None:
        """The definition that the engine names last."""
        for found in reversed(_FILE.findall(said)):
            path = self._within(self.data / found)
            if path is not None:
                return path
        for database, table in reversed(_JOB.findall(said)):
            directory = self._directories().get(database)
            path = directory and self._within(directory / f"{table}.sql")
            if path:
                return path
        return None

    def _within(self, path: Path) -> Path | None:
        try:
            found = path.resolve(strict=True)
            return self.data / found.relative_to(self.data.resolve())
        except (OSError, ValueError):
            return None

    def _directories(self) -> dict[str, Path]:
        """Where each database keeps the definitions of its tables."""
        found = {}
        for place in (self.data / "metadata", self._aside / "metadata"):
            for path in place.glob("*.sql"):
                uuid = _UUID.search(path.read_text(errors="replace"))
                if uuid is not None:
                    found[unquote(path.stem)] = self.data / "store" / uuid[1][:3] / uuid[1]
        return found

    def _shown(self, name: str) -> str:
        path = Path(name)
        if path.parts[0] == "metadata":
            return f"the database {unquote(path.stem)}"
        for database, directory in self._directories().items():
            if directory == self.data / path.parent:
                return f"the table {database}.{unquote(path.stem)}"
        return f"the table {unquote(path.stem)}"

    def _broken_parts(self) -> Iterator[str]:
        for path in self.data.glob("store/*/*/detached/broken*"):
            yield str(path.relative_to(self.data))

    def _tell(self, parts: list[str]) -> None:
        for part in parts:
            log.warning("a damaged part is set aside: %s", part)
        told = {
            "tables": [
                {"name": self._shown(name), "why": why, "kept": f"{ASIDE}/{name}"}
                for name, why in sorted(self.tables.items())
            ],
            "parts": parts,
        }
        write_atomically(self.data.parent / TOLD, json.dumps(told).encode())


def _move(definition: Path, place: Path) -> None:
    """With the link of a database to its tables, from which the engine would make it again."""
    definition.rename(place)
    if (link := definition.with_suffix("")).is_symlink():
        link.rename(place.with_suffix(""))


def _why(said: str) -> str:
    """The engine's own reason, in a line."""
    found = _REASON.search(said)
    return " ".join((found[1] if found else said).split())[:300]


@contextmanager
def said_on_stderr(said: list[str], directory: Path) -> Iterator[None]:
    """Collect what the engine writes there: why it does not open stands in no exception."""
    with os.fdopen(memory_file(directory), "w+b") as file:
        own = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(own, 2)
            os.close(own)
            file.seek(0)
            said.append(file.read().decode(errors="replace"))
