"""Put a consumer together from a configuration. Called by `consume` and `demo`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

from nrtctl.clickhouse.client import ClickHouseClient
from nrtctl.clickhouse.queries import Statements, Storage
from nrtctl.clock import Clock
from nrtctl.clock.pace import Pace
from nrtctl.clock.stop import Stop
from nrtctl.config.counted import counted
from nrtctl.config.model import Config
from nrtctl.consumer.budget import Share, alone
from nrtctl.consumer.clickhouse_waits import OTHER_SERVERS, WHILE_ASSIGNED_SECONDS, patient
from nrtctl.consumer.flush_policy import FlushPolicy, client_properties
from nrtctl.consumer.insert_pool import InsertPool
from nrtctl.consumer.lease_renewals import LeaseRenewals
from nrtctl.consumer.loop import Loop
from nrtctl.consumer.observer import Observer, Summary
from nrtctl.errors import NrtctlError
from nrtctl.kafka import clients, topics
from nrtctl.kafka.admin import AdminClient
from nrtctl.kafka.damage import Finder
from nrtctl.kafka.formats.opening import decoder
from nrtctl.kafka.former_group import take_over
from nrtctl.kafka.log import KafkaLog
from nrtctl.kafka.membership import Group
from nrtctl.kafka.properties import INSTANCE, own_instance
from nrtctl.kafka.rebalance_wait import RebalanceWait, asking
from nrtctl.kafka.unreadable import Unreadable
from nrtctl.schema.drift import lost
from nrtctl.stack.addresses import Addresses
from nrtctl.stack.current_topic import incarnations, without_id
from nrtctl.store.chain import Chain
from nrtctl.store.incarnations import rows_by_incarnation
from nrtctl.store.intents import FIRST, Incarnation, OffsetRange
from nrtctl.store.pressure import Pressure
from nrtctl.store.several_rows import rows_in
from nrtctl.store.shards import Shards, shards_of
from nrtctl.store.target import Target, target_of
from nrtctl.store.throwing import Throwing
from nrtctl.store.writer import Writer

LEASE_SHARE = 0.5
STATISTICS_MS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is asked of a run, beside what the configuration says.

    Attributes:
        count: messages to stop after; None: go on.
        until_end: stop at the log end of the start.
        skip_lost: go on after a range that retention has taken.
        skip_damaged: go on after record batches that cannot be read.
        ends: the offsets to stop at, by partition, as with `until_end`.
        pace: how many messages may be fetched.
        statistics: given librdkafka's statistics every two seconds, from within a fetch.
        share: of what the consumers of this process may use; None: it is the only one.
        came: the topic came while it was waited for, and is read from its start, whatever
            consumer.start says.
        instance: begins the `group.instance.id` under which a process that was killed is started
            again; one that ends leaves its group all the same. Empty: it has none.
    """

    count: int | None = None
    until_end: bool = False
    skip_lost: bool = False
    skip_damaged: bool = False
    ends: Mapping[int, int] | None = None
    pace: Pace | None = None
    statistics: Callable[[str], None] | None = None
    share: Share | None = None
    came: bool = False
    instance: str = ""


def make_loop(
    config: Config,
    addresses: Addresses,
    options: Options,
    *,
    clock: Clock,
    observer: Observer,
    waiting: Callable[[str, float], None],
    stop: Stop | None = None,
    summary: Summary | None = None,
    rests: Callable[[], bool] = bool,
    admin: AdminClient | None = None,
) -> Loop:
    """A loop that is ready to `run`, for the topic that is there now.

    Args:
        stop: set when the run should end. `summary`: of a run that this one continues.
        rests: whether the pipeline is paused.
        admin: a client to ask with; None: one of its own.

    Raises:
        ConnectError: Kafka or ClickHouse does not answer.
        NrtctlError: the topic or the tables are not there.
    """
    pipeline = config.pipeline
    if admin is None:
        admin = clients.make_admin(config.kafka, address=addresses.bootstrap_servers)
    stop = stop or Stop()
    told = _Told(clock, stop, waiting, observer.note)
    unreadable = _unreadable(config, addresses, options, told)
    with ExitStack() as unless_used:
        storage = addresses.clickhouse_client()
        unless_used.callback(storage.close)
        waits = partial(patient, storage, clock=clock, stop=stop, waiting=waiting)
        asked = waits(causes=OTHER_SERVERS) if config.clickhouse.cluster else storage
        topic, log_ends = _prepare(config, addresses, admin, asked, told)
        shards = shards_of(storage, config.clickhouse.cluster)
        decode = decoder(addresses.with_registry(config))
        group = _make_group(
            config,
            addresses,
            options,
            told,
            unreadable,
            topic,
            len(log_ends),
            native=decode is None and config.consumer.compiled,
        )
        unless_used.pop_all()
    target = target_of(config, topic)
    chain = Chain(
        pipeline,
        config.clickhouse.database,
        clock,
        cluster=config.clickhouse.cluster,
        tell=told.note,
    )
    return Loop(
        pipeline.topic,
        pipeline.table,
        group,
        settings=config.consumer,
        flush_policy=_make_flush_policy(config, options, shards),
        inserts=_pool_maker(config, told, target, chain, storage),
        holds_all=partial(_holds_all, waits(limit=WHILE_ASSIGNED_SECONDS), target),
        log_ends=partial(_log_ends, config, addresses, admin, topic),
        clock=clock,
        observer=observer,
        stop=stop,
        skip_lost=options.skip_lost,
        unreadable=unreadable,
        until_end=log_ends if options.until_end else options.ends,
        incarnation=topic,
        ask_topic=lambda: topics.ask_topic_id(
            admin, pipeline.topic, timeout=config.kafka.connect_timeout
        ),
        waiting=waiting,
        broken=lambda: chain.reason,
        doubted=lambda: chain.doubted,
        rests=rests,
        summary=summary,
        decode=decode,
    )


@dataclass(frozen=True, slots=True)
class _Told:
    """What the parts of a consumer share: time, its end, and who is told of waits and notes."""

    clock: Clock
    stop: Stop
    waiting: Callable[[str, float], None]
    note: Callable[[str], None]


def _prepare(
    config: Config,
    addresses: Addresses,
    admin: AdminClient,
    storage: Statements,
    told: _Told,
) -> tuple[Incarnation, dict[int, int]]:
    """The topic that is there now, and its log ends; the offsets of a former group are taken over.

    Raises: as `make_loop`.
    """
    log = KafkaLog(config, addresses.bootstrap_servers, admin=admin)
    topic_id = log.topic_id()
    _check_tables(storage, config)
    topic = met(config, addresses, storage, topic_id, told.note)
    ends, address = log.ends(), addresses.bootstrap_servers
    database = config.clickhouse.database
    said = take_over(
        config, admin, len(ends), address=address, clock=told.clock,
        has_rows=lambda: bool(rows_by_incarnation(storage, config.pipeline, database)),
    )  # fmt: skip
    if said:
        told.note(said)
    return topic, ends


def _holds_all(storage: Storage, target: Target, partition: int, span: OffsetRange) -> bool:
    (found,) = rows_in(storage, target).counts([(partition, span)])
    return found.distinct == span.end - span.start


def _log_ends(
    config: Config, addresses: Addresses, admin: AdminClient, topic: Incarnation
) -> dict[int, int]:
    log = KafkaLog(config, addresses.bootstrap_servers, topic=topic, admin=admin)
    return {each.partition: each.log_end for each in log.partitions()}


def _make_flush_policy(config: Config, options: Options, shards: Shards) -> FlushPolicy:
    return FlushPolicy(
        config.batch,
        share=_share(config, options),
        shard_of=shards.of,
        count=options.count,
    )


def _share(config: Config, options: Options) -> Share:
    return options.share or alone(
        max_buffer=config.consumer.max_buffer, max_inserts=config.consumer.max_inserts
    )


def _unreadable(config: Config, addresses: Addresses, options: Options, told: _Told) -> Unreadable:
    topic, group = config.pipeline.topic, config.consumer.group + ".damage"
    return Unreadable(
        topic,
        Finder(config.kafka, topic, group, address=addresses.bootstrap_servers),
        clock=told.clock,
        skip=options.skip_damaged,
        waiting=told.waiting,
        note=told.note,
    )


def _make_group(
    config: Config,
    addresses: Addresses,
    options: Options,
    told: _Told,
    unreadable: Unreadable,
    topic: Incarnation,
    partitions: int,
    *,
    native: bool,
) -> Group:
    """Args: partitions: of the topic, at the start; native: messages need not be decoded."""
    heard: dict[str, Any] = (
        {"statistics.interval.ms": STATISTICS_MS, "stats_cb": options.statistics}
        if options.statistics
        else {}
    )

    instance = own_instance(config.kafka, options.instance, config.pipeline.topic)
    has_one = bool(instance) or INSTANCE in config.kafka.properties
    return Group(
        partial(
            clients.make_consumer,
            config.kafka,
            config.consumer.group,
            address=addresses.bootstrap_servers,
            properties={
                "enable.partition.eof": True,
                "session.timeout.ms": int(config.consumer.session_timeout * 1000),
                **client_properties(config.batch, _share(config, options), partitions=partitions),
                **heard,
                **instance,
            },
            native=native,
        ),
        config.pipeline.topic,
        config.pipeline.table,
        start=config.consumer.start,
        clock=told.clock,
        stop=told.stop,
        waiting=told.waiting,
        note=told.note,
        address=addresses.bootstrap_servers,
        incarnation=topic,
        timeout=config.kafka.connect_timeout,
        pace=options.pace,
        unreadable=unreadable,
        partitions=partitions,
        came=options.came,
        leaves=bool(instance) if has_one else None,
        rebalance_wait=lambda own: _rebalance_wait(config, addresses, told, own),
    )


def _rebalance_wait(
    config: Config, addresses: Addresses, told: _Told, own: Callable[[], str | None]
) -> RebalanceWait:
    name = config.consumer.group
    return RebalanceWait(
        config.pipeline.topic,
        name,
        asking(config.kafka, name, address=addresses.bootstrap_servers),
        own=own,
        session_timeout=config.consumer.session_timeout,
        clock=told.clock,
        waiting=told.waiting,
        note=told.note,
    )


def _pool_maker(
    config: Config,
    told: _Told,
    target: Target,
    chain: Chain,
    storage: ClickHouseClient,
) -> Callable[[LeaseRenewals], InsertPool]:
    """Makes the threads that insert.

    Args:
        storage: what all of them speak to ClickHouse with; closed with the last of them.
    """
    pressure = Pressure(
        config.clickhouse.database,
        (config.pipeline.table, config.pipeline.dead_letters),
        told.clock,
        cluster=config.clickhouse.cluster,
    )

    throwing = Throwing(
        config.pipeline,
        config.clickhouse.database,
        cluster=config.clickhouse.cluster,
        clock=told.clock,
        tell=told.note,
    )

    def make(renewals: LeaseRenewals) -> InsertPool:
        def writer() -> Writer:
            return Writer(
                target,
                storage,
                declare=renewals.declare,
                lease=config.consumer.session_timeout * LEASE_SHARE,
                clock=told.clock,
                pressure=pressure,
                waiting=told.waiting,
                chain=chain,
                throwing=throwing,
            )

        return InsertPool(
            config.consumer.max_inserts,
            writer,
            told.clock,
            ended=storage.close,
            unproven=lambda: chain.unproven,
            prove=lambda: chain.prove(storage),
        )

    return make


def met(
    config: Config,
    addresses: Addresses,
    storage: Statements,
    topic_id: str,
    note: Callable[[str], None],
) -> Incarnation:
    """The topic that is there now, written down if the database has not met it before; the user is
    told of that once, where the table has rows of an earlier topic of the name."""
    known = incarnations(config, storage)
    if there := known.met(topic_id):
        return there
    before = known.known()
    if topic_id:
        topic = known.register(topic_id)
    else:
        topic = without_id(config, addresses, storage, known.find(""))
        if topic.number != FIRST:
            known.register_without_id(topic.number)
    new = all(each.number != topic.number for each in before)
    if new and topic.number != FIRST:
        stored = rows_by_incarnation(storage, config.pipeline, config.clickhouse.database)
        if rows := sum(sum(each) for number, each in stored.items() if number != topic.number):
            note(
                f"topic {config.pipeline.topic!r} was deleted and created again: its "
                f"messages are stored from its start as incarnation {topic.number}, beside "
                f"{counted(rows, 'row or dead letter', 'rows and dead letters')} of the "
                "earlier topic, which Kafka no longer has. `nrtctl incarnations list` shows "
                "both; `nrtctl incarnations drop --execute` removes the earlier rows"
            )
    return topic


def _check_tables(client: Statements, config: Config) -> None:
    """Raises NrtctlError: what an insert needs is not there."""
    clickhouse = config.clickhouse
    if found := lost(client, config.pipeline, clickhouse.database, clickhouse.cluster):
        raise NrtctlError(found[0].what, hint=found[0].fix)
