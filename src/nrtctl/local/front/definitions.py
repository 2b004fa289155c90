"""Files of definitions that a full disk has cut. Used by `keeper`, `set_aside` and others.

The engine writes the definition of a table or database anew with each CREATE and ALTER, and puts it
in the place of the old one whether it could be written or not. It also reads a definition from its
file whenever it is asked for it, so that what was in a file that is empty now is known nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from nrtctl.local.process import write_atomically


def is_whole(path: Path) -> bool:
    """Whether a definition ends as the engine ends one. Raises OSError."""
    return path.read_bytes().endswith(b"\n")


def mend_databases(data: Path) -> None:
    """Write those of databases anew that are cut, by the link that leads to their tables; one
    without a link is left. Called while the engine does not run. Raises OSError."""
    for path in (data / "metadata").glob("*.sql"):
        link = path.with_suffix("")
        if link.is_symlink() and not is_whole(path):
            uuid = link.readlink().name
            write_atomically(path, f"ATTACH DATABASE _ UUID '{uuid}'\nENGINE = Atomic\n".encode())


class Definitions:
    """Those of an engine that runs.

    Args:
        data: the engine's directory.
    """

    def __init__(self, data: Path) -> None:
        self._data = data
        self._known: dict[Path, tuple[tuple[int, int], bytes]] = {}
        """Inode and time of the file, and what is in it."""

    def remember(self) -> None:
        """Call it before a statement that writes one."""
        known = {}
        for path in self._files():
            before = self._known.get(path)
            with suppress(OSError):
                found = path.stat()
                mark = found.st_ino, found.st_mtime_ns
                if before is None or before[0] != mark:
                    text = path.read_bytes()
                    before = (mark, text) if text.endswith(b"\n") else before
            if before is not None:
                known[path] = before
        self._known = known

    def mend(self) -> bool:
        """Write those that are cut as they were before; whether all could be written that are
        known."""
        done = True
        for path in self._files():
            try:
                if path in self._known and not is_whole(path):
                    write_atomically(path, self._known[path][1])
            except FileNotFoundError:
                continue
            except OSError:
                done = False
        return done

    def _files(self) -> Iterator[Path]:
        for pattern in ("metadata/*.sql", "store/*/*/*.sql"):
            yield from self._data.glob(pattern)
