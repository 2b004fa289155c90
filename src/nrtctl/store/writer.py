"""Store a batch: carry out what `store.intents.delivery` decides, over ClickHouse and the group; or
several, in one insert.

Whatever stores messages goes through here: the consumer, on a thread of each batch's own; a batch
that `replay` resolves; and, without intents (`filling`), `verify --repair` and `dlq replay`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from threading import Event
from typing import Any, TypeVar

from nrtctl.clickhouse.client import AccessRefused, ClickHouseGone, QueryError
from nrtctl.clickhouse.error_codes import Failure
from nrtctl.clickhouse.patience import Backoff, meaning
from nrtctl.clickhouse.queries import Storage
from nrtctl.clock import Clock
from nrtctl.clock.notices import if_it_lasts
from nrtctl.errors import NrtctlError
from nrtctl.store import deletion
from nrtctl.store.batch import Batch
from nrtctl.store.chain import Chain
from nrtctl.store.envelope import INSERT_FAILED, LETTER_COLUMNS, letter, without_decoded
from nrtctl.store.faultpoints import reach
from nrtctl.store.intents import OffsetRange
from nrtctl.store.intents import delivery as steps
from nrtctl.store.intents.delivery import Delivery, Mode
from nrtctl.store.pressure import Pressure
from nrtctl.store.several_rows import rows_in
from nrtctl.store.target import Target
from nrtctl.store.throwing import CannotAsk, Throwing
from nrtctl.store.tokens import BatchTokens, Tokens

T = TypeVar("T")


class IntentRefused(Exception):
    """The group gave the partition to another member: nothing may be inserted."""


class ChainBroken(Exception):
    """Part of what an insert needs is not there, and what of its rows landed is not known."""


class Abandoned(Exception):
    """The batch was given up (a revoked partition, an impatient stop); its intent stands."""


def no_intents(partition: int, span: OffsetRange, look: bool) -> float:
    """Stands for a group where there is none. Raises IntentRefused."""
    raise IntentRefused


UNANSWERED_AGAIN = 60.0
"""Seconds after which it is said again that ClickHouse takes long to answer."""

CONSUME_AGAIN = (
    "the offsets are not committed and nothing is lost: fix the pipeline, run `nrtctl up`, then "
    "`nrtctl consume` again"
)


class Writer:
    """Stores batches of one topic into one target. One thread at a time.

    Args:
        declare: commits the intent (partition, range, look) and returns when that was begun;
            raises `IntentRefused`.
        lease: seconds for which a declared intent may be acted on; None: there are no intents.
        waiting: told (reason, seconds) before each wait.
        chain: the views and tables behind the landing table; None: they are not looked at.
        throwing: finds the messages that the pipeline's SQL throws on; None: by halving only.
        again: what to do once what stopped a batch has been mended.
    """

    def __init__(
        self,
        target: Target,
        storage: Storage,
        *,
        declare: Callable[[int, OffsetRange, bool], float] = no_intents,
        lease: float | None = None,
        clock: Clock,
        pressure: Pressure,
        waiting: Callable[[str, float], None],
        chain: Chain | None = None,
        throwing: Throwing | None = None,
        again: str = CONSUME_AGAIN,
    ) -> None:
        self._target = target
        self._storage = storage
        self._rows = rows_in(storage, target)
        self._declare = declare
        self._lease = lease
        self._clock = clock
        self._pressure = pressure
        self._chain = chain
        self._throwing = throwing
        self._waiting = waiting
        self._again = again
        self._unanswered_said = -math.inf

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
                    if self._chain:
                        self._chain.stored([batch])
                    return letters
                case steps.Quit():
                    raise IntentRefused
                case steps.Stop(reason):
                    raise NrtctlError(
                        f"partition {batch.partition}: {batch.span} cannot be stored: {reason}",
                        hint=self._again,
                    )
            if give_up.is_set():
                raise Abandoned("the partition was given up")
            outcome = self._carry_out(action, batch, mode, delivery.doubt, backoff, give_up)
            if isinstance(action, steps.StoreDeadLetters) and isinstance(
                outcome, steps.Acknowledged
            ):
                letters += len(action.letters)
            less = (outcome == steps.Acknowledged(whole=False) and not delivery.doubt) or (
                less and isinstance(outcome, steps.Counted)
            )
            delivery = delivery.after(outcome)

    def held(self, batch: Batch, give_up: Event) -> int:
        """How many messages of the batch are stored now; for the account only."""
        answer = self._attempt(lambda: self._counts([batch])[0], Backoff(), give_up)
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
            if declared is None or self._lease is None:
                return True
            return self._clock.monotonic() - declared <= self._lease

        def send() -> steps.Acknowledged:
            messages = sum(len(batch.offsets) for batch in batches)
            body = [piece for batch in batches for piece in batch.pieces]
            first = batches[0]
            token = self._tokens(first).insert(first.span, first.offsets, 0)
            return self._send(body, token, messages)

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
                        if right and self._chain:
                            self._chain.stored(batches)
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
        answer = self._seen(lambda: self._counts(batches), Backoff(), give_up)
        reach("probe-answered")
        return isinstance(answer, list) and all(
            count.of(batch.offsets) for count, batch in zip(answer, batches, strict=True)
        )

    def highest(self, give_up: Event) -> dict[int, int]:
        """The highest offset of each partition that the tables hold. Waits as `write` does."""
        backoff = Backoff()
        while True:
            answer = self._attempt(self._rows.highest, backoff, give_up)
            if isinstance(answer, steps.Fatal):
                raise NrtctlError(f"ClickHouse does not answer what is stored: {answer.reason}")
            if not isinstance(answer, steps.Unsure | steps.Rejected):
                return answer

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
                whole = action.span == batch.span and not action.without
                reach("insert-answered" if whole else "bisect-answered")
                if isinstance(answer, steps.Rejected) and mode is not Mode.FILL:
                    self._forget_beside(batch.partition, action.offsets, backoff, give_up)
            case steps.Find():
                answer = self._find(batch, action, backoff, give_up)
            case steps.StoreDeadLetters():
                answer = self._attempt(lambda: self._letters(batch, action), backoff, give_up)
                reach("dead-letter-answered")
            case steps.Count():
                answer = self._seen(lambda: self._counts([batch])[0], backoff, give_up)
                reach("probe-answered")
            case steps.List(span):
                answer = self._seen(lambda: self._list(batch, span, mode), backoff, give_up)
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
            with if_it_lasts(self._why_unanswered):
                answer = call()
        except ChainBroken as error:
            self._wait(str(error), backoff, give_up)
            return steps.Unsure()
        except (AccessRefused, ClickHouseGone, QueryError) as error:
            if self._throwing and (why := self._throwing.foreign(self._storage, error)):
                self._wait(why, backoff, give_up)
                return steps.Unsure()
            if isinstance(error, AccessRefused):
                return steps.Fatal("; ".join(filter(None, (error.message, error.hint))))
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

    def _why_unanswered(self) -> str:
        """Said now and then: an engine at its limit takes long for each insert."""
        now = self._clock.monotonic()
        if now - self._unanswered_said < UNANSWERED_AGAIN:
            return ""
        self._unanswered_said = now
        return "waiting for ClickHouse, which has not answered yet; nothing is lost"

    def _seen(
        self, look: Callable[[], T], backoff: Backoff, give_up: Event
    ) -> T | steps.Rejected | steps.Fatal:
        """The answer of a look at rows, once nothing of them is being deleted any more."""
        pause = self._pause(give_up)
        waited = self._until_sure(lambda: self._rows.wait_for_deletions(pause), backoff, give_up)
        return self._until_sure(look, backoff, give_up) if waited is None else waited

    def _until_sure(
        self, call: Callable[[], T], backoff: Backoff, give_up: Event
    ) -> T | steps.Rejected | steps.Fatal:
        """As `_attempt`, again and again while it fails in a way that passes."""
        while isinstance(answer := self._attempt(call, backoff, give_up), steps.Unsure):
            pass
        return answer

    def _wait(self, reason: str, backoff: Backoff, give_up: Event) -> None:
        seconds = backoff.next()
        self._waiting(reason, seconds)
        if give_up.wait(seconds):
            raise Abandoned(reason)

    def _tokens(self, batch: Batch) -> Tokens:
        return batch.tokens or BatchTokens(
            self._target.topic, batch.partition, batch.epoch, batch.span, batch.shared
        )

    def _settings(self, token: str) -> dict[str, Any]:
        return {**self._target.insert_settings, "insert_deduplication_token": token}

    def _insert(self, batch: Batch, action: steps.Insert) -> steps.Acknowledged:
        body = batch.pieces
        if len(action.offsets) != len(batch.offsets):
            wanted = frozenset(action.offsets)
            pairs = zip(batch.offsets, batch.rows, strict=True)
            body = [b"".join(row for offset, row in pairs if offset in wanted)]
        token = self._tokens(batch).insert(
            action.span, action.offsets, action.attempt, action.without
        )
        return self._send(body, token, len(action.offsets))

    def _send(self, body: Sequence[bytes], token: str, messages: int) -> steps.Acknowledged:
        """Raises ChainBroken: it was acknowledged, and messages of it are stored nowhere."""
        written = self._storage.insert(
            f"{self._target.database}.{self._target.landing}",
            self._target.columns,
            body,
            self._settings(token),
        )
        if self._chain is None or self._chain.landed(self._storage, written, messages):
            return steps.Acknowledged()
        if broken := self._chain.broken(self._storage, now=True):
            raise ChainBroken(broken)
        return steps.Acknowledged(whole=False)

    def _find(
        self, batch: Batch, action: steps.Find, backoff: Backoff, give_up: Event
    ) -> steps.Found | steps.Unsure:
        """The messages that the SQL throws on; none where the server does not say."""
        throwing = self._throwing
        if throwing is None:
            return steps.Found(())
        ours = self._attempt(lambda: throwing.views_are_ours(self._storage), backoff, give_up)
        if isinstance(ours, steps.Unsure):
            return ours
        if ours is not True:
            return steps.Found(())

        def ask(sql: str, settings: Mapping[str, Any]) -> list[tuple[Any, ...]] | str:
            while not give_up.is_set():
                answer = self._attempt(
                    lambda: self._storage.query(sql, settings=settings), backoff, give_up
                )
                if isinstance(answer, list):
                    return answer
                if isinstance(answer, steps.Rejected) and answer.letter:
                    return answer.error
                if isinstance(answer, steps.Fatal | steps.Rejected):
                    raise CannotAsk
            raise Abandoned("the partition was given up")

        wanted = frozenset(action.offsets)
        pairs = zip(batch.offsets, batch.rows, strict=True)
        rows = {offset: row for offset, row in pairs if offset in wanted}
        try:
            where = f"partition {batch.partition}"
            found = throwing.find(rows, ask, where, thorough=action.thorough)
        except CannotAsk:
            return steps.Found(())
        return steps.Found(tuple(found))

    def _forget_beside(
        self, partition: int, offsets: Sequence[int], backoff: Backoff, give_up: Event
    ) -> None:
        """Of an insert that failed, the dead letters that are to be beside rows may be stored."""
        if self._target.several:
            pause = self._pause(give_up)

            def forget() -> None:
                self._rows.forget_beside(partition, offsets, pause)

            while isinstance(self._attempt(forget, backoff, give_up), steps.Unsure):
                pass

    def _letters(self, batch: Batch, action: steps.StoreDeadLetters) -> steps.Acknowledged:
        errors = {each.offset: each for each in action.letters}
        pairs = zip(batch.offsets, batch.rows, strict=True)
        body = b"".join(
            letter(
                without_decoded(row) if self._target.decoded else row,
                table=self._target.table,
                reason=INSERT_FAILED,
                field=errors[offset].field,
                error=errors[offset].error,
            )
            for offset, row in pairs
            if offset in errors
        )
        self._storage.insert(
            f"{self._target.database}.{self._target.dead_letters}",
            LETTER_COLUMNS,
            body,
            self._settings(self._tokens(batch).letters([*errors], action.attempt)),
        )
        return steps.Acknowledged()

    def _list(self, batch: Batch, span: OffsetRange, mode: Mode) -> steps.Listed:
        if mode is not Mode.FILL:
            return self._rows.listed(batch.partition, span)
        offsets = [offset for offset in batch.offsets if offset in span]
        return self._rows.among(batch.partition, offsets, batch.letters_after)

    def _counts(self, batches: Sequence[Batch]) -> list[steps.Counted]:
        """Of each batch; they are of a partition each."""
        return self._rows.counts([(each.partition, each.span) for each in batches])

    def _delete(self, batch: Batch, action: steps.Delete, give_up: Event) -> steps.Acknowledged:
        self._rows.delete(batch.partition, action.ranges, action.until, self._pause(give_up))
        return steps.Acknowledged()

    def _pause(self, give_up: Event) -> deletion.Pause:
        """Between two looks at a deletion."""

        def pause(seconds: float, failing: deletion.Failing | None) -> None:
            if failing is not None:
                self._waiting(f"rows cannot be deleted yet: {failing.reason}", seconds)
            if give_up.wait(seconds):
                raise Abandoned("rows are being deleted")

        return pause
