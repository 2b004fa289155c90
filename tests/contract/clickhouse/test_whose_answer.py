"""What something between answers in ClickHouse's place is never taken for its answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from nrtctl.clickhouse.client import ClickHouseClient, ClickHouseGone
from nrtctl.clickhouse.error_codes import Failure, meaning_of
from nrtctl.config.servers import ClickHouse
from nrtctl.errors import QueryError
from tests.plugins.between import PAGE, Between
from tests.plugins.clickhouse_front import ClickHouseFront

ASKING: dict[str, Callable[[ClickHouseClient], Any]] = {
    "insert": lambda client: client.insert("strange", ["a"], b"\1\2\3", {}),
    "query": lambda client: client.query("SELECT count() FROM strange"),
    "command": lambda client: client.command("OPTIMIZE TABLE strange"),
    "stream": lambda client: list(client.stream("SELECT a FROM strange", "JSONEachRow")),
}


@pytest.fixture
def between(clickhouse_front: ClickHouseFront) -> Iterator[Between]:
    made = Between((clickhouse_front.host, clickhouse_front.port))
    yield made
    made.close()


@pytest.fixture
def client(between: Between, clickhouse_front: ClickHouseFront) -> Iterator[ClickHouseClient]:
    clickhouse_front.sql("CREATE OR REPLACE TABLE strange (a UInt8) ENGINE = MergeTree ORDER BY a")
    made = connected(between, clickhouse_front)
    yield made
    made.close()


def connected(between: Between, front: ClickHouseFront) -> ClickHouseClient:
    settings = ClickHouse(url=between.url, database="default")
    return ClickHouseClient(settings, url=between.url, password=front.password.strip())


@pytest.mark.parametrize("asking", ASKING)
@pytest.mark.parametrize("body", [PAGE, b"", b"\0" * 50, b"\xff" * 50, b"Ok.\n"])
def test_an_answer_without_clickhouses_headers_is_none(
    between: Between, client: ClickHouseClient, asking: str, body: bytes
) -> None:
    between.answer = lambda url, size: (200, body)
    with pytest.raises(ClickHouseGone, match="something else answers in its place, with") as caught:
        ASKING[asking](client)
    assert "what is between" in (caught.value.hint or "")
    between.answer = lambda url, size: None
    ASKING[asking](client)


def test_what_is_too_large_for_a_proxy_can_be_split(
    between: Between, client: ClickHouseClient
) -> None:
    between.answer = lambda url, size: (413, b"<html><h1>413 Request Entity Too Large</h1></html>")
    with pytest.raises(QueryError) as caught:
        ASKING["insert"](client)
    meaning = meaning_of(caught.value)
    assert meaning.failure is Failure.SPLIT
    assert "client_max_body_size" in meaning.advice
    assert "<h1>" not in caught.value.message


def test_where_the_headers_never_come_rows_are_counted(
    between: Between, clickhouse_front: ClickHouseFront
) -> None:
    clickhouse_front.sql("CREATE OR REPLACE TABLE strange (a UInt8) ENGINE = MergeTree ORDER BY a")
    between.mute = True
    client = connected(between, clickhouse_front)
    assert client.insert("strange", ["a"], b"\1\2\3", {}) == 0, "nobody says that any was written"
    assert client.query("SELECT count() FROM strange") == [(3,)]
    client.close()
