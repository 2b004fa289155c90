"""Kafka, ClickHouse and the schema registry as the pipelines of one file share them. Used by
`watcher` and `watchers`.

However many pipelines are looked at, there is one client for what Kafka knows, one that reads how
old the lag is, and a connection to ClickHouse for each thread that asks it something.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from nrtctl.clickhouse.client import ClickHouseClient
from nrtctl.clock import Clock
from nrtctl.config.model import Config
from nrtctl.errors import ConnectError, NrtctlError, WaitTimeout
from nrtctl.kafka import clients, topics
from nrtctl.kafka.admin import AdminClient
from nrtctl.kafka.oldest import OldestRecords, Place
from nrtctl.stack.addresses import Addresses
from nrtctl.stats import kafka_side
from nrtctl.stats.at_once import at_once
from nrtctl.stats.kafka_side import KafkaLook
from nrtctl.stats.registry_side import RegistrySide
from nrtctl.stats.table_side import Answer

READER = "nrtctl.stats"
"""Given to the client that reads as its group; it commits nothing."""


class Client(Protocol):
    """The part of `ClickHouseClient` that a look needs."""

    def ask(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> Answer: ...

    def query(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> list[tuple[Any, ...]]: ...

    def close(self) -> None: ...


class Servers:
    """May be asked by several threads at once.

    Args:
        config: of any of the pipelines: what they share is the same in all.
        timeout: seconds that one question may take; None: what the configuration says.
    """

    def __init__(
        self, config: Config, state_dir: Path, *, timeout: float | None, clock: Clock
    ) -> None:
        self._config = config
        self._state_dir = state_dir
        self._timeout = timeout or config.kafka.connect_timeout
        self.registry = RegistrySide(state_dir, timeout=timeout, clock=clock)
        self._admin: AdminClient | None = None
        self._address = ""
        self._oldest: OldestRecords | None = None
        self._gone: NrtctlError | None = None
        self._failing = False
        self._pool = Pool(lambda: Addresses(config, state_dir).clickhouse_client(timeout=timeout))

    def begin(self) -> None:
        """Before each look: find out once, for all pipelines, whether the two answer at all."""
        at_once([self._try_kafka, self._pool.begin], 2)

    def _try_kafka(self) -> None:
        try:
            if self._admin is None:
                self._address = Addresses(self._config, self._state_dir).bootstrap_servers
                self._admin = clients.make_admin(self._config.kafka, address=self._address)
            topics.cluster_metadata(self._admin, address=self._address, timeout=self._timeout)
            self._gone = None
        except NrtctlError as error:
            self._gone = error
            self._drop_kafka()

    def _drop_kafka(self) -> None:
        # librdkafka's admin client may go on timing out after a restart of the broker.
        self._admin = None
        if self._oldest is not None:
            self._oldest.close()
            self._oldest = None

    def ask_kafka(self, config: Config) -> KafkaLook:
        """What Kafka says of one pipeline, but for how old the lag is.

        Raises:
            ConnectError, WaitTimeout; NrtctlError: there is no such topic.
        """
        admin = self._admin
        if self._gone is not None or admin is None:
            raise self._gone or ConnectError("Kafka has not been asked yet")
        try:
            return kafka_side.look(config, admin, address=self._address, timeout=self._timeout)
        except (ConnectError, WaitTimeout):
            self._failing = True
            raise

    def oldest(self, places: Collection[Place]) -> dict[Place, float]:
        """Times of the records at these places, of all pipelines together, as far as they can be
        read in time. From one thread at a time."""
        if self._gone is not None or not places:
            return {}
        try:
            if self._oldest is None:
                self._oldest = OldestRecords(
                    self._config.kafka, READER, address=self._address, patience=self._timeout / 2
                )
            return self._oldest.times(places)
        except NrtctlError as error:
            self._gone = error
            return {}

    def end(self) -> None:
        """After each look."""
        if self._failing:
            self._failing = False
            self._drop_kafka()

    def lent_clickhouse(self) -> Client:
        return Lent(self._pool)

    def close(self) -> None:
        self._drop_kafka()
        self._pool.close()
        self.registry.close()


C = TypeVar("C", bound=Client)


class Pool(Generic[C]):
    """Clients of ClickHouse, each used by one thread at a time; one that met an error is closed."""

    def __init__(self, connect: Callable[[], C]) -> None:
        self._connect = connect
        self._free: list[C] = []
        self._lock = threading.Lock()
        self._gone: NrtctlError | None = None

    def begin(self) -> None:
        self._gone = None
        try:
            with self.borrowed() as client:
                client.query("SELECT 1")
        except NrtctlError as error:
            self.close()
            self._gone = error if isinstance(error, ConnectError | WaitTimeout) else None

    @contextmanager
    def borrowed(self) -> Iterator[C]:
        """Raises NrtctlError: ClickHouse cannot be reached, and `begin` has found that out."""
        if self._gone is not None:
            raise self._gone
        with self._lock:
            client = self._free.pop() if self._free else None
        client = client or self._connect()
        try:
            yield client
        except BaseException:
            client.close()
            raise
        with self._lock:
            self._free.append(client)

    def close(self) -> None:
        with self._lock:
            free, self._free = self._free, []
        for each in free:
            each.close()


class Lent:
    """What a pipeline's look has for a client: each question borrows one."""

    def __init__(self, pool: Pool[ClickHouseClient]) -> None:
        self._pool = pool

    def ask(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> Answer:
        with self._pool.borrowed() as client:
            return client.ask(sql, parameters, settings)

    def query(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> list[tuple[Any, ...]]:
        with self._pool.borrowed() as client:
            return client.query(sql, parameters, settings)

    def close(self) -> None:
        """The clients stay with the pool."""
