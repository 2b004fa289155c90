"""A member that Kafka refuses ends, and says what mends it; what passes does not end it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import OFFSET_END, OFFSET_INVALID, KafkaError, KafkaException, TopicPartition

from nrtctl.clock import ManualClock
from nrtctl.clock.stop import Stop
from nrtctl.errors import ConfigError, ConnectError, NrtctlError
from nrtctl.kafka.commits import Commit, Verdict
from nrtctl.kafka.membership import GATHER_SECONDS, Group
from nrtctl.kafka.starting_positions import Stopping
from nrtctl.kafka.topic_identity import TopicGone


class Refusal:
    """A message that is an error of partition 0."""

    def __init__(self, code: int, *, fatal: bool = False) -> None:
        self._error = KafkaError(code, fatal=fatal)

    def error(self) -> KafkaError:
        return self._error

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return 7


class Client:
    """`answers`: what the next polls give, `behind`: what comes with the next. `offsets`: what a
    question for offsets raises. `asked`: of how many partitions it was asked where their logs begin
    or end. `positions`: what the group has committed. `waited`: for how long more messages were
    waited for."""

    def __init__(self) -> None:
        self.waited: list[float] = []
        self.asked: list[int] = []
        self.positions: dict[int, tuple[int, str]] = {}
        self.answers: list[Refusal] = []
        self.behind: list[Refusal] = []
        self.offsets: KafkaError | None = None
        self.on_commit: Callable[..., None] = lambda error, partitions: None
        self.commits: list[Any] = []

    def poll(self, timeout: float) -> Refusal | None:
        return self.answers.pop(0) if self.answers else None

    def consume(self, most: int, timeout: float) -> list[Refusal]:
        self.waited.append(timeout)
        behind, self.behind = self.behind, []
        return behind

    def commit(self, *, offsets: list[Any], asynchronous: bool) -> None:
        self.commits = offsets

    def committed(self, asked: list[Any], *, timeout: float) -> list[Any]:
        if self.offsets is not None:
            raise KafkaException(self.offsets)
        nothing = (OFFSET_INVALID, "")
        return [
            TopicPartition("events", each.partition, *self.positions.get(each.partition, nothing))
            for each in asked
        ]

    def offsets_for_times(self, asked: list[Any], timeout: float) -> list[Any]:
        self.asked.append(len(asked))
        return [
            TopicPartition("events", each.partition, 9 if each.offset == OFFSET_END else 4)
            for each in asked
        ]


class Bench:
    def __init__(self, *, partitions: int | None = None) -> None:
        self.client = Client()
        self.said: list[str] = []
        self.stop = Stop()
        self.group = Group(
            self._make,
            "events",
            "user_events",
            start="earliest",
            clock=ManualClock(),
            stop=self.stop,
            waiting=lambda reason, seconds: self.said.append(reason),
            note=self.said.append,
            address="a:1",
            partitions=partitions,
        )

    def _make(self, on_commit: Callable[..., None]) -> Any:
        self.client.on_commit = on_commit
        return self.client

    def fetch(self, code: int, *, fatal: bool = False) -> None:
        self.client.answers = [Refusal(code, fatal=fatal)]
        self.group.fetch(10, 0)

    def commit(self, code: int) -> Verdict:
        """Kafka's answer to a commit, and what it means to whoever committed."""
        verdicts: list[Verdict] = []
        self.group.commit([Commit(0, 5)], lambda _: lambda verdict, why: verdicts.append(verdict))
        self.client.on_commit(KafkaError(code), self.client.commits)
        return verdicts[0]


def test_behind_the_first_message_more_are_waited_for_a_moment_at_most() -> None:
    bench = Bench()
    for timeout in (0, 0.0005, 0.5):
        bench.client.answers = [Refusal(KafkaError._PARTITION_EOF)]
        bench.group.fetch(10, timeout)
    assert bench.client.waited == [0, 0.0005, GATHER_SECONDS]
    bench.client.answers = [Refusal(KafkaError._PARTITION_EOF)]
    bench.group.fetch(1, 0.5)
    assert len(bench.client.waited) == 3, "one that takes no more waits for none"


REFUSED: list[tuple[int, type[NrtctlError], str]] = [
    (KafkaError.TOPIC_AUTHORIZATION_FAILED, ConnectError, "READ to consume"),
    (KafkaError.GROUP_AUTHORIZATION_FAILED, ConnectError, "READ on the consumer group"),
    (KafkaError.CLUSTER_AUTHORIZATION_FAILED, ConnectError, "on the cluster"),
    (KafkaError._AUTHENTICATION, ConnectError, "kafka.sasl_"),
    (KafkaError.SASL_AUTHENTICATION_FAILED, ConnectError, "kafka.sasl_"),
    (KafkaError.OFFSET_METADATA_TOO_LARGE, ConfigError, "offset.metadata.max.bytes"),
    (KafkaError.INVALID_SESSION_TIMEOUT, ConfigError, "consumer.session_timeout"),
    (KafkaError._FATAL, NrtctlError, "run the same command again"),
]


@pytest.mark.parametrize(("code", "kind", "hint"), REFUSED)
def test_a_refused_member_ends_with_what_mends_it(
    code: int, kind: type[NrtctlError], hint: str
) -> None:
    bench = Bench()
    with pytest.raises(NrtctlError) as fetching:
        bench.fetch(code)
    assert bench.commit(code) is Verdict.AGAIN
    with pytest.raises(NrtctlError) as committing:
        bench.group.fetch(10, 0)
    bench.client.offsets = KafkaError(code)
    with pytest.raises(NrtctlError) as asking:
        bench.group.committed([0])
    for caught, doing in (
        (fetching, "topic 'events' cannot be read: "),
        (committing, "offsets of topic 'events' cannot be committed: "),
        (asking, "the offsets of topic 'events' cannot be read: "),
    ):
        assert type(caught.value) is kind
        assert caught.value.message.startswith(doing)
        assert KafkaError(code).str() in caught.value.message
        assert hint in (caught.value.hint or "")


def test_an_error_that_the_client_calls_fatal_ends_the_member() -> None:
    with pytest.raises(NrtctlError, match="cannot be read"):
        Bench().fetch(KafkaError._TRANSPORT, fatal=True)


@pytest.mark.parametrize(
    "code",
    [
        KafkaError.ILLEGAL_GENERATION, KafkaError.UNKNOWN_MEMBER_ID, KafkaError.FENCED_INSTANCE_ID,
        KafkaError.FENCED_MEMBER_EPOCH, KafkaError._ASSIGNMENT_LOST, KafkaError._STATE,
        KafkaError._DESTROY,
    ],
)  # fmt: skip
def test_a_commit_of_what_is_not_ours_any_more_is_refused(code: int) -> None:
    assert Bench().commit(code) is Verdict.REFUSED


@pytest.mark.parametrize(
    "code",
    [
        KafkaError.REBALANCE_IN_PROGRESS, KafkaError.STALE_MEMBER_EPOCH, KafkaError._TRANSPORT,
        KafkaError._TIMED_OUT, KafkaError.NOT_COORDINATOR, KafkaError._SSL, KafkaError.UNKNOWN,
    ],
)  # fmt: skip
def test_what_passes_ends_nothing(code: int) -> None:
    bench = Bench()
    assert bench.commit(code) is Verdict.AGAIN
    bench.fetch(code)
    bench.client.offsets = KafkaError(code)
    bench.stop.set()
    with pytest.raises(Stopping):
        bench.group.committed([0])


def test_an_offset_that_is_gone_is_kept_for_the_loop() -> None:
    for code in (KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET):
        bench = Bench()
        bench.fetch(code)
        assert bench.group.out_of_range == {0}


def test_what_the_client_makes_of_bytes_behind_damage_is_no_offset_that_is_gone() -> None:
    """The partition began anew, at the damage, for as long as nothing behind it was stored."""
    bench = Bench()
    bench.client.answers = [Refusal(KafkaError._BAD_MSG)]
    bench.client.behind = [Refusal(KafkaError._AUTO_OFFSET_RESET)]
    assert bench.group.fetch(100, 0.1) == []
    assert bench.group.out_of_range == set()


def test_a_topic_that_is_gone() -> None:
    with pytest.raises(TopicGone):
        Bench().fetch(KafkaError.UNKNOWN_TOPIC_OR_PART)


def test_a_group_that_takes_nobody_is_waited_for_and_said() -> None:
    bench = Bench()
    bench.fetch(KafkaError.INCONSISTENT_GROUP_PROTOCOL)
    assert "choose another consumer.group" in bench.said[0]


def test_where_the_logs_begin_and_end_is_asked_of_all_partitions_at_once() -> None:
    bench = Bench()
    positions = bench.group.positions(range(300))
    assert [positions[number].offset for number in range(300)] == [4] * 300
    assert bench.client.asked == [300, 300]


def test_a_member_that_has_only_what_was_added_sees_that_the_group_is_fenced() -> None:
    bench = Bench(partitions=3)
    bench.client.positions = {0: (5, "nrtctl1:events_2:-:swap"), 1: (5, "nrtctl1:events_2:-:swap")}
    for assigned in ([2], [0, 2], [1]):
        with pytest.raises(NrtctlError, match="is being exchanged with events_2") as caught:
            bench.group.positions(assigned)
        assert "replay load --into events_2 --resume" in (caught.value.hint or "")
    bench.client.positions = {0: (5, "nrtctl1:user_events:-:e1"), 1: (5, "")}
    assert bench.group.positions([2])[2].offset == 4
