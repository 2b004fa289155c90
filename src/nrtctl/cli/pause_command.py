"""`nrtctl pause` and `nrtctl resume`: whether the consumers of a pipeline read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from nrtctl.cli.each_pipeline import of_all
from nrtctl.cli.results import Document, Result
from nrtctl.cli.session import Session

if TYPE_CHECKING:
    from nrtctl.kafka.pause import PauseMark

Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PIPELINE",
        help="The pipelines, by name or by a pattern such as 'eu-*'; required if there are "
        "several.",
    ),
]

Work = Callable[[Session], Result]


def pause(session: Session, pipelines: Names = None) -> Result | None:
    """Make the consumers of a pipeline store what they have read, and stop reading.

    They go on running, and so do those that start later, until `nrtctl resume`. Nothing is lost:
    messages wait in Kafka, for as long as the topic keeps them.
    """
    return _each(session, pipelines, _pause)


def resume(session: Session, pipelines: Names = None) -> Result | None:
    """Make the consumers of a paused pipeline read again."""
    return _each(session, pipelines, _resume)


def _each(session: Session, names: list[str] | None, work: Work) -> Result | None:
    session.options["pipeline"] = [*(session.options.get("pipeline") or ()), *(names or ())]
    return of_all(session, work) if session.options["pipeline"] else work(session)


def _pause(session: Session) -> Result:
    found = _marked(session)
    since = found.since or found.mark.set(session.clock.time())
    return _told(session, since, f"paused since {since} (UTC)")


def _resume(session: Session) -> Result:
    found = _marked(session)
    found.mark.clear()
    was = f"was paused since {found.since} (UTC)" if found.since else "was not paused"
    return _told(session, None, was)


def _told(session: Session, since: str | None, text: str) -> Result:
    config = session.config
    data = {"topic": config.pipeline.topic, "group": config.consumer.group, "paused_since": since}
    return Document(data, [f"group {config.consumer.group} {text}"])


@dataclass(frozen=True)
class _Marked:
    mark: PauseMark
    since: str | None


def _marked(session: Session) -> _Marked:
    from nrtctl.kafka.clients import make_admin
    from nrtctl.kafka.pause import PauseMark, paused_since

    address, clock = session.addresses.bootstrap_servers, session.clock
    admin = make_admin(session.config.kafka, address=address)
    return _Marked(
        PauseMark(admin, session.config, address=address, clock=clock),
        paused_since(admin, session.config, address=address, clock=clock),
    )
