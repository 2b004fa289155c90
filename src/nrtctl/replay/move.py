"""Move a group's committed offsets. Called by `nrtctl replay offsets`, `replay undo` and `Client`.

    1 wait until the group has no members, where that is asked for
    2 plan: where each partition stands, where it goes, what that reads again or skips
    3 read the metadata of those that move: which batch is declared, and for which table
      (a dry run ends here)
    4 refuse a group that has members, and a load of this table that is not finished
    5 write the undo file, where one is asked for
    6 store each declared batch under its own token, so that no copy of it can land later
    7 look again: nothing has moved but what step 6 has resolved, and nobody has joined
    8 commit the new offsets in one request, under an epoch that was never used

A kill before step 8 leaves the group where it was, and running it again does the whole. Kafka
refuses the request of step 8 while the group has members.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nrtctl.clickhouse.client import ClickHouseClient
from nrtctl.clock import Clock
from nrtctl.config.model import Config
from nrtctl.errors import ConfigError, NrtctlError
from nrtctl.kafka import clients
from nrtctl.kafka.group_offsets import GroupOffsets
from nrtctl.kafka.log import KafkaLog
from nrtctl.kafka.offsets import Place, Point, format_time
from nrtctl.kafka.partitions import LogPartition
from nrtctl.replay import job, pending, undo
from nrtctl.replay.plan import Move, Wish, chosen, move
from nrtctl.replay.unfinished import RESUME, unfinished
from nrtctl.stack.addresses import Addresses
from nrtctl.stack.current_topic import current_topic
from nrtctl.store.evidence import LostEnd, beyond
from nrtctl.store.faultpoints import reach
from nrtctl.store.intents import Position, UnknownMetadataError
from nrtctl.store.several_rows import rows_in
from nrtctl.store.target import target_of

Held = Mapping[int, tuple[Position | None, str]]
"""By partition: the declared batch that is to be stored first, and what to say of its metadata."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What became of a group, or would.

    Attributes:
        executed: whether the group was moved; else nothing was changed.
        moves: one for each partition that was asked for, also where it stays.
        undo_file: leads back; None: nothing was moved, or none was asked for.
    """

    group: str
    topic: str
    executed: bool
    moves: tuple[Move, ...]
    undo_file: Path | None = None

    @property
    def read_again(self) -> int:
        """Offsets that the group has passed and will read again."""
        return sum(each.read_again for each in self.moves)

    @property
    def skipped(self) -> int:
        """Offsets that the group has not read and will not."""
        return sum(each.skipped for each in self.moves)

    @property
    def before(self) -> dict[int, int | None]:
        """The committed offsets before, by partition; None: there was none. To move back to."""
        return {each.partition: each.before for each in self.moves}


def wishes_of(offsets: Mapping[int, int | None], config: Config) -> dict[int, Wish]:
    """Committed offsets of before as places to go to; None: where a group without one begins."""
    start = Point(Place.START if config.consumer.start == "earliest" else Place.END)
    return {n: start if at is None else Point(Place.OFFSET, at) for n, at in offsets.items()}


def stands(entry: LogPartition, known: LogPartition, resolved: Position | None, table: str) -> bool:
    """Whether the group still is where it was known to be in a partition, with nothing declared
    but the batch that was resolved, which may have been declared once more.

    Args:
        resolved: that batch; None: there was none.
    """
    if (entry.committed, entry.metadata) == (known.committed, known.metadata):
        return True
    batch = None if resolved is None else resolved.pending
    if batch is None or entry.committed not in {known.committed, batch.start}:
        return False
    try:
        now = entry.pending(table)
    except UnknownMetadataError:
        return False
    return now is not None and now.end == batch.end


class Mover:
    """Args:
    client: a ClickHouse client.
    note, warn: told what happens, and what may surprise.
    """

    def __init__(
        self,
        config: Config,
        addresses: Addresses,
        client: ClickHouseClient,
        *,
        clock: Clock,
        note: Callable[[str], None],
        warn: Callable[[str], None],
    ) -> None:
        self._config = config
        self._client = client
        self._clock = clock
        self._note = note
        self._warn = warn
        self._addresses = addresses
        self._topic = current_topic(config, addresses, client)
        self._log = KafkaLog(config, addresses.bootstrap_servers, topic=self._topic)
        admin = clients.make_admin(config.kafka, address=addresses.bootstrap_servers)
        self._group, self._loads = (
            GroupOffsets(
                admin,
                name,
                config.pipeline.topic,
                address=addresses.bootstrap_servers,
                timeout=config.kafka.connect_timeout,
                clock=clock,
            )
            for name in (
                config.consumer.group,
                job.job_group(config.consumer.group, config.pipeline.table),
            )
        )

    def run(
        self,
        wish: Wish | Mapping[int, Wish],
        partitions: Sequence[int] = (),
        *,
        execute: bool,
        wait: bool = False,
        patience: float | None = None,
        undo_file: Path | None = None,
        topic_id: str = "",
    ) -> Moved:
        """Plan the move and, with `execute`, carry it out.

        Args:
            wish: where to go: the same for all partitions, or by partition.
            topic_id: Kafka's, of the topic whose offsets the wish names; empty: not known.
            partitions: only these; empty: all that the wish speaks of.
            wait: wait until the group has no members, rather than refuse.
            patience: seconds to wait at most; None: no limit.
            undo_file: a file to be made, with the offsets of before.

        Raises:
            ConfigError: there is no such partition, the undo file cannot be written, or the topic
                was made again.
            LostEnd: Kafka has lost messages that are stored.
            WaitTimeout: the group still has members after `patience`.
            NrtctlError: the group has members, has moved meanwhile, or holds a batch that cannot
                be stored here; a load is not finished.
            ConnectError: Kafka or ClickHouse does not answer.
        """
        if topic_id and self._topic.topic_id and topic_id != self._topic.topic_id:
            raise ConfigError(
                f"topic {self._config.pipeline.topic!r} was deleted and created again since these "
                "offsets were noted, so they mean other messages now",
                hint="`nrtctl replay offsets` moves the group in the topic that exists now",
            )
        if execute and wait:
            self._group.wait_for_members(self._note, patience)
        entries = {each.partition: each for each in self._log.partitions()}
        moves = self._plan(entries, wish, partitions)
        going = [each for each in moves if each.moves]
        held = {each.partition: self._declared(entries[each.partition]) for each in going}
        if going:
            self._refuse_lost_end()
        self._warn_of_copies(going)
        if not execute or not going:
            if going:
                self._warn_of_members()
            return self._moved(moves, held, executed=False)
        self._group.refuse_members()
        self._refuse_load(entries)
        if undo_file is not None:
            self._write_undo(undo_file, [entries[each.partition] for each in going])
        for number, (position, _) in held.items():
            if position is not None:
                self._resolve(number, position)
        self._refuse_change(entries, held)
        self._group.refuse_members()
        reach("replay-moving")
        moved = pending.at_rest(self._config.pipeline.table, self._topic)
        self._group.commit_offsets({each.partition: (each.after or 0, moved) for each in going})
        reach("replay-moved")
        return self._moved(moves, held, executed=True, undo_file=undo_file)

    def _plan(
        self,
        entries: Mapping[int, LogPartition],
        wish: Wish | Mapping[int, Wish],
        partitions: Sequence[int],
    ) -> list[Move]:
        wishes = wish if isinstance(wish, Mapping) else dict.fromkeys(entries, wish)
        try:
            picked = chosen(entries.values(), partitions, wishes)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        times: Mapping[int, int | None] = {}
        if isinstance(wish, Point) and wish.place is Place.TIME:
            times = self._group.at_time([each.partition for each in picked], wish.value)
        start = self._config.consumer.start
        return [
            move(each, wishes[each.partition], at_time=times.get(each.partition), start=start)
            for each in picked
        ]

    def _declared(self, entry: LogPartition) -> tuple[Position | None, str]:
        return pending.declared(entry, self._config.pipeline.table, self._topic)

    def _refuse_lost_end(self) -> None:
        rows = rows_in(self._client, target_of(self._config, self._topic))
        tops = rows.highest()
        ends = {each.partition: each.log_end for each in self._log.partitions()}
        if found := beyond(tops, ends):
            raise LostEnd(self._config.pipeline.topic, found)

    def _warn_of_copies(self, going: Sequence[Move]) -> None:
        for each in going:
            if self._config.consumer.delivery == "at-least-once" and each.read_again:
                self._warn(
                    f"partition {each.partition}: consumer.delivery is at-least-once, so what is "
                    "read again is stored again"
                )

    def _warn_of_members(self) -> None:
        if members := self._group.members():
            self._warn(
                f"--execute will be refused while the group has members: "
                f"{'; '.join(map(str, members))}"
            )

    def _refuse_load(self, entries: Mapping[int, LogPartition]) -> None:
        if unfinished(self._loads, sorted(entries)):
            raise NrtctlError(
                "a load is running or was interrupted, and the same rows must not be written "
                "by both",
                hint=RESUME,
            )

    def _write_undo(self, path: Path, entries: Sequence[LogPartition]) -> None:
        undo.write(
            path,
            group=self._config.consumer.group,
            topic=self._config.pipeline.topic,
            topic_id=self._topic.topic_id,
            table=self._config.pipeline.table,
            time=format_time(round(self._clock.time() * 1000)),
            entries=entries,
        )
        self._note(f"to undo this, run: nrtctl replay undo {shlex.quote(str(path))}")

    def _resolve(self, partition: int, position: Position) -> None:
        pending.resolve(
            self._addresses.with_registry(self._config),
            self._client,
            self._topic,
            self._log,
            self._group,
            partition,
            position,
            clock=self._clock,
            waiting=lambda why, seconds: self._warn(f"waiting: {why}"),
        )

    def _refuse_change(self, entries: Mapping[int, LogPartition], held: Held) -> None:
        for entry in self._log.partitions():
            known = entries.get(entry.partition)
            if known is None or entry.partition not in held:
                continue
            if not stands(entry, known, held[entry.partition][0], self._config.pipeline.table):
                raise NrtctlError(
                    f"partition {entry.partition}: the group has moved in the meantime, from "
                    f"{known.committed} to {entry.committed}, or declared another batch, so "
                    "nothing was changed",
                    hint="run the same command again",
                )

    def _moved(
        self,
        moves: Sequence[Move],
        held: Held,
        *,
        executed: bool,
        undo_file: Path | None = None,
    ) -> Moved:
        notes = {number: note for number, (_, note) in held.items()}
        said = tuple(each.noted(notes.get(each.partition, "")) for each in moves)
        config = self._config
        return Moved(config.consumer.group, config.pipeline.topic, executed, said, undo_file)
