"""`nrtctl doctor`: try everything that the pipeline needs, and say how to fix what fails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from nrtctl.cli.common_options import for_each_pipeline, whole_pipelines
from nrtctl.cli.results import Bad, Block, Result, Rows, Table
from nrtctl.cli.session import Session
from nrtctl.config.counted import counted

if TYPE_CHECKING:
    from nrtctl.stack.doctor import Check


class Side(StrEnum):
    KAFKA = "kafka"
    CLICKHOUSE = "clickhouse"


@for_each_pipeline
@whole_pipelines
def doctor(
    session: Session,
    only: Annotated[
        Side | None,
        typer.Option(
            "--only",
            metavar="SIDE",
            help="Check only this side of the pipeline: kafka or clickhouse.",
        ),
    ] = None,
) -> Result:
    """Check what the pipeline needs and say how to fix it. Exits with 5 if a check fails."""
    from nrtctl.errors import CheckFailed
    from nrtctl.stack.doctor import examine

    checks = examine(session.config, session.loaded.state_dir, only)
    failed = [check.name for check in checks if not check.ok]
    return Rows(
        Table(
            ("check", "ok", "found", "fix", "mend"),
            [(c.name, c.ok, c.found, c.fix, c.fix) for c in checks],
        ),
        _shown(checks),
        failure=CheckFailed(
            f"{len(failed)} of {counted(len(checks), 'check')} failed: {', '.join(failed)}"
        )
        if failed
        else None,
    )


def _shown(checks: Sequence[Check]) -> Iterator[Block]:
    width = max(len(check.name) for check in checks)
    for check in checks:
        if check.ok:
            yield f"ok    {check.name:<{width}}  {check.found}"
        else:
            yield Bad(f"FAIL  {check.name:<{width}}  {check.found}")
        if check.fix is not None:
            yield f"      {'':<{width}}  fix: {check.fix}"
