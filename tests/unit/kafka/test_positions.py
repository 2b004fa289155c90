"""Offsets are asked of a coordinator that is ready: librdkafka's admin client crashes on others."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition

from nrtctl.clock import SystemClock
from nrtctl.errors import NrtctlError
from nrtctl.kafka.positions import committed


class Admin:
    """Says what was asked, in order. `coordinator`: how it answers, time after time."""

    def __init__(self, *coordinator: int | None) -> None:
        self.coordinator = list(coordinator)
        self.asked: list[str] = []

    def describe_consumer_groups(self, groups: list[str], **_: Any) -> dict[str, Future[Any]]:
        self.asked.append("members")
        code = self.coordinator.pop(0)
        future: Future[Any] = Future()
        if code is None:
            future.set_result(None)
        else:
            future.set_exception(KafkaException(KafkaError(code)))
        return {groups[0]: future}

    def list_consumer_group_offsets(
        self, asked: list[ConsumerGroupTopicPartitions], **_: Any
    ) -> dict[str, Future[Any]]:
        self.asked.append("offsets")
        future: Future[Any] = Future()
        found = [TopicPartition("t", 0, 7, "said"), TopicPartition("t", 1)]
        future.set_result(ConsumerGroupTopicPartitions("g", found))
        return {"g": future}


def ask(admin: Any) -> dict[int, tuple[int | None, str]]:
    return committed(admin, "g", "t", [0, 1], address="a:1", timeout=5, clock=SystemClock())


@pytest.mark.parametrize("first", [None, KafkaError.GROUP_ID_NOT_FOUND])
def test_the_coordinator_answers_first(first: int | None) -> None:
    admin = Admin(first)
    assert ask(admin) == {0: (7, "said"), 1: (None, "")}
    assert admin.asked == ["members", "offsets"]


def test_a_coordinator_that_is_not_ready_is_not_asked_for_offsets() -> None:
    admin = Admin(KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.NOT_COORDINATOR, None)
    ask(admin)
    assert admin.asked == ["members", "members", "members", "offsets"]


def test_who_may_not_see_the_group_is_told_so() -> None:
    with pytest.raises(NrtctlError, match="does not allow"):
        ask(Admin(KafkaError.GROUP_AUTHORIZATION_FAILED))
