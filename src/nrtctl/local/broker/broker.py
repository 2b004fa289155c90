"""Topics, their configuration and their logs: the state the request handlers work on.

Everything runs on one event loop; only the fsync of the interval policy runs in another thread.
Called by `handlers` and `server`; built by `__main__`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from nrtctl.local.broker.configs import TopicConfig
from nrtctl.local.broker.groups.coordinator import Coordinator
from nrtctl.local.broker.groups.rebalance import CallLater
from nrtctl.local.broker.groups.store import GroupStore
from nrtctl.local.broker.log.holes import kept_files
from nrtctl.local.broker.log.partition import PartitionLog
from nrtctl.local.broker.transactions.coordinator import Transactions
from nrtctl.local.broker.transactions.ends import BrokerEnds
from nrtctl.local.broker.transactions.store import TransactionStore
from nrtctl.local.broker.users import Users
from nrtctl.local.broker.wire.errors import ErrorCode, Refused
from nrtctl.local.damage import Damage, Damaged, SetAside
from nrtctl.local.process import write_atomically

logger = logging.getLogger(__name__)

BROKER_ID: Final = 1
MAX_PARTITIONS: Final = 4_000
SET_ASIDE: Final = "set-aside"
_MORE_THAN_WANTED: Final = 2**31
_PRODUCER_ID_BLOCK: Final = 1_000
_LEGAL_TOPIC: Final = re.compile(r"[a-zA-Z0-9._-]{1,249}")


@dataclass(frozen=True, slots=True)
class Options:
    """How one broker runs. `fsync` is "never", "interval" or "always"; times are in ms.

    `cluster_id`: None keeps what the directory has.
    """

    fsync: str = "interval"
    auto_create_topics: bool = False
    default_partitions: int = 1
    initial_rebalance_delay_ms: int = 50
    min_session_timeout_ms: int = 6_000
    topic_defaults: Mapping[str, str] = field(default_factory=dict)
    cluster_id: str | None = None


class Partition:
    """One partition: its log, and who waits for more of it."""

    __slots__ = ("index", "log", "stable_waiters", "waiters")

    def __init__(self, index: int, log: PartitionLog) -> None:
        self.index = index
        self.log = log
        # Called with the number of bytes appended; 0 when the partition goes away.
        self.waiters: set[Callable[[int], None]] = set()
        # The same, of readers that get nothing of open transactions.
        self.stable_waiters: set[Callable[[int], None]] = set()

    def wake(self, appended: int) -> None:
        for waiter in tuple(self.waiters):
            waiter(appended)
        if self.stable_waiters and not (appended and self.log.producers.transactions.open):
            for waiter in tuple(self.stable_waiters):
                waiter(appended)

    def wake_at_end(self) -> None:
        """A transaction has ended: what was held back is more than anybody waits for."""
        for waiter in (*self.waiters, *self.stable_waiters):
            waiter(_MORE_THAN_WANTED)


@dataclass(slots=True)
class Topic:
    name: str
    topic_id: uuid.UUID
    config: TopicConfig
    partitions: list[Partition]


class UnreadableState(Exception):
    """The list of topics is damaged; nothing is started, so that nothing is lost."""


class Broker:
    """Opens all logs in `directory`, recovering as needed. Raises OSError, UnreadableState.

    `clock` counts seconds (monotonic) and `call_later` is the event loop's.
    """

    def __init__(
        self,
        directory: Path,
        options: Options,
        *,
        clock: Callable[[], float],
        call_later: CallLater,
    ) -> None:
        self.directory = directory
        self.options = options
        self.topics: dict[str, Topic] = {}
        self.topics_by_id: dict[uuid.UUID, Topic] = {}
        self._boot_path = directory / "running"
        self._thorough = self._machine_has_restarted()
        self._next_producer_id = self._producer_ids_end = 0
        state = self._read_topics()
        self.cluster_id: str = options.cluster_id or state["cluster_id"]
        for name, entry in state["topics"].items():
            self._open(name, uuid.UUID(entry["id"]), entry["configs"], entry["partitions"])
        self._deleting = set(state.get("deleting", ()))
        self._finish_deleting()
        self._set_unknown_aside()
        if not self._topics_path.exists() or self.cluster_id != state["cluster_id"]:
            self._write_topics()
        self.store = GroupStore(directory / "groups.journal", always_sync=options.fsync == "always")
        self.coordinator = Coordinator(
            self.store,
            clock=clock,
            call_later=call_later,
            initial_delay_ms=options.initial_rebalance_delay_ms,
            min_session_timeout_ms=options.min_session_timeout_ms,
        )
        self.users = Users(directory / "users.journal", always_sync=options.fsync == "always")
        self._thorough = False
        ends = BrokerEnds(self)
        self.transactions_store = TransactionStore(
            directory / "transactions.journal", always_sync=options.fsync == "always"
        )
        # Only now, and before anything is appended: a start that fails before has scanned nothing.
        write_atomically(self._boot_path, _boot_id().encode())
        self.transactions = Transactions(
            self.transactions_store,
            ends,
            clock=self.clock_ms,
            next_producer_id=self.next_producer_id,
        )
        self.transactions.start()
        ends.end_orphans()
        self._damage = Damage()
        self._set_aside = self._kept_files()
        self.report_damage(first=True)

    # ------------------------------------------------------------------ topics

    @property
    def _topics_path(self) -> Path:
        return self.directory / "topics.json"

    def _read_topics(self) -> dict[str, Any]:
        try:
            state: dict[str, Any] = json.loads(self._topics_path.read_text())
            self._next_producer_id = self._producer_ids_end = state["producer_ids_end"]
        except FileNotFoundError:
            return {"cluster_id": uuid.uuid4().hex[:22], "topics": {}}
        except (ValueError, KeyError, TypeError) as error:
            raise UnreadableState(f"{self._topics_path} is damaged: {error}") from error
        return state

    def _write_topics(self) -> None:
        state = {
            "cluster_id": self.cluster_id,
            "producer_ids_end": self._producer_ids_end,
            "topics": {
                topic.name: {
                    "id": str(topic.topic_id),
                    "partitions": len(topic.partitions),
                    "configs": topic.config.overrides,
                }
                for topic in self.topics.values()
            },
            "deleting": sorted(self._deleting),
        }
        write_atomically(self._topics_path, json.dumps(state, indent=1).encode())

    def _open(self, name: str, topic_id: uuid.UUID, configs: dict[str, str], count: int) -> Topic:
        config = TopicConfig(self.options.topic_defaults, configs)
        topic = Topic(name, topic_id, config, [])
        for index in range(count):
            topic.partitions.append(self._open_partition(topic, index))
        self.topics[name] = self.topics_by_id[topic_id] = topic
        return topic

    def _open_partition(self, topic: Topic, index: int) -> Partition:
        directory = self._topic_directory(topic.topic_id) / str(index)
        log = PartitionLog(directory, thorough=self._thorough, now_ms=now_ms())
        return Partition(index, log)

    def _finish_deleting(self) -> None:
        """Topics whose deletion a crash has interrupted."""
        for topic_id in tuple(self._deleting):
            shutil.rmtree(self._topic_directory(topic_id), ignore_errors=True)
            self._deleting.discard(topic_id)

    def _set_unknown_aside(self) -> None:
        """What is no topic's is kept, out of the way, for whoever knows what it is.

        Raises OSError.
        """
        known = {str(topic_id) for topic_id in self.topics_by_id}
        for found in sorted((self.directory / "topics").glob("*")):
            if found.name in known:
                continue
            aside = self.directory / SET_ASIDE / f"{found.name}-{time.time_ns()}"
            aside.parent.mkdir(mode=0o700, exist_ok=True)
            found.rename(aside)
            logger.warning("%s belongs to no topic, and is set aside as %s", found, aside)

    def _topic_directory(self, topic_id: object) -> Path:
        return self.directory / "topics" / str(topic_id)

    def check_new_topic(self, name: str, partitions: int, configs: dict[str, str]) -> None:
        """Raises Refused with the reason why the topic cannot be created."""
        if not _LEGAL_TOPIC.fullmatch(name) or name in (".", ".."):
            raise Refused(ErrorCode.invalid_topic_exception, f"the topic name {name!r} is illegal")
        if name in self.topics:
            raise Refused(ErrorCode.topic_already_exists, f"Topic '{name}' already exists.")
        twin = name.replace(".", "_")
        for other in self.topics:
            if other.replace(".", "_") == twin:
                raise Refused(
                    ErrorCode.invalid_topic_exception,
                    f"Topic '{name}' collides with existing topic: {other}",
                )
        if partitions < 1:
            raise Refused(ErrorCode.invalid_partitions, "Number of partitions must be at least 1.")
        self._check_capacity(partitions)
        TopicConfig(self.options.topic_defaults, configs)

    def _check_capacity(self, more: int) -> None:
        present = sum(len(topic.partitions) for topic in self.topics.values())
        if present + more > MAX_PARTITIONS:
            raise Refused(
                ErrorCode.invalid_partitions,
                f"this broker holds at most {MAX_PARTITIONS} partitions, and has {present}",
            )

    def create_topic(self, name: str, partitions: int, configs: dict[str, str]) -> Topic:
        """Raises Refused, or OSError when it cannot be written."""
        self.check_new_topic(name, partitions, configs)
        topic = self._open(name, uuid.uuid4(), configs, partitions)
        try:
            self._write_topics()
        except OSError:
            self._forget(topic)
            raise
        logger.info("topic %s created with %d partitions", name, partitions)
        return topic

    def add_partitions(self, topic: Topic, count: int) -> None:
        """Bring `topic` to `count` partitions. Raises Refused or OSError."""
        before = len(topic.partitions)
        self._check_capacity(count - before)
        added = [self._open_partition(topic, index) for index in range(before, count)]
        topic.partitions += added
        try:
            self._write_topics()
        except OSError:
            del topic.partitions[before:]
            raise

    def delete_topic(self, topic: Topic) -> None:
        """Delete its records, and what groups committed for it. Raises OSError."""
        del self.topics[topic.name], self.topics_by_id[topic.topic_id]
        self._deleting.add(str(topic.topic_id))
        try:
            self._write_topics()
        except OSError:
            self._deleting.discard(str(topic.topic_id))
            self.topics[topic.name] = self.topics_by_id[topic.topic_id] = topic
            raise
        self._forget(topic)
        try:
            self.store.forget_topic(topic.name)
        except OSError as error:
            logger.error("offsets of the deleted topic %s are kept: %s", topic.name, error.strerror)
        logger.info("topic %s deleted", topic.name)

    def _forget(self, topic: Topic) -> None:
        self.topics.pop(topic.name, None)
        self.topics_by_id.pop(topic.topic_id, None)
        for partition in topic.partitions:
            partition.wake(0)
            partition.log.close_files()
        directory = self._topic_directory(topic.topic_id)
        shutil.rmtree(directory, ignore_errors=True)
        if not directory.exists():
            self._deleting.discard(str(topic.topic_id))

    def configure(self, topic: Topic, overrides: dict[str, str]) -> None:
        """Replace the topic's settings. Raises Refused or OSError."""
        before = topic.config
        topic.config = TopicConfig(self.options.topic_defaults, overrides)
        try:
            self._write_topics()
        except OSError:
            topic.config = before
            raise

    def partitions(self, topic: str | uuid.UUID) -> Sequence[Partition]:
        """Of a topic; none where no topic has the name. Raises Refused: UNKNOWN_TOPIC_ID."""
        if isinstance(topic, str):
            found = self.topics.get(topic)
            return () if found is None else found.partitions
        found = self.topics_by_id.get(topic)
        if found is None:
            raise Refused(ErrorCode.unknown_topic_id)
        return found.partitions

    def partition(self, topic: str | uuid.UUID, index: int) -> Partition:
        """Raises Refused: UNKNOWN_TOPIC_OR_PARTITION or UNKNOWN_TOPIC_ID."""
        return one_of(self.partitions(topic), index)

    def check_leader_epoch(self, partition: Partition, epoch: int) -> None:
        """A client's idea of the leader epoch; -1 says nothing. Raises Refused."""
        current = partition.log.epochs.current
        if 0 <= epoch < current:
            raise Refused(ErrorCode.fenced_leader_epoch)
        if epoch > current:
            raise Refused(ErrorCode.unknown_leader_epoch)

    # ------------------------------------------------------------------ producers

    @staticmethod
    def clock_ms() -> int:
        return now_ms()

    def next_producer_id(self) -> int:
        """An id never given out before. Raises OSError."""
        if self._next_producer_id >= self._producer_ids_end:
            end, self._producer_ids_end = (
                self._producer_ids_end,
                self._producer_ids_end + _PRODUCER_ID_BLOCK,
            )
            try:
                self._write_topics()
            except OSError:
                self._producer_ids_end = end
                raise
        self._next_producer_id += 1
        return self._next_producer_id - 1

    # ------------------------------------------------------------------ damage

    def report_damage(self, *, first: bool = False) -> None:
        """Write `damage.json` when something has changed since it was last written."""
        damaged = []
        for topic in self.topics.values():
            for partition in topic.partitions:
                try:
                    partition.log.note_damage()
                except OSError as error:
                    logger.error("%s: %s", partition.log.directory, error.strerror)
                damaged += [
                    Damaged(topic.name, partition.index, start, end)
                    for start, end in partition.log.damaged()
                ]
        damage = Damage(damaged, self._set_aside)
        if first or damage != self._damage:
            try:
                damage.write(self.directory)
            except OSError as error:
                logger.error("%s: what is damaged: %s", self.directory, error.strerror)
            else:
                self._damage = damage

    def _kept_files(self) -> list[SetAside]:
        return [
            SetAside(topic.name, partition.index, offset, size, str(path.resolve()))
            for topic in self.topics.values()
            for partition in topic.partitions
            for path, offset, size in kept_files(partition.log.directory)
        ]

    # ------------------------------------------------------------------ upkeep

    def sweep(self) -> None:
        """Retention, idle files, damage and transactions; called every few seconds."""
        self.report_damage()
        self.transactions.sweep()
        for topic in self.topics.values():
            for partition in topic.partitions:
                try:
                    partition.log.sweep(
                        now_ms=now_ms(),
                        retention_ms=topic.config.retention_ms if topic.config.deletes else -1,
                        retention_bytes=topic.config.retention_bytes
                        if topic.config.deletes
                        else -1,
                    )
                    partition.log.close_idle_files()
                except OSError as error:
                    logger.error("%s: retention: %s", partition.log.directory, error)

    async def sync_soon(self) -> None:
        """Make all appends and commits so far durable, in another thread."""
        descriptors: list[int] = []
        try:
            for store in (self.store, self.transactions_store, self.users):
                if store.is_unsynced:
                    descriptors.append(store.duplicate())
                    store.is_unsynced = False
            for topic in self.topics.values():
                for partition in topic.partitions:
                    partition.log.take_unsynced(descriptors)
        except OSError as error:
            logger.error("a file is not synced yet, and is tried again: %s", error.strerror)
        if not descriptors:
            return
        try:
            await asyncio.to_thread(_sync_all, descriptors)
        except OSError as error:
            logger.error("fsync failed, a power cut now may lose data: %s", error.strerror)

    def close(self) -> None:
        """Write what makes the next start quick, and mark the stop as clean."""
        for topic in self.topics.values():
            for partition in topic.partitions:
                if self.options.fsync != "never":
                    with contextlib.suppress(OSError):
                        partition.log.sync()
                partition.log.close()
        self.store.close()
        self.transactions_store.close()
        self.users.close()
        with contextlib.suppress(OSError):
            self._boot_path.unlink()

    def _machine_has_restarted(self) -> bool:
        """Whether the broker last ran without a clean stop, and in an earlier boot."""
        boot_id = _boot_id()
        try:
            last = self._boot_path.read_text()
        except FileNotFoundError:
            return False
        return last != boot_id or not boot_id


def one_of(partitions: Sequence[Partition], index: int) -> Partition:
    """Raises Refused: UNKNOWN_TOPIC_OR_PARTITION."""
    if not 0 <= index < len(partitions):
        raise Refused(ErrorCode.unknown_topic_or_partition)
    return partitions[index]


def _sync_all(descriptors: list[int]) -> None:
    """Sync and close every descriptor. Raises the last OSError."""
    failure: OSError | None = None
    for descriptor in descriptors:
        try:
            os.fdatasync(descriptor)
        except OSError as error:
            failure = error
        finally:
            os.close(descriptor)
    if failure is not None:
        raise failure


def _boot_id() -> str:
    """What changes when the machine restarts; empty where it cannot be told."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def now_ms() -> int:
    return time.time_ns() // 1_000_000
