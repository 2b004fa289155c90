"""Requests of an admin client that it never ends."""

from __future__ import annotations

import ast
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException

import nrtctl.kafka
from nrtctl.clock import SystemClock
from nrtctl.errors import WaitTimeout
from nrtctl.kafka import patience
from nrtctl.kafka.patience import answered, patiently

CLIENT = SimpleNamespace(poll=lambda timeout: 0)


def test_an_answer_is_passed_on() -> None:
    future: Future[int] = Future()
    future.set_result(7)
    assert answered(future, 0.0) == 7


def test_a_refusal_is_passed_on() -> None:
    future: Future[int] = Future()
    future.set_exception(KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)))
    with pytest.raises(KafkaException, match="TOPIC_AUTHORIZATION_FAILED"):
        answered(future, 0.0)


def test_a_request_that_is_forgotten_is_told_as_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FORGOTTEN_SECONDS", 0.0)
    future: Future[int] = Future()
    with pytest.raises(WaitTimeout, match="did not answer in time"):
        patiently(
            lambda left: answered(future, left), CLIENT, "127.0.0.1:1", None, 0.01, SystemClock()
        )


def test_with_much_time_a_question_that_is_forgotten_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(patience, "FORGOTTEN_SECONDS", 0.0)
    monkeypatch.setattr(patience, "ONCE_SECONDS", 0.01)
    given: list[float] = []

    def ask(seconds: float) -> int:
        given.append(seconds)
        future: Future[int] = Future()
        if len(given) > 1:
            future.set_result(7)
        return answered(future, min(seconds, 0.01))

    assert patiently(ask, CLIENT, "127.0.0.1:1", None, 400.0, SystemClock()) == 7
    assert given[0] == 50.0


def test_no_answer_is_waited_for_without_an_end() -> None:
    """`result()` without an argument waits for ever; here every future is Kafka's."""
    package = Path(nrtctl.kafka.__file__).parent
    endless = [
        f"{file.name}:{node.lineno}"
        for file in package.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and _is_endless(node)
    ]
    assert endless == []


def _is_endless(node: ast.Call) -> bool:
    return (
        isinstance(node.func, ast.Attribute)
        and node.func.attr == "result"
        and not (node.args or node.keywords)
    )
