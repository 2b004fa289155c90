"""Looks at a pipeline again and again. Used by everything that shows numbers.

    watcher = Watcher(config, state_dir, window=60)     # nothing is asked yet
    while True:
        shot = watcher.look()                           # once per interval
        show(shot.as_dict())                            # or its fields: `snapshot`
        time.sleep(interval)
    watcher.close()

`look` never raises because of a service: what does not answer is named in `shot.errors`, its
numbers are None, and the next look tries again (`timeout` bounds how long). Rates need two looks.
One thread at a time may call it; to keep a screen or a page alive meanwhile, call it from a thread
of its own. `watchers` looks at several pipelines.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nrtctl.clock import Clock, SystemClock
from nrtctl.config.model import Config
from nrtctl.errors import ConnectError, NrtctlError, WaitTimeout
from nrtctl.kafka.oldest import Place
from nrtctl.kafka.partitions import LogPartition
from nrtctl.schema.drift import Loss, lost
from nrtctl.stack.addresses import Addresses
from nrtctl.stats.connections import Client, Servers
from nrtctl.stats.kafka_side import KafkaLook, KafkaSide
from nrtctl.stats.metrics_file import Metrics
from nrtctl.stats.metrics_run import run_metrics, with_sources
from nrtctl.stats.rates import Growth, Still, drained_in
from nrtctl.stats.registry_side import RegistrySide
from nrtctl.stats.snapshot import (
    SCHEMA_VERSION,
    Batches,
    Cost,
    Metric,
    PartitionLag,
    Percentiles,
    Problem,
    Snapshot,
    Source,
)
from nrtctl.stats.table_side import (
    INSERT_MICROSECONDS,
    INSERT_QUERIES,
    TableLook,
    TableSide,
    column_by,
)
from nrtctl.stats.verdict import Evidence, judge

SMOOTHED = 30.0
"""Seconds that `drained_in_seconds` and the verdict take their rates over: offsets are committed
a batch at a time."""

LOST_EVERY = 5.0
"""Seconds between two looks at the tables and views themselves."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the two services have answered, before it is judged."""

    kafka: KafkaLook | None
    table: TableLook | None
    metrics: list[Metric]
    problems: list[Problem]
    cost: Cost

    def with_oldest(self, known: Mapping[Place, float]) -> Asked:
        """Args: known: times of the oldest records, at `KafkaLook.places`."""
        return self if self.kafka is None else replace(self, kafka=self.kafka.with_oldest(known))


class Watcher:
    """See the module's text.

    Args:
        state_dir: of the local stack (`Loaded.state_dir`).
        window: seconds of rows that latency, batches and breakdown are taken over.
        by: column to break the window's rows down by, as `column_by` understands it.
        metrics: what metrics.json defines.
        timeout: seconds that one question may take; None: what the configuration says.
        servers: what is asked instead of clients of its own.

    Raises:
        ConfigError: `by` is no column.
    """

    def __init__(
        self,
        config: Config,
        state_dir: Path,
        *,
        window: float = 60.0,
        by: str | None = None,
        metrics: Metrics | None = None,
        timeout: float | None = None,
        clock: Clock | None = None,
        servers: Servers | None = None,
    ) -> None:
        self._config = config
        self._servers = servers
        self._state_dir = state_dir
        self._window = window
        self._by = None if by is None else column_by(config.pipeline, by)
        self._metrics = metrics or Metrics()
        self._timeout = timeout
        self._clock = clock or SystemClock()
        self._registry = RegistrySide(state_dir, timeout=timeout, clock=self._clock)
        self._kafka: KafkaSide | None = None
        self._client: Client | None = None
        self._side: TableSide | None = None
        self._log = Growth(SMOOTHED)
        self._rows = Growth(SMOOTHED)
        self._waiting = Still()
        self._lost_now: list[Loss] = []
        self._asked_for_lost = -LOST_EVERY
        self.failed: list[NrtctlError] = []
        """What the last look met, behind `Snapshot.errors`."""

    def look(self) -> Snapshot:
        return self.judged(self.asked())

    def asked(self) -> Asked:
        """The first half of a look. With `servers` it leaves open how old the lag is."""
        began, cpu = self._clock.monotonic(), time.process_time()
        self.failed = []
        problems: list[Problem] = []
        kafka_look = self._ask_kafka(problems)
        self._log.add(began, _log_counts(kafka_look) if kafka_look else {})
        self._waiting.see(began, _waiting(kafka_look) if kafka_look else {})
        table_look, metrics, side = self._ask_clickhouse(problems)
        self._ask_registry(problems)
        wrong = [*self._metrics.wrong, *(each.error for each in metrics if each.error)]
        if table_look is not None and table_look.by is not None and table_look.by.error:
            wrong.append(f"--by {table_look.by.column}: {table_look.by.error}")
        problems += [Problem("metrics", text, None, False) for text in wrong]
        cost = Cost(
            seconds=self._clock.monotonic() - began,
            cpu_seconds=time.process_time() - cpu,
            clickhouse_seconds=side.seconds if side else 0.0,
            clickhouse_queries=side.queries if side else 0,
            clickhouse_read_rows=side.read_rows if side else 0,
        )
        return Asked(kafka_look, table_look, metrics, problems, cost)

    def judged(self, asked: Asked) -> Snapshot:
        """The second half; it asks nobody."""
        return with_sources(self._metrics.defined, self._snapshot(asked, self._clock.time()))

    def look_for_rates(self, interval: float) -> Snapshot:
        """Two looks, `interval` seconds apart, which rates take.

        Raises:
            NrtctlError: what a service did not answer.
        """
        shot = self.look()
        if not self.failed:
            self._clock.sleep(interval)
            shot = self.look()
        for error in self.failed:
            raise error
        return shot

    def close(self) -> None:
        if self._kafka is not None:
            self._kafka.close()
        if self._client is not None:
            self._client.close()
        self._registry.close()

    def _ask_kafka(self, problems: list[Problem]) -> KafkaLook | None:
        try:
            if self._servers is not None:
                return self._servers.ask_kafka(self._config)
            if self._kafka is None:
                self._kafka = KafkaSide(
                    self._config,
                    Addresses(self._config, self._state_dir).bootstrap_servers,
                    timeout=self._timeout or self._config.kafka.connect_timeout,
                )
            return self._kafka.look()
        except NrtctlError as error:
            # librdkafka's admin client may go on timing out after a restart of the broker.
            if self._kafka is not None:
                self._kafka.close()
                self._kafka = None
            self._note("kafka", error, problems)
            return None

    def _ask_clickhouse(
        self, problems: list[Problem]
    ) -> tuple[TableLook | None, list[Metric], TableSide | None]:
        look, side = None, None
        metrics: list[Metric] = []
        asked = self._clock.monotonic()
        try:
            if self._side is None:
                self._client = self._connect()
                self._side = TableSide(
                    self._client,
                    self._config.pipeline,
                    self._config.clickhouse.database,
                    by=self._by,
                    cluster=self._config.clickhouse.cluster,
                )
            side = self._side
            asked = self._clock.monotonic()
            look = side.look(self._window)
            problems += self._lost(self._client, asked)
            metrics = run_metrics(
                self._metrics.defined,
                side,
                self._config.pipeline,
                self._config.clickhouse.database,
                self._window,
            )
        except NrtctlError as error:
            # Whatever it was: another server may answer at the old address by now.
            if self._client is not None:
                self._client.close()
                self._client = self._side = None
            self._note("clickhouse", error, problems)
        # Its own time: how long Kafka or the metrics took to answer must not change a rate.
        self._rows.add(asked, _row_counts(look) if look else {})
        return look, metrics, side

    def _ask_registry(self, problems: list[Problem]) -> None:
        """All numbers are known without it, so that it is away fails no look."""
        side = self._registry if self._servers is None else self._servers.registry
        if error := side.trouble(self._config):
            problems.append(Problem("registry", error.message, error.hint, True))

    def _lost(self, client: Client | None, now: float) -> list[Problem]:
        """What the pipeline's tables and views have lost; asked for now and then."""
        if client is not None and now - self._asked_for_lost >= LOST_EVERY:
            self._asked_for_lost = now
            clickhouse = self._config.clickhouse
            self._lost_now = lost(
                client, self._config.pipeline, clickhouse.database, clickhouse.cluster
            )
        return [
            Problem("clickhouse", each.what, f"{each.fix}; a consumer waits until then", False)
            for each in self._lost_now
        ]

    def _connect(self) -> Client:
        if self._servers is not None:
            return self._servers.lent_clickhouse()
        return Addresses(self._config, self._state_dir).clickhouse_client(timeout=self._timeout)

    def _note(self, source: Source, error: NrtctlError, problems: list[Problem]) -> None:
        self.failed.append(error)
        gone = isinstance(error, ConnectError | WaitTimeout)
        problems.append(Problem(source, error.message, error.hint, gone))

    def _lags(self, look: KafkaLook, now: float) -> list[PartitionLag]:
        lags = []
        for each in look.partitions:
            produced, consumed = ("produced", each.partition), ("consumed", each.partition)
            lag = lag_records(each)
            oldest = look.oldest.get(each.partition)
            lags.append(
                PartitionLag(
                    partition=each.partition,
                    log_start=each.log_start,
                    log_end=each.log_end,
                    committed=each.committed,
                    lag_records=lag,
                    lag_seconds=0.0 if not lag else oldest and max(0.0, now - oldest),
                    drained_in_seconds=drained_in(
                        lag,
                        self._log.rate(produced, smooth=True),
                        self._log.rate(consumed, smooth=True),
                    ),
                    produced_per_second=self._log.rate(produced),
                    consumed_per_second=self._log.rate(consumed),
                )
            )
        return lags

    def _snapshot(self, asked: Asked, now: float) -> Snapshot:
        kafka_look, table_look = asked.kafka, asked.table
        rate, stored = self._log.rate, self._rows.rate
        lags = self._lags(kafka_look, now) if kafka_look else []
        lag_seconds = _largest([each.lag_seconds for each in lags])
        parts = table_look.parts if table_look else None
        reasons = table_look.by_reason if table_look else {}
        seen = Evidence(
            problems=asked.problems,
            lag=lags,
            group=kafka_look.group if kafka_look else None,
            quiet={each.partition: self._waiting.seconds(each.partition) for each in lags},
            produced=rate("produced", smooth=True),
            consumed=rate("consumed", smooth=True),
            lag_seconds=lag_seconds,
            parts_most=parts.most_in_a_partition if parts else None,
            parts_limit=parts.refused_from if parts else None,
            held=kafka_look.held if kafka_look else {},
            batch_wait=self._config.batch.longest_wait,
        )
        return Snapshot(
            version=SCHEMA_VERSION,
            time=now,
            topic=self._config.pipeline.topic,
            table=self._config.pipeline.table,
            group=self._config.consumer.group,
            window_seconds=self._window,
            verdict=judge(seen),
            errors=asked.problems,
            produced_per_second=rate("produced"),
            consumed_per_second=rate("consumed"),
            stored_per_second=stored("stored"),
            dead_letters_per_second=stored("dead letters"),
            lag_records=sum(each.lag_records for each in lags) if kafka_look else None,
            lag_seconds=lag_seconds,
            tolerable_lag_seconds=seen.tolerable,
            drained_in_seconds=_largest([each.drained_in_seconds for each in lags]),
            lag=lags,
            freshness_seconds=table_look.freshness if table_look else None,
            end_to_end_latency_seconds=table_look.latency if table_look else Percentiles(),
            window_rows=table_look.window_rows if table_look else None,
            stored=table_look.stored if table_look else None,
            dead_letters=sum(reasons.values()) if table_look else None,
            dead_letters_by_reason=reasons,
            dead_letters_by_reason_per_second={
                reason: value
                for reason in reasons
                if (value := stored(("dead letters", reason), absent=0)) is not None
            },
            batches=self._batches(table_look) if table_look else None,
            active_parts=parts.active if parts else None,
            parts=parts,
            consumers=kafka_look.group if kafka_look else None,
            metrics=asked.metrics,
            by=table_look.by if table_look else None,
            cost=asked.cost,
        )

    def _batches(self, look: TableLook) -> Batches:
        queries, microseconds = (
            self._rows.rate(name) for name in (INSERT_QUERIES, INSERT_MICROSECONDS)
        )
        return Batches(
            count=look.batches,
            per_second=look.batches / self._window,
            rows_mean=look.window_rows / look.batches if look.batches else None,
            rows_max=look.largest_batch,
            insert_seconds=microseconds / queries / 1e6 if queries and microseconds else None,
        )


def lag_records(each: LogPartition) -> int:
    return max(0, each.log_end - max(each.log_start, each.committed or 0))


def _largest(values: Sequence[float | None]) -> float | None:
    """None where one is not known, or there is none."""
    known = [each for each in values if each is not None]
    return max(known) if known and len(known) == len(values) else None


def _log_counts(look: KafkaLook) -> dict[object, int]:
    """What `Growth` remembers of a look."""
    counts: dict[object, int] = {}
    for each in look.partitions:
        counts["produced", each.partition] = each.log_end
        counts["consumed", each.partition] = each.committed or each.log_start
    counts["produced"] = sum(each.log_end for each in look.partitions)
    counts["consumed"] = sum(each.committed or each.log_start for each in look.partitions)
    return counts


def _waiting(look: KafkaLook) -> dict[Hashable, int | None]:
    """What the group has committed in each partition in which records wait for its members."""
    if not look.group.members or look.group.paused_since is not None:
        return {}
    return {each.partition: each.committed for each in look.partitions if lag_records(each)}


def _row_counts(look: TableLook) -> dict[object, int]:
    return {
        "stored": look.stored,
        "dead letters": sum(look.by_reason.values()),
        **(look.inserts or {}),
        **{("dead letters", reason): count for reason, count in look.by_reason.items()},
    }
