"""Every hour: the dead letters of the hour, counted by reason; too many of them fail the run.

    count ─┬─▶ judge
           └─▶ replay     only where the parameter says so

Dead letters belong to the hour of their message's Kafka timestamp. Parameters of a run: `most`
(more dead letters than this fail it), `replay` (no, dry, execute: send them through the present
pipeline again) and `reasons` (count and replay only these; empty: all).
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import CronDataIntervalTimetable, Param, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from nrtctl_commands import DEFAULTS, interval, iso, lines, run, tell


def selection() -> list[str]:
    """Which dead letters this run is about, as options."""
    context = get_current_context()
    start, end = interval(context)
    options = ["--since", iso(start), "--until", iso(end)]
    for reason in context["params"]["reasons"]:
        options += [f"--reason={reason}"]
    return options


@task
def count() -> dict[str, int]:
    letters = map(json.loads, lines("dlq", "list", *selection(), "-o", "jsonl"))
    return dict(Counter(each["reason"] for each in letters if not each["purged"]).most_common())


@task
def judge(counts: dict[str, int]) -> None:
    context = get_current_context()
    most, total = context["params"]["most"], sum(counts.values())
    listed = ", ".join(f"{number:,} {reason}" for reason, number in counts.items())
    if total > most:
        raise AirflowFailException(f"{total:,} dead letters, more than {most:,}: {listed}")
    if total:
        tell(context, "ok", f"nrtctl: {total:,} dead letters: {listed}", dead_letters=counts)


@task
def replay(counts: dict[str, int]) -> dict[str, Any]:
    how = get_current_context()["params"]["replay"]
    if how == "no" or not counts:
        raise AirflowSkipException("nothing is to be replayed")
    execute = ["--execute"] if how == "execute" else []
    report: dict[str, Any] = json.loads(run("dlq", "replay", *selection(), *execute, "-o", "json"))
    return report


@dag(
    dag_id="nrtctl_dead_letters",
    schedule=CronDataIntervalTimetable("0 * * * *", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    default_args=DEFAULTS,
    params={
        "most": Param(100, type="integer", minimum=0, description="More than this fail the run."),
        "replay": Param("no", enum=["no", "dry", "execute"]),
        "reasons": Param([], type="array", items={"type": "string"}),
    },
    doc_md=__doc__,
    tags=["nrtctl"],
)
def dead_letters() -> None:
    counts = count()
    judge(counts)
    replay(counts)


dead_letters()
