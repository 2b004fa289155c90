"""The numbers of topics, in the real engine: one topic a number, whoever comes first."""

from __future__ import annotations

import threading

import pytest

from nrtctl.clickhouse.client import ClickHouseClient
from nrtctl.config.servers import ClickHouse
from nrtctl.errors import NrtctlError
from nrtctl.schema import ddl
from nrtctl.store.incarnations import Incarnations
from nrtctl.store.intents import Incarnation
from tests.plugins.clickhouse_front import ClickHouseFront
from tests.plugins.pipeline_engine import REFERENCE, Engine


def topics(
    engine: Engine, topic: str = "t", client: ClickHouseClient | None = None
) -> Incarnations:
    return Incarnations(client or engine.client, engine.database, topic)


def test_each_topic_has_a_number_of_its_own(engine: Engine) -> None:
    engine.up(**REFERENCE)
    known = topics(engine)
    assert known.find("a") == Incarnation(1, "a")
    assert known.known() == []
    assert known.register("a") == known.register("a") == Incarnation(1, "a")
    assert known.register("b-_c") == Incarnation(2, "b-_c")
    assert known.find("a") == Incarnation(1, "a")
    assert known.find("new") == Incarnation(3, "new")
    assert [each.topic_id for each in known.known()] == ["a", "b-_c"]
    assert topics(engine, "other").register("z") == Incarnation(1, "z")


def test_a_broker_without_ids_means_the_last(engine: Engine) -> None:
    engine.up(**REFERENCE)
    known = topics(engine)
    assert known.register("") == Incarnation(1, "")
    assert known.known() == []
    known.register("a")
    known.register("b")
    assert known.register("") == Incarnation(2, "")


def test_members_that_meet_topics_at_once_agree(
    engine: Engine, clickhouse_front: ClickHouseFront
) -> None:
    engine.up(**REFERENCE)
    ids = ["a", "b", "a", "c", "b", "a"]
    start = threading.Barrier(len(ids))
    found: list[Incarnation] = []

    def meet(topic_id: str) -> None:
        client = ClickHouseClient(
            ClickHouse(), url=clickhouse_front.url, password=clickhouse_front.password
        )
        start.wait()
        found.append(topics(engine, client=client).register(topic_id))
        client.close()

    threads = [threading.Thread(target=meet, args=(each,)) for each in ids]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert len(found) == len(ids)
    assert len(set(found)) == len({each.number for each in found}) == 3
    assert {each.topic_id for each in found} == set(ids)


def test_a_token_that_was_spent_without_its_row_costs_a_number(engine: Engine) -> None:
    engine.up(**REFERENCE)
    known = topics(engine)
    known.register("a")
    table = f"{engine.database}.{ddl.INCARNATIONS}"
    engine.client.command(
        f"INSERT INTO {table} (_topic, _incarnation, topic_id) VALUES ('other', 9, 'x')",
        {"insert_deduplication_token": "t/incarnation/2"},
    )
    assert known.register("b") == known.register("b") == Incarnation(3, "b")


def test_tables_of_an_earlier_version_are_named(engine: Engine) -> None:
    engine.client.command(f"CREATE DATABASE {engine.database}")
    with pytest.raises(NrtctlError, match="earlier version") as caught:
        topics(engine).known()
    assert "nrtctl up" in str(caught.value.hint)
