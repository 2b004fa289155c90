"""Who may use the local stack's broker: as `up` starts it, and as the configuration says."""

from __future__ import annotations

import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from nrtctl.local.process import Endpoint
from tests.plugins.apache_tools import ApacheTools
from tests.plugins.kafka_wire import Closed, Wire
from tests.plugins.other_user import MAY_BE_ANOTHER, as_other_user
from tests.plugins.stack import Project


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A stack that asks everybody for the password, as one does whose system tells no users."""
    project = Project(tmp_path_factory.mktemp("strict"))
    project.run("init")
    project.use_free_ports()
    path = project.directory / "nrtctl.toml"
    path.write_text(path.read_text() + '\n[local]\nauth = "password"\n')
    yield project
    project.down()


def bootstrap(project: Project) -> str:
    endpoint = Endpoint.read(project.directory / ".nrtctl" / "kafka")
    assert endpoint is not None
    return f"127.0.0.1:{endpoint.port}"


def is_served(address: str) -> bool:
    connection = Wire(address)
    try:
        connection.call("list_groups", 2)
    except Closed:
        return False
    finally:
        connection.close()
    return True


def test_every_command_finds_the_password(strict: Project) -> None:
    """`up` creates topics; the rest produces, consumes, asks for offsets, moves a group, prints."""
    up = strict.run("up")
    assert b"a password for the broker was created" in up.stderr
    assert not is_served(bootstrap(strict))
    password = strict.directory / ".nrtctl" / "kafka" / "password"
    assert stat.S_IMODE(password.stat().st_mode) == 0o600
    secret = password.read_text()
    runs = [
        ("produce", "--count", "500"),
        ("consume", "--until-end", "--workers", "2"),
        ("verify",),
        ("doctor",),
        ("stats", "--once"),
        ("status",),
        ("replay", "offsets", "--to-earliest"),
        ("consume", "-o", "jsonl", "--count", "3"),
        ("config", "show"),
    ]
    for arguments in runs:
        done = strict.run(*arguments)
        assert secret.encode() not in done.stdout + done.stderr, arguments
    again = strict.run("up")
    assert b"password" not in again.stderr
    assert secret.encode() not in again.stdout
    assert password.read_text() == secret


def test_other_clients_use_what_status_prints(
    strict: Project, apache_tools: ApacheTools, tmp_path: Path
) -> None:
    strict.run("up")
    clients = strict.json("status", "--connect")
    admin = AdminClient(clients["librdkafka"])
    assert "user_events" in admin.list_topics(timeout=20).topics
    java = tmp_path / "client.properties"
    java.write_text("".join(f"{key}={value}\n" for key, value in clients["java"].items()))
    topics = apache_tools.run(
        "TopicCommand",
        *("--bootstrap-server", bootstrap(strict), "--command-config", str(java), "--list"),
    )
    assert "user_events" in topics.split()
    text = strict.run("status", "--connect").stdout.decode()
    for kind in ("librdkafka", "java"):
        assert "\n".join(f"{key}={value}" for key, value in clients[kind].items()) in text


@pytest.mark.skipif(shutil.which("kcat") is None, reason="kcat is not installed")
def test_kcat_reads_the_properties_as_a_file(strict: Project, tmp_path: Path) -> None:
    strict.run("up")
    text = strict.run("status", "--connect").stdout.decode()
    (tmp_path / "kcat.conf").write_text(text.partition("\n\n")[0])
    shown = subprocess.run(
        ["kcat", "-F", str(tmp_path / "kcat.conf"), "-L"],
        capture_output=True,
        check=True,
        timeout=30,
    ).stdout
    assert b'topic "user_events"' in shown


def test_a_client_without_the_login_is_told_what_to_set(strict: Project, tmp_path: Path) -> None:
    """Another project whose configuration names this broker as its own cluster."""
    strict.run("up")
    other = Project(tmp_path)
    other.run("init")
    address = f"kafka.bootstrap_servers={bootstrap(strict)}"
    flags = ("--set", "stack.kind=external", "--set", address)
    done = other.run("doctor", *flags, code=5)
    assert b"kafka.security_protocol" in done.stdout
    assert b"`nrtctl status --connect`" in done.stdout
    secret = (strict.directory / ".nrtctl" / "kafka" / "password").read_text()
    login = (
        *("--set", "kafka.security_protocol=SASL_PLAINTEXT"),
        *("--set", "kafka.sasl_mechanism=PLAIN"),
        *("--set", "kafka.sasl_username=nrtctl"),
    )
    other.environ["NRTCTL_KAFKA__SASL_PASSWORD"] = "wrong"
    refused = other.run("doctor", *flags, *login, code=5)
    assert b"does not accept the user 'nrtctl' with this password" in refused.stdout
    other.environ["NRTCTL_KAFKA__SASL_PASSWORD"] = secret
    assert b"ok    Kafka answers" in other.run("doctor", *flags, *login, code=5).stdout


def test_who_started_it_comes_in_and_nobody_else(stack: Project) -> None:
    address = bootstrap(stack)
    assert is_served(address)
    if MAY_BE_ANOTHER:
        assert not as_other_user(lambda: is_served(address))

        def list_topics() -> bool:
            admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
            try:
                admin.list_topics(timeout=1)
            except KafkaException:
                return False
            return True

        assert not as_other_user(list_topics)
        log = (stack.directory / ".nrtctl" / "logs" / "kafka.log").read_text()
        assert "without a login (user 12345 of this machine)" in log
    else:
        assert (
            "without a login"
            not in (stack.directory / ".nrtctl" / "logs" / "kafka.log").read_text()
        )


def test_a_directory_from_before_gets_a_password_and_a_setting_opens_the_broker(
    project: Project,
) -> None:
    opened = ("--set", "local.auth=none")
    assert b"password" not in project.run("up", *opened).stderr
    kafka = project.directory / ".nrtctl" / "kafka"
    assert not (kafka / "password").exists()
    connection = project.json("status", "--connect", *opened)
    assert connection["librdkafka"]["security.protocol"] == "PLAINTEXT"
    assert is_served(bootstrap(project))
    if MAY_BE_ANOTHER:
        address = bootstrap(project)
        assert as_other_user(lambda: is_served(address))
    project.run("produce", "--count", "10")
    # What runs was started otherwise: as after an upgrade, with the processes still there.
    (kafka / "auth").unlink()
    assert b"`nrtctl down`, then `nrtctl up`" in project.run("up").stderr
    project.run("produce", "--count", "10")
    project.run("down")
    assert b"a password for the broker was created" in project.run("up").stderr
    project.run("produce", "--count", "10")
    consumed = project.run("consume", "--until-end")
    assert b"stored 30 rows" in consumed.stdout
    project.run("verify")
