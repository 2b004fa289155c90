"""The file that `nrtctl init` writes, against a Kafka with TLS, SASL and ACLs and a ClickHouse
behind HTTPS: only variables are changed. The front of the local stack is that ClickHouse."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin._acl import AclOperation
from confluent_kafka.admin._resource import ResourceType

from tests.plugins.clickhouse_front import ClickHouseFront
from tests.plugins.secure_kafka import LIMITED, OWNER, SecureKafka
from tests.plugins.stack import Project
from tests.plugins.tls_front import TlsFront


@pytest.fixture(scope="module")
def https(
    secure_kafka: SecureKafka,
    clickhouse_front: ClickHouseFront,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Project, TlsFront]]:
    """A project in which nothing is started, and HTTPS in front of a local ClickHouse."""
    project = Project(tmp_path_factory.mktemp("secure-cluster"))
    project.run("init")
    shows = secure_kafka.authority.issue("clickhouse", "localhost", "127.0.0.1")
    tls = TlsFront((clickhouse_front.host, clickhouse_front.port), shows)
    yield project, tls
    tls.close()


@pytest.fixture
def cluster(
    https: tuple[Project, TlsFront],
    secure_kafka: SecureKafka,
    clickhouse_front: ClickHouseFront,
    tmp_path: Path,
) -> Project:
    """The same file with other variables, a topic, a group and a database of its own."""
    local, tls = https
    (tmp_path / "nrtctl.toml").write_bytes((local.directory / "nrtctl.toml").read_bytes())
    password = clickhouse_front.password.strip()
    name = uuid.uuid4().hex[:8]
    project = Project(tmp_path)
    project.environ |= {
        "NRTCTL_STACK__KIND": "external",
        "NRTCTL_KAFKA__BOOTSTRAP_SERVERS": secure_kafka.addresses["SASL"],
        "NRTCTL_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
        "NRTCTL_KAFKA__SASL_MECHANISM": "SCRAM-SHA-512",
        "NRTCTL_KAFKA__SSL_CA_LOCATION": str(secure_kafka.authority.ca),
        "NRTCTL_CLICKHOUSE__URL": tls.url,
        "NRTCTL_CLICKHOUSE__PASSWORD": password,
        "NRTCTL_CLICKHOUSE__CA_CERTIFICATE": str(secure_kafka.authority.ca),
        "NRTCTL_CLICKHOUSE__DATABASE": f"nrt_{name}",
        "NRTCTL_PIPELINE__TOPIC": f"events-{name}",
        "NRTCTL_CONSUMER__GROUP": f"group-{name}",
    }
    login(project, secure_kafka, OWNER)
    return project


def login(project: Project, kafka: SecureKafka, user: str) -> None:
    project.environ["NRTCTL_KAFKA__SASL_USERNAME"] = user
    project.environ["NRTCTL_KAFKA__SASL_PASSWORD"] = kafka.passwords[user]


def everything_is_stored(project: Project, count: int) -> None:
    project.run("produce", "--count", str(count), "--seed", "1")
    project.run("consume", "--until-end")
    report = project.json("verify")
    assert (report["stored"], report["missing"], report["duplicated"]) == (count, 0, 0)


@pytest.mark.long
def test_events_over_sasl_ssl_and_https(cluster: Project) -> None:
    cluster.run("up")
    everything_is_stored(cluster, 1000)
    cluster.run("doctor")


@pytest.mark.parametrize("every_step", [False, pytest.param(True, marks=pytest.mark.long)])
def test_the_least_rights_are_named_and_are_enough(
    cluster: Project, secure_kafka: SecureKafka, every_step: bool
) -> None:
    topic = cluster.environ["NRTCTL_PIPELINE__TOPIC"]
    group = cluster.environ["NRTCTL_CONSUMER__GROUP"]
    login(cluster, secure_kafka, LIMITED)

    def lacking() -> dict[str, str]:
        checks = cluster.json("doctor", code=5)
        return {row["check"]: row["found"] + " | " + row["fix"] for row in checks if not row["ok"]}

    found = lacking()
    assert "READ, WRITE, DESCRIBE" in found[f"rights on topic {topic}"]
    assert f"--allow-principal User:{LIMITED}" in found[f"rights on topic {topic}"]
    assert f"--group {group}" in found[f"rights on group {group}"]
    assert "does not allow" in cluster.run("up", code=3).stderr.decode()

    secure_kafka.allow(ResourceType.TOPIC, topic, AclOperation.DESCRIBE)
    if every_step:
        found = lacking()
        assert "may not create it" in found[f"topic {topic}"]
        assert "--operation CREATE" in found[f"topic {topic}"]
    secure_kafka.allow(ResourceType.TOPIC, topic, AclOperation.CREATE)
    if every_step:
        assert "`nrtctl up` creates it" in lacking()[f"topic {topic}"]
    cluster.run("up")

    if every_step:
        assert "doctor" in cluster.run("produce", "--count", "1", code=3).stderr.decode()
    secure_kafka.allow(ResourceType.TOPIC, topic, AclOperation.WRITE)
    cluster.run("produce", "--count", "100", "--seed", "2")
    secure_kafka.allow(ResourceType.TOPIC, topic, AclOperation.READ)
    assert list(lacking()) == [f"rights on group {group}"]
    said = cluster.run("consume", "--until-end", code=3).stderr.decode()
    assert "Group authorization failed" in said
    secure_kafka.allow(ResourceType.GROUP, group, AclOperation.READ)

    cluster.run("doctor")
    cluster.run("consume", "--until-end")
    report = cluster.json("verify")
    assert (report["stored"], report["missing"], report["duplicated"]) == (100, 0, 0)
    rows = cluster.json("status")
    assert {row["address"] for row in rows} >= {cluster.environ["NRTCTL_CLICKHOUSE__URL"]}
    if not every_step:
        return
    assert len(cluster.run("consume", "-o", "jsonl", "--until-end").stdout.splitlines()) == 100
    look = cluster.json("stats", "--once")
    assert (look["lag_records"], look["errors"]) == (0, [])
    assert cluster.json("replay", "offsets", "--to-earliest")

    del cluster.environ["NRTCTL_CONSUMER__GROUP"]  # the default; the former one may not be seen
    secure_kafka.allow(ResourceType.GROUP, "nrtctl-events", AclOperation.READ)
    cluster.run("consume", "--until-end")
    report = cluster.json("verify")
    assert (report["stored"], report["missing"], report["duplicated"]) == (100, 0, 0)


@pytest.mark.parametrize(
    "command",
    [
        ("produce", "--count", "1"),
        ("consume", "--until-end"),
        ("verify",),
        pytest.param(("up",), marks=pytest.mark.long),
        pytest.param(("consume", "-o", "jsonl"), marks=pytest.mark.long),
        pytest.param(("replay", "offsets", "--to-earliest"), marks=pytest.mark.long),
    ],
    ids=" ".join,
)
def test_every_command_explains_a_wrong_password(
    cluster: Project, command: tuple[str, ...]
) -> None:
    cluster.environ["NRTCTL_KAFKA__SASL_PASSWORD"] = "wrong"
    done = cluster.run(*command, code=3)
    assert done.stdout == b""
    assert b"does not accept the user 'pipeline'" in done.stderr
    assert b"NRTCTL_KAFKA__SASL_PASSWORD" in done.stderr
    assert b"Traceback" not in done.stderr
