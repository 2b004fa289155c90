"""Put a consumer together from a configuration. Called by `consume` and `demo`."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event

from nrtctl import kafka
from nrtctl.clickhouse import ClickHouseClient
from nrtctl.clock import Clock
from nrtctl.config.model import Config
from nrtctl.consumer.group import Group
from nrtctl.consumer.loop import Loop, Observer
from nrtctl.consumer.transaction import Target, Writer
from nrtctl.errors import NrtctlError
from nrtctl.kafka_log import KafkaLog
from nrtctl.schema import INSERT_SETTINGS, ddl
from nrtctl.stack.addresses import Addresses

LEASE_SHARE = 0.5
FETCH_QUEUE_KILOBYTES = 32 * 1024


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
) -> Loop:
    """A loop that is ready to `run`.

    Raises:
        ConnectError: Kafka or ClickHouse does not answer.
        NrtctlError: the topic or the tables are not there.
    """
    pipeline, database = config.pipeline, config.clickhouse.database
    ends = KafkaLog(config, addresses).ends()
    storage = _client(config, addresses)
    _check_tables(storage, config)
    stop = Event()
    consumer = kafka.make_consumer(
        config.kafka,
        config.consumer.group,
        address=addresses.bootstrap_servers,
        properties={
            "enable.partition.eof": True,
            "session.timeout.ms": int(config.consumer.session_timeout * 1000),
            "queued.max.messages.kbytes": FETCH_QUEUE_KILOBYTES,
            "fetch.wait.max.ms": max(5, min(100, int(config.batch.max_wait * 500))),
        },
    )
    group = Group(
        consumer,
        pipeline.topic,
        pipeline.table,
        start=config.consumer.start,
        clock=clock,
        stop=stop,
        timeout=config.kafka.connect_timeout,
    )
    target = Target(
        topic=pipeline.topic,
        database=database,
        landing=pipeline.landing,
        table=pipeline.table,
        dead_letters=pipeline.dead_letters,
        insert_settings=INSERT_SETTINGS,
    )

    def writer() -> Writer:
        return Writer(
            target,
            _client(config, addresses),
            declare=group.declare if config.consumer.delivery == "exactly-once" else None,
            lease=config.consumer.session_timeout * LEASE_SHARE,
            clock=clock,
            waiting=waiting,
        )

    def stored_max(partition: int) -> int:
        where = f"_topic = '{pipeline.topic}' AND _partition = {partition}"
        rows = storage.query(
            "SELECT max(top), sum(n) FROM ("
            f"SELECT max(_offset) AS top, count() AS n FROM {database}.{pipeline.table} "
            f"WHERE {where} UNION ALL SELECT max(_offset), count() "
            f"FROM {database}.{pipeline.dead_letters} "
            f"WHERE _table = '{pipeline.table}' AND {where})"
        )
        top, count_ = rows[0]
        return int(top) if count_ else -1

    return Loop(
        pipeline.topic,
        group,
        settings=config.consumer,
        limits=config.batch,
        writers=writer,
        stored_max=stored_max,
        clock=clock,
        observer=observer,
        skip_lost=skip_lost,
        count=count,
        until_end=ends if until_end else None,
    )


def _client(config: Config, addresses: Addresses) -> ClickHouseClient:
    return ClickHouseClient(
        config.clickhouse, url=addresses.clickhouse_url, password=addresses.clickhouse_password
    )


def _check_tables(client: ClickHouseClient, config: Config) -> None:
    pipeline, database = config.pipeline, config.clickhouse.database
    needed = set(ddl.needed(pipeline, database))
    rows = client.query(
        "SELECT name FROM system.tables WHERE database = {d:String}", {"d": database}
    )
    absent = sorted(needed - {str(row[0]) for row in rows})
    if absent:
        raise NrtctlError(
            f"{database}.{absent[0]} does not exist: nothing could be stored",
            hint="`nrtctl up` creates topic, tables and views",
        )
