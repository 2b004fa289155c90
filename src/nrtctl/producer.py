"""From a source into a topic: pace, backpressure, delivery reports, summary.

Called by `produce` and `demo` through `run_producer`. Nothing is dropped: a full queue is waited
out, and every message that was taken from the source ends as acknowledged or failed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event
from typing import Any, Protocol

from confluent_kafka import KafkaError, KafkaException

from nrtctl import kafka
from nrtctl.clock import Clock
from nrtctl.config.model import Kafka
from nrtctl.errors import ConnectError, NrtctlError
from nrtctl.ledger import LedgerWriter
from nrtctl.pace import Pace
from nrtctl.sources import EXAMPLES_KEPT, Record, Source
from nrtctl.sources.marks import MARKS

BATCH = 1000
OBSERVE_SECONDS = 0.1
FULL_QUEUE_WAIT = 0.05
HOPELESS = kafka.UNKNOWN_TOPIC | kafka.UNAUTHORISED | kafka.REFUSED
"""Delivery errors that the next message would meet as well."""

Callback = Callable[[Any, Any], None]


class Client(Protocol):
    """The part of confluent_kafka's Producer that is used."""

    def produce(self, topic: str, **message: Any) -> None: ...
    def poll(self, timeout: float) -> int: ...
    def flush(self, timeout: float) -> int: ...
    def purge(self) -> None: ...
    def __len__(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Progress:
    """A look at a run under way. `done` is a share from 0 to 1, None where no end is known."""

    sent: int
    acknowledged: int
    failed: int
    seconds: float
    done: float | None


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run did. `sent + unsendable == acknowledged + failed`.

    `rate` is acknowledged messages a second, `bytes` those of acknowledged values; `partitions`
    counts acknowledged messages. `unsendable` input became no message; `skipped` are blank lines.
    """

    topic: str
    sent: int
    acknowledged: int
    failed: int
    unsendable: int
    skipped: int
    seconds: float
    rate: float
    bytes: int
    partitions: dict[int, int]
    reasons: dict[str, int]
    examples: list[str]
    ended: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Health:
    """What librdkafka says of the brokers; its error callback."""

    def __init__(self, notice: Callable[[str], None], patience: float) -> None:
        self._notice = notice
        self._patience = patience
        self.away = False
        self.fatal: KafkaError | None = None
        self.refused: KafkaError | None = None

    def __call__(self, error: KafkaError) -> None:
        if error.fatal():
            self.fatal = error
        elif error.code() in kafka.REFUSED:
            self.refused = error
        elif error.code() == KafkaError._ALL_BROKERS_DOWN and not self.away:
            self.away = True
            self._notice(
                f"Kafka does not answer; still trying (a message is given up after "
                f"{self._patience:g} s)"
            )

    def answered(self) -> None:
        if self.away:
            self.away = False
            self._notice("Kafka answers again")


class Producer:
    """One run. `stop` ends it early but in order: what was sent is flushed and counted.

    Args:
        rate: messages a second; None: as fast as Kafka takes them.
        count: messages to send, duplicates and bad ones included; None: no limit.
        duration: seconds to send for; None: no limit.
        observe: called about ten times a second.
    """

    def __init__(
        self,
        client: Client,
        source: Source,
        topic: str,
        *,
        address: str,
        clock: Clock,
        stop: Event,
        health: Health,
        rate: float | None = None,
        count: int | None = None,
        duration: float | None = None,
        ledger: LedgerWriter | None = None,
        observe: Callable[[Progress], None] = lambda progress: None,
    ) -> None:
        self._client = client
        self._source = source
        self._topic = topic
        self._address = address
        self._clock = clock
        self._stop = stop
        self._health = health
        self._count = count
        self._duration = duration
        self._ledger = ledger
        self._observe = observe
        self._started = clock.monotonic()
        self._observed = self._started
        self._pace = Pace(rate, clock) if rate else None
        self._sent = 0
        self._bytes = 0
        self._partitions: Counter[int] = Counter()
        self._reasons: Counter[str] = Counter()
        self._examples: list[str] = []
        self._callbacks = {mark: self._callback(mark) for mark in (None, *MARKS)}
        self._acknowledged_before = 0
        self._hopeless = False
        self.error: NrtctlError | None = None
        """Why the run could not go on; None if it ended as asked."""

    def run(self) -> Summary:
        """Send until the source, `count`, `duration` or `stop` ends it, then flush."""
        ended = self._send_all()
        if self._hopeless:
            self._client.purge()
        while len(self._client):
            self._client.flush(OBSERVE_SECONDS)
            self._look(force=True)
        seconds = self._clock.monotonic() - self._started
        acknowledged = sum(self._partitions.values())
        unsendable = self._source.unsendable
        return Summary(
            topic=self._topic,
            sent=self._sent,
            acknowledged=acknowledged,
            failed=sum(self._reasons.values()) + unsendable.count,
            unsendable=unsendable.count,
            skipped=self._source.skipped,
            seconds=round(seconds, 3),
            rate=round(acknowledged / seconds, 1) if seconds > 0 else 0.0,
            bytes=self._bytes,
            partitions=dict(sorted(self._partitions.items())),
            reasons=dict(self._reasons),
            examples=[*unsendable.examples, *self._examples],
            ended="error" if self.error is not None else ended,
        )

    def _send_all(self) -> str:
        """Why it ended: `stopped`, `count`, `duration` or `end of input`."""
        while True:
            if self._stop.is_set() or self.error is not None:
                return "stopped"
            if self._duration is not None and self._elapsed() >= self._duration:
                return "duration"
            limit = BATCH if self._count is None else min(BATCH, self._count - self._sent)
            if not limit:
                return "count"
            if self._pace is not None:
                limit = min(limit, self._pace.due())
                if not limit:
                    self._client.poll(self._until_due(self._pace))
                    self._look()
                    continue
            try:
                records = self._source.take(limit)
            except NrtctlError as error:
                self.error = error
                continue
            if not records and self._source.exhausted:
                return "end of input"
            if self._pace is not None:
                self._pace.spend(len(records))
            self._send(records)
            self._client.poll(0)
            self._look()

    def _until_due(self, pace: Pace) -> float:
        wait = min(OBSERVE_SECONDS, pace.wait())
        if self._duration is not None:
            wait = min(wait, max(0.0, self._duration - self._elapsed()))
        return wait

    def _send(self, records: list[Record]) -> None:
        produce, topic, callbacks = self._client.produce, self._topic, self._callbacks
        for record in records:
            key, value, timestamp, mark = record
            try:
                if timestamp is None:
                    produce(topic, value=value, key=key, on_delivery=callbacks[mark])
                else:
                    produce(
                        topic, value=value, key=key, on_delivery=callbacks[mark],
                        timestamp=timestamp,
                    )  # fmt: skip
            except BufferError:
                if not self._send_patiently(record):
                    return
            except KafkaException as error:
                self._refuse(error.args[0], record)
            self._sent += 1

    def _send_patiently(self, record: Record) -> bool:
        """Wait until there is room in the queue. False: told to end before there was."""
        key, value, timestamp, mark = record
        extra = {} if timestamp is None else {"timestamp": timestamp}
        while not self._stop.is_set() and self.error is None:
            self._client.poll(FULL_QUEUE_WAIT)
            self._look()
            try:
                self._client.produce(
                    self._topic, value=value, key=key, on_delivery=self._callbacks[mark], **extra
                )
            except BufferError:
                continue
            except KafkaException as error:
                self._refuse(error.args[0], record)
            return True
        return False

    def _refuse(self, error: KafkaError, record: Record) -> None:
        """The client did not take a message at all."""
        _, value, _, mark = record
        self._fail(error, mark, value, "not sent")
        if error.code() != KafkaError.MSG_SIZE_TOO_LARGE:
            self._give_up(error)

    def _give_up(self, error: KafkaError) -> None:
        """End the run, and do not wait for what is queued."""
        if not self._hopeless:
            self._hopeless = True
            self.error = kafka.translate(error, address=self._address, topic=self._topic)

    def _callback(self, mark: str | None) -> Callback:
        partitions, ledger = self._partitions, self._ledger

        def delivered(error: Any, message: Any) -> None:
            if error is not None:
                where = f"partition {message.partition()}"
                self._fail(error, mark, message.value(), where)
                if error.code() in HOPELESS:
                    self._give_up(error)
                return
            partitions[message.partition()] += 1
            self._bytes += len(message)
            if ledger is not None:
                ledger.stored(message.partition(), message.offset(), mark, message.value())

        return delivered

    def _fail(self, error: KafkaError, mark: str | None, value: bytes | None, where: str) -> None:
        reason = error.name()
        self._reasons[reason] += 1
        if len(self._examples) < EXAMPLES_KEPT:
            start = (value or b"")[:60].decode(errors="replace")
            self._examples.append(f"{where}: {error.str()}: {len(value or b'')} bytes: {start!r}")
        if self._ledger is not None:
            self._ledger.failed(reason, mark, value)

    def _elapsed(self) -> float:
        return self._clock.monotonic() - self._started

    def _look(self, *, force: bool = False) -> None:
        """What is done ten times a second at most: progress, ledger, the brokers' health."""
        now = self._clock.monotonic()
        if now - self._observed < OBSERVE_SECONDS and not force:
            return
        self._observed = now
        acknowledged = sum(self._partitions.values())
        if self._health.fatal is not None:
            self._give_up(self._health.fatal)
        if acknowledged > self._acknowledged_before:
            self._health.answered()
        self._acknowledged_before = acknowledged
        if self._ledger is not None:
            self._ledger.flush()
        failed = sum(self._reasons.values()) + self._source.unsendable.count
        self._observe(
            Progress(self._sent, acknowledged, failed, now - self._started, self._done(now))
        )

    def _done(self, now: float) -> float | None:
        shares = []
        if self._count:
            shares.append(self._sent / self._count)
        if self._duration:
            shares.append((now - self._started) / self._duration)
        size = self._source.size_hint()
        if size is not None and size[1]:
            shares.append(size[0] / size[1])
        return min(1.0, max(shares)) if shares else None


def run_producer(
    settings: Kafka,
    source: Source,
    topic: str,
    *,
    address: str,
    clock: Clock,
    stop: Event,
    rate: float | None = None,
    count: int | None = None,
    duration: float | None = None,
    delivery_timeout: float = 120.0,
    ledger: Path | None = None,
    observe: Callable[[Progress], None] = lambda progress: None,
    notice: Callable[[str], None] = lambda text: None,
) -> tuple[Summary, NrtctlError | None]:
    """Connect, check that the topic is there, and send. Closes the source.

    Returns:
        the summary, and the error that ended the run early (None: it ended as asked).

    Raises:
        ConnectError: Kafka does not answer within `settings.connect_timeout`, or refuses us.
        NrtctlError: there is no such topic; the input or the ledger cannot be read or written.
    """
    health = Health(notice, delivery_timeout)
    book: LedgerWriter | None = None
    try:
        client = kafka.make_producer(
            settings, address=address, delivery_timeout=delivery_timeout, on_error=health
        )
        try:
            kafka.partition_count(client, topic, address=address, timeout=settings.connect_timeout)
        except ConnectError:
            client.poll(0)
            if health.refused is not None:
                raise kafka.translate(health.refused, address=address) from None
            raise
        health.away = False
        if ledger is not None:
            book = LedgerWriter(ledger, topic=topic, started=clock.time())
        producer = Producer(
            client, source, topic, address=address, clock=clock, stop=stop, health=health,
            rate=rate, count=count, duration=duration, ledger=book, observe=observe,
        )  # fmt: skip
        return producer.run(), producer.error
    finally:
        source.close()
        if book is not None:
            book.close()
