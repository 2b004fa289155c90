"""`nrtctl query`: SQL in, rows out."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import sys
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nrtctl.cli.options import Session

if TYPE_CHECKING:
    from nrtctl.clickhouse import ClickHouseClient

READONLY = 164
NUMBER = re.compile(r"(Nullable\(|LowCardinality\()*(U?Int|Float|BFloat|Decimal)")
LINES, CELLS = "JSONEachRow", "JSONCompactStringsEachRowWithNamesAndTypes"
AS_WRITTEN = {
    "output_format_json_quote_64bit_integers": 0,
    "output_format_decimal_trailing_zeros": 1,
    "output_format_json_validate_utf8": 1,
}


def query(
    session: Session,
    sql: Annotated[str, typer.Argument(help="One statement; `-` reads it from stdin.")],
    write: Annotated[
        bool, typer.Option("--write", help="Let the statement change something.")
    ] = False,
) -> None:
    """Run SQL on ClickHouse and print the rows. Read-only unless --write."""
    from nrtctl.clickhouse import QueryError
    from nrtctl.errors import ConfigError

    if sql == "-":
        if sys.stdin.isatty():
            session.say.note("reading the statement from the terminal; Ctrl-D ends it")
        sql = _from_stdin()
    sql = sql.strip().rstrip(";").rstrip()
    if not sql:
        raise ConfigError("the statement is empty")
    client = _client(session)
    name = str(uuid.uuid4())
    settings = AS_WRITTEN if write else {**AS_WRITTEN, "readonly": 2}
    blocks = client.stream(
        sql, CELLS if session.out.table else LINES, settings=settings, query_id=name
    )
    try:
        if session.out.table:
            _table(session, blocks)
        else:
            session.out.lines(blocks)
    except QueryError as error:
        if error.code == READONLY and not write:
            error.hint = "`nrtctl query --write` lets a statement change something"
        raise
    except KeyboardInterrupt:
        with contextlib.suppress(Exception):
            session.clickhouse().cancel(name)
        raise


def _from_stdin() -> str:
    from nrtctl.errors import ConfigError

    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"the statement on stdin is not {error.encoding}: {error.reason}"
        ) from error
    except OSError as error:
        raise ConfigError(
            f"stdin cannot be read: {error.strerror}", hint='give the statement: nrtctl query "…"'
        ) from error


def _client(session: Session) -> ClickHouseClient:
    """One whose unqualified names are those of the pipeline's database, once there is one."""
    client = session.clickhouse()
    database = session.config.clickhouse.database
    known = "SELECT count() FROM system.databases WHERE name = {n:String}"
    return session.clickhouse(database) if client.query(known, {"n": database})[0][0] else client


def _table(session: Session, blocks: Iterator[bytes]) -> None:
    first = next(blocks, b"")
    if not first:
        return
    if first[:1] != b"[":
        session.out.raw(first, blocks)
        return

    def rows() -> Iterator[list[Any]]:
        for block in itertools.chain([first], blocks):
            yield from map(json.loads, block.split(b"\n")[:-1])

    cells = rows()
    names, kinds = next(cells), next(cells)
    numbers = [bool(NUMBER.match(kind)) for kind in kinds]
    shown = ([None if each == "ᴺᵁᴸᴸ" else each for each in row] for row in cells)
    session.out.rows(names, shown, numbers=numbers)
