"""Questions that are asked again while Kafka is not ready to answer them."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NoAnswer
from typing import Any, TypeVar

from confluent_kafka import KafkaException

from nrtctl.clock import Clock
from nrtctl.clock.notices import if_it_lasts
from nrtctl.kafka.error_codes import Meaning, explained, forgotten, meaning_of
from nrtctl.kafka.refusals import ClientLog

T = TypeVar("T")

PASSING = frozenset(
    {Meaning.RETRIABLE, Meaning.UNREACHABLE, Meaning.ALL_DOWN, Meaning.UNKNOWN_PARTITION}
)
"""Answers that pass, as after a broker's restart. One that was too late has used up the time."""


ONCE_SECONDS = 10.0
"""Of a question that is asked once more if it is not answered then."""

FORGOTTEN_SECONDS = 3.0
"""After the end of a request, until it is taken for one that the client has forgotten."""


def answered(future: Future[T], timeout: float) -> T:
    """What a request of an admin client was answered.

    The client ends a request after `timeout` seconds by itself. It was seen to forget one, whose
    future then never ends.

    Raises:
        KafkaException: it was refused, or not answered.
    """
    try:
        return future.result(timeout + FORGOTTEN_SECONDS)
    except NoAnswer:
        raise forgotten() from None


def patiently(
    ask: Callable[[float], T],
    client: Any,
    address: str,
    topic: str | None,
    timeout: float,
    clock: Clock,
) -> T:
    """Ask a question again for `timeout` seconds while the answer is one of PASSING.

    Where there is much time, a question has a part of it only: the client may have forgotten it.
    """
    with if_it_lasts(lambda: waited_for(client, address, timeout)):
        return _patiently(ask, client, address, topic, timeout, clock)


def _patiently(
    ask: Callable[[float], T],
    client: Any,
    address: str,
    topic: str | None,
    timeout: float,
    clock: Clock,
) -> T:
    deadline = clock.monotonic() + timeout
    pause = 0.05
    left = timeout
    while True:
        once = min(left, max(ONCE_SECONDS, left / 8))
        try:
            return ask(math.ceil(once * 1000) / 1000)
        except KafkaException as error:
            passes = PASSING if once == left else PASSING | {Meaning.TIMED_OUT}
            left = deadline - clock.monotonic() - pause
            if meaning_of(error) not in passes or left <= 0:
                raise explained(client, error, address=address, topic=topic) from error
        clock.sleep(pause)
        pause = min(0.5, pause * 2)


def waited_for(client: Any, address: str, timeout: float) -> str:
    heard: ClientLog | None = getattr(client, "heard", None)
    said = heard.last() if heard is not None else None
    return f"waiting for Kafka at {address} for up to {timeout:g} s: {said or 'no answer yet'}"
