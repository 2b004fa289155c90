"""Where Kafka and ClickHouse answer. For the local stack that is in its state directory."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from nrtctl.config.model import Config
from nrtctl.errors import ConnectError
from nrtctl.local.process import Endpoint

KAFKA, CLICKHOUSE = "kafka", "clickhouse"


@dataclass(frozen=True, slots=True)
class Addresses:
    bootstrap_servers: str
    clickhouse_url: str
    clickhouse_password: str | None = field(repr=False)


def resolve(config: Config, state_dir: Path) -> Addresses:
    """The addresses to use now.

    Raises:
        ConnectError: the local stack's port is 0 (any free one), and it is not running.
    """
    password = config.clickhouse.password
    given = password.get_secret_value() if password is not None else None
    if config.stack_kind != "local":
        return Addresses(config.kafka.bootstrap_servers, config.clickhouse.url, given)
    servers, url = config.kafka.bootstrap_servers, config.clickhouse.url
    if config.kafka.port() == 0:
        broker = _endpoint(state_dir, KAFKA, "broker")
        servers = f"{broker.host}:{broker.port}"
    if config.clickhouse.port() == 0:
        front = _endpoint(state_dir, CLICKHOUSE, "ClickHouse front")
        url = f"http://{front.host}:{front.port}"
    return Addresses(servers, url, given if given is not None else stored_password(state_dir))


def stored_password(state_dir: Path) -> str | None:
    """The password that the local ClickHouse front made for itself."""
    try:
        return (state_dir / CLICKHOUSE / "password").read_text().strip()
    except OSError:
        return None


def _endpoint(state_dir: Path, name: str, title: str) -> Endpoint:
    endpoint = Endpoint.read(state_dir / name)
    if endpoint is None:
        raise ConnectError(
            f"the local {title} is not running (state directory {state_dir})",
            hint="`nrtctl up` starts it",
        )
    return endpoint
