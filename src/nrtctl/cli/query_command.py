"""`nrtctl query`: SQL in, rows out."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import sys
import time
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nrtctl.cli.common_options import for_any_pipeline
from nrtctl.cli.results import Block, Raw, Stream, Table
from nrtctl.cli.session import Session
from nrtctl.config.counted import counted

if TYPE_CHECKING:
    from nrtctl.clickhouse.client import ClickHouseClient

NUMBER = re.compile(r"(Nullable\(|LowCardinality\()*(U?Int|Float|BFloat|Decimal)")
LINES, CELLS = "JSONEachRow", "JSONCompactStringsEachRowWithNamesAndTypes"
AS_WRITTEN = {
    "output_format_json_quote_64bit_integers": 0,
    "output_format_decimal_trailing_zeros": 1,
    "output_format_json_validate_utf8": 1,
}
READING = {**AS_WRITTEN, "readonly": 2}


@for_any_pipeline
def query(
    session: Session,
    sql: Annotated[
        str, typer.Argument(metavar="SQL", help="The statement to run; - reads it from stdin.")
    ],
    write: Annotated[
        bool, typer.Option("--write", help="Allow the statement to change data.")
    ] = False,
) -> None:
    """Run an SQL statement on ClickHouse and print the rows. Read-only unless --write is given."""
    from nrtctl.clickhouse.client import QueryError
    from nrtctl.clickhouse.error_codes import Cause, meaning_of
    from nrtctl.errors import ConfigError

    if sql == "-":
        if sys.stdin.isatty():
            session.say.note("reading the statement from the terminal; press Ctrl-D to finish")
        sql = _from_stdin()
    sql = sql.strip().rstrip(";").rstrip()
    if not sql:
        raise ConfigError("the statement is empty")
    client = _client(session)
    name = str(uuid.uuid4())
    settings = AS_WRITTEN if write else READING

    found = RowCount()

    def answer(form: str) -> Iterator[bytes]:
        return found.of(client.stream(sql, form, settings=settings, query_id=name), form)

    began = time.monotonic()
    try:
        session.show(Stream(lambda: answer(LINES), lambda: _cells(answer(CELLS))))
        if found.rows is not None and sys.stdout.isatty():
            seconds = time.monotonic() - began
            session.say.note(f"{counted(found.rows, 'row')} in {seconds:.2f} s")
    except QueryError as error:
        if meaning_of(error).cause is Cause.READ_ONLY and not write:
            error.hint = "`nrtctl query --write` allows a statement to change data"
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
            f"the statement on stdin is not valid {error.encoding}: {error.reason}"
        ) from error
    except OSError as error:
        raise ConfigError(
            f"stdin cannot be read: {error.strerror}",
            hint='give the statement as an argument: nrtctl query "…"',
        ) from error


class RowCount:
    """Rows that have come. None: no rows, but what a statement prints that is no query, or that
    names a format itself."""

    rows: int | None = None

    def of(self, blocks: Iterator[bytes], form: str) -> Iterator[bytes]:
        """The same blocks of an answer in LINES or CELLS."""
        opening, lines_before = (b"{", 0) if form == LINES else (b"[", 2)
        ours = True
        for block in blocks:
            ours = ours and block != b""
            if ours and self.rows is None and block[:1] == opening:
                self.rows = -lines_before
            if self.rows is not None:
                self.rows += block.count(b"\n")
            yield block


def read(session: Session, sql: str) -> list[Block] | Raw:
    """The rows of a reading statement, for people. Raises QueryError."""
    return _cells(_client(session).stream(sql, CELLS, settings=READING))


def _client(session: Session) -> ClickHouseClient:
    """One whose unqualified names are those of the pipeline's database, once there is one."""
    client = session.clickhouse()
    database = session.config.clickhouse.database
    known = "SELECT count() FROM system.databases WHERE name = {n:String}"
    return session.clickhouse(database) if client.query(known, {"n": database})[0][0] else client


def _cells(blocks: Iterator[bytes]) -> list[Block] | Raw:
    """Raw: a statement that is no query, or that names a format itself."""
    from nrtctl.cli.tuples import has_names, with_names

    first = next(blocks, None)
    if first is None:
        return []
    if first[:1] != b"[":
        return Raw(itertools.chain([first], blocks))

    def rows() -> Iterator[list[Any]]:
        for block in itertools.chain([first], blocks):
            yield from map(json.loads, block.split(b"\n")[:-1])

    cells = rows()
    names, kinds = next(cells), next(cells)
    numbers = [bool(NUMBER.match(kind)) for kind in kinds]
    named = [has_names(kind) for kind in kinds]
    shown = (
        [
            None if each == "ᴺᵁᴸᴸ" else with_names(each, kind) if name else each
            for each, kind, name in zip(row, kinds, named, strict=True)
        ]
        for row in cells
    )
    return [Table(names, shown, numbers)]
