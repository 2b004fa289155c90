"""From a source into a topic: pace, backpressure, an orderly end, a summary.

Called by `produce` and `demo` through `run_producer`. Nothing is dropped: a full queue is waited
out, and every message that was handed to the client ends as acknowledged or failed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from nrtctl.clock import Clock
from nrtctl.clock.pace import Pace
from nrtctl.config.counted import counted
from nrtctl.config.servers import Kafka
from nrtctl.errors import NrtctlError
from nrtctl.kafka import clients, topics
from nrtctl.kafka.added_partitions import STATISTICS_MS, AddedPartitions
from nrtctl.kafka.error_codes import row_named
from nrtctl.kafka.producing import Client, Health, serve
from nrtctl.producer.deliveries import Deliveries
from nrtctl.producer.ledger import LedgerWriter
from nrtctl.producer.sources import EXAMPLES_KEPT, Source, Spanning

if TYPE_CHECKING:
    from nrtctl.kafka.bulk import BulkClient

BATCH = 1000
OBSERVE_SECONDS = 0.1
FULL_QUEUE_WAIT = 0.01


@dataclass(frozen=True, slots=True)
class Progress:
    """A look at a run under way.

    `done` is a share from 0 to 1, None where no end is known. `queued` messages wait for Kafka,
    which does not answer while `away`.
    """

    sent: int
    acknowledged: int
    failed: int
    seconds: float
    done: float | None
    queued: int = 0
    away: bool = False


@dataclass(frozen=True, slots=True)
class Produced:
    """What a run did. `sent + unsendable == acknowledged + failed`.

    `rate` is acknowledged messages a second; `bytes` are those of acknowledged values.
    `partitions` counts acknowledged messages where each delivery was looked at (a ledger or a
    rate was asked for), else None. `unsendable` input became no message; `skipped` are blank
    lines. `reasons` counts failed deliveries by Kafka's error. `ended`: count, duration,
    end of input, stopped, or error. `has_keys`: whether any message had one.
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
    partitions: dict[int, int] | None
    reasons: dict[str, int]
    examples: list[str]
    ended: str
    has_keys: bool = False

    def as_dict(self) -> dict[str, Any]:
        """For JSON; without `partitions` where they were not counted."""
        counted = asdict(self)
        del counted["has_keys"]
        if self.partitions is None:
            del counted["partitions"]
        return counted


class NotDelivered(NrtctlError):
    """Messages were not delivered. `produced`: what became of all."""

    def __init__(self, produced: Produced) -> None:
        reasons = [f"{number:,} {name}" for name, number in produced.reasons.items()]
        if produced.unsendable:
            reasons.append(f"{counted(produced.unsendable, 'row')} that could not be read")
        failed = counted(produced.failed, "message was", "messages were")
        hints = [row.hint for name in produced.reasons if (row := row_named(name)) is not None]
        hint = next(filter(None, hints), None)
        super().__init__(f"{failed} not delivered: {', '.join(reasons)}", hint=hint)
        self.produced = produced


class Producer:
    """One run. `stop` ends it early but in order: what was sent is flushed and counted.

    Args:
        address: of the brokers, for messages.
        rate: messages a second; None: as fast as Kafka takes them.
        count: messages to send, duplicates and bad ones included; None: no limit.
        duration: seconds to send for; None: no limit.
        observe: called about ten times a second.
    """

    def __init__(
        self,
        client: Client,
        source: Source,
        deliveries: Deliveries,
        *,
        topic: str,
        address: str,
        clock: Clock,
        stop: Event,
        health: Health,
        rate: float | None = None,
        count: int | None = None,
        duration: float | None = None,
        observe: Callable[[Progress], None] = lambda progress: None,
    ) -> None:
        self._client = client
        self._source = source
        self._deliveries = deliveries
        self._topic = topic
        self._address = address
        self._clock = clock
        self._stop = stop
        self._health = health
        self._count = count
        self._duration = duration
        self._observe = observe
        self._started = clock.monotonic()
        self._observed = self._started
        self._most_acknowledged = 0
        self._was_away = False
        self._pace = Pace(rate, clock) if rate is not None else None
        self.error: NrtctlError | None = None
        """Why the run could not go on; None if it ended as asked."""

    def run(self) -> Produced:
        """Send until the source, `count`, `duration` or `stop` ends it, then flush."""
        ended = self._send_all()
        while len(self._client):
            if self._deliveries.hopeless is not None:
                self._client.purge()
            self._serve(self._client.flush, OBSERVE_SECONDS)
            self._look()
        self._look(force=True)
        return self._summary(ended)

    def _send_all(self) -> str:
        """Why it ended: `stopped`, `error`, `count`, `duration` or `end of input`."""
        while not self._ending():
            if self._duration is not None and self._elapsed() >= self._duration:
                return "duration"
            limit = self._limit()
            if limit == 0:
                return "count"
            if self._pace is not None:
                limit = min(limit, self._pace.due())
                if limit == 0:
                    self._serve(self._client.poll, self._until_due(self._pace))
                    self._look()
                    continue
            try:
                records = self._source.take(limit)
            except NrtctlError as error:
                self.error = self._told(error)
                break
            if not records and self._source.exhausted:
                return "end of input"
            if self._pace is not None:
                self._pace.spend(len(records))
            self._deliveries.send(records, self._wait_for_room)
            self._serve(self._client.poll, 0)
            self._look()
        return "stopped" if self._stop.is_set() else "error"

    def _told(self, error: NrtctlError) -> NrtctlError:
        before = counted(self._deliveries.sent, "message was", "messages were")
        error.message = f"{error.message}; {before} sent before that"
        error.args = (error.message,)
        return error

    def _serve(self, call: Callable[[float], int], seconds: float) -> None:
        """`poll` or `flush`."""
        fatal = serve(call, seconds)
        if fatal is not None:
            self._deliveries.hopeless = fatal

    def _ending(self) -> bool:
        deliveries = self._deliveries
        hopeless = deliveries.hopeless is not None or deliveries.unwritten is not None
        return self._stop.is_set() or hopeless

    def _limit(self) -> int:
        return BATCH if self._count is None else min(BATCH, self._count - self._deliveries.sent)

    def _wait_for_room(self) -> bool:
        if self._ending():
            return False
        self._serve(self._client.poll, FULL_QUEUE_WAIT)
        self._look()
        return True

    def _until_due(self, pace: Pace) -> float:
        wait = min(OBSERVE_SECONDS, pace.wait())
        if self._duration is None:
            return wait
        return min(wait, max(0.0, self._duration - self._elapsed()))

    def _elapsed(self) -> float:
        return self._clock.monotonic() - self._started

    def _look(self, *, force: bool = False) -> None:
        """What is done ten times a second at most: the brokers' health, ledger, progress."""
        now = self._clock.monotonic()
        if now - self._observed < OBSERVE_SECONDS and not force:
            return
        self._observed = now
        deliveries = self._deliveries
        if self._health.fatal is not None:
            deliveries.hopeless = self._health.fatal
        # What was acknowledged before it went away may only be seen now, and what the client has to
        # say of its brokers counts as queued.
        if self._was_away and deliveries.acknowledged > self._most_acknowledged:
            self._health.answered()
        self._was_away = self._health.away
        self._most_acknowledged = max(self._most_acknowledged, deliveries.acknowledged)
        self._health.look(deliveries.acknowledged, len(self._client), now)
        deliveries.flush_ledger()
        failed = deliveries.failed + self._source.unsendable.count
        self._observe(
            Progress(
                deliveries.sent,
                deliveries.acknowledged,
                failed,
                self._elapsed(),
                self._done(),
                len(self._client),
                self._health.away,
            )
        )

    def _done(self) -> float | None:
        shares = []
        if self._count:
            shares.append(self._deliveries.sent / self._count)
        if self._duration:
            shares.append(self._elapsed() / self._duration)
        size = self._source.size_hint()
        if size is not None and size[1]:
            shares.append(size[0] / size[1])
        return min(1.0, max(shares)) if shares else None

    def _summary(self, ended: str) -> Produced:
        deliveries, unsendable = self._deliveries, self._source.unsendable
        if deliveries.hopeless is not None and self.error is None:
            self.error = deliveries.hopeless.as_error(address=self._address, topic=self._topic)
        if deliveries.unwritten is not None and self.error is None:
            self.error = self._told(deliveries.unwritten)
        seconds = self._elapsed()
        return Produced(
            topic=self._topic,
            sent=deliveries.sent,
            acknowledged=deliveries.acknowledged,
            failed=deliveries.failed + unsendable.count,
            unsendable=unsendable.count,
            skipped=self._source.skipped,
            seconds=round(seconds, 3),
            rate=round(deliveries.acknowledged / seconds, 1) if seconds > 0 else 0.0,
            bytes=deliveries.bytes,
            partitions=deliveries.partitions,
            reasons=dict(deliveries.reasons),
            examples=[*unsendable.examples, *deliveries.examples][:EXAMPLES_KEPT],
            ended=ended if self.error is None else "error",
            has_keys=deliveries.has_keys,
        )


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
) -> tuple[Produced, NrtctlError | None]:
    """Connect, check that the topic is there, and send. Closes the source.

    Args:
        delivery_timeout: seconds after which a message that was not acknowledged has failed.
        notice: told when Kafka goes away and comes back.

    Returns:
        the summary, and the error that ended the run early (None: it ended as asked).

    Raises:
        ConnectError: Kafka does not answer within `settings.connect_timeout`, or refuses us.
        NrtctlError: there is no such topic, or the ledger cannot be written.
    """
    health = Health(notice, delivery_timeout)
    each = ledger is not None or rate is not None
    book: LedgerWriter | None = None
    deliveries: Deliveries | None = None
    bulk: BulkClient | None = None
    linger_ms = clients.BULK_LINGER_MS if source.bulk and rate is None else clients.LINGER_MS
    statistics = STATISTICS_MS, AddedPartitions(topic, notice)
    try:
        client: Client
        client = plain = clients.make_producer(
            settings,
            address=address,
            delivery_timeout=delivery_timeout,
            only_failures=not each,
            linger_ms=linger_ms,
            on_error=health,
            statistics=statistics,
        )
        brokers = find_topic(client, topic, address, settings.connect_timeout)
        health.connected = True
        if not each and isinstance(source, Spanning) and source.as_spans():
            bulk = clients.make_bulk_producer(
                settings, plain, topic,
                address=address, delivery_timeout=delivery_timeout, linger_ms=linger_ms,
                statistics=statistics,
            )  # fmt: skip
        if bulk is not None:
            bulk.connect(settings.connect_timeout)
            client = bulk
        if ledger is not None:
            topic_id = topics.topic_id(
                clients.make_admin(settings, address=address),
                topic,
                address=address,
                timeout=settings.connect_timeout,
            )
            book = LedgerWriter(ledger, topic=topic, topic_id=topic_id, started=clock.time())
        deliveries = Deliveries(client, topic, each=each, ledger=book, bulk=bulk, brokers=brokers)
        producer = Producer(
            client, source, deliveries, topic=topic,
            address=address, clock=clock, stop=stop, health=health, rate=rate, count=count,
            duration=duration, observe=observe,
        )  # fmt: skip
        produced, error = producer.run(), producer.error
        try:
            if book is not None:
                book.close()
        except NrtctlError as unwritten:
            error = error or unwritten
        return produced, error
    finally:
        source.close()
        if book is not None:
            with suppress(NrtctlError):
                book.close()
        if deliveries is not None:
            deliveries.close()
        if bulk is not None:
            bulk.close()


def find_topic(client: Client, topic: str, address: str, timeout: float) -> int:
    """How many brokers the topic's cluster has.

    Asks twice: librdkafka fetches its producer id when metadata comes, or else after half a
    second. The first answer comes over the bootstrap connection, which ends with it.
    """
    for _ in range(2):
        cluster = topics.cluster_of(client, topic, address=address, timeout=timeout)
    return len(cluster.brokers)
