"""No secret comes out: one is planted in each setting, and looked for in what commands print, log
and write, also where they fail, with tracebacks and everything logged."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.plugins.secure_kafka import KEY_PASSWORD, OWNER, SecureKafka
from tests.plugins.stack import Project

PLANTED = "planted-"
LOGGED = (
    "import logging, sys; logging.basicConfig(level=logging.DEBUG); "
    "from nrtctl.cli import main; sys.exit(main())"
)
COMMANDS = [
    ("config", "show", "--origin"), ("status",), ("doctor",), ("up",), ("produce", "--count", "1"),
]  # fmt: skip


@pytest.fixture
def planted(secure_kafka: SecureKafka, tmp_path: Path) -> Project:
    """Every secret is set; Kafka takes them, ClickHouse is not there."""
    project = Project(tmp_path)
    project.run("init")
    project.environ |= {
        "NRTCTL_STACK__KIND": "external",
        "NRTCTL_KAFKA__BOOTSTRAP_SERVERS": secure_kafka.addresses["SASL"],
        "NRTCTL_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
        "NRTCTL_KAFKA__SASL_MECHANISM": "PLAIN",
        "NRTCTL_KAFKA__SASL_USERNAME": OWNER,
        "NRTCTL_KAFKA__SASL_PASSWORD": secure_kafka.passwords[OWNER],
        "NRTCTL_KAFKA__SASL_OAUTH_CLIENT_SECRET": secure_kafka.tokens.secret,
        "NRTCTL_KAFKA__SSL_CA_LOCATION": str(secure_kafka.authority.ca),
        "NRTCTL_KAFKA__SSL_CERTIFICATE_LOCATION": str(secure_kafka.client.certificate),
        "NRTCTL_KAFKA__SSL_KEY_LOCATION": str(secure_kafka.client.key),
        "NRTCTL_KAFKA__SSL_KEY_PASSWORD": KEY_PASSWORD,
        "NRTCTL_KAFKA__PROPERTIES__SSL_KEYSTORE_PASSWORD": PLANTED + "property",
        "NRTCTL_CLICKHOUSE__URL": "http://127.0.0.1:1",
        "NRTCTL_CLICKHOUSE__PASSWORD": PLANTED + "clickhouse",
        "NRTCTL_FETCH__TOKEN": PLANTED + "fetch",
        "NRTCTL_LISTEN__TOKEN": PLANTED + "token",
        "NRTCTL_LISTEN__SIGNATURE": "github",
        "NRTCTL_LISTEN__SECRET": PLANTED + "secret",
    }
    return project


def logged(project: Project, *arguments: str) -> str:
    """All that a command prints and logs."""
    done = subprocess.run(
        [sys.executable, "-c", LOGGED, *arguments, "--debug"],
        cwd=project.directory,
        env=project.environ,
        capture_output=True,
        timeout=120,
        check=False,
    )
    return (done.stdout + done.stderr).decode(errors="replace")


def no_secret(project: Project, said: str) -> None:
    assert PLANTED not in said
    for path in project.directory.rglob("*"):
        if path.is_file():
            assert PLANTED.encode() not in path.read_bytes(), path


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_secret_is_said_or_written(planted: Project, command: tuple[str, ...]) -> None:
    said = logged(planted, *command)
    assert said
    no_secret(planted, said)


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("NRTCTL_FETCH__TOKEN", PLANTED + "a\rb", "fetch.token: must be one line of text"),
        ("https_proxy", f"socks5://u:{PLANTED}/x@proxy", "https_proxy is not the URL of an HTTP"),
    ],
)
def test_a_secret_that_cannot_be_used_is_not_quoted(
    planted: Project, name: str, value: str, why: str
) -> None:
    planted.environ[name] = value
    said = logged(planted, "produce", "--input", "https://nowhere.example/x")
    assert why in said
    no_secret(planted, said)


@pytest.mark.parametrize(
    ("mechanism", "right"),
    [("PLAIN", True), ("PLAIN", False), ("SCRAM-SHA-512", False), ("OAUTHBEARER", True)],
)
def test_no_secret_is_logged_by_librdkafka(
    planted: Project, secure_kafka: SecureKafka, mechanism: str, right: bool
) -> None:
    """With everything that librdkafka can log. What a login is made of is not logged either."""
    wrong = {} if right else {
        "NRTCTL_KAFKA__SASL_PASSWORD": PLANTED + "wrong",
        "NRTCTL_KAFKA__SASL_OAUTH_CLIENT_SECRET": PLANTED + "wrong",
    }  # fmt: skip
    listener = "OAUTH" if mechanism == "OAUTHBEARER" else "SASL"
    planted.environ |= wrong | {
        "NRTCTL_KAFKA__BOOTSTRAP_SERVERS": secure_kafka.addresses[listener],
        "NRTCTL_KAFKA__SASL_MECHANISM": mechanism,
        "NRTCTL_KAFKA__SASL_OAUTH_TOKEN_URL": secure_kafka.tokens.token_url,
        "NRTCTL_KAFKA__SASL_OAUTH_CLIENT_ID": OWNER,
        "NRTCTL_KAFKA__SASL_OAUTH_SCOPE": "kafka",
        "NRTCTL_KAFKA__PROPERTIES__DEBUG": "all",
    }
    said = logged(planted, "doctor", "--only", "kafka")
    assert "nrtctl.librdkafka" in said
    assert ("ok    Kafka answers" in said) == right
    no_secret(planted, said)
