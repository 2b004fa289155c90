"""Every hour: is everything reachable, what happened in the hour, is nothing missing; tell it.

    doctor_kafka ─────┐
    doctor_clickhouse ┼─▶ hourly_metrics ─▶ verify ─▶ notify
    late_events ──────┤
                      └─▶ spark_aggregate     only where nrtctl_spark_job says how

`hourly_metrics` writes `nrtctl_metrics_dir`/2026-01-31/09.jsonl (an Airflow variable; without it
$AIRFLOW_HOME/nrtctl-metrics), a JSON object a line for each event type of that hour. A rerun of the
hour writes the same file again. `spark_aggregate` has Spark write the hour's aggregate into
ClickHouse (deploy/spark/hourly.py); `nrtctl_spark_job` is a JSON list of the words of its call.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.providers.standard.sensors.time_delta import TimeDeltaSensor
from airflow.sdk import CronDataIntervalTimetable, Variable, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException
from nrtctl_commands import DEFAULTS, interval, iso, lines, printed, run, store, tell

LATE_EVENTS = timedelta(minutes=5)
"""How long after the hour's end its last events may still come."""

METRICS = """
SELECT event_type,
    count() AS total_events,
    countIf(status = 'SUCCESS') AS success_count,
    countIf(status = 'ERROR') AS error_count,
    avg(request_latency_ms) AS avg_latency_ms
FROM events
WHERE toStartOfMinute(event_time) >= toDateTime({start})
    AND toStartOfMinute(event_time) < toDateTime({end})
GROUP BY event_type ORDER BY event_type
"""
"""Over the reference events, by whole minutes: so ClickHouse reads the projection `event_metrics`,
not the rows. For another pipeline, this is what to change. `start`, `end`: seconds since the epoch.
"""


@task
def doctor_kafka() -> None:
    run("doctor", "--only", "kafka")


@task
def doctor_clickhouse() -> None:
    run("doctor", "--only", "clickhouse")


@task
def hourly_metrics() -> dict[str, str | int]:
    start, end = interval(get_current_context())
    home = Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser()
    directory = Path(Variable.get("nrtctl_metrics_dir", default=str(home / "nrtctl-metrics")))
    path = directory / f"{start:%Y-%m-%d}" / f"{start:%H}.jsonl"
    sql = METRICS.format(start=int(start.timestamp()), end=int(end.timestamp()))
    return {"file": str(path), "event_types": store(path, lines("query", sql, "-o", "jsonl"))}


@task
def spark_aggregate() -> str:
    words = Variable.get("nrtctl_spark_job", default=None, deserialize_json=True)
    if not words:
        raise AirflowSkipException("the Airflow variable nrtctl_spark_job is not set")
    start, end = interval(get_current_context())
    hours = ["--from", iso(start), "--until", iso(end)]
    mending = "let the Airflow variable nrtctl_spark_job begin with the path of spark-submit"
    return "".join(printed([*words, *hours], called="the Spark job", mending=mending)).strip()


@task
def verify() -> dict[str, int]:
    report = json.loads(run("verify", "-o", "json"))
    names = ("stored", "dead_letters", "missing", "duplicated", "lost", "lag")
    return {name: report[name] for name in names}


@task
def notify(metrics: dict[str, str | int], verified: dict[str, int]) -> None:
    context = get_current_context()
    hour = iso(interval(context)[0])
    text = f"nrtctl, hour {hour}: {verified['stored']:,} rows, none missing, none duplicated"
    tell(context, "ok", text, metrics=metrics, verify=verified)


@dag(
    dag_id="nrtctl_hourly",
    # Not "@hourly": in Airflow 3 that is a moment, without a data interval.
    schedule=CronDataIntervalTimetable("0 * * * *", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    default_args=DEFAULTS,
    doc_md=__doc__,
    tags=["nrtctl"],
)
def hourly() -> None:
    late_events = TimeDeltaSensor(task_id="late_events", delta=LATE_EVENTS, mode="reschedule")
    metrics, verified = hourly_metrics(), verify()
    ready = [doctor_kafka(), doctor_clickhouse(), late_events]
    ready >> metrics >> verified
    ready >> spark_aggregate()
    notify(metrics, verified)


hourly()
