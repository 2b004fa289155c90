"""A schema registry that is away is named by whoever looks, and asked no more than it takes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nrtctl.clock import ManualClock
from nrtctl.config.model import Config
from nrtctl.config.servers import Kafka, SchemaRegistry
from nrtctl.pipeline import Pipeline
from nrtctl.stats.registry_side import EVERY, RegistrySide
from nrtctl.stats.watcher import Watcher
from tests.plugins.http_answers import Answer, Server

NONE: Answer = (404, {}, b'{"error_code":40403,"message":"Schema 0 not found"}')
AVRO = Pipeline(fields={"x": "String"}, format="avro")


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def config(url: str, pipeline: Pipeline = AVRO) -> Config:
    return Config(pipeline=pipeline, schema_registry=SchemaRegistry(url=url))


def test_it_is_asked_now_and_then_and_found_again(server: Server, tmp_path: Path) -> None:
    clock = ManualClock()
    side = RegistrySide(tmp_path, timeout=2.0, clock=clock)
    server.answers = [NONE, (401, {}, b""), (503, {}, b'{"message":"starting"}'), NONE]
    said = []
    for _ in range(4):
        found = [side.trouble(config(server.url)) for _ in range(3)]
        said.append(found[0] and found[0].message)
        assert found == [found[0]] * 3
        clock.advance(EVERY)
    side.close()
    at = f"the schema registry at {server.url}"
    assert said == [
        None, f"{at} refuses the login (401)", f"{at} does not answer: it answers 503: starting",
        None,
    ]  # fmt: skip
    assert [path for path, _ in server.asked] == ["/schemas/ids/0"] * 4


def test_a_pipeline_of_json_asks_no_registry(server: Server, tmp_path: Path) -> None:
    side = RegistrySide(tmp_path, timeout=None, clock=ManualClock())
    assert side.trouble(config(server.url, Pipeline(fields={"x": "String"}))) is None
    assert server.asked == []


def test_a_look_names_it_and_does_not_fail_for_it(server: Server, tmp_path: Path) -> None:
    """Kafka and ClickHouse are away too here, and these fail the look."""
    server.answers = [(503, {}, b'{"message":"starting"}')]
    nowhere = Kafka(bootstrap_servers="127.0.0.1:1")
    away = config(server.url).model_copy(update={"kafka": nowhere})
    watcher = Watcher(away, tmp_path, timeout=0.2, clock=ManualClock())
    shot = watcher.look()
    watcher.close()
    assert [(each.source, each.gone) for each in shot.errors] == [
        ("kafka", True), ("clickhouse", True), ("registry", True),
    ]  # fmt: skip
    assert len(watcher.failed) == 2
