"""`nrtctl config show | validate | schema`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from nrtctl.cli.common_options import for_any_pipeline, for_each_pipeline, whole_pipelines
from nrtctl.cli.results import Document, Result, Rows, Table
from nrtctl.cli.session import Session


@for_each_pipeline
@whole_pipelines
def show(
    session: Session,
    origin: Annotated[
        bool, typer.Option("--origin", help="Show where each value comes from.")
    ] = False,
) -> Result:
    """Show the settings that are in use. Secrets are masked."""
    from nrtctl.config.describe import as_read, shown

    tree = shown(session.config)
    flat = _flat(tree)
    if origin:
        columns = ("key", "value", "origin")
        origins = [str(session.loaded.origin(key)) for key, _ in flat]
        rows = [(*each, where) for each, where in zip(flat, origins, strict=True)]
        read = [(*each, where) for each, where in zip(map(as_read, flat), origins, strict=True)]
        return Rows(Table(columns, rows), [Table(columns, read)])
    return Document(tree, [Table(("key", "value"), map(as_read, flat))])


def _flat(tree: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            rows += _flat(value, name + ".")
        else:
            rows.append((name, value))
    return rows


@for_any_pipeline
def validate(
    session: Session,
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="Check this file instead of the configuration in use."),
    ] = None,
) -> Result:
    """Check a configuration without connecting to Kafka or ClickHouse."""
    if file is not None:
        session.options["config"] = file
    loaded = session.loaded
    where = str(loaded.project_file or "the defaults")
    return Document({"file": where, "valid": True}, [f"{where}: valid"])


def schema(session: Session) -> Result:
    """Print the JSON Schema of nrtctl.toml."""
    from nrtctl.config.describe import json_schema

    return Document(json_schema())
