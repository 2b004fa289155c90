"""Rows a second from a backlog into the table, beside what the engine itself does.

Called by `nrtctl bench ingest`. The two take turns, so that other load on the machine hits both.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from nrtctl.bench.children import GIVEN, Child
from nrtctl.bench.events import write_lines
from nrtctl.bench.figures import figure
from nrtctl.bench.limit import bodies, insert_all
from nrtctl.bench.scratch import Pipeline, Scratch
from nrtctl.config.counted import counted
from nrtctl.errors import CheckFailed
from nrtctl.local.process import write_atomically
from nrtctl.stack.spawn import FRONT

KEY = "user_id"
TOPIC = "bench_ingest"
PLAIN_SMALL = 10
PLAIN_LARGE = 10_000
Say = Callable[[str], None]


def ingest(
    stack: Scratch, *, count: int, runs: int, plain: bool, say: Say = lambda text: None
) -> dict[str, Any]:
    """Rates in rows a second; see `docs/performance.md` for what each figure means.

    Raises:
        CheckFailed: a run did not store every event exactly once.
        NrtctlError: a command failed.
    """
    config, addresses, kcat = stack.config(), stack.addresses(), shutil.which("kcat")
    lines = stack.directory / "events.jsonl"
    say(f"generating {counted(count, 'event')}")
    size = write_lines(lines, count)
    measured: dict[str, list[float]] = {}

    def note(**values: float) -> None:
        for name, value in values.items():
            measured.setdefault(name, []).append(value)

    with stack.pipeline(topic=TOPIC, database="bench_source") as source:
        say("sending them")
        source.run("produce", "--input", str(lines), "--key", KEY)
        for number in range(1, runs + 1):
            say(f"run {number} of {runs}: the pipeline")
            with stack.pipeline(topic=TOPIC, database=f"bench_{number}") as pipeline:
                found = store_backlog(pipeline, count, "--member")
            note(**found)
            pipeline_rate, rows = found["rate"], math.ceil(found["rows_per_insert"])
            if plain:
                say(f"run {number} of {runs}: the plain loop")
                for each, share in ((PLAIN_LARGE, 0.25), (PLAIN_SMALL, 0.002)):
                    rate = _plain(stack, each, min(count, max(each, int(count * share))), number)
                    note(**{f"plain_{each}_rate": rate, f"over_plain_{each}": pipeline_rate / rate})
                if kcat is not None:
                    say(f"run {number} of {runs}: kcat reads the topic, and stores nothing")
                    rate = count / _kcat(stack, kcat)
                    note(kcat_consume_rate=rate, over_kcat_consume=pipeline_rate / rate)
            say(f"run {number} of {runs}: the engine alone")
            with stack.pipeline(topic=TOPIC, database=f"bench_limit_{number}") as pipeline:
                batches, at_once = bodies(lines, rows), config.consumer.max_inserts
                before = {
                    part: cpu for part, cpu in stack.cpu_seconds().items() if part == FRONT.name
                }
                seconds = insert_all(addresses, pipeline.table, batches, at_once=at_once)
                _check(pipeline, count)
                note(**_per_million(stack, before, count, "limit_"))
            note(limit_rate=count / seconds, ratio=pipeline_rate * seconds / count)
    figures: dict[str, Any] = {
        name: figure(
            values, 3 if name == "ratio" or name.startswith("over") or "cpu_seconds" in name else 1
        )
        for name, values in measured.items()
    }
    return {
        "count": count,
        "bytes": size,
        "inserts_under_way": config.consumer.max_inserts,
        **figures,
    }


def store_backlog(
    pipeline: Pipeline,
    count: int,
    *how: str,
    meanwhile: Callable[[Child], None] = lambda child: None,
) -> dict[str, float]:
    """Figures of one `consume --until-end` of a topic with `count` messages: `rate` by the
    consumer's own clock, from connecting to leaving the group; `rows_per_insert` is a mean.

    Args:
        how: more arguments of `consume`.
        meanwhile: called while it runs.

    Raises:
        CheckFailed: not every message is a row exactly once.
        NrtctlError: the command failed.
    """
    arguments = (*how, "--until-end", "--set", f"consumer.group={pipeline.database}")
    beneath = _rows(pipeline)
    before = pipeline.scratch.cpu_seconds()
    with pipeline.start("consume", *arguments) as child:
        used = child.wait(lambda: meanwhile(child))
    engine = _per_million(pipeline.scratch, before, count, "")
    summary = json.loads(used.output)
    _check(pipeline, beneath + count)
    idle = pipeline.run("consume", *arguments)
    return {
        **engine,
        "rate": count / summary["seconds"],
        "rows_per_insert": count / summary["inserts"],
        "consumer_cpu_seconds_per_million": used.cpu * 1e6 / count,
        "consumer_messages_per_cpu_second": count / max(0.001, used.cpu - idle.cpu),
        "consumer_start_cpu_seconds": idle.cpu,
        "consumer_peak_memory_mb": used.peak_memory / 2**20,
    }


def _per_million(
    stack: Scratch, before: dict[str, float], count: int, prefix: str
) -> dict[str, float]:
    """CPU-seconds of the stack's parts since `before`, a million events."""
    return {
        f"{prefix}{part}_cpu_seconds_per_million": (seconds - before[part]) * 1e6 / count
        for part, seconds in stack.cpu_seconds().items()
        if part in before
    }


def _plain(stack: Scratch, rows: int, count: int, number: int) -> float:
    with stack.pipeline(topic=TOPIC, database=f"bench_plain_{rows}_{number}") as pipeline:
        with plain_loop(pipeline, rows, count, stack.login()) as child:
            used = child.wait()
        _check(pipeline, count)
    return float(count / json.loads(used.output)["seconds"])


def plain_loop(pipeline: Pipeline, rows: int, count: int, kafka: Mapping[str, str]) -> Child:
    """The loop of `bench.plain`: `count` messages into the pipeline's table, `rows` an insert, in
    the group that has the name of the database. Used by `benchmarks/peers`, too."""
    addresses = pipeline.scratch.addresses()
    url = urlsplit(addresses.clickhouse_url)
    given = {
        "kafka": dict(kafka),
        "host": url.hostname,
        "port": url.port,
        "password": addresses.clickhouse_password or "",
        "topic": pipeline.topic,
        "table": pipeline.table,
        "rows": rows,
        "count": count,
        "group": pipeline.database,
    }
    command = [sys.executable, "-P", "-m", "nrtctl.bench.plain"]
    return pipeline.scratch.child("the plain loop", command, {GIVEN: json.dumps(given)})


def _kcat(stack: Scratch, kcat: str) -> float:
    """Seconds of the whole command, start included."""
    login = stack.directory / "kcat.conf"
    lines = "".join(f"{name}={value}\n" for name, value in stack.login().items())
    write_atomically(login, lines.encode())  # others can read a command line
    command = [kcat, "-F", str(login), "-C", "-q", "-e", "-o", "beginning", "-f", "", "-t", TOPIC]
    with stack.child("kcat", command) as child:
        return child.wait().seconds


def _check(pipeline: Pipeline, count: int) -> None:
    stored = _rows(pipeline)
    if stored != count:
        raise CheckFailed(f"{counted(stored, 'row is', 'rows are')} stored instead of {count:,}")


def _rows(pipeline: Pipeline) -> int:
    client = pipeline.scratch.client()
    try:
        return int(client.query(f"SELECT count() FROM {pipeline.table}")[0][0])
    finally:
        client.close()
