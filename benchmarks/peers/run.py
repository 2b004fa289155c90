"""One peer on one table: its rate and cost, what it makes of bad messages, and of a kill.

Called by `__main__`. A look at the table is one `SELECT count()`, ten times a second.
"""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from benchmarks.peers.peer import Peer, Work
from nrtctl.bench.children import Child, Usage, cpu_seconds
from nrtctl.bench.scratch import Pipeline
from nrtctl.clickhouse.client import ClickHouseClient
from nrtctl.clock import SystemClock
from nrtctl.errors import NrtctlError
from nrtctl.producer.sources.faults import Faulty
from nrtctl.producer.sources.reference_events import ReferenceEvents

LOOK_SECONDS = 0.1
QUIET_SECONDS, FIRST_SECONDS = 20.0, 60.0
"""A peer that does not end by itself has these to store more, and to store its first."""
KILL_AT = 0.35
"""Of the messages that are rows by then."""
END_SECONDS = 20.0
STEP = 5000


@dataclass(frozen=True, slots=True)
class Stored:
    rows: int
    distinct: int


class Table:
    """What a peer has stored so far."""

    def __init__(self, pipeline: Pipeline, client: ClickHouseClient) -> None:
        self._name = pipeline.table
        self._client = client

    def rows(self) -> int:
        return int(self._client.query(f"SELECT count() FROM {self._name}")[0][0])

    def stored(self) -> Stored:
        [(rows, distinct)] = self._client.query(
            f"SELECT count(), uniqExact(event_id) FROM {self._name}"
        )
        return Stored(int(rows), int(distinct))

    def good(self, pipeline: Pipeline, seed: int, count: int, invalid: float) -> tuple[int, int]:
        """Of `count` messages that were sent with that share of bad ones: how many good ones there
        are, and how many of them are rows."""
        ids = good_ids(pipeline, seed, count, invalid)
        known = f"{pipeline.database}.good"
        self._client.command(f"CREATE TABLE {known} (event_id UUID) ENGINE = MergeTree ORDER BY ()")
        for first in range(0, len(ids), STEP):
            values = ", ".join(f"('{each}')" for each in ids[first : first + STEP])
            self._client.command(f"INSERT INTO {known} VALUES {values}")
        sql = f"SELECT uniqExactIf(event_id, event_id IN {known}) FROM {self._name}"
        return len(ids), int(self._client.query(sql)[0][0])


def good_ids(pipeline: Pipeline, seed: int, count: int, invalid: float) -> list[str]:
    """Of the messages that `nrtctl produce --seed --count --invalid` sends."""
    source = Faulty(
        ReferenceEvents(seed, clock=SystemClock()),
        seed=seed,
        invalid=invalid,
        fields=pipeline.scratch.config().pipeline.places_to_types,
    )
    found: list[str] = []
    for first in range(0, count, 1000):
        for _, value, _, mark in source.take(min(1000, count - first)):
            if mark is None and value is not None:
                found.append(value.split(b'"', 4)[3].decode())
    return found


class Watch:
    """Looks at a peer while it runs, and ends one that does not end by itself."""

    def __init__(
        self,
        pipeline: Pipeline,
        peer: Peer,
        table: Table,
        count: int,
        *,
        after_a_kill: bool = False,
    ) -> None:
        """Args: after_a_kill: rows may be doubled, so that `count` rows need not be all."""
        self._after_a_kill = after_a_kill
        self._pipeline = pipeline
        self._peer = peer
        self._table = table
        self._count = count
        self._began = self._changed = self._looked = time.monotonic()
        self._asked: float | None = None
        self._before = self.rows = self._seen()
        self.seconds: float | None = None
        """From the start of the process until all were seen to be rows."""
        self.cpu: float | None = None
        """Of a peer that had to be ended: CPU-seconds until then."""
        self.engine: dict[str, float] = {}

    def look(self, child: Child | None) -> None:
        """Args: child: None once it has ended."""
        now = time.monotonic()
        if child is not None and now < self._looked + LOOK_SECONDS:
            return
        rows = self._seen()
        self._looked = time.monotonic()
        if rows != self.rows:
            self.rows, self._changed = rows, now
        if rows >= self._count and self.seconds is None:
            self.seconds = self._looked - self._began
        if child is not None and not self._peer.ends:
            self._end(child, now)

    def _seen(self) -> int:
        return self._table.stored().distinct if self._after_a_kill else self._table.rows()

    def _end(self, child: Child, now: float) -> None:
        if self._asked is None:
            quiet = QUIET_SECONDS if self.rows > self._before else FIRST_SECONDS
            if self.seconds is None and now < self._changed + quiet:
                return
            self.cpu, self.engine = cpu_seconds(child.pid), self._pipeline.scratch.cpu_seconds()
            self._asked = now
            child.signal(signal.SIGTERM)
        elif now > self._asked + END_SECONDS:
            child.signal(signal.SIGKILL)


def ingest(
    pipeline: Pipeline, client: ClickHouseClient, peer: Peer, count: int
) -> dict[str, float]:
    """Figures of one run over messages that are all good.

    Raises:
        NrtctlError: it failed, or did not store each message once.
    """
    table, scratch = Table(pipeline, client), pipeline.scratch
    before = scratch.cpu_seconds()
    watch = Watch(pipeline, peer, table, count)
    with peer.start(pipeline, Work(count)) as child:
        used = child.ended(lambda: watch.look(child))
    after = watch.engine or scratch.cpu_seconds()
    watch.look(None)
    found = table.stored()
    if watch.seconds is None or found != Stored(count, count):
        raise NrtctlError(
            f"{peer.title} stored {found.rows:,} rows of {found.distinct:,} of {count:,} "
            f"messages and ended with {used.code}: {_last_words(used)}"
        )
    cpu = used.cpu if watch.cpu is None else watch.cpu
    return {
        "rate": count / watch.seconds,
        "client_cpu_seconds_per_million": cpu * 1e6 / count,
        **{
            f"{part}_cpu_seconds_per_million": (seconds - before[part]) * 1e6 / count
            for part, seconds in after.items()
            if part in before
        },
        "peak_memory_mb": used.peak_memory / 2**20,
    }


def bad(
    pipeline: Pipeline, client: ClickHouseClient, peer: Peer, count: int, seed: int, invalid: float
) -> dict[str, Any]:
    """What became of `count` messages of which `invalid` percent are bad, by their event ids."""
    table = Table(pipeline, client)
    watch = Watch(pipeline, peer, table, count)
    with peer.start(pipeline, Work(count)) as child:
        used = child.ended(lambda: watch.look(child))
    good, stored = table.good(pipeline, seed, count, invalid)
    found = table.stored()
    letters = f"{pipeline.database}.{pipeline.scratch.config().pipeline.dead_letters}"
    kept = 0
    if client.query(f"EXISTS TABLE {letters}") == [(1,)]:
        kept = int(client.query(f"SELECT count() FROM {letters}")[0][0])
    return {
        "messages": count,
        "good": good,
        "good_stored": stored,
        "other_rows": found.rows - stored,
        "dead_letters": kept,
        "ended_with": used.code if peer.ends else None,
        "said": _last_words(used) if used.code else "",
    }


def killed(pipeline: Pipeline, client: ClickHouseClient, peer: Peer, count: int) -> dict[str, Any]:
    """`kill -9` once a third is stored, the same command again, and what is in the table then."""
    table = Table(pipeline, client)
    rows = max(1, min(50_000, count // 10))
    until = time.monotonic() + FIRST_SECONDS
    with peer.start(pipeline, Work(count, rows)) as child:
        first = child.ended(lambda: _kill(child, table, count, until))
    if first.code not in {0, -signal.SIGKILL}:
        raise NrtctlError(f"{peer.title} ended with {first.code}: {_last_words(first)}")
    at_kill = _quiet(table)
    left = count - _committed(pipeline) if peer.told else count
    watch = Watch(pipeline, peer, table, count, after_a_kill=True)
    with peer.start(pipeline, Work(left, rows)) as child:
        second = child.ended(lambda: watch.look(child))
    _quiet(table)
    found = table.stored()
    return {
        "messages": count,
        "killed": first.code == -signal.SIGKILL,
        "stored_at_the_kill": at_kill,
        "lost": count - found.distinct,
        "doubled": found.rows - found.distinct,
        "ended_with": second.code if peer.ends else None,
    }


def _kill(child: Child, table: Table, count: int, until: float) -> None:
    """Raises NrtctlError: it has stored nothing by `until`."""
    rows = table.rows()
    if rows >= count * KILL_AT:
        child.signal(signal.SIGKILL)
    elif not rows and time.monotonic() > until:
        raise NrtctlError(f"it stored nothing in {FIRST_SECONDS:g} s")


def _quiet(table: Table) -> int:
    """Rows, once what the engine had begun is over."""
    rows, since = table.rows(), time.monotonic()
    while time.monotonic() < since + 1:
        time.sleep(LOOK_SECONDS)
        if (now := table.rows()) != rows:
            rows, since = now, time.monotonic()
    return rows


def _committed(pipeline: Pipeline) -> int:
    """Messages that the group need not read again."""
    topic = pipeline.topic
    asking = Consumer({**pipeline.scratch.login(), "group.id": pipeline.database})
    try:
        known = asking.list_topics(topic, timeout=30).topics[topic].partitions
        places = asking.committed([TopicPartition(topic, each) for each in known], timeout=30)
    finally:
        asking.close()
    return sum(max(0, each.offset) for each in places)


def _last_words(used: Usage) -> str:
    """The last line that it said which is none of a trace's."""
    lines = (used.errors or used.output).decode(errors="replace").splitlines()
    own = [line for line in lines if line.strip() and not line[0].isspace()]
    return own[-1][:300] if own else ""
