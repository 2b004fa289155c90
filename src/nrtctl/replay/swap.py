"""Exchange the table with the one that was loaded beside it. Called by `nrtctl replay load --swap`.

    1 load what the group has stored meanwhile; the group has no members then; compare with the log
    2 note in the job which table is the new one, and the group's offsets with their metadata
    3 fence: the group's metadata says that a swap is under way, so whoever joins stores nothing
    4 EXCHANGE TABLES
    5 the new table's dead letters become the table's; those of the rows before go
    6 the views are those of the present pipeline; what fed the new table under its old name goes
    7 the group gets back what was noted: the next batch, or the declared one, goes to the new table

The fence is set and taken away in one request each, which Kafka refuses while there are members.
After a kill it is told from the fence and the table's UUID which steps are done. A batch that was
declared before is not resolved, but carried over: it goes to the new table under its own token, so
that an insert of its owner that lands late is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from nrtctl.clickhouse.client import ClickHouseClient
from nrtctl.clock import Clock
from nrtctl.config.counted import counted
from nrtctl.config.model import Config
from nrtctl.errors import CheckFailed, ConfigError, NrtctlError
from nrtctl.kafka.partitions import LogPartition
from nrtctl.pipeline.casts import literal
from nrtctl.replay.job import Exchange, Span
from nrtctl.replay.load import Load
from nrtctl.replay.ranges import Check, extended
from nrtctl.schema import ddl
from nrtctl.schema.apply import apply_exchanged, drop_feeding
from nrtctl.schema.reasons import left_out_of
from nrtctl.store.deletion import clear, count, server_time
from nrtctl.store.faultpoints import reach
from nrtctl.store.incarnations import rows_by_incarnation
from nrtctl.store.intents import FENCE, FIRST, Intent, OffsetRange, encode_metadata, is_fence
from nrtctl.store.target import inserted_until, rows_of_others, target_of, within

NO_UUID = "00000000-0000-0000-0000-000000000000"


class Swap:
    """Args:
    client: for what is not repeated where its answer is missed; the rest waits as the load does.
    load: of the other table.
    wait: wait until the group has no members, rather than refuse.
    leave_older: rows from before the range, and of other topics, may stay behind in the old table.
    """

    def __init__(
        self,
        config: Config,
        client: ClickHouseClient,
        load: Load,
        *,
        wait: bool,
        leave_older: bool,
        clock: Clock,
        note: Callable[[str], None],
    ) -> None:
        self._pipeline = config.pipeline
        self._database = config.clickhouse.database
        self._start = config.consumer.start
        self._other = load.pipeline
        self._old = target_of(config, load.topic)
        self._new = target_of(config.model_copy(update={"pipeline": load.pipeline}), load.topic)
        self._client = load.client
        self._once = client
        self._load = load
        self._group = load.group(config.consumer.group)
        fence = Intent(None, FENCE, topic=load.topic.tag)
        self._fence = encode_metadata(load.pipeline.table, fence)
        self._wait = wait
        self._leave_older = leave_older
        self._clock = clock
        self._note = note
        self.checked: Check | None = None

    def refuse(self, spans: Mapping[int, Span]) -> None:
        """Raises ConfigError: tables cannot be exchanged here, or rows would stay behind."""
        if self._uuid(self._pipeline.table) == NO_UUID:
            raise ConfigError(
                f"the database {self._database} cannot exchange tables: it needs the engine Atomic"
            )
        older = 0 if self._leave_older else self._older(spans)
        if older:
            raise ConfigError(
                f"{counted(older, 'message is', 'messages are')} from before the range in "
                f"{self._pipeline.table} and would remain in the old table",
                hint="load from the start, or add --leave-older if Kafka no longer has them",
            )
        where = rows_of_others(self._pipeline)
        table = f"{self._database}.{self._pipeline.table}"
        others = 0 if self._leave_older else count(self._client, table, where)
        if others:
            raise ConfigError(
                f"{counted(others, 'row')} of {self._pipeline.table} did not come from the topic "
                f"{self._pipeline.topic!r} and would remain in the old table",
                hint="add --leave-older to allow that, and copy them into the new table after "
                "the exchange",
            )

    def begun(self, spans: Mapping[int, Span]) -> bool:
        """Whether the exchange is to be finished: the group is fenced, or the tables exchanged."""
        return bool(spans) and (self._fenced(spans) or self._exchanged(spans))

    def run(self, spans: Mapping[int, Span]) -> bool:
        """Exchange. Returns False: it was told to stop while it loaded.

        Raises:
            CheckFailed: what was loaded is not what Kafka has; nothing was exchanged.
            NrtctlError: the group has members.
        """
        if not self.begun(spans):
            caught_up = self._catch_up(spans)
            if caught_up is None:
                return False
            spans, log = caught_up
            self._verify(spans, log)
            spans = self._noted(spans, log)
            self._commit(spans, lambda _: self._fence)
            reach("swap-fenced")
        if self._exchanged(spans) and not self._owed(spans):
            return True
        if not self._exchanged(spans):
            self._once.command(
                f"EXCHANGE TABLES {self._database}.{self._pipeline.table} "
                f"AND {self._database}.{self._other.table}"
            )
        reach("swap-exchanged")
        self._move_letters(spans)
        apply_exchanged(self._client, self._pipeline, self._other, self._database)
        drop_feeding(self._client, self._other, self._database)
        reach("swap-applied")
        self._group.wait_for_members(self._note, None)
        self._commit(self._owed(spans), lambda exchange: exchange.metadata)
        reach("swap-unfenced")
        return True

    def _catch_up(
        self, spans: Mapping[int, Span]
    ) -> tuple[dict[int, Span], Sequence[LogPartition]] | None:
        """Everything that the group has stored is loaded, and it has no members."""
        while True:
            if not self._load.run(spans):
                return None
            if self._wait:
                self._group.wait_for_members(self._note, None, stopped=self._load.stopped)
            else:
                self._group.refuse_members()
            if self._load.stopped():
                return None
            log = self._load.entries()
            further = extended(spans, log)
            if further == spans:
                return further, log
            spans = further
            self._load.note_down(spans)

    def _verify(self, spans: Mapping[int, Span], log: Sequence[LogPartition]) -> None:
        self.refuse(spans)
        check = self.checked = self._load.check(spans)
        gone = self._gone_meanwhile(spans, log)
        if check.missing or check.duplicated or gone:
            raise CheckFailed(
                f"{self._other.table} is not exchanged: {check.missing} missing, "
                f"{check.duplicated} duplicated, {gone} deleted by retention during the load",
                hint=f"`nrtctl replay load --into {self._other.table} --abandon --execute` gives "
                "it up; then load again",
            )

    def _older(self, spans: Mapping[int, Span]) -> int:
        """Distinct offsets before the spans that the table and its dead letters hold, and rows of
        earlier topics of the name."""
        counted = rows_by_incarnation(self._client, self._pipeline, self._database)
        earlier = sum(
            rows for number, (rows, _) in counted.items() if number != self._load.topic.number
        )
        return earlier + sum(
            self._distinct(self._old.rows("_offset", f"_partition = {n} AND _offset < {s.start}"))
            for n, s in spans.items()
        )

    def _gone_meanwhile(self, spans: Mapping[int, Span], log: Sequence[LogPartition]) -> int:
        """Offsets that the old table holds and the new one lacks, and Kafka too."""
        gone = 0
        for entry in log:
            span = spans[entry.partition]
            end = min(entry.log_start, span.end)
            if end > span.start:
                where = within(entry.partition, [OffsetRange(span.start, end)])
                old, new = (
                    self._distinct(each.rows("_offset", where)) for each in (self._old, self._new)
                )
                gone += max(0, old - new)
        return gone

    def _distinct(self, rows: str) -> int:
        sql = f"SELECT groupBitmap(toUInt64(_offset)) FROM ({rows})"
        return int(self._client.query(sql)[0][0])

    def _noted(self, spans: Mapping[int, Span], log: Sequence[LogPartition]) -> dict[int, Span]:
        at = max(server_time(self._client), self._newest_letter())
        uuid = self._uuid(self._other.table)
        noted = {}
        first = self._load.topic.number == FIRST and all(each.committed is None for each in log)
        latest = self._start == "latest" and first  # as `kafka.membership` decides it
        for entry in log:
            offset, metadata = entry.committed, entry.metadata
            if offset is None:
                offset, metadata = entry.log_end if latest else entry.log_start, ""
            if offset > entry.log_end:
                raise NrtctlError(
                    f"partition {entry.partition}: the group's offset {offset} is beyond the log's "
                    f"end {entry.log_end}: the topic was created again, or has lost messages"
                )
            exchange = Exchange(at, uuid, offset, metadata or "")
            noted[entry.partition] = replace(spans[entry.partition], exchange=exchange)
        self._load.note_down(noted)
        reach("swap-noted")
        return noted

    def _newest_letter(self) -> int:
        """When the newest of the table's dead letters was inserted, ms since the epoch: later than
        now where the clock was set back."""
        letters, mine = self._old.tables("1")[1]
        sql = f"SELECT max(toUnixTimestamp64Milli(_inserted_at)) FROM {letters} WHERE {mine}"
        return int(self._client.query(sql)[0][0])

    def _commit(self, spans: Mapping[int, Span], metadata: Callable[[Exchange], str]) -> None:
        self._group.commit_offsets(
            {
                n: (span.exchange.offset, metadata(span.exchange))
                for n, span in spans.items()
                if span.exchange is not None
            }
        )

    def _fenced(self, spans: Mapping[int, Span]) -> bool:
        committed = self._group.committed(sorted(spans))
        return any(self._is_fence(metadata) for _, metadata in committed.values())

    def _owed(self, spans: Mapping[int, Span]) -> dict[int, Span]:
        """The partitions that have not got back what was noted: fenced, or without an offset."""
        committed = self._group.committed(sorted(spans))
        return {
            number: spans[number]
            for number, (offset, metadata) in committed.items()
            if offset is None or self._is_fence(metadata)
        }

    def _is_fence(self, metadata: str) -> bool:
        return is_fence(metadata, self._other.table)

    def _exchanged(self, spans: Mapping[int, Span]) -> bool:
        noted = {span.exchange.uuid for span in spans.values() if span.exchange is not None}
        return self._uuid(self._pipeline.table) in noted

    def _uuid(self, table: str) -> str:
        rows = self._client.query(
            "SELECT toString(uuid) FROM system.tables "
            "WHERE database = {d:String} AND name = {t:String}",
            {"d": self._database, "t": table},
        )
        if not rows:
            raise NrtctlError(
                f"{self._database}.{table} does not exist", hint="`nrtctl up` creates it"
            )
        return str(rows[0][0])

    def _move_letters(self, spans: Mapping[int, Span]) -> None:
        """The dead letters of the rows before go, but for those from before the range; then those
        of the new table get the table's name. What is newer than the note is not deleted."""
        at = max(span.exchange.at for span in spans.values() if span.exchange is not None)
        ranges = " OR ".join(
            f"(_partition = {n} AND _offset >= {span.start})" for n, span in spans.items()
        )
        letters, old = self._old.tables(f"({ranges}) AND {inserted_until(at)}")[1]
        again = self._load.again
        clear(self._client, letters, old, sleep=self._clock.sleep, again=again)
        reach("swap-letters-cleared")
        columns = ", ".join(
            each
            for each in ddl.dead_letter_columns(self._pipeline)
            if each not in {"_target", "_inserted_at"}
        )
        named, mine = (each.tables("_partition >= 0")[1][1] for each in (self._old, self._new))
        self._once.command(
            f"INSERT INTO {letters} (_target, {columns}) "
            f"SELECT if({self._new.is_left_out}, {literal(left_out_of(self._pipeline.table))}, "
            f"{literal(self._pipeline.table)}), {columns} FROM {letters} WHERE {mine} "
            "AND (_partition, _offset) NOT IN "
            f"(SELECT _partition, _offset FROM {letters} WHERE {named})",
            {"insert_deduplicate": 0},
        )
        reach("swap-letters-copied")
        clear(self._client, letters, mine, sleep=self._clock.sleep, again=again)
        reach("swap-letters-moved")
