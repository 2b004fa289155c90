"""No batch is inserted before the topic was seen to be the one that it was fetched from."""

from __future__ import annotations

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from nrtctl.clock import ManualClock
from nrtctl.consumer.clearance import ASK_AGAIN, IDLE, Clearance, TopicGone, TopicMadeAgain
from nrtctl.intents import Incarnation


class Kafka:
    """Answers when the test says so."""

    def __init__(self, incarnation: Incarnation | None = None) -> None:
        self.clock = ManualClock()
        self.questions: list[Future[Any]] = []
        self.sent: list[tuple[int, float | None]] = []
        self.waits: list[str] = []
        self.clearance = Clearance(
            "t",
            incarnation or Incarnation(1, "one"),
            self._ask,
            lambda number, at: self.sent.append((number, at)),
            clock=self.clock,
            waiting=lambda reason, seconds: self.waits.append(reason),
        )

    def _ask(self) -> Future[Any]:
        self.questions.append(Future())
        return self.questions[-1]

    def answer(self, topic_id: str) -> None:
        self.questions[-1].set_result(SimpleNamespace(topic_id=topic_id))
        self.clearance.turn()

    def fail(self, code: int) -> None:
        self.questions[-1].set_exception(KafkaException(KafkaError(code)))
        self.clearance.turn()


def test_a_batch_waits_for_the_answer_and_one_answer_is_for_all() -> None:
    kafka = Kafka()
    kafka.clearance.taken([0, 1])
    kafka.clearance.declared(0, 1.5)
    kafka.clearance.declared(1, 2.5)
    assert (kafka.sent, len(kafka.questions), kafka.clearance.pending) == ([], 1, True)
    kafka.answer("one")
    assert kafka.sent == [(0, 1.5), (1, 2.5)]
    assert not kafka.clearance.pending


def test_an_answer_that_comes_first_is_enough() -> None:
    kafka = Kafka()
    kafka.clearance.taken([0])
    kafka.answer("one")
    kafka.clearance.declared(0, None)
    assert kafka.sent == [(0, None)]


def test_a_batch_that_was_taken_after_the_question_waits_for_the_next() -> None:
    kafka = Kafka()
    kafka.clearance.taken([0])
    kafka.clearance.taken([1])
    for number in (0, 1):
        kafka.clearance.declared(number, None)
    kafka.answer("one")
    assert (kafka.sent, len(kafka.questions)) == ([(0, None)], 2)
    kafka.answer("one")
    assert kafka.sent == [(0, None), (1, None)]


def test_another_topic_ends_it_and_nothing_is_sent() -> None:
    kafka = Kafka()
    kafka.clearance.taken([0])
    kafka.clearance.declared(0, None)
    with pytest.raises(TopicMadeAgain):
        kafka.answer("two")
    assert kafka.sent == []


def test_no_answer_is_asked_for_again_and_clears_nothing() -> None:
    kafka = Kafka()
    kafka.clearance.taken([0])
    kafka.clearance.declared(0, None)
    kafka.fail(KafkaError._TRANSPORT)
    assert (kafka.sent, len(kafka.questions), len(kafka.waits)) == ([], 1, 1)
    kafka.clock.sleep(ASK_AGAIN)
    kafka.clearance.turn()
    kafka.answer("one")
    assert (kafka.sent, len(kafka.questions)) == ([(0, None)], 2)


def test_a_topic_that_is_gone_is_seen_also_where_nothing_comes() -> None:
    kafka = Kafka()
    kafka.clearance.turn()
    assert kafka.questions == []
    kafka.clock.sleep(IDLE)
    kafka.clearance.turn()
    with pytest.raises(TopicGone):
        kafka.fail(KafkaError.UNKNOWN_TOPIC_OR_PART)


def test_a_partition_that_left_is_forgotten() -> None:
    kafka = Kafka()
    kafka.clearance.taken([0, 1])
    kafka.clearance.declared(0, None)
    kafka.clearance.declared(1, None)
    kafka.clearance.left([0])
    kafka.answer("one")
    assert kafka.sent == [(1, None)]


def test_without_ids_nothing_is_asked() -> None:
    kafka = Kafka(Incarnation())
    kafka.clearance.taken([0])
    kafka.clearance.declared(0, 1.0)
    kafka.clock.sleep(2 * IDLE)
    kafka.clearance.turn()
    kafka.clearance.recheck()
    assert (kafka.sent, kafka.questions) == ([(0, 1.0)], [])
