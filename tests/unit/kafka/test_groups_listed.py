"""What brokers have against telling their groups: a warning, or an error if none of them tells."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from nrtctl.clock import ManualClock
from nrtctl.config.servers import Kafka
from nrtctl.errors import WaitTimeout
from nrtctl.kafka.groups import GroupsAdmin

LATE = KafkaError(KafkaError._TIMED_OUT, "Local: Timed out")


class State(Enum):
    EMPTY = 1


@dataclass
class Listing:
    group_id: str
    state: State = State.EMPTY
    type: State = State.EMPTY


@dataclass
class Answer:
    valid: list[Listing]
    errors: list[Any] = field(default_factory=list)


def admin_of(answer: Answer) -> GroupsAdmin:
    """With a client that answers so."""

    class Client:
        def list_consumer_groups(self, request_timeout: float) -> Future[Answer]:
            told: Future[Answer] = Future()
            told.set_result(answer)
            return told

        def poll(self, seconds: float) -> int:
            return 0

    admin = GroupsAdmin(Kafka(), address="kafka.test:9092", clock=ManualClock())
    admin.client = Client()  # type: ignore[assignment]
    return admin


@pytest.mark.parametrize("error", [LATE, KafkaException(LATE)])
def test_no_answer_is_not_taken_for_no_group(error: Any) -> None:
    with pytest.raises(WaitTimeout, match="did not answer in time"):
        admin_of(Answer([], [error])).list(lambda name: True)


def test_groups_of_some_brokers_are_listed_with_what_is_missing() -> None:
    found, errors = admin_of(Answer([Listing("b"), Listing("a")], [LATE])).list(lambda name: True)
    assert [each.group for each in found] == ["a", "b"]
    assert errors == ["Local: Timed out"]
    assert admin_of(Answer([])).list(lambda name: True) == ([], [])
