"""The threads that insert: their client is closed once none of them can use it any more."""

from __future__ import annotations

from threading import Event
from types import SimpleNamespace
from typing import Any, cast

from nrtctl.clock import SystemClock
from nrtctl.clock.stop import Stop
from nrtctl.config.model import Config, Consumer
from nrtctl.consumer import run
from nrtctl.consumer.effects import StartInsert
from nrtctl.consumer.insert_pool import InsertPool
from nrtctl.pipeline import Pipeline
from nrtctl.store.chain import Chain
from nrtctl.store.intents import Incarnation
from nrtctl.store.target import target_of
from tests.plugins.waiting import eventually


def test_the_client_of_a_consumer_is_closed_with_its_threads() -> None:
    config = Config(pipeline=Pipeline(fields={"x": "String"}), consumer=Consumer(max_inserts=3))
    clock, closed = SystemClock(), list[bool]()
    told = run._Told(clock, Stop(), lambda why, seconds: None, lambda text: None)
    make = run._pool_maker(
        config,
        told,
        target_of(config, Incarnation()),
        Chain(config.pipeline, "d", clock, cluster=None),
        cast(Any, SimpleNamespace(close=lambda: closed.append(True))),
    )
    pool = make(cast(Any, SimpleNamespace(declare=None)))
    assert closed == []
    pool.close(60.0)
    assert closed == [True]


def test_an_insert_that_outlasts_the_end_keeps_the_client() -> None:
    sending, answer, ended = Event(), Event(), Event()

    def write(*_: object) -> int:
        sending.set()
        answer.wait(60)
        assert not ended.is_set()
        return 0

    writer = cast(Any, SimpleNamespace(write_together=write))
    pool = InsertPool(2, lambda: writer, SystemClock(), ended=ended.set)
    future = pool.start(StartInsert(cast(Any, None), [], None, None, Event()))
    assert sending.wait(60)
    pool.close(0.0)
    assert not ended.is_set()
    answer.set()
    assert future.result(60) is None
    eventually(ended.is_set, "the last thread has ended")
