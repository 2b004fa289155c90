"""Where Kafka and ClickHouse answer. For the local stack that is in its state directory."""

from __future__ import annotations

import socket
from functools import cached_property
from pathlib import Path

from nrtctl.config.model import Config
from nrtctl.errors import ConnectError
from nrtctl.local.process import Endpoint
from nrtctl.stack import docker
from nrtctl.stack.state_dir import CLICKHOUSE, KAFKA, live


class Addresses:
    """Where each half answers now; looked up when it is asked for.

    A half whose port is 0 (any free one) is found only while it runs, so what needs one half does
    not depend on the other.
    """

    def __init__(self, config: Config, state_dir: Path) -> None:
        self._config = config
        self._state_dir = state_dir
        self._local = config.stack_kind == "local"

    @cached_property
    def bootstrap_servers(self) -> str:
        """Raises ConnectError: it is the local broker's, which is not running."""
        kafka = self._config.kafka
        if self._local and kafka.port() != 0:
            _check_listens("broker", kafka.hosts()[0], kafka.port())
        if not self._local or kafka.port() != 0:
            return kafka.bootstrap_servers
        broker = _endpoint(self._state_dir, KAFKA, "broker")
        return f"{broker.host}:{broker.port}"

    @cached_property
    def clickhouse_url(self) -> str:
        """Raises ConnectError: it is the local front's, which is not running."""
        clickhouse = self._config.clickhouse
        if self._local and clickhouse.port() != 0:
            _check_listens("ClickHouse front", clickhouse.host(), clickhouse.port())
        if not self._local or clickhouse.port() != 0:
            return clickhouse.url
        front = _endpoint(self._state_dir, CLICKHOUSE, "ClickHouse front")
        return f"http://{front.host}:{front.port}"

    @property
    def clickhouse_password(self) -> str | None:
        """The configured one, else the one that `up` made."""
        password = self._config.clickhouse.password
        if password is not None:
            return password.get_secret_value()
        if self._config.stack_kind == "docker":
            return docker.stored_password(self._state_dir)
        return stored_password(self._state_dir) if self._local else None


def stored_password(state_dir: Path) -> str | None:
    """The password that the local ClickHouse front made for itself."""
    try:
        return (state_dir / CLICKHOUSE / "password").read_text().strip()
    except OSError:
        return None


def _check_listens(title: str, host: str, port: int) -> None:
    """Where nobody listens, the client libraries would take their time to say so."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except ConnectionRefusedError:
        raise ConnectError(
            f"the local {title} is not running: nobody listens at {host}:{port}",
            hint="`nrtctl up` starts it",
        ) from None
    except OSError:
        return


def _endpoint(state_dir: Path, name: str, title: str) -> Endpoint:
    endpoint = live(state_dir, name)
    if endpoint is None:
        raise ConnectError(
            f"the local {title} is not running (state directory {state_dir})",
            hint="`nrtctl up` starts it",
        )
    return endpoint
