"""No batch is inserted before the topic was seen to be the one that it was fetched from."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from nrtctl.clock import ManualClock
from nrtctl.config.model import Batch as Limits
from nrtctl.consumer.assignment import Assignment
from nrtctl.consumer.effects import AskTopic, Effect, StartInsert
from nrtctl.consumer.loop import check_topic
from nrtctl.consumer.partition import Partition
from nrtctl.consumer.topic_check import ASK_AGAIN, IDLE, TopicCheck
from nrtctl.kafka.topic_identity import (
    ANSWER_SECONDS,
    TopicGone,
    TopicIdentity,
    TopicMadeAgain,
)
from nrtctl.store.envelope import Rows, RowsEncoder
from nrtctl.store.intents import Incarnation, Position


class Kafka:
    """Answers when the test says so. Two partitions have a message each."""

    def __init__(self, incarnation: Incarnation | None = None) -> None:
        self.clock = ManualClock()
        self.questions: list[Future[Any]] = []
        self.sent: list[tuple[int, float | None]] = []
        self.waits: list[str] = []
        self.identity = TopicIdentity(
            "t", incarnation or Incarnation(1, "one"), self._ask, clock=self.clock
        )
        self.assignment = Assignment(
            Limits(),
            intents=True,
            topic_check=TopicCheck(has_id=self.identity.has_id, now=self.clock.monotonic()),
            fresh=lambda: "x",
        )
        for number in (0, 1):
            state = Partition.at(number, Position(0, "e"), RowsEncoder("t", 1, number), None)
            state.buffer.extend([0], Rows.of([b"x"]), 0.0)
            self.assignment.assigned({number: state})
        self.assignment.looked_up([0, 1], {})

    def _ask(self) -> Future[Any]:
        self.questions.append(Future())
        return self.questions[-1]

    def carry_out(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case AskTopic():
                    self.identity.ask()
                case StartInsert():
                    self.sent += [(each.partition, effect.declared) for each in effect.batches]

    def taken(self, *numbers: int) -> None:
        groups = [[number] for number in numbers]
        self.carry_out(self.assignment.begin(groups, self.clock.monotonic()))

    def declared(self, number: int, at: float) -> None:
        self.carry_out(self.assignment.intent_committed(number, 0, at))

    def turn(self) -> None:
        self.carry_out(
            check_topic(
                self.identity,
                self.assignment,
                lambda reason, seconds: self.waits.append(reason),
                self.clock.monotonic(),
            )
        )

    def answer(self, topic_id: str) -> None:
        self.questions[-1].set_result(SimpleNamespace(topic_id=topic_id))
        self.turn()

    def fail(self, code: int) -> None:
        self.questions[-1].set_exception(KafkaException(KafkaError(code)))
        self.turn()


def test_a_batch_waits_for_the_answer_and_one_answer_is_for_all() -> None:
    kafka = Kafka()
    kafka.taken(0, 1)
    kafka.declared(0, 1.5)
    kafka.declared(1, 2.5)
    assert (kafka.sent, len(kafka.questions), kafka.assignment.waits_for_topic()) == ([], 1, True)
    kafka.answer("one")
    assert kafka.sent == [(0, 1.5), (1, 2.5)]
    assert not kafka.assignment.waits_for_topic()


def test_an_answer_that_comes_first_is_enough() -> None:
    kafka = Kafka()
    kafka.taken(0)
    kafka.answer("one")
    kafka.declared(0, 0.5)
    assert kafka.sent == [(0, 0.5)]


def test_a_batch_that_was_taken_after_the_question_waits_for_the_next() -> None:
    kafka = Kafka()
    kafka.taken(0)
    kafka.taken(1)
    for number in (0, 1):
        kafka.declared(number, 0.5)
    kafka.answer("one")
    assert (kafka.sent, len(kafka.questions)) == ([(0, 0.5)], 2)
    kafka.answer("one")
    assert kafka.sent == [(0, 0.5), (1, 0.5)]


def test_another_topic_ends_it_and_nothing_is_sent() -> None:
    kafka = Kafka()
    kafka.taken(0)
    kafka.declared(0, 0.5)
    with pytest.raises(TopicMadeAgain):
        kafka.answer("two")
    assert kafka.sent == []


def test_no_answer_is_asked_for_again_and_clears_nothing() -> None:
    kafka = Kafka()
    kafka.taken(0)
    kafka.declared(0, 0.5)
    kafka.fail(KafkaError._TRANSPORT)
    assert (kafka.sent, len(kafka.questions), len(kafka.waits)) == ([], 1, 1)
    kafka.clock.sleep(ASK_AGAIN)
    kafka.turn()
    kafka.answer("one")
    assert (kafka.sent, len(kafka.questions)) == ([(0, 0.5)], 2)


def test_a_question_that_the_client_forgets_is_asked_again() -> None:
    """An answer that never comes would hold up every batch for ever."""
    kafka = Kafka()
    kafka.taken(0)
    kafka.declared(0, 0.5)
    kafka.clock.advance(ANSWER_SECONDS)
    kafka.turn()
    assert (kafka.waits, len(kafka.questions)) == ([], 1)
    kafka.clock.advance(1.0)
    kafka.turn()
    assert "gave no answer" in kafka.waits[0]
    kafka.clock.advance(ASK_AGAIN)
    kafka.turn()
    assert (kafka.sent, len(kafka.questions)) == ([], 2)
    kafka.answer("one")
    assert kafka.sent == [(0, 0.5)]


def test_a_topic_that_is_gone_is_seen_also_where_nothing_comes() -> None:
    kafka = Kafka()
    kafka.turn()
    assert kafka.questions == []
    kafka.clock.sleep(IDLE)
    kafka.turn()
    with pytest.raises(TopicGone):
        kafka.fail(KafkaError.UNKNOWN_TOPIC_OR_PART)


def test_a_partition_that_left_is_forgotten() -> None:
    kafka = Kafka()
    kafka.taken(0, 1)
    kafka.declared(0, 0.5)
    kafka.declared(1, 0.5)
    kafka.carry_out(kafka.assignment.left([0]))
    kafka.answer("one")
    assert kafka.sent == [(1, 0.5)]


def test_without_ids_nothing_is_asked() -> None:
    kafka = Kafka(Incarnation())
    kafka.taken(0)
    kafka.declared(0, 1.0)
    kafka.clock.sleep(2 * IDLE)
    kafka.turn()
    kafka.identity.recheck()
    assert (kafka.sent, kafka.questions) == ([(0, 1.0)], [])
