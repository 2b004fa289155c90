"""The producer's loop on a client that fails as told: nothing is dropped, everything is counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from nrtctl.clock import ManualClock
from nrtctl.config.servers import Kafka
from nrtctl.errors import ConnectError, NrtctlError
from nrtctl.kafka import clients
from nrtctl.kafka.producing import Health
from nrtctl.producer.deliveries import Deliveries
from nrtctl.producer.ledger import Ledger, LedgerWriter
from nrtctl.producer.run import BATCH, Producer, Progress, run_producer
from nrtctl.producer.sources import Record, Unsendable, Values

from .fake import FakeClient, FullFile


class Numbers:
    """A source of `b"0"`, `b"1"`, …, `total` of them; `plain`: as a file's lines come."""

    def __init__(
        self, total: int, *, mark: str | None = None, pad: int = 0, plain: bool = False
    ) -> None:
        self.total, self.mark, self.pad, self.plain = total, mark, pad, plain
        self.next = 0
        self.unsendable = Unsendable()
        self.skipped = 0
        self.break_at: int | None = None
        self.bulk = False

    @property
    def exhausted(self) -> bool:
        return self.next >= self.total

    def take(self, limit: int) -> list[Record] | Values:
        if self.break_at is not None and self.next >= self.break_at:
            raise NrtctlError("the input is damaged")
        first = self.next
        self.next = min(self.total, first + limit)
        if self.plain:
            return Values(b"%d" % n + b" " * self.pad for n in range(first, self.next))
        return [
            (b"%d" % (n % 7), b"%d" % n + b" " * self.pad, None, self.mark)
            for n in range(first, self.next)
        ]

    def size_hint(self) -> tuple[int, int] | None:
        return None

    def close(self) -> None:
        return


class Run:
    def __init__(
        self,
        source: Any,
        *,
        each: bool = False,
        room: int = 10_000,
        ledger: LedgerWriter | None = None,
        client: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self.clock = ManualClock()
        self.client = FakeClient(self.clock, room=room, only_failures=not each, **(client or {}))
        self.stop = Event()
        self.notices: list[str] = []
        self.health = Health(self.notices.append, 120.0)
        self.health.connected = True
        self.progress: list[Progress] = []
        self.producer = Producer(
            self.client,
            source,
            Deliveries(self.client, "events", each=each, ledger=ledger, room=room),
            topic="events",
            address="127.0.0.1:1",
            clock=self.clock,
            stop=self.stop,
            health=self.health,
            observe=self.progress.append,
            **options,
        )

    def values(self) -> list[bytes]:
        return [(value or b"").strip() for _, value in self.client.stored]


PLAIN = pytest.mark.parametrize("plain", [False, True])


def numbers(count: int) -> list[bytes]:
    return [b"%d" % n for n in range(count)]


@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("room", [1000, 1700, 100_000])
@pytest.mark.parametrize("pad", [0, 5000])
@pytest.mark.parametrize("plain", [False, True])
def test_everything_is_sent_once_in_order_through_a_full_queue(
    each: bool, room: int, pad: int, plain: bool
) -> None:
    run = Run(Numbers(12_345, pad=pad, plain=plain), each=each, room=room, client={"speed": 333})
    summary = run.producer.run()
    assert run.values() == numbers(12_345)
    assert (summary.sent, summary.acknowledged, summary.failed) == (12_345, 12_345, 0)
    assert summary.bytes == sum(map(len, numbers(12_345))) + 12_345 * pad
    assert summary.ended == "end of input"
    assert (sum(summary.partitions.values()) == 12_345) if summary.partitions else not each


@PLAIN
def test_a_batch_is_one_call(plain: bool) -> None:
    run = Run(Numbers(50 * BATCH, plain=plain), room=200_000)
    run.producer.run()
    assert run.client.calls == 50


@PLAIN
def test_a_batch_that_is_taken_in_part_is_completed(plain: bool) -> None:
    run = Run(Numbers(2000, plain=plain), room=1000, client={"speed": 100})
    run.client.room = 700
    summary = run.producer.run()
    assert sorted(run.values()) == sorted(numbers(2000))
    assert (summary.sent, summary.acknowledged, summary.failed) == (2000, 2000, 0)
    assert summary.bytes == sum(map(len, numbers(2000)))


@PLAIN
@pytest.mark.parametrize("each", [False, True])
def test_failures_are_counted_with_reasons_and_the_rest_goes_on(each: bool, plain: bool) -> None:
    def verdict(value: bytes | None) -> int | None:
        return KafkaError._MSG_TIMED_OUT if int(value or b"") % 10 == 3 else None

    run = Run(Numbers(1000, plain=plain), each=each, client={"verdict": verdict})
    summary = run.producer.run()
    assert (summary.sent, summary.acknowledged, summary.failed) == (1000, 900, 100)
    assert summary.reasons == {"_MSG_TIMED_OUT": 100}
    assert len(summary.examples) == 10
    assert summary.bytes == sum(len(value) for value in run.values())
    assert run.producer.error is None


@PLAIN
@pytest.mark.parametrize("each", [False, True])
def test_a_message_that_is_too_large_fails_alone(each: bool, plain: bool) -> None:
    run = Run(Numbers(1111, plain=plain), each=each, client={"too_large": 3})
    summary = run.producer.run()
    assert (summary.sent, summary.acknowledged, summary.failed) == (1111, 1000, 111)
    assert summary.reasons == {"MSG_SIZE_TOO_LARGE": 111}
    assert run.values() == numbers(1000)
    assert summary.bytes == sum(map(len, numbers(1000)))


@pytest.mark.parametrize(
    "code", [KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED]
)
def test_what_every_message_would_meet_ends_the_run(code: int) -> None:
    run = Run(Numbers(10**9), client={"verdict": lambda value: code})
    summary = run.producer.run()
    assert isinstance(run.producer.error, NrtctlError)
    assert summary.ended == "error"
    assert summary.acknowledged == 0
    assert 0 < summary.sent == summary.failed <= run.client.room + BATCH


def test_a_fatal_error_ends_the_run_and_what_is_queued_counts_as_failed() -> None:
    run = Run(Numbers(10**9), client={"speed": 0})
    run.client.on_poll = lambda: run.health(
        KafkaError(KafkaError._FATAL, "the producer was fenced", True)
    )
    summary = run.producer.run()
    assert run.producer.error is not None
    assert summary.failed == summary.sent == summary.reasons["_PURGE_QUEUE"]
    assert len(run.client) == 0


def test_damaged_input_ends_the_run_after_what_was_read() -> None:
    source = Numbers(10**9)
    source.break_at = 5000
    run = Run(source)
    summary = run.producer.run()
    assert (summary.acknowledged, summary.ended) == (5000, "error")
    assert run.producer.error is not None
    assert "damaged" in run.producer.error.message


def test_stop_flushes_what_was_sent() -> None:
    run = Run(Numbers(10**9), room=2000, client={"speed": 100})
    run.client.on_poll = lambda: run.stop.set() if run.client.polls == 30 else None
    summary = run.producer.run()
    assert summary.ended == "stopped"
    assert summary.sent == summary.acknowledged > 0
    assert run.values() == numbers(summary.sent)
    assert run.client.polls <= 31


def test_count_is_exact() -> None:
    run = Run(Numbers(10**9), count=2500)
    summary = run.producer.run()
    assert (summary.acknowledged, summary.ended) == (2500, "count")
    assert run.progress[-1].done == 1.0


def test_rate_and_duration_on_the_clock() -> None:
    run = Run(Numbers(10**9), each=True, rate=1000.0, duration=5.0)
    summary = run.producer.run()
    assert summary.ended == "duration"
    assert 4900 <= summary.acknowledged <= 5000
    assert 5.0 <= summary.seconds <= 5.2
    assert 40 <= len(run.progress) <= 60
    shares = [each.done for each in run.progress if each.done is not None]
    assert shares == sorted(shares)


def test_unsendable_input_counts_as_failed_but_not_as_sent() -> None:
    source = Numbers(10)
    source.unsendable.add("line 3: 1 cell")
    summary = Run(source).producer.run()
    assert (summary.sent, summary.acknowledged, summary.failed) == (10, 10, 1)
    assert summary.unsendable == 1
    assert summary.examples == ["line 3: 1 cell"]


def test_the_ledger_holds_every_message_with_its_fate(tmp_path: Path) -> None:
    writer = LedgerWriter(tmp_path / "ledger", topic="events", started=0)

    def verdict(value: bytes | None) -> int | None:
        return KafkaError._MSG_TIMED_OUT if int(value or b"") % 10 == 3 else None

    source = Numbers(1111, mark="late")
    run = Run(source, each=True, ledger=writer, client={"verdict": verdict, "too_large": 3})
    summary = run.producer.run()
    entries = list(Ledger(tmp_path / "ledger"))
    writer.close()
    assert len(entries) == summary.sent == 1111
    assert sum(entry.failed is None for entry in entries) == summary.acknowledged == 900
    assert {entry.failed for entry in entries} == {None, "_MSG_TIMED_OUT", "MSG_SIZE_TOO_LARGE"}
    assert {entry.kind for entry in entries} == {"late"}


def test_a_ledger_on_a_full_disk_ends_the_run_with_all_that_was_sent_counted(
    tmp_path: Path,
) -> None:
    writer = LedgerWriter(tmp_path / "ledger", topic="events", started=0.0)
    full = FullFile(100)
    writer._file.close()
    writer._file = full  # type: ignore[assignment]
    run = Run(Numbers(10**9), each=True, room=2000, ledger=writer, client={"speed": 100})
    summary = run.producer.run()
    assert summary.ended == "error"
    assert 0 < summary.sent == summary.acknowledged == len(run.values())
    assert "No space left" in str(run.producer.error)
    assert f"; {summary.sent:,} messages were sent" in str(run.producer.error)
    full.room = 10**9
    writer.close()
    assert full.written.count(b"\n") == summary.sent


def test_kafka_going_away_and_coming_back_is_told_once() -> None:
    run = Run(Numbers(3000), room=1000, client={"speed": 0})
    error = KafkaError(KafkaError._ALL_BROKERS_DOWN)

    def on_poll() -> None:
        run.health(error) if run.client.polls < 50 else None
        run.client.speed = 0 if run.client.polls < 80 else 1000

    run.client.on_poll = on_poll
    assert run.producer.run().acknowledged == 3000
    assert [text.split(";")[0] for text in run.notices] == [
        "Kafka does not answer", "Kafka answers again",
    ]  # fmt: skip


def test_what_was_acknowledged_just_before_kafka_went_away_is_no_answer() -> None:
    run = Run(Numbers(3000), room=1000, client={"speed": 500})
    error = KafkaError(KafkaError._ALL_BROKERS_DOWN)

    def on_poll() -> None:
        if run.client.polls >= 2:
            run.health(error)
            run.client.speed = 0 if run.client.polls > 2 else 500
        if run.client.polls > 80:
            run.client.verdict = lambda value: KafkaError._MSG_TIMED_OUT
            run.client.speed = 1000

    run.client.on_poll = on_poll
    summary = run.producer.run()
    assert summary.failed > 0
    assert [text.split(";")[0] for text in run.notices] == ["Kafka does not answer"]


def test_before_kafka_has_answered_nothing_is_told() -> None:
    notices: list[str] = []
    health = Health(notices.append, 1.0)
    health(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    health(KafkaError(KafkaError._AUTHENTICATION))
    assert notices == []


def test_a_client_that_is_done_for_ends_the_run_and_all_is_counted() -> None:
    run = Run(Numbers(5000))

    def on_poll() -> None:
        run.client.speed = 0
        raise KafkaException(KafkaError(KafkaError.CLUSTER_AUTHORIZATION_FAILED, fatal=True))

    run.client.on_poll = on_poll
    summary = run.producer.run()
    assert isinstance(run.producer.error, ConnectError)
    assert summary.ended == "error"
    assert summary.sent == summary.acknowledged + summary.failed < 5000


def test_an_idle_source_keeps_the_client_served() -> None:
    class Idle(Numbers):
        empty = 100

        def take(self, limit: int) -> list[Record] | Values:
            self.empty -= 1
            return [] if self.empty > 0 else super().take(limit)

    run = Run(Idle(10))
    assert run.producer.run().acknowledged == 10
    assert run.client.polls >= 99


@PLAIN
def test_a_client_that_takes_nothing_any_more_has_all_counted_as_failed(plain: bool) -> None:
    run = Run(Numbers(3000, plain=plain))

    def done_for(*given: Any, **named: Any) -> int:
        raise KafkaException(KafkaError(KafkaError.CLUSTER_AUTHORIZATION_FAILED, fatal=True))

    run.client.produce_batch = done_for  # type: ignore[method-assign]
    summary = run.producer.run()
    assert (summary.sent, summary.acknowledged, summary.failed) == (BATCH, 0, BATCH)
    assert summary.bytes == 0
    assert isinstance(run.producer.error, ConnectError)


def stop_while_full(run: Run) -> None:
    """It is stopped after a while, and only then does Kafka take what waits."""

    def on_poll() -> None:
        if run.client.polls == 30:
            run.stop.set()
            run.client.speed = 100

    run.client.on_poll = on_poll


@pytest.mark.parametrize("each", [False, True])
def test_lines_that_come_when_the_queue_stays_full_are_not_counted(each: bool) -> None:
    run = Run(Numbers(10**9, plain=True), each=each, room=2000, client={"speed": 0})
    stop_while_full(run)
    summary = run.producer.run()
    assert summary.ended == "stopped"
    assert 2000 <= summary.sent == summary.acknowledged < 2000 + BATCH
    assert run.values() == numbers(summary.sent)


@PLAIN
def test_bytes_that_the_queue_did_not_take_before_a_stop_are_not_counted(plain: bool) -> None:
    run = Run(Numbers(10**9, plain=plain), room=1000, client={"speed": 0})
    run.client.room = 700
    stop_while_full(run)
    summary = run.producer.run()
    assert 700 <= summary.sent == summary.acknowledged < 1000
    assert summary.bytes == sum(map(len, run.values()))


@pytest.mark.parametrize("timestamp", [1, 1_700_000_000_000])
def test_timestamps_are_passed_on(timestamp: int) -> None:
    class Timed(Numbers):
        def take(self, limit: int) -> list[Record]:
            taken = super().take(limit)
            assert not isinstance(taken, Values)
            return [(k, v, {"timestamp": timestamp}, m) for k, v, _, m in taken]

    run = Run(Timed(5))
    run.producer.run()
    assert run.client.timestamps == [timestamp] * 5


def test_errors_name_what_is_wrong() -> None:
    denied: Callable[[bytes | None], int] = lambda value: KafkaError.TOPIC_AUTHORIZATION_FAILED  # noqa: E731
    run = Run(Numbers(5), client={"verdict": denied})
    run.producer.run()
    assert isinstance(run.producer.error, ConnectError)
    assert run.producer.error.hint


@pytest.mark.parametrize(
    ("rate", "bulk", "linger_ms"), [(None, True, 50), (None, False, 5), (10.0, True, 5)]
)
def test_batches_may_fill_only_where_messages_come_as_fast_as_they_can(
    monkeypatch: pytest.MonkeyPatch, rate: float | None, bulk: bool, linger_ms: int
) -> None:
    asked: list[dict[str, Any]] = []

    def refuse(settings: Kafka, **named: Any) -> Any:
        asked.append(named)
        raise ConnectError("Kafka is away")

    source = Numbers(10)
    source.bulk = bulk
    monkeypatch.setattr(clients, "make_producer", refuse)
    with pytest.raises(ConnectError):
        run_producer(
            Kafka(), source, "events", address="", clock=ManualClock(), stop=Event(), rate=rate
        )
    assert asked[0]["linger_ms"] == linger_ms


def test_messages_that_wait_while_kafka_answers_are_told_once() -> None:
    said: list[str] = []
    health = Health(said.append, 120.0)
    looks = [(0, 5, 0.0), (3, 2, 1.0), (3, 2, 5.9), (3, 9, 6.0), (3, 9, 20.0)]
    for look in looks:
        health.look(*look)
    (text,) = said
    assert text.startswith("Kafka answers, but has stored nothing for 5 s, and 9 messages wait")
    health.look(4, 8, 21.0)
    assert said[1:] == ["Kafka stores messages again"]
    health.look(4, 0, 40.0)
    health.look(4, 1, 41.0)
    health.look(4, 1, 44.9)
    assert len(said) == 2, "nothing waited for long"
    health.away = True
    health.look(4, 1, 90.0)
    assert len(said) == 2, "that Kafka is away is said elsewhere"
