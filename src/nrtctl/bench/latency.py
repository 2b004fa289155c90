"""Milliseconds from an event's message to its row being queryable, at a steady rate.

Called by `nrtctl bench latency`. A reader asks the table for the highest offset of each partition,
over and over; a row counts as queryable when an answer that told of it was there.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from nrtctl.bench.figures import figure, quantile, seen_after
from nrtctl.bench.scratch import Pipeline, Scratch
from nrtctl.clickhouse.client import ClickHouseClient
from nrtctl.config.counted import counted
from nrtctl.errors import CheckFailed, WaitTimeout

ASK_SECONDS = 0.02
START_WITHIN = 60.0
TOPS = "SELECT _partition, max(_offset) FROM {table} GROUP BY _partition"
ROWS = (
    "SELECT _partition, _offset, toUnixTimestamp64Milli(_timestamp), "
    "toUnixTimestamp64Milli(_inserted_at) FROM {table} ORDER BY _partition, _offset"
)
Say = Callable[[str], None]


class Reader:
    """Asks what is there, and remembers when it was told."""

    def __init__(self, client: ClickHouseClient, table: str) -> None:
        self._client = client
        self._table = table
        self.looks: dict[int, list[tuple[float, int]]] = defaultdict(list)

    def look(self) -> None:
        answer = self._client.query(TOPS.format(table=self._table))
        now = time.time() * 1000
        for partition, top in answer:
            known = self.looks[int(partition)]
            if not known or known[-1][1] < top:
                known.append((now, int(top)))

    def latencies(self, warm_up: float) -> tuple[list[float], list[float]]:
        """(queryable, inserted) after the event, in ms, sorted; without the first seconds.

        Raises:
            CheckFailed: a row was never seen.
        """
        rows = self._client.query(ROWS.format(table=self._table))
        begin = min(row[2] for row in rows) + warm_up * 1000
        by_partition: dict[int, list[tuple[int, int]]] = defaultdict(list)
        inserted = []
        for partition, offset, event_ms, inserted_ms in rows:
            if event_ms >= begin:
                by_partition[int(partition)].append((int(offset), int(event_ms)))
                inserted.append(float(inserted_ms - event_ms))
        seen: list[float] = []
        for partition, some in by_partition.items():
            for value in seen_after(self.looks[partition], some):
                if value is None:
                    raise CheckFailed(f"a row of partition {partition} was never seen")
                seen.append(value)
        return sorted(seen), sorted(inserted)


def latency(
    stack: Scratch,
    *,
    rate: int,
    duration: float,
    warm_up: float,
    max_wait: str,
    runs: int,
    say: Say = lambda text: None,
) -> dict[str, Any]:
    """Percentiles over every row but those of the first `warm_up` seconds.

    Raises:
        CheckFailed: a run did not store every event.
        NrtctlError: a command failed.
    """
    measured: dict[str, list[float]] = defaultdict(list)
    for number in range(1, runs + 1):
        say(f"run {number} of {runs}: {counted(rate, 'event')} a second for {duration:g} s")
        name = f"bench_latency_{rate}_{number}"
        with stack.pipeline(topic=name, database=name) as pipeline:
            client = stack.client(name)
            try:
                reader = Reader(client, f"{name}.{stack.config().pipeline.table}")
                cpu, sent = _run(pipeline, reader, rate, duration + warm_up, max_wait)
                seen, inserted = reader.latencies(warm_up)
            finally:
                client.close()
        for label, values in (("", seen), ("inserted_", inserted)):
            for percent in (50, 95, 99):
                measured[f"{label}p{percent}_ms"].append(quantile(values, percent / 100))
        measured["max_ms"].append(seen[-1])
        measured["events_per_second"].append(sent / (duration + warm_up))
        measured["consumer_cpu_share"].append(cpu / (duration + warm_up))
    return {
        "rate": rate,
        "duration_seconds": duration,
        "max_wait": max_wait,
        **{
            key: figure(values, 3 if key == "consumer_cpu_share" else 1)
            for key, values in measured.items()
        },
    }


def _run(
    pipeline: Pipeline, reader: Reader, rate: int, seconds: float, max_wait: str
) -> tuple[float, int]:
    """The consumer's CPU-seconds, and the number of events."""
    settings = (
        "--set",
        f"consumer.group={pipeline.database}",
        "--set",
        f"batch.max_wait={max_wait}",
    )
    with pipeline.start("consume", "--member", *settings) as consumer:
        pipeline.run("produce", "--count", "1", meanwhile=reader.look)
        _until(reader, 1)
        sent = json.loads(
            pipeline.run(
                "produce", "--rate", str(rate), "--duration", f"{seconds}s", meanwhile=reader.look
            ).output
        )["acknowledged"]
        _until(reader, sent + 1)
        consumer.close_stdin()
        return consumer.wait().cpu, sent


def _until(reader: Reader, events: int) -> None:
    deadline = time.monotonic() + START_WITHIN
    while sum(known[-1][1] + 1 for known in reader.looks.values() if known) < events:
        if time.monotonic() > deadline:
            raise WaitTimeout(
                f"{counted(events, 'event was', 'events were')} not stored within "
                f"{START_WITHIN:g} s"
            )
        reader.look()
        time.sleep(ASK_SECONDS)
