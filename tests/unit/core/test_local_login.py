"""The local broker's login: when clients use it, and what is said where it does not do."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from nrtctl.config.load import load_config
from nrtctl.config.servers import Kafka
from nrtctl.errors import ConfigError
from nrtctl.kafka.properties import client_properties, local_password, with_login
from nrtctl.kafka.refusals import explain

HERE = "sasl_plaintext://127.0.0.1:9092/bootstrap: "


@pytest.fixture
def password(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text("s3cr3t-of-tests\n")
    return path


def test_the_login_is_found_when_a_client_is_made(password: Path) -> None:
    """`up` reads the configuration before it makes the password."""
    found = with_login(Kafka().with_login_file(password))
    properties = client_properties(found, address="h:1")
    assert properties["security.protocol"] == "SASL_PLAINTEXT"
    assert properties["sasl.mechanism"] == "SCRAM-SHA-256"
    assert (properties["sasl.username"], properties["sasl.password"]) == (
        "nrtctl",
        "s3cr3t-of-tests",
    )
    assert "s3cr3t-of-tests" not in repr(found)
    password.unlink()
    assert with_login(Kafka().with_login_file(password)) == Kafka().with_login_file(password)


@pytest.mark.parametrize(
    "given",
    [
        Kafka(
            security_protocol="SASL_PLAINTEXT",
            sasl_mechanism="PLAIN",
            sasl_username="u",
            sasl_password=SecretStr("p"),
        ),
        Kafka(properties={"security.protocol": "PLAINTEXT"}),
    ],
)
def test_what_the_configuration_says_goes_before(given: Kafka, password: Path) -> None:
    found = with_login(given.with_login_file(password))
    assert client_properties(found, address="h:1") == client_properties(given, address="h:1")


@pytest.mark.parametrize(("kind", "has"), [("local", True), ("external", False)])
def test_only_the_local_stack_has_one(tmp_path: Path, kind: str, has: bool) -> None:
    loaded = load_config(
        overrides=[f"stack.kind={kind}", f"local.state_dir={tmp_path}"], environ={}, cwd=tmp_path
    )
    wanted = tmp_path / "kafka" / "password" if has else None
    assert loaded.config.kafka.login_file == wanted
    assert Kafka().login_file is None


def test_a_password_of_another_user_is_an_error(
    password: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(ConfigError, match="belongs to another user"):
        local_password(password)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("SASL authentication error: Authentication failed: x", "it is not this stack's broker"),
        ("SASL SCRAM-SHA-256 mechanism handshake failed: Broker: Request not valid in current SASL "
         "state", "it does not ask for a login"),
    ],
)  # fmt: skip
def test_a_stranger_at_the_address_is_told(password: Path, line: str, words: str) -> None:
    settings = with_login(Kafka().with_login_file(password))
    found = explain(HERE + line, settings, first=True)
    assert found is not None
    assert words in found.why
    assert "nrtctl status" in found.fix
    assert "s3cr3t-of-tests" not in found.why + found.fix


def test_a_listener_that_asks_for_a_login_is_told_with_the_command() -> None:
    line = "127.0.0.1:9092/bootstrap: Disconnected: verify (after 3ms in state UP)"
    found = explain(line, Kafka(), first=True)
    assert found is not None
    assert "kafka.security_protocol" in found.fix
    assert "`nrtctl status --connect`" in found.fix
