"""A topic that is deleted and made again: its offsets begin anew, its messages are other ones."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition

from nrtctl.kafka.admin import AdminClient, NewTopic
from nrtctl.local.process import Endpoint
from tests.plugins import damage
from tests.plugins.stack import Project
from tests.plugins.waiting import eventually

PARTITIONS = 2


class Line:
    """A project, and the topic of its pipeline on whatever broker it uses."""

    def __init__(self, project: Project, bootstrap: str) -> None:
        self.project = project
        self.admin = AdminClient({"bootstrap.servers": bootstrap})
        self.topic = project.environ["NRTCTL_PIPELINE__TOPIC"]
        self.group = project.environ["NRTCTL_CONSUMER__GROUP"]

    def make_again(self) -> None:
        self.admin.delete_topics([self.topic])[self.topic].result(20)

        def made() -> bool:
            new = NewTopic(self.topic, PARTITIONS, 1)
            try:
                self.admin.create_topics([new])[self.topic].result(20)
            except KafkaException:
                return False
            return True

        eventually(made, "the topic is made again")

    def produce(self, first: int, last: int, *more: str) -> None:
        """Events with the numbers [first, last)."""
        lines = b"".join(event(number) + b"\n" for number in range(first, last))
        self.project.run("produce", "--input", "-", *more, stdin=lines)

    def numbers(self, incarnation: int) -> list[int]:
        """Those that the table has of one topic, ascending, as often as they are there."""
        rows = self.project.rows(
            "SELECT toUInt32(event_timestamp - 1790000000000) AS n FROM events "
            f"WHERE _incarnation = {incarnation} ORDER BY n"
        )
        return [row["n"] for row in rows]

    def committed(self) -> list[TopicPartition]:
        asked = [TopicPartition(self.topic, number) for number in range(PARTITIONS)]
        future = self.admin.list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(self.group, asked)]
        )[self.group]
        found: list[TopicPartition] = future.result(20).topic_partitions
        return found

    def commit(self, offsets: list[TopicPartition]) -> None:
        asked = ConsumerGroupTopicPartitions(self.group, offsets)
        self.admin.alter_consumer_group_offsets([asked])[self.group].result(20)


def event(number: int) -> bytes:
    same = str(uuid.UUID(int=number))
    return json.dumps({
        "event_id": same, "user_id": same, "session_id": same, "event_type": "SEARCH",
        "event_timestamp": 1790000000000 + number, "request_latency_ms": 5, "status": "SUCCESS",
    }).encode()  # fmt: skip


def _line(stack: Project, bootstrap: str) -> Line:
    stack.environ |= {
        "NRTCTL_PIPELINE__TOPIC": f"again-{uuid.uuid4().hex[:8]}",
        "NRTCTL_CONSUMER__GROUP": f"group-{uuid.uuid4().hex[:8]}",
        "NRTCTL_PIPELINE__PARTITIONS": str(PARTITIONS),
    }
    stack.run("up")
    return Line(stack, bootstrap)


@pytest.fixture
def local_line(stack: Project) -> Line:
    endpoint = Endpoint.read(stack.directory / ".nrtctl" / "kafka")
    assert endpoint is not None
    return _line(stack, f"{endpoint.host}:{endpoint.port}")


@pytest.fixture(params=["local", pytest.param("apache", marks=pytest.mark.long)])
def line(request: pytest.FixtureRequest, stack: Project) -> Iterator[Line]:
    if request.param == "local":
        yield request.getfixturevalue("local_line")
        return
    bootstrap = request.getfixturevalue("apache_kafka").bootstrap
    front = Endpoint.read(stack.directory / ".nrtctl" / "clickhouse")
    assert front is not None
    password = (stack.directory / ".nrtctl" / "clickhouse" / "password").read_text().strip()
    before = dict(stack.environ)
    stack.environ |= {
        "NRTCTL_STACK__KIND": "external",
        "NRTCTL_KAFKA__BOOTSTRAP_SERVERS": bootstrap,
        "NRTCTL_CLICKHOUSE__URL": f"http://{front.host}:{front.port}",
        "NRTCTL_CLICKHOUSE__PASSWORD": password,
    }
    yield _line(stack, bootstrap)
    stack.environ = before  # so that `down` ends the local stack


def test_while_nobody_consumes_it(line: Line) -> None:
    project = line.project
    line.produce(0, 1000)
    project.run("consume", "--until-end")
    line.make_again()
    line.produce(2000, 2300)  # shorter than the table
    before = project.json("verify")
    assert (before["missing"], before["lag"]) == (0, 300)
    first = project.run("consume", "--until-end")
    assert b"was deleted and created again" in first.stderr
    assert b"nrtctl incarnations drop --execute" in first.stderr
    line.produce(3000, 4500)  # longer
    second = project.run("consume", "--until-end")
    assert b"created again" not in second.stderr
    new = [*range(2000, 2300), *range(3000, 4500)]
    assert (line.numbers(1), line.numbers(2)) == (list(range(1000)), new)
    report = project.json("verify")
    assert (report["stored"], report["missing"], report["duplicated"], report["lag"]) == (
        1800, 0, 0, 0,
    )  # fmt: skip
    assert any("1,000 rows" in note for note in report["notes"])

    damage.delete(project, "events", "_incarnation = 2 AND _offset = 7 AND _partition = 0")
    assert project.json("verify", code=5)["missing"] == 1
    project.run("verify", "--repair", "--execute")
    assert (line.numbers(1), line.numbers(2)) == (list(range(1000)), new)
    assert project.json("stats", "--once")["lag_records"] == 0

    dry = project.json("incarnations", "drop")
    assert [each["rows"] for each in dry["dropped"]] == [1000]
    project.run("incarnations", "drop", "2", "--execute", code=2)
    project.run("incarnations", "drop", "--execute")
    assert (line.numbers(1), line.numbers(2)) == ([], new)


@pytest.mark.parametrize("more", [300, pytest.param(5000, marks=pytest.mark.long)])
def test_while_it_is_consumed(line: Line, more: int, tmp_path: Path) -> None:
    project = line.project
    line.produce(0, 1000)
    log = tmp_path / "log"
    with project.consuming(log) as consumer:
        eventually(lambda: len(line.numbers(1)) == 1000, "rows of the first topic")
        line.make_again()
        line.produce(10_000, 10_000 + more)
        eventually(lambda: len(line.numbers(2)) >= more, "rows of the second")
        consumer.send_signal(signal.SIGTERM)
        consumer.communicate(timeout=60)
        assert consumer.returncode == 0
    assert log.read_bytes().count(b"was deleted and created again") == 1
    assert b"skip-lost" not in log.read_bytes()
    new = list(range(10_000, 10_000 + more))
    assert (line.numbers(1), line.numbers(2)) == (list(range(1000)), new)
    report = project.json("verify")
    assert (report["stored"], report["missing"], report["duplicated"]) == (more, 0, 0)


def test_a_topic_that_is_gone_for_a_while_is_waited_for(local_line: Line, tmp_path: Path) -> None:
    line, project = local_line, local_line.project
    line.produce(0, 100)
    log = tmp_path / "log"
    with project.consuming(log) as consumer:
        eventually(lambda: len(line.numbers(1)) == 100, "rows of the first topic")
        line.admin.delete_topics([line.topic])[line.topic].result(20)
        eventually(
            lambda: b"was deleted; `nrtctl up` creates it again" in log.read_bytes(),
            "the consumer says that the topic is gone",
        )
        project.run("up")
        line.produce(200, 300)
        eventually(lambda: len(line.numbers(2)) == 100, "rows of the second")
        consumer.send_signal(signal.SIGTERM)
        consumer.communicate(timeout=60)
        assert consumer.returncode == 0
    assert project.json("verify")["stored"] == 100
    line.admin.delete_topics([line.topic])[line.topic].result(20)
    ended = project.run("consume", "--until-end", code=1)
    assert b"does not exist" in ended.stderr


@pytest.mark.parametrize("mark", [lambda metadata: metadata, lambda metadata: metadata[:-9]])
def test_offsets_that_were_kept_say_nothing_of_the_new_topic(
    local_line: Line, mark: Callable[[str], str]
) -> None:
    """Committed by this version, and by one that knew one topic of each name."""
    line, project = local_line, local_line.project
    line.produce(0, 1000)
    project.run("consume", "--until-end")
    kept = [
        TopicPartition(t.topic, t.partition, t.offset, mark(t.metadata or ""))
        for t in line.committed()
    ]
    line.make_again()
    line.produce(2000, 3500)
    project.json("verify")  # the database has met the new topic when a consumer comes
    line.commit(kept)
    project.run("consume", "--until-end")
    assert (line.numbers(1), line.numbers(2)) == (list(range(1000)), list(range(2000, 3500)))
    assert project.json("verify")["missing"] == 0


@pytest.mark.parametrize("replayed", [False, pytest.param(True, marks=pytest.mark.long)])
def test_dead_letters_and_ledgers_are_of_one_topic(
    local_line: Line, tmp_path: Path, replayed: bool
) -> None:
    line, project = local_line, local_line.project
    for number, ledger in ((1, "one"), (2, "two")):
        lines = b"".join(event(number * 1000 + at) + b"\n" for at in range(50)) + b"not json\n" * 3
        project.run("produce", "--input", "-", "--ledger", str(tmp_path / ledger), stdin=lines)
        project.run("consume", "--until-end")
        if number == 1:
            line.make_again()
    listed = project.run("dlq", "list", "-o", "jsonl").stdout.splitlines()
    assert sorted(json.loads(each)["incarnation"] for each in listed) == [1, 1, 1, 2, 2, 2]
    of_one = project.json("dlq", "replay", "--incarnation", "2")
    assert (of_one["letters"], of_one["rejected"]) == (3, {"not JSON": 3})
    for ledger in ("one", "two"):
        book = project.json("verify", "--ledger", str(tmp_path / ledger))["ledger"]
        assert (book["right"], book["lost"], book["foreign"]) == (53, 0, 0)
    both = ["--ledger", str(tmp_path / "one"), "--ledger", str(tmp_path / "two")]
    assert b"created again" in project.run("verify", *both, code=2).stderr
    if not replayed:
        return
    as_event = f"'{event(9).decode()}'"
    project.run("dlq", "replay", "--fix", as_event, "--execute")
    assert project.value("SELECT count() FROM dead_letters") == 0
    assert [len(line.numbers(n)) for n in (1, 2)] == [53, 53]
    report = project.json("verify")
    assert (report["stored"], report["missing"], report["duplicated"]) == (53, 0, 0)


WITHOUT_IDS = """
import os, sys
import nrtctl.cli.app, nrtctl.clickhouse.client
from nrtctl.cli import main
from nrtctl.kafka import topics
topics.topic_id_of = lambda answer: ""
for command in sys.argv[1:]:
    if not (pid := os.fork()):
        sys.argv = ["nrtctl", *command.split()]
        main()
    if code := os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        sys.exit(code)
"""
"""nrtctl, one command after the other, where the broker gives topics no id."""


@pytest.mark.parametrize("longer", [False, pytest.param(True, marks=pytest.mark.long)])
def test_on_a_broker_without_topic_ids_the_log_itself_tells(local_line: Line, longer: bool) -> None:
    line, project = local_line, local_line.project

    def run(*commands: str) -> tuple[bytes, bytes]:
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT_IDS, *commands],
            cwd=project.directory, env=project.environ, capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout, done.stderr

    steps = [(0, 500, False), (1000, 1100, True), *([(2000, 3500, False)] if longer else [])]
    for first, last, again in steps:
        if again:
            line.make_again()
        line.produce(first, last)
        out, errors = run("consume --until-end", "verify -o json")
        assert (b"created again" in errors) is again
        report = json.loads(out[out.index(b"{") :])
        assert (report["missing"], report["lag"]) == (0, 0)
    new = [*range(1000, 1100), *(range(2000, 3500) if longer else ())]
    assert (line.numbers(1), line.numbers(2)) == (list(range(500)), new)
