"""Clients that nobody of this project wrote, with their defaults, against the local broker.

`make test` has what they need byte by byte, and librdkafka and Java's clients themselves.
"""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from tests.plugins.local_broker import LocalBroker
from tests.plugins.ports import free_port
from tests.plugins.waiting import eventually

# The first run on a machine fetches them.
pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

CLIENTS = Path(__file__).parent / "clients"
KAFKA = "4.1.0"
FRANZ_GO = "v1.22.3"
KAFKAJS = "2.2.4"


def run(*command: str, at: Path) -> str:
    done = subprocess.run(command, cwd=at, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def fetch_jars(at: Path, *names: str) -> None:
    """Those of Apache Kafka, with all that they need, into `jars`."""
    wanted = "".join(
        f"<dependency><groupId>org.apache.kafka</groupId><artifactId>{name}</artifactId>"
        f"<version>{KAFKA}</version></dependency>"
        for name in names
    )
    (at / "pom.xml").write_text(
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        "<groupId>nrtctl</groupId><artifactId>clients</artifactId><version>1</version>"
        f"<dependencies>{wanted}</dependencies></project>"
    )
    run("mvn", "-q", "-B", "-ntp", "dependency:copy-dependencies", "-DoutputDirectory=jars", at=at)


def test_kafka_python_and_aiokafka(local_broker: LocalBroker, tmp_path: Path) -> None:
    run(sys.executable, "-m", "venv", "venv", at=tmp_path)
    run("venv/bin/pip", "install", "-q", "kafka-python", "aiokafka", at=tmp_path)
    program = str(CLIENTS / "python_clients.py")
    assert (
        run("venv/bin/python", program, local_broker.bootstrap, at=tmp_path)
        == "300 300\n100 10 18\n"
    )


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is needed")
def test_kafkajs(local_broker: LocalBroker, tmp_path: Path) -> None:
    shutil.copy(CLIENTS / "kafkajs.mjs", tmp_path)
    run("npm", "install", "--silent", f"kafkajs@{KAFKAJS}", at=tmp_path)
    assert (
        run("node", "kafkajs.mjs", local_broker.bootstrap, at=tmp_path) == "300 300 true\ntrue 18\n"
    )


@pytest.mark.skipif(shutil.which("go") is None, reason="Go is needed")
def test_franz_go(local_broker: LocalBroker, tmp_path: Path) -> None:
    shutil.copy(CLIENTS / "go" / "main.go", tmp_path)
    run("go", "mod", "init", "nrtctl/client", at=tmp_path)
    run("go", "get", f"github.com/twmb/franz-go@{FRANZ_GO}", at=tmp_path)
    run("go", "get", "github.com/twmb/franz-go/pkg/kadm@v1.20.0", at=tmp_path)
    assert run("go", "run", ".", local_broker.bootstrap, at=tmp_path) == "500 0 true\n500 0\n"


@pytest.mark.skipif(
    None in (shutil.which("javac"), shutil.which("mvn")), reason="javac and Maven are needed"
)
@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once_v2"])
def test_kafka_streams_with_a_state_store(
    local_broker: LocalBroker, tmp_path: Path, guarantee: str
) -> None:
    fetch_jars(tmp_path, "kafka-streams")
    run("javac", "-cp", "jars/*", "-d", ".", str(CLIENTS / "Streams.java"), at=tmp_path)
    arguments = (local_broker.bootstrap, "state", guarantee)
    said = run("java", "-cp", "jars/*:.", "Streams", *arguments, at=tmp_path)
    assert said == "{k0=100, k1=100, k2=100, k3=100, k4=100}\ntrue\n"


@pytest.mark.skipif(
    None in (shutil.which("java"), shutil.which("mvn")), reason="Java and Maven are needed"
)
def test_kafka_connect_distributed(local_broker: LocalBroker, tmp_path: Path) -> None:
    """A worker with its three compacted topics; a connector that goes on where it was."""
    fetch_jars(tmp_path, "connect-runtime", "connect-json", "connect-file")
    shutil.copytree(tmp_path / "jars", tmp_path / "plugins", ignore=_all_but("connect-file"))
    port = free_port()
    settings = {
        "bootstrap.servers": local_broker.bootstrap,
        "group.id": "connect-worker",
        "key.converter": "org.apache.kafka.connect.storage.StringConverter",
        "value.converter": "org.apache.kafka.connect.storage.StringConverter",
        "offset.flush.interval.ms": 500,
        "listeners": f"HTTP://127.0.0.1:{port}",
        "plugin.path": tmp_path / "plugins",
        **{f"{kind}.storage.topic": f"connect-{kind}" for kind in ("config", "offset", "status")},
        **dict.fromkeys((f"{kind}.storage.replication.factor" for kind in
                         ("config", "offset", "status")), 1),
    }  # fmt: skip
    properties = tmp_path / "worker.properties"
    properties.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    source = tmp_path / "lines.txt"
    source.write_text("one\ntwo\n")
    connector = {
        "connector.class": "org.apache.kafka.connect.file.FileStreamSourceConnector",
        "file": str(source),
        "topic": "connect-lines",
        "topic.creation.default.partitions": "1",
        "topic.creation.default.replication.factor": "1",
    }
    with worker(properties, tmp_path):
        eventually(lambda: put(port, "/connectors/lines/config", connector), "the worker")
        eventually(lambda: lines_in(local_broker, "connect-lines") == ["one", "two"], "its lines")
        eventually(lambda: lines_in(local_broker, "connect-offset"), "its offset")
    with source.open("a") as file:
        file.write("three\n")
    with worker(properties, tmp_path):
        eventually(lambda: len(lines_in(local_broker, "connect-lines")) >= 3, "one more line")
    assert lines_in(local_broker, "connect-lines") == ["one", "two", "three"]


def _all_but(word: str) -> Callable[[str, list[str]], list[str]]:
    return lambda _, names: [name for name in names if word not in name]


@contextmanager
def worker(properties: Path, at: Path) -> Iterator[None]:
    main = "org.apache.kafka.connect.cli.ConnectDistributed"
    process = subprocess.Popen(
        ["java", "-Xmx512m", "-cp", "jars/*", main, str(properties)],
        cwd=at,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def put(port: int, path: str, value: Mapping[str, str]) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=90)
    headers = {"Content-Type": "application/json"}
    try:
        connection.request("PUT", path, json.dumps(value), headers)
        return connection.getresponse().status in {200, 201}
    except OSError:
        return False
    finally:
        connection.close()


def lines_in(broker: LocalBroker, topic: str) -> list[str]:
    """The values of all partitions; none of a topic that is not there."""
    settings = {"bootstrap.servers": broker.bootstrap, "group.id": "lines"}
    consumer = Consumer(settings | {"enable.partition.eof": True})
    try:
        partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        found, ended = [], 0
        while ended < len(partitions):
            message = consumer.poll(30)
            assert message is not None, f"{topic} does not end"
            if message.error() is None:
                found.append((message.value() or b"").decode())
            else:
                ended += 1
        return found
    finally:
        consumer.close()
