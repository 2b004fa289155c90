"""`nrtctl query`: SQL in, rows out."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from nrtctl.cli.options import Session


def query(
    session: Session,
    sql: Annotated[str, typer.Argument(help="One statement; `-` reads it from stdin.")],
    write: Annotated[
        bool, typer.Option("--write", help="Let the statement change something.")
    ] = False,
) -> None:
    """Run SQL on ClickHouse and print the rows. Read-only unless --write."""
    from nrtctl.errors import ConfigError

    if sql == "-":
        sql = sys.stdin.read()
    sql = sql.strip().rstrip(";")
    if not sql:
        raise ConfigError("the statement is empty")
    client = session.clickhouse()
    database = session.config.clickhouse.database
    known = "SELECT count() FROM system.databases WHERE name = {n:String}"
    if client.query(known, {"n": database})[0][0]:
        client = session.clickhouse(database)
    if write:
        answer = client.command(sql)
        if answer not in (None, "", 0):
            session.out.text(str(answer))
        return
    rows = client.rows(sql, settings={"readonly": 2})
    columns = [str(name) for name in next(rows, [])]
    session.out.rows(columns, rows)
