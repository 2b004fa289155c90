"""The librdkafka properties that every client of ours has. Called by `clients`."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from nrtctl.config.servers import Kafka
from nrtctl.errors import ConfigError
from nrtctl.kafka.refusals import NAMES, TOKEN_NAMES, tls_files
from nrtctl.net import tls
from nrtctl.net.kept import kept

OURS = {
    "sasl.mechanism": "sasl_mechanism",
    "sasl.username": "sasl_username",
    "sasl.password": "sasl_password",
    "sasl.oauthbearer.token.endpoint.url": "sasl_oauth_token_url",
    "sasl.oauthbearer.client.id": "sasl_oauth_client_id",
    "sasl.oauthbearer.client.secret": "sasl_oauth_client_secret",
    "sasl.oauthbearer.scope": "sasl_oauth_scope",
    "https.ca.location": "sasl_oauth_ca_location",
    "ssl.ca.location": "ssl_ca_location",
    "ssl.certificate.location": "ssl_certificate_location",
    "ssl.key.location": "ssl_key_location",
    "ssl.key.password": "ssl_key_password",
}
"""librdkafka's name (CONFIGURATION.md) to ours."""


INSTANCE = "group.instance.id"

LOCAL_USER = "nrtctl"
LOCAL_MECHANISM = "SCRAM-SHA-256"
"""With it a client proves that it knows the password, and never tells it: whoever else listens at
the local broker's address does not learn it, and is not taken for the broker."""


def password_file(state_dir: Path) -> Path:
    """Where the local broker's password is, if it has one."""
    return state_dir / "kafka" / "password"


def local_password(path: Path) -> str | None:
    """Raises ConfigError: it may not be read."""
    try:
        return kept(path) or None
    except PermissionError as error:
        raise ConfigError(
            f"the local broker's password in {path} belongs to another user",
            hint="`nrtctl status --connect` shows the login to the user who started the stack; set "
            "local.state_dir for a stack of your own",
        ) from error
    except OSError:
        return None


def with_login(settings: Kafka) -> Kafka:
    """The settings as clients need them: with the local broker's own login, where it asks for one
    and the configuration says nothing else.

    Raises:
        ConfigError: the password may not be read.
    """
    path = settings.login_file
    if path is None:
        return settings
    if settings.security_protocol != "PLAINTEXT" or "security.protocol" in settings.properties:
        return settings.with_login_file(None)
    if (password := local_password(path)) is None:
        return settings
    return settings.model_copy(
        update={
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": LOCAL_MECHANISM,
            "sasl_username": LOCAL_USER,
            "sasl_password": SecretStr(password),
        }
    )


def client_properties(settings: Kafka, *, address: str) -> dict[str, Any]:
    """Address, security, and whatever the user passes on.

    Args:
        address: bootstrap servers to use (`stack.addresses`), host:port with commas.

    Raises:
        ConfigError: a file of the settings cannot be used.
    """
    if settings.security_protocol.endswith("SSL"):
        tls.check(tls_files(settings), NAMES)
    if settings.sasl_oauth_ca_location is not None:
        tls.check(tls.Files(settings.sasl_oauth_ca_location), TOKEN_NAMES)
    given = {name: _plain(getattr(settings, ours)) for name, ours in OURS.items()}
    if settings.sasl_oauth_token_url is not None:
        given["sasl.oauthbearer.method"] = "oidc"
    return {
        "bootstrap.servers": address,
        "client.id": "nrtctl",
        "security.protocol": settings.security_protocol,
        "socket.connection.setup.timeout.ms": max(1000, int(settings.connect_timeout * 1000)),
        "reconnect.backoff.max.ms": 2000,
        **{name: value for name, value in given.items() if value is not None},
        **settings.properties,
    }


def _plain(value: object) -> str | None:
    if value is None:
        return None
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def own_instance(settings: Kafka, beginning: str, topic: str) -> dict[str, str]:
    """The id of a member that may be started again under it. A process may have several members in
    a group, each for a topic. Nothing where the beginning is empty, or the settings have an id."""
    if not beginning or INSTANCE in settings.properties:
        return {}
    return {INSTANCE: f"{beginning}-{zlib.crc32(topic.encode()):08x}"}
