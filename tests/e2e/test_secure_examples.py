"""The examples of docs/security.md, as they stand, against Apache Kafka with the listener that each
one names. Only addresses and secrets come from variables."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from nrtctl.kafka.admin import AdminClient, NewTopic
from tests.plugins.secure_kafka import KEY_PASSWORD, OWNER, SecureKafka
from tests.plugins.stack import Project

PAGE = Path(__file__).parents[2] / "docs" / "security.md"
EXAMPLES = re.findall(r"```toml\n# example: (\w+)\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def topic(secure_kafka: SecureKafka) -> str:
    admin = AdminClient({"bootstrap.servers": secure_kafka.bootstrap})
    for future in admin.create_topics([NewTopic("examples", 1, 1)]).values():
        future.result(30)
    return "examples"


def test_every_listener_has_an_example() -> None:
    assert {name for name, _ in EXAMPLES} == {"TLS", "MUTUAL", "SASL", "SCRAM", "OAUTH"}


@pytest.mark.parametrize(
    ("listener", "text"), EXAMPLES, ids=[f"{n}-{name}" for n, (name, _) in enumerate(EXAMPLES)]
)
def test_an_example_produces_and_reads(
    secure_kafka: SecureKafka, topic: str, tmp_path: Path, listener: str, text: str
) -> None:
    (tmp_path / "nrtctl.toml").write_text(text)
    shutil.copy(secure_kafka.authority.ca, tmp_path / "ca.pem")
    shutil.copy(secure_kafka.client.certificate, tmp_path / "client.crt")
    shutil.copy(secure_kafka.client.key, tmp_path / "client.key")
    project = Project(tmp_path)
    project.environ |= {
        "NRTCTL_KAFKA__BOOTSTRAP_SERVERS": secure_kafka.addresses[listener],
        "NRTCTL_STACK__KIND": "external",
        "NRTCTL_PIPELINE__TOPIC": topic,
    }
    secrets = {
        "MUTUAL": {"SSL_KEY_PASSWORD": KEY_PASSWORD},
        "SASL": {"SASL_PASSWORD": secure_kafka.passwords[OWNER]},
        "SCRAM": {"SASL_PASSWORD": secure_kafka.passwords[OWNER]},
        "OAUTH": {
            "SASL_OAUTH_CLIENT_SECRET": secure_kafka.tokens.secret,
            "SASL_OAUTH_TOKEN_URL": secure_kafka.tokens.token_url,
        },
    }
    for name, value in secrets.get(listener, {}).items():
        project.environ[f"NRTCTL_KAFKA__{name}"] = value
    before = len(project.run("consume", "-o", "jsonl", "--until-end").stdout.splitlines())
    project.run("produce", "--count", "20")
    lines = project.run("consume", "-o", "jsonl", "--until-end").stdout.splitlines()
    assert len(lines) == before + 20
