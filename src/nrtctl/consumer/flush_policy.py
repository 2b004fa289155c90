"""The whole flush policy: which batches begin, which of them share an insert, how much is held in
memory, when to fetch or to pause, and how long the loop may sleep. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nrtctl.config.model import Batch as BatchLimits
from nrtctl.config.units import AUTO, AUTO_LEAST, AUTO_MOST
from nrtctl.consumer.budget import Share
from nrtctl.consumer.partition import Partition, Stage

Partitions = Mapping[int, Partition]
Group = list[tuple[int, Partition]]

FETCH = 2000
"""Messages at most, of one fetch."""
SLEEP = 0.1
"""Seconds at most, of waiting for messages."""
SHORT_SLEEP = 0.005
"""The same while an answer is waited for."""
AWAKE_TOGETHER = 4
"""Where more consumers share a process, each sleeps longer while answers are due, and fetches
larger pieces: a turn of the loop costs as much for one message as for a thousand."""
FETCH_TOGETHER_BYTES = 64 * 1024
"""That a broker then waits for, within `fetch.wait.max.ms`."""
MANY_PARTITIONS = 64
FETCH_OF_MANY_BYTES = 2**20
"""As FETCH_TOGETHER_BYTES, where a topic has more than MANY_PARTITIONS."""
FETCHED_IN_A_MS = 16
"""A broker may wait one millisecond more for so many partitions, 100 at most."""
PAUSE_AFTER = 1.0
"""Seconds of a full buffer before fetching is paused, which drops what the client holds."""

SHARED_INSERT_BYTES = 24 * 2**20
"""Of batches that share an insert: what an insert costs whatever its size is little beside as many
rows."""
SHARED_INSERT_ROWS = 65_000
"""Less than any engine's default block, so that they are one block whatever settings it heeds."""

AUTO_INSERTS = 4
"""With `max_wait = "auto"` a batch gathers for so many times what recent inserts took: an insert
costs the server about the same whatever it carries, so this is the share of it that goes there.
Before one has been timed it gathers for the longest that `auto` may be."""
RECENT = 0.25
"""How much the last insert counts; those before it have the rest."""

FETCH_AGAIN_MS = 10
"""After a full queue; the client's own 1000 leaves the consumer without messages meanwhile."""


def client_properties(limits: BatchLimits, share: Share, *, partitions: int = 1) -> dict[str, Any]:
    """What librdkafka is told of it: what it may hold, and how long a broker may wait for more.

    Args:
        partitions: of the topic. Each fetch names all of them, so the more there are, the fewer
            fetches there should be.
    """
    wait, least = int(_least_wait(limits) * 500), 0
    if share.consumers > AWAKE_TOGETHER:
        least = FETCH_TOGETHER_BYTES
    if partitions > MANY_PARTITIONS:
        wait, least = wait + partitions // FETCHED_IN_A_MS, FETCH_OF_MANY_BYTES
    return {
        "queued.max.messages.kbytes": share.queue_kilobytes,
        "fetch.queue.backoff.ms": FETCH_AGAIN_MS,
        "fetch.wait.max.ms": max(5, min(100, wait)),
        **({"fetch.min.bytes": least} if least else {}),
    }


@dataclass(frozen=True, slots=True)
class Fetch:
    """How to fetch next.

    Attributes:
        messages: at most so many.
        seconds: to wait for the first of them.
        paused: whether fetching is paused: rebalances and answers are served, no messages come.
        insert_first: wait for the end of an insert before it, that many seconds at most.
    """

    messages: int
    seconds: float
    paused: bool = False
    insert_first: float = 0.0


SERVE = Fetch(1, SHORT_SLEEP, paused=True)
REST = Fetch(1, SLEEP, paused=True)


class FlushPolicy:
    """Times are monotonic seconds.

    Args:
        share: of the memory and of the inserts that can be under way at once.
        shard_of: one insert may have batches of several partitions of the same shard.
        count: messages to stop after; None: go on.
    """

    def __init__(
        self,
        limits: BatchLimits,
        *,
        share: Share,
        shard_of: Callable[[int], int] = lambda partition: 0,
        count: int | None = None,
    ) -> None:
        self.limits = limits
        self.count = count
        self._share = share
        self._shard_of = shard_of
        self._short_sleep = SHORT_SLEEP * max(1.0, share.consumers / AWAKE_TOGETHER)
        self._taken = 0
        self._full_since: float | None = None
        self._paused = False
        self._insert_seconds: float | None = None

    # Fetching.

    def taken(self, messages: int) -> None:
        """So many were buffered."""
        self._taken += messages

    def wanted(self) -> int | None:
        """How many more messages are wanted; None: all that come."""
        return None if self.count is None else self.count - self._taken

    def has_enough(self) -> bool:
        return self.count is not None and self._taken >= self.count

    def next_fetch(
        self,
        gathering: Partitions,
        now: float,
        *,
        held: int,
        inserts: int,
        next_intent: float = math.inf,
        inserting: bool,
        asking: bool = False,
    ) -> Fetch:
        """While the buffer is full, single messages are fetched; where that lasts, none.

        Args:
            gathering: partitions without a batch; `held`: bytes, of all.
            inserts: that have begun, or whose batches are being declared; `next_intent`: when the
                next intent is to be sent.
            inserting: one of them is being sent; `asking`: another answer is waited for.
        """
        wanted = self.wanted()
        messages = FETCH if wanted is None else min(FETCH, wanted)
        if self._share.has_room(held) and messages > 0:
            self._full_since = None
            self._paused = False
            at_most = self._short_sleep if inserting or asking else SLEEP
            seconds = min(at_most, next_intent - now)
            if self._share.free_inserts(inserts) > 0:
                seconds = min(seconds, self._until_due(gathering, now))
            return Fetch(messages, max(0.0, seconds))
        if self._full_since is None:
            self._full_since = now
        if messages <= 0 or now - self._full_since > PAUSE_AFTER:
            return self.serve()
        if inserting:
            return Fetch(1, 0.0, self._paused, insert_first=SHORT_SLEEP)
        return Fetch(1, SHORT_SLEEP, self._paused)

    def serve(self) -> Fetch:
        """Serve rebalances and answers, fetching nothing more."""
        self._paused = True
        return SERVE

    def rest(self, *, busy: bool) -> Fetch:
        """As `serve`, for as long as the pipeline is paused. Args: busy: answers are waited for."""
        return self.serve() if busy else REST

    def _until_due(self, gathering: Partitions, now: float) -> float:
        """Seconds until a batch is due by time."""
        oldest = min((each.oldest_arrival() for each in gathering.values()), default=math.inf)
        return oldest + self.max_wait - now

    # Batches.

    def inserted(self, seconds: float) -> None:
        """An insert took so long."""
        before = seconds if self._insert_seconds is None else self._insert_seconds
        self._insert_seconds = before + RECENT * (seconds - before)

    @property
    def max_wait(self) -> float:
        """Seconds that a batch gathers before it is due."""
        if self.limits.max_wait != AUTO:
            return self.limits.max_wait
        if self._insert_seconds is None:
            return AUTO_MOST
        return min(AUTO_MOST, max(AUTO_LEAST, AUTO_INSERTS * self._insert_seconds))

    def next_batches(
        self, gathering: Partitions, now: float, *, inserts: int, at_once: bool = False
    ) -> list[list[int]]:
        """The partitions of each insert that is to begin: the longest waiting first; where the
        buffer is full, the largest first.

        A batch that is due by time, or because the buffer is full, waits until a thread is free:
        messages may join it until then, and are stored sooner than as the batch after it. With it
        goes what the other partitions have, within the limits of a batch and SHARED_INSERT_*.

        Args:
            gathering: partitions without a batch.
            inserts: that have begun, or whose batches are being declared.
            at_once: whatever is there is due.
        """
        full = self._full_since is not None
        at_once = at_once or full or self.has_enough()
        free = self._share.free_inserts(inserts)
        among = [each for each in gathering.items() if each[1].stage is Stage.GATHERING]
        if not self._one_is_due(among, now, at_once=at_once, free=free > 0):
            return []
        among.sort(key=_largest if full else _oldest)
        found = []
        for group in self._groups(among):
            if self._one_is_due(group, now, at_once=at_once, free=free > 0):
                found.append([number for number, _ in group])
                free -= 1
        return found

    def _one_is_due(self, group: Group, now: float, *, at_once: bool, free: bool) -> bool:
        since = now - self.max_wait
        return any(self._is_due(each, since, at_once=at_once, free=free) for _, each in group)

    def _is_due(self, partition: Partition, since: float, *, at_once: bool, free: bool) -> bool:
        """A pending batch as soon as it is whole; another one by its size; where a thread is free,
        at once, if nothing more comes, or by time: one that waits since `since`."""
        buffer = partition.buffer
        if buffer.pending is not None:
            return buffer.pending_is_whole()
        rows = len(buffer)
        if rows >= self.limits.max_rows or buffer.bytes >= self.limits.max_bytes:
            return True
        if not free or not rows:
            return False
        return at_once or partition.oldest_arrival() <= since or partition.at_limit()

    def _groups(self, gathering: Group) -> list[Group]:
        """Those that could go in one insert, in the order in which the first of each stands."""
        groups: list[Group] = []
        open_groups: dict[int, tuple[Group, int, int]] = {}
        max_rows = min(self.limits.max_rows, SHARED_INSERT_ROWS)
        max_bytes = min(self.limits.max_bytes, SHARED_INSERT_BYTES)
        for number, partition in gathering:
            buffer = partition.buffer
            large = len(buffer) > max_rows or buffer.bytes > max_bytes
            if large or partition.must_go_alone():
                groups.append([(number, partition)])
                continue
            if not len(buffer):
                continue
            shard = self._shard_of(number)
            group, rows, size = open_groups.get(shard, ([], 0, 0))
            rows, size = rows + len(buffer), size + buffer.bytes
            if not group or rows > max_rows or size > max_bytes:
                group, rows, size = [], len(buffer), buffer.bytes
                groups.append(group)
            group.append((number, partition))
            open_groups[shard] = group, rows, size
        return groups


def _least_wait(limits: BatchLimits) -> float:
    return AUTO_LEAST if limits.max_wait == AUTO else limits.max_wait


def _oldest(item: tuple[int, Partition]) -> float:
    return item[1].oldest_arrival()


def _largest(item: tuple[int, Partition]) -> float:
    return -item[1].buffer.bytes
