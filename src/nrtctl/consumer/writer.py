"""Store a batch: carry out what `intents.delivery` decides, over ClickHouse and the group; or
several, in one insert.

Called by `consumer.flights`, on a thread of its own, one batch of a partition at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Any, Protocol, TypeVar

from nrtctl import cluster, intents
from nrtctl.clickhouse import AccessRefused, ClickHouseGone, QueryError
from nrtctl.clock import Clock
from nrtctl.consumer.buffer import Batch
from nrtctl.consumer.chain import Chain
from nrtctl.consumer.deletion import delete, within
from nrtctl.consumer.pressure import Pressure
from nrtctl.envelope import COLUMNS, LETTER_COLUMNS, letter
from nrtctl.errors import NrtctlError
from nrtctl.faultpoints import reach
from nrtctl.insert_errors import Failure
from nrtctl.intents import OffsetRange
from nrtctl.intents import delivery as steps
from nrtctl.intents.delivery import Delivery, Mode
from nrtctl.patience import Backoff, meaning

INSERT_FAILED = "insert failed"
"""The reason of a dead letter that no view rejected: the pipeline's SQL threw on it."""

T = TypeVar("T")


class Storage(Protocol):
    """The part of `ClickHouseClient` that storing needs."""

    def query(
        self, sql: str, parameters: Mapping[str, Any] | None = None
    ) -> list[tuple[Any, ...]]: ...

    def command(self, sql: str, settings: Mapping[str, Any] | None = None) -> Any: ...

    def insert(
        self, table: str, columns: Sequence[str], body: bytes, settings: Mapping[str, Any]
    ) -> int | None: ...


class IntentRefused(Exception):
    """The group gave the partition to another member: nothing may be inserted."""


class ChainBroken(Exception):
    """Part of what an insert needs is not there, and what of its rows landed is not known."""


class Abandoned(Exception):
    """The batch was given up (a revoked partition, an impatient stop); its intent stands."""


@dataclass(frozen=True, slots=True)
class Target:
    """The tables of one pipeline, and which topic of its name the rows are of."""

    topic: str
    database: str
    landing: str
    table: str
    dead_letters: str
    insert_settings: Mapping[str, Any]
    incarnation: int
    cluster: str | None = None

    def rows(self, columns: str, where: str) -> str:
        """SQL: `columns` of this topic's rows and dead letters that fulfil `where`."""
        return " UNION ALL ".join(
            f"SELECT {columns} FROM {table} WHERE {condition}"
            for table, condition in self.tables(where)
        )

    def tables(self, where: str) -> list[tuple[str, str]]:
        """(table, condition) of the rows and of the dead letters."""
        mine = f"_topic = '{self.topic}' AND _incarnation = {self.incarnation} AND {where}"
        return [
            (f"{self.database}.{self.table}", mine),
            (f"{self.database}.{self.dead_letters}", f"_target = '{self.table}' AND {mine}"),
        ]


class Writer:
    """Stores batches of one topic into one target. One thread at a time.

    Args:
        declare: commits the intent (partition, range, look) and returns when that was begun;
            raises `IntentRefused`.
        lease: seconds for which a declared intent may be acted on.
        waiting: told (reason, seconds) before each wait.
        chain: the views and tables behind the landing table; None: they are not looked at.
    """

    def __init__(
        self,
        target: Target,
        storage: Storage,
        *,
        declare: Callable[[int, OffsetRange, bool], float],
        lease: float,
        clock: Clock,
        pressure: Pressure,
        waiting: Callable[[str, float], None],
        chain: Chain | None = None,
    ) -> None:
        self._target = target
        self._storage = storage
        self._declare = declare
        self._lease = lease
        self._clock = clock
        self._pressure = pressure
        self._chain = chain
        self._waiting = waiting

    def write(self, batch: Batch, mode: Mode, declared: float | None, give_up: Event) -> int:
        """Store every message of `batch` once; returns how many were dead-lettered here.

        Args:
            declared: when its intent was declared (monotonic seconds); None: not yet.
            give_up: set by another thread to abandon the batch while it waits.

        Raises:
            IntentRefused, Abandoned: nothing further was sent.
            NrtctlError: it cannot be stored until somebody changes something.
        """
        self._throttle(give_up)
        delivery = Delivery.start(
            batch.span,
            batch.offsets,
            mode,
            lease=self._lease,
            declared=declared,
            sent=bool(batch.shared),
        )
        backoff = Backoff()
        letters = 0
        less = False
        while True:
            action = delivery.next_action(self._clock.monotonic())
            match action:
                case steps.Done():
                    if less and self._chain:
                        self._chain.whole_nevertheless()
                    return letters
                case steps.Quit():
                    raise IntentRefused
                case steps.Stop(reason):
                    raise NrtctlError(
                        f"partition {batch.partition}: {batch.span} cannot be stored: {reason}",
                        hint="the offsets are not committed and nothing is lost: mend the "
                        "pipeline, run `nrtctl up`, then `nrtctl consume` again",
                    )
            if give_up.is_set():
                raise Abandoned("the partition was given up")
            outcome = self._carry_out(action, batch, mode, delivery.doubt, backoff, give_up)
            letters += isinstance(action, steps.StoreDeadLetter) and isinstance(
                outcome, steps.Acknowledged
            )
            less = (outcome == steps.Acknowledged(whole=False) and not delivery.doubt) or (
                less and isinstance(outcome, steps.Counted)
            )
            delivery = delivery.after(outcome)

    def held(self, batch: Batch, give_up: Event) -> int:
        """How many messages of the batch are stored now; for the account only."""
        answer = self._attempt(lambda: self._count(batch), Backoff(), give_up)
        return min(answer.distinct, len(batch.offsets)) if isinstance(answer, steps.Counted) else 0

    def write_together(
        self, batches: Sequence[Batch], declared: float | None, give_up: Event
    ) -> bool:
        """Insert batches that share a token; whether every message of them is stored once.

        It is sent until it is acknowledged, within the lease; after a doubt the rows of all of them
        are counted at once. If this says no, anything may have been carried out, now or later or in
        part, and the token may have been spent by another member: `write` each of them.

        Args:
            declared: when the first of their intents was sent; None: there are no intents.
            give_up: set by another thread when one of them is not to be sent with the others.
        """

        def in_time() -> bool:
            return declared is None or self._clock.monotonic() - declared <= self._lease

        def send() -> steps.Acknowledged:
            messages = sum(len(batch.offsets) for batch in batches)
            body = b"".join(batch.body for batch in batches)
            return self._send(batches[0], body, "", messages)

        backoff, doubt = Backoff(), False
        try:
            self._throttle(give_up)
            while not give_up.is_set() and in_time():
                reach("repeat-sending" if doubt else "insert-sending")
                answer = self._attempt(send, backoff, give_up)
                reach("insert-answered")
                match answer:
                    case steps.Acknowledged(whole):
                        right = (whole and not doubt) or self._all_counted(batches, give_up)
                        if right and not whole and not doubt and self._chain:
                            self._chain.whole_nevertheless()
                        return right and in_time()
                    case steps.Unsure():
                        doubt = True
                    case _:
                        return False
        except Abandoned:
            pass
        return False

    def _all_counted(self, batches: Sequence[Batch], give_up: Event) -> bool:
        """Whether the tables hold each message of the batches once."""
        answer = self._attempt(lambda: self._counts(batches), Backoff(), give_up)
        reach("probe-answered")
        return isinstance(answer, list) and all(
            count.of(batch.offsets) for count, batch in zip(answer, batches, strict=True)
        )

    def highest(self, give_up: Event) -> dict[int, int]:
        """The highest offset of each partition that the tables hold. Waits as `write` does."""
        each = " UNION ALL ".join(
            f"SELECT _partition, max(_offset) AS top FROM {table} WHERE {where} GROUP BY _partition"
            for table, where in self._target.tables("_partition >= 0")
        )
        sql = f"SELECT _partition, max(top) FROM ({each}) GROUP BY _partition"
        backoff = Backoff()
        while True:
            answer = self._attempt(lambda: self._storage.query(sql), backoff, give_up)
            if isinstance(answer, steps.Fatal):
                raise NrtctlError(f"ClickHouse does not tell what is stored: {answer.reason}")
            if not isinstance(answer, steps.Unsure | steps.Rejected):
                return {int(partition): int(top) for partition, top in answer}

    def _throttle(self, give_up: Event) -> None:
        """Let merges catch up before the server has to refuse, and wait while what an insert needs
        is not there."""
        backoff = Backoff()
        while self._chain and (broken := self._chain.broken(self._storage)):
            self._wait(broken, backoff, give_up)
        delay = self._pressure.delay(self._storage)
        if delay:
            self._waiting(self._pressure.reason, delay)
            if give_up.wait(delay):
                raise Abandoned(self._pressure.reason)

    def _carry_out(
        self,
        action: steps.Action,
        batch: Batch,
        mode: Mode,
        repeated: bool,
        backoff: Backoff,
        give_up: Event,
    ) -> steps.Outcome:
        answer: steps.Outcome
        match action:
            case steps.Declare(span):
                try:
                    return steps.Declared(self._declare(batch.partition, span, mode is Mode.LOOK))
                except IntentRefused:
                    return steps.Refused()
            case steps.Insert():
                reach("repeat-sending" if repeated else "insert-sending")
                answer = self._attempt(lambda: self._insert(batch, action), backoff, give_up)
                reach("insert-answered" if action.span == batch.span else "bisect-answered")
            case steps.StoreDeadLetter():
                answer = self._attempt(lambda: self._letter(batch, action), backoff, give_up)
                reach("dead-letter-answered")
            case steps.Count():
                answer = self._attempt(lambda: self._count(batch), backoff, give_up)
                reach("probe-answered")
            case steps.List(span):
                answer = self._attempt(lambda: self._list(batch, span), backoff, give_up)
                reach("probe-answered")
            case steps.Delete():
                answer = self._attempt(
                    lambda: self._delete(batch, action, give_up), backoff, give_up
                )
                reach("delete-answered")
            case _:
                raise ValueError(f"{action} is nothing to carry out")
        if isinstance(answer, steps.Rejected) and isinstance(
            action, steps.Count | steps.List | steps.Delete
        ):
            return steps.Fatal(answer.error)
        return answer

    def _attempt(
        self, call: Callable[[], T], backoff: Backoff, give_up: Event
    ) -> T | steps.Unsure | steps.Rejected | steps.Fatal:
        """The answer, or what the failure means; after a passing one it has waited."""
        try:
            answer = call()
        except AccessRefused as error:
            return steps.Fatal(error.message)
        except ChainBroken as error:
            self._wait(str(error), backoff, give_up)
            return steps.Unsure()
        except (ClickHouseGone, QueryError) as error:
            found = meaning(error)
            advised = f"{error.message}; {found.advice}"
            match found.failure:
                case Failure.DATA:
                    return steps.Rejected(error.message)
                case Failure.SPLIT:
                    return steps.Rejected(advised, letter=False)
                case Failure.STOP:
                    if self._chain and (lost := self._chain.broken(self._storage, now=True)):
                        self._wait(lost, backoff, give_up)
                        return steps.Unsure()
                    return steps.Fatal(advised)
                case Failure.WAIT:
                    self._wait(advised, backoff, give_up)
                    return steps.Unsure()
        backoff.attempt = 0
        return answer

    def _wait(self, reason: str, backoff: Backoff, give_up: Event) -> None:
        seconds = backoff.next()
        self._waiting(reason, seconds)
        if give_up.wait(seconds):
            raise Abandoned(reason)

    def _settings(self, batch: Batch, more: str) -> dict[str, Any]:
        token = intents.token(
            self._target.topic, batch.partition, batch.epoch, batch.span, more, batch.shared
        )
        return {**self._target.insert_settings, "insert_deduplication_token": token}

    def _insert(self, batch: Batch, action: steps.Insert) -> steps.Acknowledged:
        body = batch.body
        if len(action.offsets) != len(batch.offsets):
            wanted = frozenset(action.offsets)
            pairs = zip(batch.offsets, batch.rows, strict=True)
            body = b"".join(row for offset, row in pairs if offset in wanted)
        return self._send(batch, body, action.token, len(action.offsets))

    def _send(self, batch: Batch, body: bytes, more: str, messages: int) -> steps.Acknowledged:
        """Raises ChainBroken: it was acknowledged, and messages of it are stored nowhere."""
        written = self._storage.insert(
            f"{self._target.database}.{self._target.landing}",
            COLUMNS,
            body,
            self._settings(batch, more),
        )
        if self._chain is None or self._chain.landed(self._storage, written, messages):
            return steps.Acknowledged()
        if broken := self._chain.broken(self._storage, now=True):
            raise ChainBroken(broken)
        return steps.Acknowledged(whole=False)

    def _letter(self, batch: Batch, action: steps.StoreDeadLetter) -> steps.Acknowledged:
        row = batch.rows[batch.offsets.index(action.offset)]
        self._storage.insert(
            f"{self._target.database}.{self._target.dead_letters}",
            LETTER_COLUMNS,
            letter(row, table=self._target.table, reason=INSERT_FAILED, error=action.error),
            self._settings(batch, action.token),
        )
        return steps.Acknowledged()

    def _settle(self) -> None:
        """A replica that lags would count too few, and the batch would be stored again."""
        target = self._target
        if target.cluster is not None:
            for table in (target.table, target.dead_letters):
                statement = cluster.settled(f"{target.database}.{table}", target.cluster)
                self._storage.command(statement, cluster.DDL_SETTINGS)

    def _count(self, batch: Batch) -> steps.Counted:
        return self._counts([batch])[0]

    def _counts(self, batches: Sequence[Batch]) -> list[steps.Counted]:
        """Of each batch; they are of a partition each."""
        self._settle()
        spans = " OR ".join(f"({within(each.partition, [each.span])})" for each in batches)
        rows = self._target.rows("_partition, _offset", f"({spans})")
        answer = self._storage.query(
            "SELECT _partition, count(), uniqExact(_offset), sum(_offset) "
            f"FROM ({rows}) GROUP BY _partition"
        )
        found = {int(partition): steps.Counted(*map(int, rest)) for partition, *rest in answer}
        nothing = steps.Counted(0, 0, 0)
        return [found.get(each.partition, nothing) for each in batches]

    def _list(self, batch: Batch, span: OffsetRange) -> steps.Listed:
        self._settle()
        (table, mine), (letters, theirs) = self._target.tables(within(batch.partition, [span]))
        stored, rejected, now = self._storage.query(
            "SELECT groupArray(_offset), groupArrayIf(_offset, _rejected), "
            "toUnixTimestamp64Milli(now64(3)) FROM ("
            f"SELECT _offset, false AS _rejected FROM {table} WHERE {mine} UNION ALL "
            f"SELECT _offset, reason != '{INSERT_FAILED}' FROM {letters} WHERE {theirs})"
        )[0]
        return steps.Listed(list(stored), list(rejected), int(now))

    def _delete(self, batch: Batch, action: steps.Delete, give_up: Event) -> steps.Acknowledged:
        def pause(seconds: float, failure: str) -> None:
            if failure:
                self._waiting(f"rows cannot be deleted yet: {failure}", seconds)
            if give_up.wait(seconds):
                raise Abandoned("rows are being deleted")

        delete(
            self._storage,
            self._target.tables,
            batch.partition,
            action.ranges,
            action.until,
            pause,
            cluster=self._target.cluster,
        )
        return steps.Acknowledged()
