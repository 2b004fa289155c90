"""`nrtctl produce --input http://…` as a person types it, against the embedded broker."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.e2e.test_produce import Topic, topic
from tests.plugins.http_answers import Answer, Server
from tests.plugins.local_broker import LocalBroker
from tests.plugins.stack import Project
from tests.plugins.waiting import eventually

__all__ = ["topic"]  # the fixture

RECORDS, AT_A_TIME = 120, 20


def page(path: str, most: int = RECORDS) -> Answer:
    """The next records after `after`, up to `most`, within an object."""
    after = int(parse_qs(urlsplit(path).query).get("after", ["0"])[0])
    items = [{"id": each} for each in range(after + 1, min(after + AT_A_TIME, most) + 1)]
    return 200, {"Content-Type": "application/json"}, json.dumps({"d": {"items": items}}).encode()


def _at(server: Server) -> int:
    """What it was asked for last comes after this one."""
    path = server.asked[-1][0] if server.asked else ""
    return int(parse_qs(urlsplit(path).query).get("after", ["0"])[0])


@pytest.fixture
def pages() -> Iterator[Server]:
    made = Server(page)
    yield made
    made.close()


def test_csv_by_its_type_with_a_login(topic: Topic) -> None:
    server = Server(lambda path: (200, {"Content-Type": "text/csv"}, b"a,b\n1,x\n2,y\n"))
    topic.project.environ["NRTCTL_FETCH__TOKEN"] = "a-secret-token"
    try:
        account = topic.produce("--input", f"{server.url}/export?key=in-the-query", "--key", "a")
        assert (account["sent"], account["acknowledged"], account["ended"]) == (
            2, 2, "end of input",
        )  # fmt: skip
        assert server.asked[0][1]["authorization"] == "Bearer a-secret-token"
    finally:
        server.close()
    assert sorted((key, value) for _, _, key, value in topic.messages()) == [
        (b"1", b'{"a":"1","b":"x"}'), (b"2", b'{"a":"2","b":"y"}'),
    ]  # fmt: skip
    assert not list(topic.project.directory.rglob("fetch")), "nothing is remembered of one fetch"


def test_what_is_wrong_is_told_of_the_address(topic: Topic) -> None:
    server = Server(lambda path: (200, {}, b"hello\n"))
    try:
        said = topic.produce("--input", f"{server.url}/a?key=in-the-query", code=2)
        assert f"{server.url}/a is neither JSON, nor CSV, nor Parquet" in said
        assert "in-the-query" not in said
    finally:
        server.close()
    for arguments, why in (
        (("--input", "http://example.com/"), "is not encrypted"),
        (("--input", "https://example.com/", "x.json"), "cannot be combined with other inputs"),
        (("--input", "https://example.com/", "--count", "3"), "--count, --duration"),
        (("--every", "1s", "--count", "3"), "can only be used with a URL"),
    ):
        assert why in topic.produce(*arguments, code=2)


def test_a_cursor_goes_on_after_kills_without_a_gap(topic: Topic, pages: Server) -> None:
    arguments = (
        "produce", *topic.options, "--input", f"{pages.url}/", "--every", "10ms",
        "--records", "d.items", "--cursor", "after=id", "-o", "json",
    )  # fmt: skip
    for number in (2, 4):
        with topic.project.start(*arguments) as process:
            eventually(lambda most=number: len(pages.asked) >= most, "it has asked")  # type: ignore[misc]
            process.kill()
            process.communicate()
    with topic.project.start(*arguments) as process:
        eventually(lambda: _at(pages) == RECORDS, "it has come to the end")
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert json.loads(out)["ended"] == "stopped"
    assert {json.loads(value)["id"] for value in topic.values()} == set(range(1, RECORDS + 1))
    (kept,) = (each for each in topic.project.directory.rglob("fetch/*.json"))
    assert json.loads(Path(kept).read_text())["cursor"] == str(RECORDS)


def test_kafka_that_goes_away_is_waited_for(
    tmp_path: Path, make_local_broker: Callable[[], LocalBroker]
) -> None:
    broker, most = make_local_broker(), [AT_A_TIME]
    project = Project(tmp_path)
    project.run("init")
    topic, server = Topic(project, broker.bootstrap, "t"), Server(lambda path: page(path, most[0]))
    arguments = (
        "produce", *topic.options, "--input", f"{server.url}/", "--every", "50ms", "--records",
        "d.items", "--cursor", "after=id", "--delivery-timeout", "1s", "--set",
        "kafka.connect_timeout=1s",
    )  # fmt: skip
    said = tmp_path / "said"
    try:
        with said.open("wb") as errors, project.start(*arguments, errors=errors) as process:
            eventually(lambda: _at(server) == AT_A_TIME, "it waits for more")
            broker.kill()
            most[0] = RECORDS
            eventually(lambda: b"waiting" in said.read_bytes(), "it says what it waits for")
            broker.start()
            eventually(lambda: _at(server) == RECORDS, "it has gone on")
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
            assert process.returncode == 0
    finally:
        server.close()
    assert {json.loads(value)["id"] for value in topic.values()} == set(range(1, RECORDS + 1))
