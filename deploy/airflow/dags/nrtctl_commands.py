"""Run `nrtctl` from a task, keep what it prints, tell how a run went. Imported by the DAGs here.

Airflow variables, all optional: `nrtctl_command` (the installed command, where it is not on the
workers' PATH), `nrtctl_config` (the nrtctl.toml to use), `nrtctl_spark_job` (how the Spark job is
called). Airflow connection, optional:
`nrtctl_notify` (type HTTP: where notifications are posted). See docs/airflow.md.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import BaseHook, Context, Variable
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowNotFoundException,
)

log = logging.getLogger(__name__)

NOTIFY = "nrtctl_notify"
NOTIFY_SECONDS = 10
HOUR = timedelta(hours=1)
NO_RETRY = frozenset({2, 5})
"""Exit codes that a second try cannot change: a wrong call or configuration, a failed check."""


def lines(*arguments: str) -> Iterator[str]:
    """The lines that `nrtctl ARGUMENTS` writes to stdout. Raises as `printed` does."""
    config = Variable.get("nrtctl_config", default=None)
    words = [
        Variable.get("nrtctl_command", default="nrtctl"),
        *(("--config", config) if config else ()),
        *arguments,
    ]
    called = f"nrtctl {arguments[0]}"
    return printed(words, called=called, mending="set the Airflow variable nrtctl_command")


def printed(words: list[str], *, called: str, mending: str) -> Iterator[str]:
    """The lines that a command writes to stdout, as they come. No shell is involved.

    Args:
        called: what it is called if it fails.
        mending: what to do if it is not there.

    Raises:
        AirflowFailException: it ended with a code of NO_RETRY, or is not installed.
        AirflowException: it ended with another code than 0.
    """
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        try:
            process = subprocess.Popen(  # noqa: S603
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                encoding="utf-8",
            )
        except OSError as error:
            raise AirflowFailException(f"{words[0]} cannot be run: {error}; {mending}") from error
        with process:
            try:
                yield from process.stdout or ()
            except BaseException:
                process.kill()
                raise
        said.seek(0)
        text = said.read().strip()
    if text:
        log.info("%s", text)
    if process.returncode:
        kind = AirflowFailException if process.returncode in NO_RETRY else AirflowException
        raise kind(f"{called} ended with {process.returncode}: {text}")


def run(*arguments: str) -> str:
    """All that `nrtctl ARGUMENTS` writes to stdout; raises as `lines` does."""
    return "".join(lines(*arguments))


def store(path: Path, text: Iterable[str]) -> int:
    """Put lines into a file, whole or not at all; how many there were."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            for line in text:
                file.write(line)
                count += 1
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return count


def interval(context: Context) -> tuple[datetime, datetime]:
    """The hour that the run is for, UTC: its data interval; the last whole hour before a run that
    was started by hand without a logical date."""
    start = context.get("data_interval_start")
    if start is None:
        start = context["dag_run"].run_after - HOUR
    begin = start.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return begin, begin + HOUR


def iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def tell(context: Context, outcome: str, text: str, **more: Any) -> None:
    """Write one notification to the log, and post it where `nrtctl_notify` says, if it is there."""
    start, end = interval(context)
    message = {
        "text": text,
        "outcome": outcome,
        "dag": context["dag"].dag_id,
        "run": context["dag_run"].run_id,
        "from": iso(start),
        "until": iso(end),
        **more,
    }
    log.info("notification: %s", json.dumps(message))
    try:
        BaseHook.get_connection(NOTIFY)
    except AirflowNotFoundException:
        return
    from airflow.providers.http.hooks.http import HttpHook

    HttpHook(http_conn_id=NOTIFY).run(json=message, extra_options={"timeout": NOTIFY_SECONDS})


def tell_failure(context: Context) -> None:
    """Called by Airflow when a task has failed for good."""
    task = context["ti"].task_id
    error = str(context.get("exception") or "")
    text = f"{context['dag'].dag_id}: {task} failed: {error}"
    tell(context, "failed", text, task=task, error=error)


DEFAULTS = {
    "retries": 2,
    "retry_delay": timedelta(minutes=1),
    "execution_timeout": timedelta(minutes=30),
    "on_failure_callback": tell_failure,
}
"""What every task of the DAGs has."""
