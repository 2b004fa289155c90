"""`nrtctl doctor`: try everything that the pipeline needs, and say what mends what fails."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from nrtctl.cli.options import Session


class Side(StrEnum):
    KAFKA = "kafka"
    CLICKHOUSE = "clickhouse"


def doctor(
    session: Session,
    only: Annotated[Side | None, typer.Option("--only", help="Check this side alone.")] = None,
) -> None:
    """Check what the pipeline needs and say what mends it. Exit 5 if a check fails."""
    from nrtctl.doctor import examine
    from nrtctl.errors import CheckFailed

    checks = examine(session.config, session.loaded.state_dir, only)
    if session.out.table:
        width = max(len(check.name) for check in checks)
        for check in checks:
            mark = "ok  " if check.ok else "FAIL"
            session.out.text(f"{mark}  {check.name:<{width}}  {check.found}")
            if check.mend is not None:
                session.out.text(f"      {'':<{width}}  mend: {check.mend}")
    else:
        session.out.rows(
            ("check", "ok", "found", "mend"), [(c.name, c.ok, c.found, c.mend) for c in checks]
        )
    failed = [check.name for check in checks if not check.ok]
    if failed:
        raise CheckFailed(f"{len(failed)} of {len(checks)} checks failed: {', '.join(failed)}")
