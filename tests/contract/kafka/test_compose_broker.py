"""Apache Kafka takes the settings of the compose file, and sends clients where they can go.

The image turns `KAFKA_A_B` into the property `a.b` (docker/examples/README.md in apache/kafka).
Here they go into a file of properties; only the host name and the ports are others.
"""

from __future__ import annotations

import re
import socket
import subprocess
import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from nrtctl.kafka.admin import AdminClient, NewTopic
from tests.plugins.apache_kafka import (
    VERSION,
    Unavailable,
    available_jars,
    java_command,
    unavailable,
)
from tests.plugins.ports import free_port
from tests.unit.deploy.files import services

KAFKA = services()["kafka"]
NOT_PROPERTIES = {"KAFKA_HEAP_OPTS"}


def free_ports() -> dict[str, str]:
    """Of each port in the file, one that is free here."""
    return {port: str(free_port()) for port in ("9092", "19092", "29093")}


def properties(directory: Path, ports: dict[str, str]) -> str:
    lines = []
    for name, value in KAFKA["environment"].items():
        if not name.startswith("KAFKA_") or name in NOT_PROPERTIES:
            continue
        text = str(value).replace("${KAFKA_PORT:-9092}", "9092").replace("kafka:", "127.0.0.1:")
        text = re.sub(r":(9092|19092|29093)\b", lambda match: f":{ports[match[1]]}", text)
        text = text.replace("://:", "://127.0.0.1:")
        if name == "KAFKA_LOG_DIRS":
            text = str(directory / "data")
        lines.append(f"{name.removeprefix('KAFKA_').replace('_', '.').lower()}={text}")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("starts", [False, pytest.param(True, marks=pytest.mark.long)])
def test_the_broker_of_the_compose_file(tmp_path: Path, starts: bool) -> None:
    """Its directory is formatted with them, which reads them all; a broker starts with them."""
    try:
        jars = available_jars()
    except Unavailable as reason:
        unavailable(reason)
    assert KAFKA["image"] == f"apache/kafka:{VERSION}"
    ports = free_ports()
    file, output = tmp_path / "server.properties", tmp_path / "output.log"
    file.write_text(properties(tmp_path, ports))
    java = [*java_command(jars), "-Xmx512m"]
    cluster = KAFKA["environment"]["CLUSTER_ID"]
    subprocess.run(
        [*java, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(file)],
        check=True,
        capture_output=True,
        timeout=60,
    )
    if not starts:
        assert f"cluster.id={cluster}" in (tmp_path / "data" / "meta.properties").read_text()
        return
    with output.open("wb") as log:
        process = subprocess.Popen(
            [*java, "kafka.Kafka", str(file)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        host, inside = (f"127.0.0.1:{ports[each]}" for each in ("9092", "19092"))
        for address in (host, inside):
            assert advertised(address, process, output) == address
        admin = AdminClient({"bootstrap.servers": host})
        admin.create_topics([NewTopic("t", 1)])["t"].result(30)
        producer = Producer({"bootstrap.servers": host, "enable.idempotence": True})
        producer.produce("t", b"value")
        assert producer.flush(30) == 0
        reader = Consumer(
            {
                "bootstrap.servers": inside,
                "group.id": "g",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
            }
        )
        reader.subscribe(["t"])
        message = reader.poll(30)
        assert message is not None
        assert message.value() == b"value"
        committed = reader.commit(offsets=[TopicPartition("t", 0, 1)], asynchronous=False)
        assert [each.error for each in committed] == [None]
        reader.close()
    finally:
        process.terminate()
        process.wait(60)


def advertised(address: str, process: subprocess.Popen[bytes], output: Path) -> str:
    """Where a client that asks at `address` is sent on to."""
    deadline = time.monotonic() + 90
    while True:
        try:
            socket.create_connection(tuple_of(address), timeout=1).close()
            brokers = AdminClient({"bootstrap.servers": address}).list_topics(timeout=10).brokers
        except Exception as error:
            if process.poll() is not None or time.monotonic() > deadline:
                text = output.read_text(errors="replace")[-2000:]
                raise AssertionError(f"Kafka does not start: {text}") from error
            time.sleep(0.2)
        else:
            (broker,) = brokers.values()
            return f"{broker.host}:{broker.port}"


def tuple_of(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)
