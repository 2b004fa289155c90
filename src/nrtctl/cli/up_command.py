"""`nrtctl up`: start what is configured, make what is missing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nrtctl.cli.command_line import of_pipeline
from nrtctl.cli.common_options import StackOption, use_stack
from nrtctl.cli.confirming import Yes
from nrtctl.cli.results import Block, Document, Note, Result, Warn
from nrtctl.cli.session import Session
from nrtctl.cli.waits import Waits
from nrtctl.config.counted import counted

if TYPE_CHECKING:
    from nrtctl.config.load import Loaded
    from nrtctl.schema.building import Building
    from nrtctl.stack.up import Up


def up(
    session: Session,
    stack: StackOption = None,
    wait: Annotated[
        bool,
        typer.Option("--wait", help="Wait until new rollups cover the rows that exist already."),
    ] = False,
    yes: Yes = False,
) -> Result:
    """Start the stack, and create or update the topic, tables, views and projections."""
    from nrtctl.stack.up import Starting, Wanted

    began = time.monotonic()
    use_stack(session, stack)
    say = session.say
    asks_kafka = any(each.has_pattern for each in session.whole)
    pipelines = session.whole if asks_kafka else session.pipelines
    loaded = pipelines[0]
    ready = Starting(
        loaded.config,
        loaded.state_dir,
        loaded.project_file,
        clock=session.clock,
        note=say.note,
        warn=say.warn,
        passed_on=say.passed_on,
        waiting=Waits(say).waiting,
    ).up_all(
        [Wanted.of(each) for each in pipelines],
        show=_progress(session) if wait else None,
        agree=partial(_may_grow, yes),
    )
    seconds = round(time.monotonic() - began, 3)
    data = {
        "kafka": ready[0].kafka,
        "clickhouse": ready[0].clickhouse,
        "state_dir": str(loaded.state_dir),
    }
    if len(ready) == 1:
        made: dict[str, Any] = _as_data(ready[0])
    else:
        made = {"pipelines": {each.name: _as_data(each) for each in ready}}
    return Document({**data, **made, "seconds": seconds}, _shown(pipelines[0], ready, seconds))


def _as_data(ready: Up) -> dict[str, Any]:
    return {
        "steps": [{"kind": s.kind, "name": s.name, "action": s.action} for s in ready.steps],
        "building": [
            {
                "projection": each.projection,
                "parts": each.parts,
                "left": each.left,
                "failure": each.failure or None,
            }
            for each in ready.building
        ],
    }


def _shown(first: Loaded, ready: Sequence[Up], seconds: float) -> Iterator[Block]:
    for half in ready[0].started:
        yield f"{half.title:<11} {half.address}  {half.state}"
    for each in ready:
        if len(ready) > 1:
            yield f"{each.name}:"
        yield from _of_pipeline(each)
    yield Note(f"ready in {seconds:.1f} s. Next:\n{_next(first, ready)}")


def _of_pipeline(ready: Up) -> Iterator[Block]:
    kept = [step for step in ready.steps if step.action == "kept"]
    for step in ready.steps:
        if step.action != "kept":
            action = "created" if step.action == "made" else step.action
            yield f"{step.kind:<11} {step.name}  {action}"
    if kept:
        yield f"{counted(len(kept), 'object')} existed already"
    for each in ready.building:
        yield f"{'building':<11} {each}, in the background (`nrtctl up --wait` waits for it)"
        if each.failure:
            yield Warn(f"ClickHouse cannot build {each.projection}: {each.failure}")


def _next(one: Loaded, ready: Sequence[Up]) -> str:
    from nrtctl.producer.sources.own_events import takes_reference_events

    reference = takes_reference_events(one.config.pipeline)
    several = len(ready) > 1 or one.config.pipeline.topics is not None
    first = ready[0].name or "TOPIC" if several else one.pipeline
    of, of_all = of_pipeline(first), "" if several else of_pipeline(one.pipeline)
    steps = {
        f"produce{of} {'--count 10000' if reference else '--input FILE'}": (
            "send events" if reference else "send a file"
        ),
        f"consume{of_all} --until-end": (
            "store the messages of all pipelines" if several else "store them"
        ),
        f"verify{of_all}": "prove that none is missing",
    }
    width = max(27, *(len(step) + 3 for step in steps))
    return "\n".join(f"  nrtctl {step:<{width}}{meaning}" for step, meaning in steps.items())


def _may_grow(yes: bool, topic: str, there: int, wanted: int) -> bool:
    """Asked at a terminal only: elsewhere the configuration has said so already."""
    from nrtctl.cli.confirming import growing

    return yes or not sys.stdin.isatty() or typer.confirm(growing(topic, there, wanted), err=True)


def _progress(session: Session) -> Callable[[Sequence[Building]], None]:
    """Says what is left, once a second at most, where it has changed."""
    from nrtctl.cli.diagnostics import Ticker

    ticker, before = Ticker(1), ""

    def show(left: Sequence[Building]) -> None:
        nonlocal before
        text = "; ".join(map(str, left))
        if text != before and ticker.due():
            session.say.note(text)
            before = text

    return show
