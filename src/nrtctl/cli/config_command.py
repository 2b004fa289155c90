"""`nrtctl config show | validate | schema`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from nrtctl.cli.options import Session


def show(
    session: Session,
    origin: Annotated[bool, typer.Option("--origin", help="Where each value came from.")] = False,
) -> None:
    """Show the settings that are in force. Secrets are masked."""
    from nrtctl.config.describe import shown

    tree = shown(session.config)
    if not session.out.table and not origin:
        session.out.object(tree)
        return
    rows = [
        (key, value, *((str(session.loaded.origin(key)),) if origin else ()))
        for key, value in _flat(tree)
    ]
    session.out.rows(("key", "value", "origin") if origin else ("key", "value"), rows)


def _flat(tree: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            rows += _flat(value, name + ".")
        else:
            rows.append((name, value))
    return rows


def validate(
    session: Session,
    file: Annotated[Path | None, typer.Argument(help="The file; else the one in force.")] = None,
) -> None:
    """Check a configuration without touching Kafka or ClickHouse."""
    if file is not None:
        session.options["config"] = file
    loaded = session.loaded
    where = str(loaded.project_file or "the defaults")
    if session.out.table:
        session.out.text(f"{where}: valid")
    else:
        session.out.object({"file": where, "valid": True})


def schema(session: Session) -> None:
    """Print the JSON Schema of nrtctl.toml."""
    from nrtctl.config.describe import json_schema

    session.out.json(json_schema(), indent=session.out.format != "jsonl")
