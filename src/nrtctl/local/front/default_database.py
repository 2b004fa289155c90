"""A database `default` that holds tables and nothing else. Used by `engine`.

chdb's own falls back to the files of the working directory for a table that it does not know, so
every CREATE in it asks for the right to read files. It is replaced by an Atomic one, which chdb
covers with its own at every start.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from nrtctl.local.front.definitions import is_whole, mend_databases

_UUID = re.compile(r"UUID '([0-9a-f-]{36})'")


def prepare(data: Path) -> bool:
    """Whether the database was made in an earlier run; called before the engine opens `data`.

    The engine knows its UUID only by a link, which it makes with the first table. A definition that
    was cut, as by a full disk, is written anew from it; without a link there is no table yet, and
    the definition goes, since no other could take its place.

    Raises:
        OSError: the link, or the definition, cannot be made.
    """
    mend_databases(data)
    statement = data / "metadata" / "default.sql"
    text = statement.read_text(errors="replace") if statement.exists() else ""
    found = _UUID.search(text)
    if found is None or not is_whole(statement):
        statement.unlink(missing_ok=True)
        return False
    link = data / "metadata" / "default"
    if not link.is_symlink():
        place = Path("store", found[1][:3], found[1])
        (data / place).mkdir(parents=True, exist_ok=True)
        link.symlink_to(Path("..", place))
    return True


def make(ask: Callable[[str], str], *, made: bool) -> None:
    """Put the real one in place, and use it. Raises EngineError.

    Args:
        ask: runs a statement.
        made: what `prepare` said.
    """
    if not made and ask("SHOW TABLES FROM default"):
        return  # the tables of a directory from before would vanish from sight
    ask("USE system")
    ask("DETACH DATABASE default")
    ask("ATTACH DATABASE default" if made else "CREATE DATABASE default ENGINE = Atomic")
    ask("USE default")
