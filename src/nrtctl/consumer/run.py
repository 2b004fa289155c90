"""Put a consumer together from a configuration. Called by `consume` and `demo`."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaException

from nrtctl import faultpoints, kafka
from nrtctl.clickhouse import ClickHouseClient
from nrtctl.clock import Clock
from nrtctl.config.model import Config
from nrtctl.consumer.chain import Chain
from nrtctl.consumer.clearance import TopicGone, TopicMadeAgain
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
from nrtctl.intents import FIRST, Incarnation, OffsetRange
from nrtctl.kafka_damage import Finder
from nrtctl.kafka_log import KafkaLog
from nrtctl.pace import Pace
from nrtctl.replay.former_group import take_over
from nrtctl.schema import INSERT_SETTINGS
from nrtctl.schema.drift import lost
from nrtctl.stack.addresses import Addresses
from nrtctl.store.current import incarnations, without_id
from nrtctl.store.incarnations import rows_by_incarnation

if TYPE_CHECKING:
    from confluent_kafka import Consumer

LEASE_SHARE = 0.5
FETCH_QUEUE_KILOBYTES = 4 * 1024
FETCH_AGAIN_MS = 10
"""After a full queue; the client's own 1000 leaves the consumer without messages meanwhile."""

STATISTICS_MS = 2000
TOPIC_SECONDS = 0.5
"""Between two looks whether a topic is there again."""
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
    stop: Stop | None = None,
    summary: Summary | None = None,
) -> Loop:
    """A loop that is ready to `run`, for the topic that is there now.

    Args:
        stop: set when the run should end. `summary`: of a run that this one continues.
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
    admin = kafka.make_admin(config.kafka, address=addresses.bootstrap_servers)
    log = KafkaLog(config, addresses)
    topic_id = log.topic_id()
    storage = _client(config, addresses)
    _check_tables(storage, config)
    topic = met(config, addresses, storage, topic_id, observer.note)
    log_ends = log.ends()
    said = take_over(config, admin, len(log_ends), address=addresses.bootstrap_servers, clock=clock)
    if said is not None:
        observer.note(said)
    stop = stop or Stop()

    heard: dict[str, Any] = (
        {"statistics.interval.ms": STATISTICS_MS, "stats_cb": statistics} if statistics else {}
    )

    def make_member(on_commit: Callable[..., None]) -> Consumer:
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
        make_member,
        pipeline.topic,
        pipeline.table,
        start=config.consumer.start,
        clock=clock,
        stop=stop,
        waiting=waiting,
        note=observer.note,
        address=addresses.bootstrap_servers,
        incarnation=topic,
        timeout=config.kafka.connect_timeout,
        pace=pace,
        unreadable=unreadable,
        partitions=len(log_ends),
        unassigned=unassigned,
    )
    target = target_of(config, topic)
    pressure = Pressure(
        database,
        (pipeline.table, pipeline.dead_letters),
        clock,
        cluster=config.clickhouse.cluster,
    )

    chain = Chain(pipeline, database, clock, cluster=config.clickhouse.cluster)

    def writer(declare: Callable[[int, OffsetRange, bool], float]) -> Writer:
        return Writer(
            target,
            _client(config, addresses),
            declare=declare,
            lease=config.consumer.session_timeout * LEASE_SHARE,
            clock=clock,
            pressure=pressure,
            waiting=waiting,
            chain=chain,
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
        incarnation=topic,
        ask_topic=lambda: kafka.ask_topic_id(
            admin, pipeline.topic, timeout=config.kafka.connect_timeout
        ),
        waiting=waiting,
        broken=lambda: chain.reason,
        summary=summary,
    )


def dead_letters(config: Config, addresses: Addresses, summary: Summary) -> int | None:
    """How many of the messages that a run stored are dead letters; None: ClickHouse does not
    say."""
    if summary.left or summary.topic is None:
        return None  # ClickHouse does not take batches either
    conditions = [within(partition, spans) for partition, spans in summary.spans.items()]
    if not conditions:
        return 0
    where = " OR ".join(f"({each})" for each in conditions)
    table, mine = target_of(config, summary.topic).tables(f"({where})")[1]
    try:
        client = _client(config, addresses)
        found = client.query(f"SELECT uniqExact(_partition, _offset) FROM {table} WHERE {mine}")
        return min(int(found[0][0]), summary.records)
    except NrtctlError:
        return None


class Consuming:
    """Runs a loop, and another one when the topic was deleted and made again.

    Args:
        make: makes a loop for the topic that is there (`make_loop` with `stop` and `summary`).
        exists: whether there is a topic of the name.
        patient: a topic that was deleted is waited for; else that is an error.
    """

    def __init__(
        self,
        make: Callable[[Stop, Summary | None], Loop],
        exists: Callable[[], bool],
        *,
        topic: str,
        patient: bool,
        clock: Clock,
        waiting: Callable[[str, float], None],
    ) -> None:
        self._make = make
        self._exists = exists
        self._topic = topic
        self._patient = patient
        self._clock = clock
        self._waiting = waiting
        self._stop = Stop()
        self._loop = make(self._stop, None)

    def stop(self) -> None:
        """As `Loop.stop`."""
        self._stop.set()

    def run(self) -> Summary:
        """As `Loop.run`."""
        while True:
            loop = self._loop
            try:
                return loop.run()
            except TopicMadeAgain:
                pass
            except TopicGone:
                if not self._patient:
                    raise
                self._wait()
            if self._stop.is_set():
                return loop.summary
            self._loop = self._make(self._stop, loop.summary)

    def _wait(self) -> None:
        while not self._stop.is_set() and not self._exists():
            self._waiting(
                f"topic {self._topic!r} was deleted; `nrtctl up` makes it again", TOPIC_SECONDS
            )
            self._clock.sleep(TOPIC_SECONDS)


def make_consumer(
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
) -> Consuming:
    """A consumer that is ready to `run`; arguments and errors as `make_loop`'s."""
    admin = kafka.make_admin(config.kafka, address=addresses.bootstrap_servers)
    topic, timeout = config.pipeline.topic, config.kafka.connect_timeout

    def make(stop: Stop, summary: Summary | None) -> Loop:
        return make_loop(
            config,
            addresses,
            clock=clock,
            observer=observer,
            waiting=waiting,
            count=count,
            until_end=until_end,
            skip_lost=skip_lost,
            skip_damaged=skip_damaged,
            statistics=statistics,
            stop=stop,
            summary=summary,
        )

    def exists() -> bool:
        try:
            kafka.ask_topic_id(admin, topic, timeout=timeout).result()
        except KafkaException:
            return False
        return True

    return Consuming(
        make,
        exists,
        topic=topic,
        patient=count is None and not until_end,
        clock=clock,
        waiting=waiting,
    )


def met(
    config: Config,
    addresses: Addresses,
    storage: ClickHouseClient,
    topic_id: str,
    note: Callable[[str], None],
) -> Incarnation:
    """The topic that is there now, written down if the database has not met it before; the user is
    told of that once, where the table has rows of an earlier topic of the name."""
    known = incarnations(config, storage)
    before = known.known()
    if topic_id:
        topic = known.register(topic_id)
    else:
        topic = without_id(config, addresses, storage, known.find(""))
        if topic.number != FIRST:
            known.register_without_id(topic.number)
    new = all(each.number != topic.number for each in before)
    if new and topic.number != FIRST:
        counted = rows_by_incarnation(storage, config.pipeline, config.clickhouse.database)
        if rows := sum(sum(each) for number, each in counted.items() if number != topic.number):
            note(
                f"topic {config.pipeline.topic!r} was deleted and made again: its messages are "
                f"stored from its start, as incarnation {topic.number}, beside {rows:,} rows and "
                "dead letters of the topic before, which Kafka no longer has. `nrtctl incarnations "
                "list` shows both; `nrtctl incarnations drop --execute` removes the earlier rows"
            )
    return topic


def target_of(config: Config, topic: Incarnation) -> Target:
    """Args: topic: of whose messages the rows are."""
    pipeline = config.pipeline
    return Target(
        topic=pipeline.topic,
        database=config.clickhouse.database,
        landing=pipeline.landing,
        table=pipeline.table,
        dead_letters=pipeline.dead_letters,
        insert_settings=INSERT_SETTINGS,
        incarnation=topic.number,
        cluster=config.clickhouse.cluster,
    )


def _client(config: Config, addresses: Addresses) -> ClickHouseClient:
    return ClickHouseClient(
        config.clickhouse, url=addresses.clickhouse_url, password=addresses.clickhouse_password
    )


def _check_tables(client: ClickHouseClient, config: Config) -> None:
    """Raises NrtctlError: what an insert needs is not there."""
    clickhouse = config.clickhouse
    if found := lost(client, config.pipeline, clickhouse.database, clickhouse.cluster):
        raise NrtctlError(found[0], hint="`nrtctl up` creates topic, tables and views")
