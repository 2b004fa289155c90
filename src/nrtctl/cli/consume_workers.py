"""`nrtctl consume --workers N`: processes of the same command, and the sum of what they did."""

from __future__ import annotations

import json
import os
import secrets
import sys
import time
from typing import TYPE_CHECKING, Any

from nrtctl.cli.command_line import words_of
from nrtctl.cli.consume_result import summarized
from nrtctl.cli.consumed_words import together
from nrtctl.cli.diagnostics import Interrupts
from nrtctl.cli.each_pipeline import of_each
from nrtctl.cli.results import Result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nrtctl.cli.consume_command import Limits
    from nrtctl.cli.session import Session
    from nrtctl.config.load import Loaded
    from nrtctl.errors import ConfigError

SUMMED = (
    "records", "rows", "dead_letters", "resolved", "batches", "inserts", "bytes",
    "dead_lettered_by_bisecting", "waits",
)  # fmt: skip


def consume_with_workers(
    session: Session, workers: int, limits: Limits, *, host: str, port: int | None
) -> Result:
    """Start them, watch them, and add up what they did.

    Args:
        host, port: where the first worker serves its metrics; the others at the ports that follow.

    Raises:
        ConfigError: --count, or not enough ports.
    """
    from nrtctl.clock import SystemClock
    from nrtctl.config.flags import environment_with
    from nrtctl.consumer.workers import Workers
    from nrtctl.errors import NrtctlError
    from nrtctl.kafka.properties import INSTANCE

    _refuse(workers, limits, port)
    if patterns := [each for each in session.whole if each.has_pattern]:
        raise _pattern_refused(patterns[0])
    command = [sys.executable, "-P", "-m", "nrtctl", "consume", "--member", "-q", "-o", "json"]
    for name in ("config", "profile"):
        if session.options[name] is not None:
            command += [f"--{name}", str(session.options[name])]
    for name in session.options.get("pipeline") or ():
        command += ["--pipeline", name]
    command += words_of(limits)
    began = time.monotonic()
    # No two runs have the same: Kafka would take one's worker for the other's that came back.
    run, own = secrets.token_hex(4), session.whole[0].config.kafka.properties.get(INSTANCE)

    def command_of(number: int) -> list[str]:
        words = [*command, "--instance", f"nrtctl-{run}-{number}"]
        if own is not None:
            name, value = json.dumps(INSTANCE), json.dumps(f"{own}-{number}")
            words += ["--set", f"kafka.properties.{name}={value}"]
        if port is not None:
            words += ["--metrics-port", str(port + number), "--metrics-host", host]
        return words

    def died(number: int, why: str, pause: float) -> None:
        session.say.warn(f"worker {number} ended ({why}); starting it again in {pause:g} s")

    group = Workers(
        command_of,
        workers,
        environ=environment_with(session.options["set"], os.environ),
        ends=limits.until_end,
        clock=SystemClock(),
        died=died,
    )
    with Interrupts(group.stop, session.say.note):
        groups = " and ".join(each.config.consumer.group for each in session.pipelines)
        session.say.note(f"{workers} workers started in group {groups}")
        if port is not None:
            session.say.note(
                f"metrics: http://{host}:{port}/metrics, and each port up to {port + workers - 1}"
            )
        outcome = group.run()
    if outcome.exit_code:
        raise SystemExit(outcome.exit_code)
    seconds = round(time.monotonic() - began, 3)
    more = {"workers": workers, "restarts": outcome.restarts, "seconds": seconds}

    def result(one: Session, summaries: Sequence[dict[str, Any]]) -> Result:
        found = [each for each in summaries if "records" in each]
        errors = [each["error"] for each in summaries if "error" in each]
        return summarized(one, {
            "topic": one.config.pipeline.topic,
            "group": one.config.consumer.group,
            **_sum(found),
            **more,
            "ended": found[0]["ended"] if found else "stopped",
        }, failure=NrtctlError(errors[0]) if errors else None)  # fmt: skip

    if len(session.pipelines) == 1:
        return result(session, outcome.summaries)
    return of_each(
        session,
        lambda one: result(one, [each["pipelines"][one.pipeline] for each in outcome.summaries]),
    )


def _pattern_refused(whole: Loaded) -> ConfigError:
    from nrtctl.config.parts import described
    from nrtctl.errors import ConfigError

    return ConfigError(
        f"--workers cannot be used with {described(whole)}: workers could see different topics",
        hint='list the topics, as in topics = ["a", "b"], or run `nrtctl consume` several times',
    )


def _refuse(workers: int, limits: Limits, port: int | None) -> None:
    from nrtctl.errors import ConfigError

    if limits.count is not None:
        raise ConfigError(
            "--count cannot be used with several workers, which share the messages among them",
            hint="use --until-end instead, or one worker",
        )
    if port is not None and not 0 < port <= 65536 - workers:
        raise ConfigError(
            f"--metrics-port {port}: {workers} workers need a port each, counted up from this one",
            hint="choose a port above 0 that leaves enough ports below 65536",
        )


def _sum(summaries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    some = [name for name in ("stored", "left_out") if any(name in each for each in summaries)]
    return {
        **{name: sum(each.get(name, 0) for each in summaries) for name in some},
        **{name: sum(each[name] or 0 for each in summaries) for name in SUMMED},
        "rejected": together([each["rejected"] or () for each in summaries]),
        "partitions": sorted({n for each in summaries for n in each["partitions"]}),
    }
