"""Load ranges again into the table that holds them: delete a window's rows, then consume it.

Called by `nrtctl replay load`. A window is consumed by an ordinary consumer in a group of its own,
so every batch is declared, tokened and counted as always. Before, the rows of the window that are
older than this moment are deleted. Readers see the old rows, then none, then the new ones; never
both. `job.to_clear` says why a kill at any moment is mended by running it again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from nrtctl import faultpoints, intents, kafka
from nrtctl.clickhouse import ClickHouseClient
from nrtctl.clock import Clock
from nrtctl.config.model import Config
from nrtctl.consumer.deletion import within
from nrtctl.consumer.observer import Observer
from nrtctl.consumer.run import make_loop, target_of
from nrtctl.errors import ConfigError, NrtctlError
from nrtctl.intents import OffsetRange
from nrtctl.kafka_log import KafkaLog
from nrtctl.offsets import Place, Point
from nrtctl.pace import Pace
from nrtctl.replay import job, plan
from nrtctl.replay.group import OutsideGroup
from nrtctl.replay.job import Span
from nrtctl.stack.addresses import Addresses
from nrtctl.verify.doubles import wait_for_mutations
from nrtctl.verify.log import LogPartition
from nrtctl.verify.rows import Rows

WINDOW_BATCHES = 10
"""Full batches in a window: a deletion rewrites the parts it touches, so not one for each."""


@dataclass(frozen=True, slots=True)
class Part:
    """What is asked of one partition; None: nothing is left of it. `note`: why it is less."""

    partition: int
    span: Span | None
    note: str


@dataclass(frozen=True, slots=True)
class Check:
    missing: int
    duplicated: int


class Load:
    """One load of one table. Raises ConnectError, WaitTimeout, QueryError anywhere.

    Args:
        note: told what happens.
        rate: records a second at most; None: as fast as it goes.
    """

    def __init__(
        self,
        config: Config,
        addresses: Addresses,
        client: ClickHouseClient,
        *,
        clock: Clock,
        observer: Observer,
        waiting: Callable[[str, float], None],
        note: Callable[[str], None],
        rate: float | None,
    ) -> None:
        pipeline = config.pipeline
        work = job.work_group(config.consumer.group, pipeline.table)
        consumer = {"group": work, "delivery": "exactly-once", "start": "earliest"}
        self._config = config.model_copy(
            update={"consumer": config.consumer.model_copy(update=consumer)}
        )
        self._addresses = addresses
        self._client = client
        self._clock = clock
        self._observer = observer
        self._waiting = waiting
        self._note = note
        self._pace = None if rate is None else Pace(rate, clock)
        self._target = target_of(config)
        self._rows = Rows(client, pipeline, config.clickhouse.database)
        self._admin = kafka.make_admin(config.kafka, address=addresses.bootstrap_servers)
        self._log = KafkaLog(config, addresses)
        self._work = self._group(work)
        self._job = self._group(job.job_group(config.consumer.group, pipeline.table))
        self._stopped = False
        self._stop_loop: Callable[[], None] | None = None

    def _group(self, name: str) -> OutsideGroup:
        return OutsideGroup(
            self._admin,
            name,
            self._config.pipeline.topic,
            address=self._addresses.bootstrap_servers,
            timeout=self._config.kafka.connect_timeout,
            clock=self._clock,
        )

    def stop(self) -> None:
        """Finish the batches under way and return from `run`. Safe in a signal."""
        self._stopped = True
        if self._stop_loop is not None:
            self._stop_loop()

    def plan(self, first: Point, last: Point, partitions: Sequence[int]) -> list[Part]:
        """What [first, last) is in each partition: within the log, and what the group has stored.

        Raises:
            ConfigError: there is no such partition, or the topic is compacted.
        """
        if "compact" in kafka.topic_setting(
            self._admin,
            self._config.pipeline.topic,
            "cleanup.policy",
            address=self._addresses.bootstrap_servers,
            timeout=self._config.kafka.connect_timeout,
        ):
            raise ConfigError(
                "the topic is compacted: rows whose messages are gone could not be loaded again"
            )
        entries = {each.partition: each for each in self._log.partitions()}
        try:
            picked = plan.chosen(entries.values(), partitions, dict.fromkeys(entries, first))
        except ValueError as error:
            raise ConfigError(str(error)) from error
        numbers = [each.partition for each in picked]
        places = {point: self._places(point, numbers) for point in (first, last)}
        window = self._config.batch.max_rows * WINDOW_BATCHES
        return [
            _part(
                entry,
                *(
                    plan.move(entry, point, at_time=places[point].get(entry.partition),
                              start="earliest")
                    for point in (first, last)
                ),
                window=window,
            )
            for entry in picked
        ]  # fmt: skip

    def _places(self, point: Point, numbers: Sequence[int]) -> Mapping[int, int | None]:
        return self._work.at_time(numbers, point.value) if point.place is Place.TIME else {}

    def unfinished(self) -> dict[int, Span]:
        """The load that was begun and not finished; empty: there is none.

        Raises:
            NrtctlError: the job's group holds something else.
        """
        return unfinished(self._job, sorted(self._log.ends()))

    def begin(self, spans: Mapping[int, Span]) -> None:
        """Write down what is to be done; from then on it is to be finished."""
        ends = self._log.ends()
        self._work.commit_offsets(
            {n: (spans[n].start if n in spans else end, "") for n, end in ends.items()}
        )
        self._job.commit_offsets({n: (span.start, span.metadata()) for n, span in spans.items()})
        faultpoints.reach("load-begun")

    def done(self, spans: Mapping[int, Span]) -> int:
        """How many offsets have been loaded."""
        at = self._positions(spans)
        return sum(max(0, min(at[n][0], span.end) - span.start) for n, span in spans.items())

    def _positions(self, spans: Mapping[int, Span]) -> dict[int, tuple[int, bool]]:
        """Position, and whether a batch is declared, by partition."""
        table = self._config.pipeline.table
        return {
            n: (
                spans[n].start if offset is None else offset,
                offset is not None and intents.decode_metadata(table, offset, text) is not None,
            )
            for n, (offset, text) in self._work.committed(sorted(spans)).items()
        }

    def run(self, spans: Mapping[int, Span]) -> bool:
        """Load every window. Returns: whether all is loaded (else it was told to stop)."""
        self._work.wait_for_members(self._note, None)
        while not self._stopped:
            until = self._now()
            positions = self._positions(spans)
            windows = job.ends_of(spans, {n: at for n, (at, _) in positions.items()})
            if not windows:
                return True
            starts = {each.partition: each.log_start for each in self._log.partitions()}
            clear = {
                n: span
                for n, window in windows.items()
                if (span := job.to_clear(window, positions[n][0], pending=positions[n][1],
                                         log_start=starts[n]))
            }  # fmt: skip
            if clear:
                self._delete(clear, until)
            if self._stopped or not self._consume({n: w.end for n, w in windows.items()}):
                return False
            self._work.wait_for_members(self._note, None)
            self._work.commit_offsets({n: (w.end, "") for n, w in windows.items()})
            faultpoints.reach("load-window-done")
        return False

    def _now(self) -> int:
        """The server's time, milliseconds since the epoch."""
        return int(self._client.query("SELECT toUnixTimestamp64Milli(now64(3))")[0][0])

    def _delete(self, clear: Mapping[int, OffsetRange], until: int) -> None:
        """Delete the rows of these ranges that were inserted no later than `until`."""
        faultpoints.reach("load-deleting")
        ranges = " OR ".join(f"({within(n, [span])})" for n, span in clear.items())
        old = f"({ranges}) AND _inserted_at <= fromUnixTimestamp64Milli({until}, 'UTC')"
        for table, where in self._target.tables(old):
            if int(self._client.query(f"SELECT count() FROM {table} WHERE {where}")[0][0]):
                self._client.command(
                    f"ALTER TABLE {table} DELETE WHERE {where}", {"validate_mutation_query": 0}
                )
                wait_for_mutations(self._client, table, self._clock.sleep)
            left = int(self._client.query(f"SELECT count() FROM {table} WHERE {where}")[0][0])
            if left:
                raise NrtctlError(
                    f"{left} rows of {table} are still there after their deletion",
                    hint="`nrtctl replay load --resume --execute` tries again",
                )
        faultpoints.reach("load-deleted")

    def _consume(self, ends: Mapping[int, int]) -> bool:
        """Whether every partition came to its end."""
        loop = make_loop(
            self._config,
            self._addresses,
            clock=self._clock,
            observer=self._observer,
            waiting=self._waiting,
            skip_lost=True,
            ends={**dict.fromkeys(self._log.ends(), 0), **ends},
            pace=self._pace,
        )
        self._stop_loop = loop.stop
        if self._stopped:
            loop.stop()
        return bool(loop.run().reason)

    def check(self, spans: Mapping[int, Span]) -> Check:
        """Compare the log with the rows of the ranges."""
        missing = duplicated = 0
        slices = self._rows.partitions()
        for entry in self._log.partitions():
            span = spans.get(entry.partition)
            if span is None:
                continue
            found = slices.get(entry.partition, [])
            duplicated += sum(
                each.stored + each.dead - 1
                for each in self._rows.doubles(entry.partition, found, below=span.end)
                if each.offset >= span.start
            )
            start = max(span.start, entry.log_start)
            if start < span.end:
                gaps = self._rows.gaps(entry.partition, found, OffsetRange(start, span.end))
                missing += sum(1 for _ in self._log.messages(entry.partition, gaps))
        return Check(missing, duplicated)

    def finish(self) -> None:
        """Forget the load. Killed in between, it is done again, or overwritten by the next."""
        self._work.wait_for_members(self._note, None)
        faultpoints.reach("load-finishing")
        self._job.forget()
        self._work.forget()


def unfinished(group: OutsideGroup, partitions: Sequence[int]) -> dict[int, Span]:
    """The load that a job's group holds. Raises NrtctlError: it holds something else."""
    try:
        return {
            number: job.parse(offset, text)
            for number, (offset, text) in group.committed(partitions).items()
            if offset is not None
        }
    except ValueError as error:
        raise NrtctlError(f"the offsets of group {group.name} make no sense: {error}") from error


def _part(entry: LogPartition, first: plan.Move, last: plan.Move, *, window: int) -> Part:
    start, end = first.after or 0, last.after or 0
    notes = [each.note for each in (first, last)]
    stored = entry.committed or 0
    if end > stored:
        end = stored
        notes.append(f"from {stored} on the group has not read yet, and will")
    span = Span(start, end, window) if start < end else None
    return Part(entry.partition, span, "; ".join(dict.fromkeys(filter(None, notes))))


State = Literal["dry", "loaded", "stopped"]


def summary(parts: Sequence[Part], state: State, check: Check | None) -> dict[str, Any]:
    return {
        "state": state,
        "offsets": sum(p.span.end - p.span.start for p in parts if p.span),
        "partitions": [
            {"partition": p.partition, "start": p.span.start if p.span else None,
             "end": p.span.end if p.span else None, "note": p.note}
            for p in parts
        ],
        "missing": check.missing if check else None,
        "duplicated": check.duplicated if check else None,
    }  # fmt: skip
