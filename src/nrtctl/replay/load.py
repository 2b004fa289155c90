"""Load ranges again, into the table that holds them or into another one.

Called by `nrtctl replay load`. A window is consumed by an ordinary consumer in a group of its own,
so every batch is declared, tokened and counted as always. Before, the rows of the window that are
older than this moment are deleted. Readers see the old rows, then none, then the new ones; never
both. `job.to_clear` says why a kill at any moment is mended by running it again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from nrtctl.clickhouse.client import ClickHouseClient
from nrtctl.clickhouse.patience import Patient
from nrtctl.clock import Clock
from nrtctl.clock.pace import Pace
from nrtctl.config.counted import counted
from nrtctl.config.model import Config
from nrtctl.consumer.observer import Observer
from nrtctl.consumer.run import Options, make_loop
from nrtctl.errors import ConfigError
from nrtctl.kafka import clients, topics
from nrtctl.kafka.damage import DamagedLog
from nrtctl.kafka.group_offsets import GroupOffsets
from nrtctl.kafka.log import KafkaLog
from nrtctl.kafka.offsets import Place, Point
from nrtctl.kafka.partitions import LogPartition
from nrtctl.replay import into, job, plan
from nrtctl.replay.job import Span
from nrtctl.replay.ranges import Check, Part, parts_of
from nrtctl.replay.unfinished import unfinished
from nrtctl.schema import existing
from nrtctl.schema.apply import make_beside
from nrtctl.schema.check import pipeline_types
from nrtctl.schema.cluster_ddl import feeding_views
from nrtctl.stack.addresses import Addresses
from nrtctl.stack.current_topic import current_topic
from nrtctl.store import faultpoints, intents
from nrtctl.store.deletion import clear, count, server_time
from nrtctl.store.evidence import LostEnd, beyond
from nrtctl.store.intents import OffsetRange
from nrtctl.store.latest import States
from nrtctl.store.several_rows import rows_in
from nrtctl.store.target import inserted_until, target_of, within_any

WINDOW_BATCHES = 10
"""Full batches in a window: a deletion rewrites the parts it touches, so not one for each."""


class Load:
    """One load of one table. Raises ConnectError, WaitTimeout, QueryError anywhere.

    Args:
        table: another one than the pipeline's; None: the pipeline's.
        note: told what happens.
        rate: records a second at most; None: as fast as it goes.
    """

    def __init__(
        self,
        config: Config,
        addresses: Addresses,
        client: ClickHouseClient,
        *,
        table: str | None,
        clock: Clock,
        observer: Observer,
        waiting: Callable[[str, float], None],
        note: Callable[[str], None],
        rate: float | None,
    ) -> None:
        self.client = Patient(client, waiting=waiting, sleep=clock.sleep, stopped=self.stopped)
        self._stopped = False
        self.topic = current_topic(config, addresses, self.client)
        self.other = table is not None
        self.pipeline = self._own = config.pipeline
        self.fingerprint = ""
        if table is not None:
            self.pipeline = into.pipeline_into(config.pipeline, table)
            self.fingerprint = into.fingerprint(self.pipeline, config.clickhouse.database)
        work = job.work_group(config.consumer.group, self.pipeline.table)
        consumer = {"group": work, "delivery": "exactly-once", "start": "earliest"}
        self._config = config.model_copy(
            update={
                "consumer": config.consumer.model_copy(update=consumer),
                "pipeline": self.pipeline,
            }
        )
        self._addresses = addresses
        self._clock = clock
        self._observer = observer
        self._waiting = waiting
        self._note = note
        self._pace = None if rate is None else Pace(rate, clock)
        self._target = target_of(self._config, self.topic)
        self._rows = rows_in(self.client, self._target)
        self._admin = clients.make_admin(config.kafka, address=addresses.bootstrap_servers)
        self._log = KafkaLog(config, addresses.bootstrap_servers, topic=self.topic)
        self._work = self.group(work)
        self._job = self.group(job.job_group(config.consumer.group, self.pipeline.table))
        self._stop_loop: Callable[[], None] | None = None

    @property
    def again(self) -> str:
        """The command that goes on with this load."""
        named = f" --into {self.pipeline.table}" if self.other else ""
        return f"nrtctl replay load{named} --resume --execute"

    def group(self, name: str) -> GroupOffsets:
        return GroupOffsets(
            self._admin,
            name,
            self.pipeline.topic,
            address=self._addresses.bootstrap_servers,
            timeout=self._config.kafka.connect_timeout,
            clock=self._clock,
        )

    def stop(self) -> None:
        """Finish the batches under way and return from `run`. Safe in a signal."""
        self._stopped = True
        if self._stop_loop is not None:
            self._stop_loop()

    def entries(self) -> list[LogPartition]:
        """The log, and where the pipeline's group stands."""
        return self._log.partitions()

    # What is to be done.

    def plan(self, first: Point, last: Point, partitions: Sequence[int]) -> list[Part]:
        """What [first, last) is in each partition: within the log, and what the group has stored.

        Raises:
            ConfigError: there is no such partition, the topic is compacted, or the other table
                cannot be made.
        """
        self._refuse_other_targets()
        if self.other:
            pipeline_types(self.client, self.pipeline)
            into.refuse_existing(
                self.client, self.pipeline, self._target.database, self._target.cluster
            )
        if "compact" in topics.topic_setting(
            self._admin,
            self.pipeline.topic,
            "cleanup.policy",
            address=self._addresses.bootstrap_servers,
            timeout=self._config.kafka.connect_timeout,
        ):
            raise ConfigError(
                "the topic is compacted: rows whose messages are gone could not be loaded again"
            )
        entries = {each.partition: each for each in self.entries()}
        try:
            picked = plan.chosen(entries.values(), partitions, dict.fromkeys(entries, first))
        except ValueError as error:
            raise ConfigError(str(error)) from error
        numbers = [each.partition for each in picked]
        return parts_of(
            picked,
            (first, self._places(first, numbers)),
            (last, self._places(last, numbers)),
            window=self._config.batch.max_rows * WINDOW_BATCHES,
            pipeline=self.fingerprint,
        )

    def _refuse_other_targets(self) -> None:
        database, cluster = self._target.database, self._target.cluster
        feeding = feeding_views(self._own, database, cluster)
        existing.targets(self._own, feeding, existing.Existing(self.client, database).targets)

    def _places(self, point: Point, numbers: Sequence[int]) -> Mapping[int, int | None]:
        return self._work.at_time(numbers, point.value) if point.place is Place.TIME else {}

    def unfinished(self) -> dict[int, Span]:
        """The load that was begun and not finished; empty: there is none.

        Raises:
            NrtctlError: the job's group holds something else.
        """
        return unfinished(self._job, sorted(self._log.ends()))

    def refuse_change(self, spans: Mapping[int, Span]) -> None:
        """Raises ConfigError: the pipeline is not that of the begun load, or its dead letters are
        in another table than it says."""
        self._refuse_other_targets()
        if any(span.pipeline != self.fingerprint for span in spans.values()):
            table = self.pipeline.table
            raise ConfigError(
                f"the pipeline has changed since the load into {table} began",
                hint="change the pipeline back, or give up that load with `nrtctl replay load "
                f"--into {table} --abandon --execute`",
            )

    def begin(self, spans: Mapping[int, Span]) -> None:
        """Write down what is to be done; from then on it is to be finished.

        Raises:
            DamagedLog: a message of it cannot be read any more. Nothing has been changed.
            LostEnd: Kafka has lost messages that are stored.
        """
        tops = self._rows.highest() if not self.other else {}
        if found := beyond(tops, {each.partition: each.log_end for each in self.entries()}):
            raise LostEnd(self.pipeline.topic, found)
        self._read(spans)
        ends = self._log.ends()
        self._work.commit_offsets(
            {n: (spans[n].start if n in spans else end, "") for n, end in ends.items()}
        )
        self.note_down(spans)
        faultpoints.reach("load-begun")

    def _read(self, spans: Mapping[int, Span]) -> None:
        """Read it all once: a row that is deleted must come again."""
        starts = {each.partition: each.log_start for each in self.entries()}
        for number, span in spans.items():
            start = max(span.start, starts[number])
            if start >= span.end:
                continue
            try:
                for _ in self._log.messages(number, [OffsetRange(start, span.end)]):
                    if self._stopped:
                        return
            except DamagedLog as damage:
                raise DamagedLog(
                    self.pipeline.topic,
                    number,
                    damage.offset,
                    damage.reason,
                    hint="the load was not started, and all rows are still there; load the "
                    "ranges before and after it",
                ) from damage

    def note_down(self, spans: Mapping[int, Span]) -> None:
        self._job.commit_offsets({n: (span.start, span.metadata()) for n, span in spans.items()})

    def purged(self, parts: Sequence[Part]) -> int:
        """Dead letters of the pipeline whose content was erased, and comes back from Kafka."""
        spans = {
            each.partition: [OffsetRange(each.span.start, each.span.end)]
            for each in parts
            if each.span is not None and each.span.start < each.span.end
        }
        if not spans:
            return 0
        own = target_of(self._config.model_copy(update={"pipeline": self._own}), self.topic)
        letters, mine = own.letters(f"{within_any(spans)} AND purged_at IS NOT NULL")
        return count(self.client, letters, mine)

    # How far it is.

    def done(self, spans: Mapping[int, Span]) -> int:
        """How many offsets have been loaded."""
        at = self._positions(spans)
        return sum(max(0, min(at[n][0], span.end) - span.start) for n, span in spans.items())

    def _positions(self, spans: Mapping[int, Span]) -> dict[int, tuple[int, bool]]:
        """Position, and whether a batch is declared, by partition."""
        table = self.pipeline.table
        return {
            n: (
                spans[n].start if offset is None else offset,
                offset is not None and intents.decode_metadata(table, offset, text) is not None,
            )
            for n, (offset, text) in self._work.committed(sorted(spans)).items()
        }

    # Doing it.

    def run(self, spans: Mapping[int, Span]) -> bool:
        """Load every window. Returns: whether all is loaded (else it was told to stop)."""
        self._await_work()
        if self.other and not self._stopped:
            make_beside(self.client, self.pipeline, self._target.database, self._target.cluster)
        while not self._stopped:
            until = server_time(self.client)
            positions = self._positions(spans)
            windows = job.ends_of(spans, {n: at for n, (at, _) in positions.items()})
            if not windows:
                return True
            starts = {each.partition: each.log_start for each in self.entries()}
            to_delete = {
                n: span
                for n, window in windows.items()
                if (span := job.to_clear(window, positions[n][0], pending=positions[n][1],
                                         log_start=starts[n]))
            }  # fmt: skip
            if to_delete:
                until = self._old_until(to_delete, until)
                if self._positions(spans) != positions:
                    continue  # another loader is at work, and its rows may be among the newest
                self._delete(to_delete, until)
            if self._stopped or not self._consume({n: w.end for n, w in windows.items()}):
                return False
            self._work.wait_for_members(self._note, None)
            self._work.commit_offsets({n: (w.end, "") for n, w in windows.items()})
            faultpoints.reach("load-window-done")
        return False

    def _await_work(self) -> None:
        """A loader that was killed leaves when its session times out."""
        self._work.wait_for_members(self._note, None, stopped=self.stopped)

    def stopped(self) -> bool:
        return self._stopped

    def _old_until(self, spans: Mapping[int, OffsetRange], now: int) -> int:
        """When the newest of the rows that these ranges have now was inserted: a clock may have
        been set back, and the servers of a cluster have clocks of their own."""
        self._rows.settle()
        return max(now, self._rows.newest_insert(_ranges(spans)))

    def _delete(self, spans: Mapping[int, OffsetRange], until: int) -> None:
        """Delete the rows of these ranges that were inserted no later than `until`."""
        faultpoints.reach("load-deleting")
        ranges, cluster = _ranges(spans), self._target.cluster
        for table, where in self._target.tables(f"{ranges} AND {inserted_until(until)}"):
            clear(
                self.client,
                self._rows.kept(table),
                where,
                sleep=self._clock.sleep,
                again=self.again,
                cluster=cluster,
            )
        faultpoints.reach("load-deleted")

    def _consume(self, ends: Mapping[int, int]) -> bool:
        """Whether every partition came to its end."""
        loop = make_loop(
            self._config,
            self._addresses,
            Options(
                skip_lost=True,
                ends={**dict.fromkeys(self._log.ends(), 0), **ends},
                pace=self._pace,
            ),
            clock=self._clock,
            observer=self._observer,
            waiting=self._waiting,
        )
        self._stop_loop = loop.stop
        if self._stopped:
            loop.stop()
        return bool(loop.run().reason)

    def check(self, spans: Mapping[int, Span]) -> Check:
        """Compare the log with the rows of the ranges."""
        missing = duplicated = 0
        slices = self._rows.partitions()
        for entry in self.entries():
            span = spans.get(entry.partition)
            if span is None:
                continue
            found = slices.get(entry.partition, [])
            duplicated += sum(
                each.surplus
                for each in self._rows.doubles(entry.partition, found, below=span.end)
                if each.offset >= span.start
            )
            start = max(span.start, entry.log_start)
            if start < span.end:
                gaps = self._rows.gaps(entry.partition, found, OffsetRange(start, span.end))
                missing += sum(1 for _ in self._log.messages(entry.partition, gaps))
        return Check(missing, duplicated)

    def mend_states(self) -> None:
        """Have the current states say what the rows say: a message that was loaded again may have
        become another row, or none."""
        database = self._config.clickhouse.database
        states = States(
            self.client,
            self.pipeline,
            database,
            sleep=self._clock.sleep,
            cluster=self._target.cluster,
        )
        for name in self.pipeline.latest:
            if mended := states.mend(name):
                self._note(f"latest.{name}: {counted(mended, 'key')} repaired after the load")

    def finish(self) -> None:
        """Forget the load. Killed in between, it is done again, or overwritten by the next."""
        self._work.wait_for_members(self._note, None)
        faultpoints.reach("load-finishing")
        self._job.forget()
        self._work.forget()

    def abandon(self) -> None:
        """Drop the other table, what feeds it and its dead letters, and forget the load."""
        self._work.wait_for_members(self._note, None)
        database, cluster = self._target.database, self._target.cluster
        into.drop(self.client, self.pipeline, database, cluster)
        letters, mine = self._target.tables("1")[1]
        clear(
            self.client,
            self._rows.kept(letters),
            mine,
            sleep=self._clock.sleep,
            again=self.again,
            cluster=cluster,
        )
        self.finish()


def _ranges(spans: Mapping[int, OffsetRange]) -> str:
    """SQL: the rows of these ranges."""
    return within_any({number: [span] for number, span in spans.items()})
