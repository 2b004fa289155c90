"""Put a consumer together from a configuration. Called by `consume` and `demo`."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from nrtctl import faultpoints, kafka
from nrtctl.clickhouse import ClickHouseClient
from nrtctl.clock import Clock
from nrtctl.config.model import Config
from nrtctl.consumer.deletion import within
from nrtctl.consumer.group import Group
from nrtctl.consumer.loop import Loop
from nrtctl.consumer.observer import Observer, Summary
from nrtctl.consumer.pressure import Pressure
from nrtctl.consumer.stop import Stop
from nrtctl.consumer.unassigned import Unassigned
from nrtctl.consumer.unreadable import Unreadable
from nrtctl.consumer.writer import Target, Writer
from nrtctl.errors import NrtctlError
from nrtctl.intents import OffsetRange
from nrtctl.kafka_damage import Finder
from nrtctl.kafka_log import KafkaLog
from nrtctl.pace import Pace
from nrtctl.schema import INSERT_SETTINGS
from nrtctl.schema.cluster_ddl import needed
from nrtctl.stack.addresses import Addresses

if TYPE_CHECKING:
    from confluent_kafka import Consumer

LEASE_SHARE = 0.5
FETCH_QUEUE_KILOBYTES = 4 * 1024
FETCH_AGAIN_MS = 10
"""After a full queue; the client's own 1000 leaves the consumer without messages meanwhile."""

STATISTICS_MS = 2000
GARBAGE_THRESHOLD = 100_000
"""Objects made before a collection: messages are looked through otherwise, and hold no cycles."""


def make_loop(
    config: Config,
    addresses: Addresses,
    *,
    clock: Clock,
    observer: Observer,
    waiting: Callable[[str, float], None],
    count: int | None = None,
    until_end: bool = False,
    skip_lost: bool = False,
    skip_damaged: bool = False,
    statistics: Callable[[str], None] | None = None,
    ends: Mapping[int, int] | None = None,
    pace: Pace | None = None,
) -> Loop:
    """A loop that is ready to `run`.

    Args:
        statistics: given librdkafka's statistics every two seconds, from within a fetch.
        skip_damaged: go on after record batches that cannot be read.
        ends: the offsets to stop at, by partition, as with `until_end`.
        pace: how many messages may be fetched.

    Raises:
        ConnectError: Kafka or ClickHouse does not answer.
        NrtctlError: the topic or the tables are not there.
    """
    faultpoints.arm()
    gc.set_threshold(GARBAGE_THRESHOLD)
    pipeline, database = config.pipeline, config.clickhouse.database
    log_ends = KafkaLog(config, addresses).ends()
    storage = _client(config, addresses)
    _check_tables(storage, config)
    stop = Stop()

    heard: dict[str, Any] = (
        {"statistics.interval.ms": STATISTICS_MS, "stats_cb": statistics} if statistics else {}
    )

    def make_consumer(on_commit: Callable[..., None]) -> Consumer:
        return kafka.make_consumer(
            config.kafka,
            config.consumer.group,
            address=addresses.bootstrap_servers,
            properties={
                "enable.partition.eof": True,
                "session.timeout.ms": int(config.consumer.session_timeout * 1000),
                "queued.max.messages.kbytes": FETCH_QUEUE_KILOBYTES,
                "fetch.queue.backoff.ms": FETCH_AGAIN_MS,
                "fetch.wait.max.ms": max(5, min(100, int(config.batch.max_wait * 500))),
                **heard,
            },
            on_commit=on_commit,
        )

    unreadable = Unreadable(
        pipeline.topic,
        Finder(
            config.kafka,
            pipeline.topic,
            config.consumer.group + ".damage",
            address=addresses.bootstrap_servers,
        ),
        clock=clock,
        skip=skip_damaged,
        waiting=waiting,
        note=observer.note,
    )

    def unassigned(own: Callable[[], str | None]) -> Unassigned:
        admin = cache(lambda: kafka.make_admin(config.kafka, address=addresses.bootstrap_servers))
        name = config.consumer.group
        return Unassigned(
            pipeline.topic,
            name,
            lambda: admin().describe_consumer_groups([name])[name],
            own=own,
            session_timeout=config.consumer.session_timeout,
            clock=clock,
            waiting=waiting,
            note=observer.note,
        )

    group = Group(
        make_consumer,
        pipeline.topic,
        pipeline.table,
        start=config.consumer.start,
        clock=clock,
        stop=stop,
        waiting=waiting,
        note=observer.note,
        address=addresses.bootstrap_servers,
        timeout=config.kafka.connect_timeout,
        pace=pace,
        unreadable=unreadable,
        partitions=len(log_ends),
        unassigned=unassigned,
    )
    target = target_of(config)
    pressure = Pressure(
        database,
        (pipeline.table, pipeline.dead_letters),
        clock,
        cluster=config.clickhouse.cluster,
    )

    def writer(declare: Callable[[int, OffsetRange, bool], float]) -> Writer:
        return Writer(
            target,
            _client(config, addresses),
            declare=declare,
            lease=config.consumer.session_timeout * LEASE_SHARE,
            clock=clock,
            pressure=pressure,
            waiting=waiting,
        )

    def holds_all(partition: int, span: OffsetRange) -> bool:
        rows = target.rows("_offset", within(partition, [span]))
        found = storage.query(f"SELECT uniqExact(_offset) FROM ({rows})")
        return int(found[0][0]) == span.end - span.start

    return Loop(
        pipeline.topic,
        pipeline.table,
        group,
        settings=config.consumer,
        limits=config.batch,
        writers=writer,
        holds_all=holds_all,
        clock=clock,
        observer=observer,
        stop=stop,
        together=config.clickhouse.cluster is None,
        skip_lost=skip_lost,
        unreadable=unreadable,
        count=count,
        until_end=log_ends if until_end else ends,
    )


def dead_letters(config: Config, addresses: Addresses, summary: Summary) -> int | None:
    """How many of the messages that a run stored are dead letters; None: ClickHouse does not
    say."""
    if summary.left:
        return None  # ClickHouse does not take batches either
    conditions = [within(partition, spans) for partition, spans in summary.spans.items()]
    if not conditions:
        return 0
    where = " OR ".join(f"({each})" for each in conditions)
    table, mine = target_of(config).tables(f"({where})")[1]
    try:
        client = _client(config, addresses)
        found = client.query(f"SELECT uniqExact(_partition, _offset) FROM {table} WHERE {mine}")
        return min(int(found[0][0]), summary.records)
    except NrtctlError:
        return None


def target_of(config: Config) -> Target:
    pipeline = config.pipeline
    return Target(
        topic=pipeline.topic,
        database=config.clickhouse.database,
        landing=pipeline.landing,
        table=pipeline.table,
        dead_letters=pipeline.dead_letters,
        insert_settings=INSERT_SETTINGS,
        cluster=config.clickhouse.cluster,
    )


def _client(config: Config, addresses: Addresses) -> ClickHouseClient:
    return ClickHouseClient(
        config.clickhouse, url=addresses.clickhouse_url, password=addresses.clickhouse_password
    )


def _check_tables(client: ClickHouseClient, config: Config) -> None:
    pipeline, database = config.pipeline, config.clickhouse.database
    names = set(needed(pipeline, database, config.clickhouse.cluster))
    rows = client.query(
        "SELECT name FROM system.tables WHERE database = {d:String}", {"d": database}
    )
    absent = sorted(names - {str(row[0]) for row in rows})
    if absent:
        raise NrtctlError(
            f"{database}.{absent[0]} does not exist: nothing could be stored",
            hint="`nrtctl up` creates topic, tables and views",
        )
