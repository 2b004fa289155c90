"""A pipeline for Python programs: what the commands do, as calls that return values.

    client = Client(load_config())
    client.up()
    client.produce([{"event_id": …}, …])
    print(client.consume(until_end=True).records)
    assert client.verify().ok

Nothing is printed, no signal is handled and no setting of the process is changed. What a command
says on stderr goes to the logger `nrtctl` (notes as INFO, waits and surprises as WARNING). Every
call makes its own connections and ends them, so several threads may call one client. Errors are
those of `nrtctl.errors`. docs/python-api.md has examples.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

from nrtctl.clickhouse.client import ClickHouseClient
from nrtctl.clickhouse.error_codes import Cause, meaning_of
from nrtctl.clock import SystemClock
from nrtctl.clock.stop import Stop
from nrtctl.config.load import Loaded, load_config
from nrtctl.config.model import Config
from nrtctl.consumer.consuming import make_consumer
from nrtctl.consumer.insert import Stored
from nrtctl.consumer.observer import Membership
from nrtctl.consumer.result import Consumed, Insert, NotStored, consumed
from nrtctl.consumer.run import Options
from nrtctl.errors import ConfigError, QueryError
from nrtctl.kafka.log import KafkaLog
from nrtctl.kafka.offsets import parse_point
from nrtctl.producer.run import NotDelivered, Produced, Progress, run_producer
from nrtctl.producer.sources.choosing import Files, Generated, source_of
from nrtctl.producer.sources.encoded import in_format
from nrtctl.producer.sources.files import Reading
from nrtctl.producer.sources.from_program import Given, Item
from nrtctl.replay.move import Moved, Mover, wishes_of
from nrtctl.replay.plan import Shift, Wish
from nrtctl.schema.building import Building
from nrtctl.stack.addresses import Addresses
from nrtctl.stack.current_topic import current_topic
from nrtctl.stack.up import Starting, Up, partitions_are_set
from nrtctl.stats.metrics_file import FILE_NAME, Metrics, read_metrics
from nrtctl.stats.snapshot import Snapshot
from nrtctl.stats.watcher import Watcher
from nrtctl.store.batch import Batch
from nrtctl.verify.report import Report
from nrtctl.verify.run import report

log = logging.getLogger("nrtctl")
log.addHandler(logging.NullHandler())


class Client:
    """One pipeline, its Kafka and its ClickHouse.

    Args:
        config: what `load_config` returns, or a `Config` of one's own making; None: what
            `load_config()` finds. A `Config` of a local stack must set `local.state_dir`.

    Raises:
        ConfigError: the configuration is wrong, or does not say where the local stack is.
    """

    def __init__(self, config: Loaded | Config | None = None) -> None:
        given = load_config() if config is None else config
        if isinstance(given, str | Path):
            raise ConfigError(
                "a client takes a configuration, not the name of its file",
                hint=f"write Client(load_config(file=Path({str(given)!r})))",
            )
        self._loaded = given if isinstance(given, Loaded) else None
        self._clock = SystemClock()
        if isinstance(given, Loaded):
            self._config, self._state_dir = given.config, given.state_dir
        else:
            self._config, self._state_dir = _located(given)
        if self._config.pipeline.unsplit:
            raise ConfigError(
                "a client works on one topic, and the pipeline has several",
                hint="choose one, as in Client(config.of_topic('orders'))",
            )

    @property
    def config(self) -> Config:
        return self._config

    @property
    def bootstrap_servers(self) -> str:
        """Where Kafka answers: host:port, comma-separated.

        Raises:
            ConnectError: it is the local stack's, which does not run.
        """
        return self._addresses.bootstrap_servers

    @property
    def clickhouse_url(self) -> str:
        """Where ClickHouse answers. Raises as `bootstrap_servers`."""
        return self._addresses.clickhouse_url

    def up(self, *, wait: bool = False) -> Up:
        """Start the local or the docker stack; create or update topic, tables and views.

        Args:
            wait: return when new rollups cover the rows from before.

        Raises:
            ConfigError: what is there does not fit the configuration, or `local` is not installed.
            ConnectError: Kafka or ClickHouse does not answer, or an address is taken.
            WaitTimeout: the stack did not get ready in time.
            NrtctlError: something cannot be written or built.
        """

        def show(left: Sequence[Building]) -> None:
            log.info("; ".join(map(str, left)))

        def passed_on(line: str, telling: bool) -> None:
            log.log(logging.INFO if telling else logging.DEBUG, line)

        return Starting(
            self._config,
            self._state_dir,
            None if self._loaded is None else self._loaded.project_file,
            clock=self._clock,
            note=log.info,
            warn=log.warning,
            passed_on=passed_on,
            waiting=_log_wait,
        ).up(
            add_partitions=self._loaded is not None and partitions_are_set(self._loaded),
            show=show if wait else None,
        )

    def produce(
        self,
        messages: Iterable[Item] | Path | None = None,
        *,
        count: int | None = None,
        duration: float | None = None,
        rate: float | None = None,
        key: str | None = None,
        topic: str | None = None,
        seed: int | None = None,
        reading: Reading | None = None,
        delivery_timeout: float = 120.0,
        stop: Event | None = None,
        observe: Callable[[Progress], None] = lambda progress: None,
    ) -> Produced:
        """Send messages, and return when Kafka has acknowledged every one of them.

        Args:
            messages: mappings (sent as JSON, whatever `pipeline.format` is), bytes, text or
                `Message`s; or a file or directory, as `nrtctl produce --input` takes it; None:
                generated events. An iterable is asked for the next one on this thread.
            count: stop after this many; None: at the end of `messages`.
            duration: stop after this many seconds.
            rate: messages a second; None: as fast as Kafka takes them.
            key: the field, or key of the messages, that keys a mapping or a line; None:
                `pipeline.key`.
            topic: None: `pipeline.topic`.
            seed: of generated events; the same one makes the same events; None: any.
            reading: how files are read; None: as they show themselves.
            delivery_timeout: seconds after which a message that was not acknowledged has failed.
            stop: once it is set, what was sent is flushed and counted.
            observe: called about ten times a second.

        Raises:
            NotDelivered: Kafka has not acknowledged all messages; `produced` has the counts.
            ConnectError: Kafka does not answer, or refuses us.
            NrtctlError: there is no such topic.
            ConfigError: nothing says when to end, a number is too small, `messages` is a single
                message, or the file cannot be read.
            Exception: what the iterable raised, once the messages before it are acknowledged.
        """
        _refuse_below_zero(count=count, duration=duration)
        _refuse_up_to_zero(rate=rate, delivery_timeout=delivery_timeout)
        if messages is None and count is None and duration is None and stop is None:
            raise ConfigError("say when to stop generating events: count, duration or stop")
        if reading is not None and not isinstance(messages, Path):
            raise ConfigError("reading says how files are read, so messages must be a Path")
        if isinstance(messages, str | bytes | Mapping):
            raise ConfigError(
                "messages are several: for a single one, write [message]",
                hint=f"for a file, write Path({messages!r})" if isinstance(messages, str) else "",
            )
        topic = self._config.pipeline.topic if topic is None else topic
        given: Files | Generated | Iterable[Item]
        if isinstance(messages, Path):
            given = Files([str(messages)], reading and reading.checked())
        else:
            given = Generated(seed=seed, rate=rate) if messages is None else messages
        source = source_of(given, self._config.pipeline, key=key, clock=self._clock)
        if messages is None or isinstance(messages, Path):
            source, _ = in_format(
                source,
                self._addresses.with_registry(self._config),
                topic,
                generated=messages is None,
            )
        produced, failure = run_producer(
            self._config.kafka,
            source,
            topic,
            address=self.bootstrap_servers,
            clock=self._clock,
            stop=stop or Event(),
            rate=rate,
            count=count,
            duration=duration,
            delivery_timeout=delivery_timeout,
            observe=observe,
            notice=log.warning,
        )
        if isinstance(source, Given) and source.failure is not None:
            raise source.failure
        if failure is not None:
            raise failure
        if produced.failed:
            raise NotDelivered(produced)
        return produced

    def consume(
        self,
        *,
        count: int | None = None,
        until_end: bool = False,
        stop: Event | None = None,
        observe: Callable[[Insert], None] = lambda insert: None,
        skip_lost: bool = False,
        skip_damaged: bool = False,
    ) -> Consumed:
        """Store the topic's messages in ClickHouse, as a member of the consumer group.

        Args:
            count: stop after this many messages; None: no limit.
            until_end: stop at the end that the log has now.
            stop: once it is set, what is in progress is finished; another thread sets it.
            observe: called after each insert, on this thread, which waits meanwhile.
            skip_lost: go on after messages that Kafka has deleted before they were stored.
            skip_damaged: go on after messages that are damaged in Kafka; they count as lost.

        Raises:
            ConfigError: nothing says when to end: give `count`, `until_end` or `stop`; or `count`
                is below 0.
            NotStored: messages that were read are not stored, or perhaps without all of their
                values; `consumed` has the counts.
            ConnectError, WaitTimeout: Kafka or ClickHouse does not answer.
            NrtctlError: topic or tables are not there, or messages are lost or damaged.
        """
        _refuse_below_zero(count=count)
        if count is None and not until_end and stop is None:
            raise ConfigError("say when to stop consuming: count, until_end or stop")
        watching, began = _Watching(observe), self._clock.monotonic()
        summary = make_consumer(
            self._config,
            self._addresses,
            Options(
                count=count, until_end=until_end, skip_lost=skip_lost, skip_damaged=skip_damaged
            ),
            clock=self._clock,
            observer=watching,
            waiting=watching.waiting,
            stop=Stop(stop),
        ).run()
        seconds = self._clock.monotonic() - began
        done = consumed(
            self._config, self._addresses, summary, seconds=seconds, waits=watching.waits
        )
        if (failure := NotStored.of(done)) is not None:
            raise failure
        return done

    def verify(self) -> Report:
        """Compare Kafka's offsets with ClickHouse's rows. `ok` says whether all is as it should be.

        Raises:
            ConnectError, WaitTimeout, QueryError: Kafka or ClickHouse does not answer, or fails.
            NrtctlError: topic or tables are not there.
        """
        addresses = self._addresses
        with closing(self._clickhouse()) as clickhouse:
            topic = current_topic(self._config, addresses, clickhouse)
            kafka = KafkaLog(self._config, addresses.bootstrap_servers, topic=topic)
            return report(self._config, clickhouse, kafka, topic)

    def snapshot(
        self, *, window: float = 60.0, by: str | None = None, interval: float = 1.0
    ) -> Snapshot:
        """Lag, rates, latency, dead letters and consumers, as `nrtctl stats --once` has them.

        Args:
            window: seconds of the most recent rows that latency and batches are taken over.
            by: a column to break these rows down by, or `partition`.
            interval: seconds between the two looks that rates take; the call lasts that long.

        Raises:
            ConfigError: `by` is no column, or `window` or `interval` is not above 0.
            ConnectError, WaitTimeout, QueryError: Kafka or ClickHouse does not answer, or fails.
        """
        _refuse_up_to_zero(window=window, interval=interval)
        watcher = Watcher(
            self._config, self._state_dir, window=window, by=by, metrics=self._metrics()
        )
        with closing(watcher):
            return watcher.look_for_rates(interval)

    def replay(
        self,
        to: str | Mapping[int, int | None] | None = None,
        *,
        shift_by: int | None = None,
        partitions: Sequence[int] = (),
        execute: bool = False,
        wait: float | None = None,
        undo_file: Path | None = None,
    ) -> Moved:
        """Move the group's committed offsets, so that messages are read again or skipped.

        Changes nothing without `execute`. Messages that are read again are not stored twice. Give
        the result's `before` as `to`, and the group is back where it was.

        Args:
            to: `start`, `end`, `47`, `+3` (after the start), `-3` (before the end), `@-1h` or
                `@2026-01-01T00:00Z`; or an offset for each partition, None being where a group
                without offsets begins.
            shift_by: that many offsets forward, or backward below 0; instead of `to`.
            partitions: only these; empty: all.
            wait: seconds to wait at most until the group has no members; None: refuse at once.
            undo_file: a file to be made for `nrtctl replay undo`; None: none.

        Raises:
            ConfigError: not one of `to` and `shift_by`, no place in a log, no such partition, or
                `wait` is below 0.
            WaitTimeout: the group has still members after `wait` seconds.
            NrtctlError: the group has members, or a load of the table is not finished.
            ConnectError: Kafka or ClickHouse does not answer.
        """
        _refuse_below_zero(wait=wait)
        wish = self._wish(to, shift_by)
        with closing(self._clickhouse()) as clickhouse:
            return Mover(
                self._config,
                self._addresses,
                clickhouse,
                clock=self._clock,
                note=log.info,
                warn=log.warning,
            ).run(
                wish,
                partitions,
                execute=execute,
                wait=wait is not None,
                patience=wait,
                undo_file=undo_file,
            )

    def _wish(
        self, to: str | Mapping[int, int | None] | None, shift_by: int | None
    ) -> Wish | Mapping[int, Wish]:
        if (to is None) == (shift_by is None):
            raise ConfigError("say where to move the group: give either to or shift_by")
        if shift_by is not None:
            return Shift(shift_by)
        if isinstance(to, str):
            try:
                return parse_point(to, self._clock.time())
            except ValueError as error:
                raise ConfigError(str(error)) from error
        if not isinstance(to, Mapping):
            raise ConfigError(
                f"{to!r} is not a place in the log",
                hint="write it as text, as in '47', or as an offset for each partition, {0: 47}",
            )
        if wrong := [number for number in to if not isinstance(number, int)]:
            raise ConfigError(f"partitions are numbers, and {wrong[0]!r} is none")
        return wishes_of(to, self._config)

    def query(
        self, sql: str, parameters: Mapping[str, Any] | None = None, *, write: bool = False
    ) -> list[dict[str, Any]]:
        """The rows of a SELECT, in the pipeline's database, each a column's name to its value; none
        of a statement that only changes something.

        Args:
            parameters: values of `{name:Type}` in the statement.
            write: allow the statement to change data; without it ClickHouse refuses that.

        Raises:
            QueryError: ClickHouse refuses or fails it.
            ConnectError: ClickHouse does not answer.
        """
        with closing(self._clickhouse(self._config.clickhouse.database)) as clickhouse:
            settings = None if write else {"readonly": 2}
            try:
                columns, rows = clickhouse.query_named(sql, parameters, settings)
            except QueryError as error:
                if meaning_of(error).cause is Cause.READ_ONLY and not write:
                    error.hint = "write=True allows a statement to change data"
                raise
        return [dict(zip(columns, row, strict=True)) for row in rows]

    @property
    def _addresses(self) -> Addresses:
        """Looked up anew: a stack may have been started again elsewhere."""
        return Addresses(self._config, self._state_dir)

    def _clickhouse(self, database: str | None = None) -> ClickHouseClient:
        return self._addresses.clickhouse_client(database)

    def _metrics(self) -> Metrics:
        """Of the metrics.json beside the project file."""
        if self._loaded is None or self._loaded.project_file is None:
            return Metrics()
        return read_metrics(self._loaded.project_file.parent / FILE_NAME, self._loaded.trust)


class _Watching:
    """Passes on what the consumer says of its work."""

    def __init__(self, observe: Callable[[Insert], None]) -> None:
        self._observe = observe
        self._total = 0
        self.waits = 0

    def stored(self, batches: Sequence[Batch], stored: Stored) -> None:
        records = sum(len(each.offsets) for each in batches) - stored.before
        self._total += records
        partitions = tuple(sorted(each.partition for each in batches))
        self._observe(Insert(records, self._total, partitions, stored.seconds))

    def note(self, text: str) -> None:
        log.info(text)

    def turned(self, partitions: object, group: Membership) -> None:
        """Nothing to pass on."""

    def waiting(self, reason: str, seconds: float) -> None:
        self.waits += 1
        _log_wait(reason, seconds)


def _refuse_below_zero(**given: float | None) -> None:
    for name, value in given.items():
        if value is not None and not 0 <= value < math.inf:
            raise ConfigError(f"{name} must be at least 0, not {value}")


def _refuse_up_to_zero(**given: float | None) -> None:
    for name, value in given.items():
        if value is not None and not 0 < value < math.inf:
            raise ConfigError(f"{name} must be more than 0, not {value}")


def _log_wait(reason: str, seconds: float) -> None:
    log.warning("waiting, nothing is lost: %s (again in %.1f s)", reason, seconds)


def _located(config: Config) -> tuple[Config, Path]:
    """A configuration that no file was read for, with the state directory it names."""
    state_dir = config.local.state_dir
    if state_dir is None:
        if config.stack_kind != "external":
            raise ConfigError(
                "the configuration does not say where the stack keeps its state",
                hint="set local.state_dir, or use what load_config() returns",
            )
        return config, Path()
    if config.stack_kind == "local":
        kafka = config.kafka.with_login_file(state_dir / "kafka" / "password")
        config = config.model_copy(update={"kafka": kafka})
    return config, state_dir.resolve()
