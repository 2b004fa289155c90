"""Handing messages to the client, and the account of what became of each. Called by `producer`.

At full speed messages go in batches, and only failures call back: what was handed over, is not
queued any more and has not failed, is acknowledged. With a ledger or a rate each delivery calls
back, which costs about a third more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from nrtctl.config.counted import counted
from nrtctl.errors import NrtctlError
from nrtctl.kafka import clients
from nrtctl.kafka.error_codes import NOT_ALLOWED, Meaning
from nrtctl.kafka.producing import (
    Client,
    NotTaken,
    Refusal,
    produce_batch,
    refusal_in,
    refusal_of,
)
from nrtctl.producer.ledger import LedgerWriter
from nrtctl.producer.sources import EXAMPLES_KEPT, Record, Spans, Taken, Values, records_of
from nrtctl.producer.sources.marks import MARKS

if TYPE_CHECKING:
    from nrtctl.kafka.bulk import BulkClient

SMALL_BYTES = 640
"""Batches whose messages are this small on average never meet the queue's limit in bytes before
the one in messages, for which room is made first. A batch that was taken in part would be
repeated out of order."""

WAITING_BYTES, WAITING_MESSAGES = 7_000_000, 25_000
"""What waits in the client for each broker, the smaller messages are the more of them: more than it
has under way, which is five requests of 1 MB at most, and little enough for a processor's cache.
With 200,000 messages each is read from memory several times."""

HOPELESS = NOT_ALLOWED | {
    Meaning.UNKNOWN_TOPIC,
    Meaning.UNKNOWN_PARTITION,
    Meaning.UNAUTHENTICATED,
    Meaning.UNTRUSTED,
}
"""Delivery errors that the next message would meet as well."""

Wait = Callable[[], bool]
"""Serves the client for a moment; False: give up sending."""


class Deliveries:
    """The account of one run.

    Args:
        client: made with `only_failures` unless `each`.
        each: every delivery calls back; `partitions` is counted. Needed for a ledger.
        room: how many messages the client's queue takes.
        bulk: the client, if it takes many messages of one text at once.
        brokers: of the cluster.
    """

    def __init__(
        self,
        client: Client,
        topic: str,
        *,
        each: bool,
        ledger: LedgerWriter | None = None,
        room: int = clients.QUEUE_MESSAGES,
        bulk: BulkClient | None = None,
        brokers: int = 1,
    ) -> None:
        self._bulk = bulk
        self._client = client
        self._topic = topic
        self._ledger = ledger
        self._room = room
        self._brokers = max(1, brokers)
        self._singly = each
        self._each = each
        self._partitions: Counter[int] = Counter()
        self._callbacks = {mark: self._callback(mark) for mark in (None, *MARKS)}
        self.sent = 0
        self.bytes = 0
        """Of the values that were handed over and have not failed."""
        self.has_keys = False
        """Whether a message had a key so far."""
        self.reasons: Counter[str] = Counter()
        self.examples: list[str] = []
        self.hopeless: Refusal | None = None
        """Why going on makes no sense; None while it does."""
        self.unwritten: NrtctlError | None = None
        """Why the ledger could not be written when it was tried; None: it could."""

    @property
    def failed(self) -> int:
        return self.reasons.total()

    @property
    def acknowledged(self) -> int:
        return self.sent - self.failed - len(self._client)

    @property
    def partitions(self) -> dict[int, int] | None:
        """Acknowledged messages by partition; None where they were not looked at."""
        return dict(sorted(self._partitions.items())) if self._each else None

    def send(self, taken: Taken, wait: Wait) -> None:
        """Hand over what was taken, in order, waiting for room. When `wait` gives up, the rest is
        not sent, and not counted."""
        if not taken:
            return
        if isinstance(taken, Spans):
            size = sum(taken.sizes)
            if taken.keys is not None and not self.has_keys:
                self.has_keys = max(taken.keys[2], default=-1) >= 0
            bulk = None if self._singly else self._bulk
            if bulk is not None and size <= SMALL_BYTES * len(taken):
                self._send_spans(taken, size, bulk, wait)
                return
            taken = taken.records()
        if isinstance(taken, Values):
            values: Sequence[bytes | None] = taken
        else:
            keys, values, extras, _ = zip(*taken, strict=True)
            self.has_keys = self.has_keys or keys.count(None) < len(keys)
            self._singly = self._singly or any(extras)
        size = sum(map(len, filter(None, values)))
        self._singly = self._singly or size > SMALL_BYTES * len(taken)
        if self._singly:
            for record in records_of(taken):
                if not self._send_one(record, wait):
                    return
            return
        if self._waited_for_room(len(taken), size, wait):
            self._send_batch(taken, size, wait)

    def _waited_for_room(self, count: int, size: int, wait: Wait) -> bool:
        most = max(WAITING_MESSAGES, WAITING_BYTES * count // max(1, size))
        room = min(self._room, self._brokers * most)
        while len(self._client) > room - count:
            if not wait():
                return False
        return True

    def _send_spans(self, spans: Spans, size: int, bulk: BulkClient, wait: Wait) -> None:
        if not self._waited_for_room(len(spans), size, wait):
            return
        while True:
            try:
                refused = bulk.send_spans(
                    spans.text, spans.begins, spans.sizes, spans.keys, self._callbacks[None]
                )
                break
            except BufferError:
                if not wait():
                    return
        self.sent += len(spans) - len(refused)
        self.bytes += size
        self._again(
            [(refusal_of(c), spans[at : at + 1].records()[0]) for at, c in refused.items()], wait
        )

    def _send_batch(self, sent: list[Record] | Values, size: int, wait: Wait) -> None:
        messages: list[dict[str, Any]]
        if isinstance(sent, Values):
            messages = [{"value": value} for value in sent]
        else:
            messages = [{"value": value, "key": key} for key, value, _, _ in sent]
        taken = produce_batch(self._client, self._topic, messages, self._callbacks[None])
        if isinstance(taken, Refusal):  # the client is done for
            for record in records_of(sent):
                self._refuse(taken, record)
            return
        self.sent += taken
        self.bytes += size
        if taken == len(messages):
            return
        refused = [
            (refusal, record)
            for message, record in zip(messages, records_of(sent), strict=True)
            if (refusal := refusal_in(message)) is not None
        ]
        self._again(refused, wait)

    def _again(self, refused: list[tuple[Refusal, Record]], wait: Wait) -> None:
        """What was not taken of a batch, and was counted in `bytes`: one by one, where there was
        no room."""
        self.bytes -= sum(len(value or b"") for _, (_, value, _, _) in refused)
        for refusal, record in refused:
            if refusal.meaning is not Meaning.QUEUE_FULL:
                self._refuse(refusal, record)
            elif not self._send_one(record, wait):
                return

    def _send_one(self, record: Record, wait: Wait) -> bool:
        key, value, extra, mark = record
        while True:
            try:
                self._client.produce(
                    self._topic,
                    value=value,
                    key=key,
                    on_delivery=self._callbacks[mark],
                    **(extra or {}),
                )
            except BufferError:
                if not wait():
                    return False
                continue
            except NotTaken as error:
                self._refuse(Refusal.raised(error), record)
                return True
            self.sent += 1
            self.bytes += len(value or b"")
            return True

    def _refuse(self, refusal: Refusal, record: Record) -> None:
        """The client did not take a message at all. It counts as sent, and as failed."""
        _, value, _, mark = record
        self.sent += 1
        self._fail(refusal, mark, value, "not sent")
        if refusal.meaning is not Meaning.TOO_LARGE:
            self.hopeless = refusal

    def _callback(self, mark: str | None) -> Callable[[Any, Any], None]:
        partitions, ledger = self._partitions, self._ledger

        def delivered(error: Any, message: Any) -> None:
            if error is None:
                partitions[message.partition()] += 1
                if ledger is not None:
                    where = message.partition(), message.offset()
                    self._write(partial(ledger.stored, *where, mark, message.value()))
                return
            self.bytes -= len(message)
            refusal = Refusal.of(error)
            self._fail(refusal, mark, message.value(), f"partition {message.partition()}")
            if refusal.meaning in HOPELESS:
                self.hopeless = refusal

        return delivered

    def close(self) -> None:
        """Let go of the client, which has these callbacks: its threads and connections end with the
        run, and not when Python next looks for cycles."""
        self._callbacks.clear()

    def _fail(self, refusal: Refusal, mark: str | None, value: bytes | None, where: str) -> None:
        self.reasons[refusal.name] += 1
        if len(self.examples) < EXAMPLES_KEPT:
            size = "null" if value is None else f"{counted(len(value), 'byte')}: {value[:60]!r}"
            self.examples.append(f"{where}: {refusal.text}: {size}")
        if self._ledger is not None:
            self._write(partial(self._ledger.failed, refusal.name, mark, value))

    def flush_ledger(self) -> None:
        if self._ledger is not None:
            self._write(self._ledger.flush)

    def _write(self, write: Callable[[], None]) -> None:
        """The ledger keeps what it cannot write, so that messages under way come into it."""
        try:
            write()
        except NrtctlError as error:
            self.unwritten = self.unwritten or error
