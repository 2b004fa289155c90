"""A database `default` that holds tables and nothing else. Used by `engine`.

chdb's own falls back to the files of the working directory for a table that it does not know, so
every CREATE in it asks for the right to read files. It is replaced by an Atomic one, which chdb
covers with its own at every start.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

_UUID = re.compile(r"UUID '([0-9a-f-]{36})'")


def prepare(data: Path) -> bool:
    """Whether the database was made in an earlier run; called before the engine opens `data`.

    The engine knows its UUID only by a link, which it makes with the first table.

    Raises:
        OSError: the link cannot be made.
    """
    statement = data / "metadata" / "default.sql"
    found = _UUID.search(_text(statement)) if statement.exists() else None
    if found is None:
        return False
    link = data / "metadata" / "default"
    if not link.is_symlink():
        place = Path("store", found[1][:3], found[1])
        (data / place).mkdir(parents=True, exist_ok=True)
        link.symlink_to(Path("..", place))
    return True


def _text(statement: Path) -> str:
    """What is damaged in it is the engine's to judge, and `set_aside`'s."""
    return statement.read_text(errors="replace")


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
