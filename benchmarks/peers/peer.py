"""Who takes part, and how each is started on a table. Called by `run` and `__main__`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers import connect, raw
from benchmarks.peers.connect import SESSION_SECONDS
from nrtctl.bench.children import GIVEN, Child
from nrtctl.bench.ingest import plain_loop
from nrtctl.bench.scratch import Pipeline


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be stored: how many messages, and no more than how many rows in an insert (None:
    as many as the peer likes)."""

    messages: int
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class Peer:
    """
    Args:
        start: what runs it, in a consumer group that has the name of the database.
        ends: whether it ends by itself once all is stored; the others are ended from outside.
        told: whether it must be told how many messages are left.
    """

    title: str
    start: Callable[[Pipeline, Work], Child]
    ends: bool = True
    told: bool = True


def _product(pipeline: Pipeline, work: Work) -> Child:
    group = (
        f"consumer.group={pipeline.database}",
        f"consumer.session_timeout={SESSION_SECONDS}s",
    )
    rows = () if work.rows is None else (f"batch.max_rows={work.rows}",)
    settings = [part for each in (*group, *rows) for part in ("--set", each)]
    return pipeline.start("consume", "--until-end", *settings)


def _kafka(pipeline: Pipeline) -> dict[str, str]:
    return {**pipeline.scratch.login(), "session.timeout.ms": str(SESSION_SECONDS * 1000)}


def _json(pipeline: Pipeline, work: Work) -> Child:
    return plain_loop(pipeline, work.rows or 10_000, work.messages, _kafka(pipeline))


def _raw(pipeline: Pipeline, work: Work) -> Child:
    addresses = pipeline.scratch.addresses()
    given = {
        "kafka": _kafka(pipeline),
        "url": addresses.clickhouse_url,
        "password": addresses.clickhouse_password or "",
        "topic": pipeline.topic,
        "group": pipeline.database,
        "table": pipeline.table,
        "rows": work.rows or 50_000,
        "count": work.messages,
    }
    command = [sys.executable, "-P", str(Path(raw.__file__))]
    return pipeline.scratch.child("the raw loop", command, {GIVEN: json.dumps(given)})


PEERS = {
    "product": Peer("nrtctl consume --until-end", _product, told=False),
    "raw": Peer("a loop that posts raw lines, same table", _raw),
    "json": Peer("a loop with json.loads, same table", _json),
}


def kafka_connect(sink: Path) -> Peer:
    """Raises NrtctlError: its jars cannot be had. Args: sink: the jar of ClickHouse's sink."""
    jars = connect.jars()

    def start(pipeline: Pipeline, work: Work) -> Child:
        return connect.start(pipeline, jars, sink, work.rows or 50_000)

    return Peer("Kafka Connect, a table without projections", start, ends=False, told=False)
