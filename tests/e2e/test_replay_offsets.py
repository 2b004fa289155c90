"""`nrtctl replay offsets` and `undo`: dry by default, refused while there are members, reversible,
and what is read again is not doubled, whatever was killed; on the local broker and Apache Kafka."""

from __future__ import annotations

import json
import re
import signal
import stat
import subprocess
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from nrtctl.local.process import Endpoint
from tests.plugins import damage
from tests.plugins.apache_kafka import ApacheKafka, available_jars, java_command
from tests.plugins.stack import Project

SMALL = ("--set", "batch.max_rows=100")
TIMES_OUT = ("--set", "consumer.session_timeout=6s")


class Setup:
    """A project, and its broker seen through Kafka's own client."""

    def __init__(self, project: Project, bootstrap: str, topic: str, group: str) -> None:
        self.project = project
        self.bootstrap = bootstrap
        self.topic = topic
        self.group = group

    def committed(self) -> dict[int, tuple[int, str]]:
        asked = [TopicPartition(self.topic, number) for number in range(4)]
        client = AdminClient({"bootstrap.servers": self.bootstrap})
        futures = client.list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(self.group, asked)]
        )
        return {
            each.partition: (each.offset, each.metadata or "")
            for each in futures[self.group].result(10).topic_partitions
        }

    def offsets(self) -> list[int]:
        return [offset for _, (offset, _) in sorted(self.committed().items())]

    def whole(self, messages: int) -> None:
        self.project.run("consume", "--until-end", *SMALL)
        report = self.project.json("verify")
        assert report["stored"] + report["dead_letters"] == messages
        assert (report["missing"], report["duplicated"], report["lag"]) == (0, 0, 0)

    def kill(self, fault: str, *arguments: str) -> None:
        self.project.environ["NRTCTL_FAULT"] = fault
        done = self.project.run(*arguments, code=None)
        del self.project.environ["NRTCTL_FAULT"]
        assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.fixture
def local(stack: Project) -> Setup:
    return Setup(stack, damage.bootstrap(stack), damage.TOPIC, "nrtctl-events")


@pytest.fixture
def apache(stack: Project, apache_kafka: ApacheKafka) -> Iterator[Setup]:
    before = dict(stack.environ)
    front = Endpoint.read(stack.directory / ".nrtctl" / "clickhouse")
    assert front is not None
    password = (stack.directory / ".nrtctl" / "clickhouse" / "password").read_text().strip()
    topic, group = f"topic-{uuid.uuid4().hex[:8]}", f"group-{uuid.uuid4().hex[:8]}"
    stack.environ |= {
        "NRTCTL_STACK__KIND": "external",
        "NRTCTL_KAFKA__BOOTSTRAP_SERVERS": apache_kafka.bootstrap,
        "NRTCTL_CLICKHOUSE__URL": f"http://{front.host}:{front.port}",
        "NRTCTL_CLICKHOUSE__PASSWORD": password,
        "NRTCTL_PIPELINE__TOPIC": topic,
        "NRTCTL_CONSUMER__GROUP": group,
    }
    stack.run("up")
    yield Setup(stack, apache_kafka.bootstrap, topic, group)
    stack.environ = before


@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.long)])
def test_a_move_and_the_way_back(local: Setup, whole: bool) -> None:
    project = local.project
    project.run("produce", "--count", "800", "--seed", "3", "--invalid", "5")
    time.sleep(0.01)
    middle = round(time.time() * 1000)
    project.run("produce", "--count", "400", "--seed", "4")
    local.whole(1200)
    before, ends, content = local.committed(), local.offsets(), damage.content(project)

    dry = project.json("replay", "offsets", "--to-earliest")
    assert (dry["executed"], dry["read_again"], dry["skipped"]) == (False, 1200, 0)
    moves = ("--shift-by -5", "--offset +7", "--by-duration 1h", "--to-current")
    for move in moves if whole else moves[:1]:
        project.run("replay", "offsets", *move.split())
    assert (local.committed(), damage.content(project)) == (before, content)
    assert not list(project.directory.glob("nrtctl-undo*"))

    found = project.json(
        "replay", "offsets", "--to-datetime", str(middle), "--execute", "--undo-file", "u.json"
    )
    assert (found["executed"], found["read_again"]) == (True, 400)
    assert sum(ends) - sum(local.offsets()) == 400
    assert stat.S_IMODE((project.directory / "u.json").stat().st_mode) == 0o600
    moved = local.committed()
    project.run("replay", "undo", "u.json")
    assert (local.committed(), damage.content(project)) == (moved, content)
    project.run("replay", "undo", "u.json", "--execute")
    assert local.offsets() == ends

    if whole:
        read_again_over_rows_that_are_there(local)
        what_is_stated_is_not_guessed(local)


def read_again_over_rows_that_are_there(local: Setup) -> None:
    """They stay as they are."""
    project, ends, content = local.project, local.offsets(), damage.content(local.project)
    inserted = project.rows("SELECT max(_inserted_at) AS t FROM events")
    shown = project.run("replay", "offsets", "--offset", "@-1h", "--partition", "2").stdout.decode()
    command = re.search(r"to do it, run: nrtctl (.*)", shown)
    assert command
    assert "@-1h" not in command[1]
    project.run(*command[1].split())
    assert local.offsets() == [ends[0], ends[1], 0, ends[3]]
    damage.delete(project, "events", "_partition = 2 AND _offset < 40")
    local.whole(1200)
    assert damage.content(project) == content
    late = project.value(
        f"SELECT countIf(_inserted_at > '{inserted[0]['t'].rstrip('Z')}') FROM events"
    )
    assert 0 < late <= 100


def what_is_stated_is_not_guessed(local: Setup) -> None:
    project, ends = local.project, local.offsets()
    (project.directory / "offsets.csv").write_text(f"{local.topic},0,5\n{local.topic},1,999999\n")
    rows = project.json("replay", "offsets", "--from-file", "offsets.csv")["partitions"]
    assert [(row["partition"], row["after"]) for row in rows] == [(0, 5), (1, ends[1])]
    assert "999999 is beyond the log's end" in rows[1]["note"]
    rows = project.json("replay", "offsets", "--to-datetime", "2200-01-01")["partitions"]
    assert all("no message is that recent" in row["note"] for row in rows)
    rows = project.json("replay", "offsets", "--shift-by", "1", "--group", "fresh")["partitions"]
    assert all("no committed offset" in row["note"] and row["after"] is None for row in rows)
    refusals: tuple[tuple[tuple[str, ...], bytes], ...] = (
        (("--to-latest", "--to-earliest"), b"more than one option"),
        (("--to-latest", "--partition", "9"), b"no partition 9"),
        ((), b"where to move the group"),
        (("--offset", "soon"), b"not a place in the log"), (("--to-datetime", "x"), b"not a time"),
    )  # fmt: skip
    for words, said in refusals:
        done = project.run("replay", "offsets", *words, code=2)
        assert said in done.stderr
        assert done.stdout == b""


POINTS = ("replay-resolved", "replay-moving", "replay-moved")


def members_and_pending(setup: Setup, points: Sequence[str]) -> None:
    """A killed consumer's batch is stored before the group moves; a kill at any step is mended."""
    project = setup.project
    project.run("produce", "--count", "1200", "--seed", "5", "--invalid", "5")
    setup.kill("intent-declared=3", "consume", "--until-end", *SMALL, *TIMES_OUT)
    pending = {n: at for n, at in setup.committed().items() if at[0] >= 0}
    assert any(re.fullmatch(r"nrtctl1:events:\d+:\w+#\w+", text) for _, text in pending.values())
    refused = project.run("replay", "offsets", "--to-latest", "--execute", code=1)
    assert b"1 member," in refused.stderr
    assert b"nrtctl at " in refused.stderr
    assert {n: at for n, at in setup.committed().items() if at[0] >= 0} == pending
    assert not list(project.directory.glob("nrtctl-undo*"))
    late = project.run(
        "replay", "offsets", "--to-latest", "--execute", "--wait", "--timeout", "1ms", code=4
    )
    assert b"still has 1 member," in late.stderr

    for number, point in enumerate(points):
        setup.kill(f"{point}=1", "replay", "offsets", "--to-latest", "--execute", "--wait",
                   "--undo-file", f"{number}.json")  # fmt: skip
        ends = {n: int(text.split(":")[2]) for n, (_, text) in pending.items() if ":-:" not in text}
        if point != "replay-resolved":
            for partition, end in ends.items():
                start = pending[partition][0]
                there = project.value(
                    "SELECT count() FROM (SELECT _offset FROM events WHERE _partition = "
                    f"{partition} AND _offset >= {start} AND _offset < {end} UNION ALL SELECT "
                    f"_offset FROM dead_letters WHERE _partition = {partition} AND _offset >= "
                    f"{start} AND _offset < {end})"
                )
                assert there == end - start
    assert sum(setup.offsets()) == 1200
    project.run("replay", "offsets", "--to-earliest", "--execute")
    if points != POINTS:
        damage.delete(project, "events", "_offset % 2")
        setup.whole(1200)
        return
    setup.whole(1200)
    content = damage.content(project)
    damage.delete(project, "events", "1")
    damage.delete(project, "dead_letters", "1")
    project.run("replay", "offsets", "--to-earliest", "--execute")
    setup.whole(1200)
    assert damage.content(project) == content


@pytest.mark.parametrize("points", [POINTS[1:], pytest.param(POINTS, marks=pytest.mark.long)])
def test_members_and_a_batch_under_way(local: Setup, points: Sequence[str]) -> None:
    members_and_pending(local, points)


@pytest.mark.long
def test_on_apache_kafka(apache: Setup) -> None:
    members_and_pending(apache, POINTS)
    project = apache.project
    project.run("replay", "offsets", "--to-offset", "7", "--execute")
    described = subprocess.run(
        [*java_command(available_jars()), "-Xmx256m",
         "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
         "--bootstrap-server", apache.bootstrap, "--describe", "--group", apache.group],
        capture_output=True, text=True, timeout=60, check=True,
    ).stdout  # fmt: skip
    lines = [line.split() for line in described.splitlines() if apache.topic in line]
    assert sorted((int(line[2]), int(line[3])) for line in lines) == [(n, 7) for n in range(4)]
    seen: Any = subprocess.run(
        ["kcat", "-b", apache.bootstrap, "-G", apache.group, "-X", "enable.auto.commit=false",
         "-q", "-e", "-f", "%p %o\\n", apache.topic],
        capture_output=True, text=True, timeout=60, check=True,
    ).stdout.split()  # fmt: skip
    first: dict[str, int] = {}
    for partition, offset in zip(seen[::2], seen[1::2], strict=True):
        first.setdefault(partition, int(offset))
    assert first == {str(n): 7 for n in range(4)}


def test_another_tables_batch_is_not_given_up(local: Setup) -> None:
    local.project.run("produce", "--count", "100")
    damage.commit_offset(local.project, 0, 5, "nrtctl1:other:9:e1")
    damage.commit_offset(local.project, 1, 5, "nrtctl1:other:-:e1")
    done = local.project.run("replay", "offsets", "--to-latest", "--execute", code=1)
    assert b"pipeline.table=other" in done.stderr
    assert local.committed()[0] == (5, "nrtctl1:other:9:e1")
    rows = local.project.json(
        "replay", "offsets", "--to-latest", "--execute", "--partition", "1", "--undo-file", "u.json"
    )["partitions"]
    assert "its metadata is discarded" in rows[0]["note"]
    saved = json.loads((local.project.directory / "u.json").read_text())["partitions"]
    assert saved == [{"partition": 1, "committed": 5, "metadata": "nrtctl1:other:-:e1"}]


def test_what_another_program_passes_is_named_and_stored(local: Setup) -> None:
    """As `kafka-consumer-groups --reset-offsets` does it: offsets without metadata."""
    project = local.project
    project.run("produce", "--count", "400")
    local.whole(400)
    before = local.offsets()
    project.run("produce", "--count", "400")
    ends = [each["log_end"] for each in project.json("verify")["partitions"]]
    passed = [TopicPartition(local.topic, number, end) for number, end in enumerate(ends)]
    client = AdminClient({"bootstrap.servers": local.bootstrap})
    moved = client.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(local.group, passed)])
    moved[local.group].result(10)
    said = project.run("consume", "--until-end").stderr.decode()
    assert "another program has moved the consumer group's offsets" in said
    assert f"nrtctl replay load --partition 0 --offset {before[0]}:{ends[0]} --execute" in said
    done = project.run("verify", "-o", "json", code=5)
    report = json.loads(done.stdout)
    assert report["missing"] == sum(ends) - sum(before)
    named = [note for note in report["notes"] if "another program has moved" in note]
    assert len(named) == 4
    for number, end in enumerate(ends):
        span = f"{before[number]}:{end}"
        project.run("replay", "load", "--partition", str(number), "--offset", span, "--execute")
    local.whole(800)
