"""Where Kafka, ClickHouse and the schema registry answer.

For the local stack that is in its state directory.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from nrtctl.config.load import IN_PROJECT
from nrtctl.config.model import Config
from nrtctl.errors import ConnectError
from nrtctl.kafka.properties import LOCAL_USER
from nrtctl.local.process import Endpoint, joined
from nrtctl.net.kept import kept
from nrtctl.stack import docker
from nrtctl.stack.local import check_address
from nrtctl.stack.login import registry_password
from nrtctl.stack.ports import listens, stack_at
from nrtctl.stack.spawn import BROKER, FRONT, SCHEMAS, Part
from nrtctl.stack.state_dir import CLICKHOUSE, claimed, live

if TYPE_CHECKING:
    from nrtctl.clickhouse.client import ClickHouseClient


class Addresses:
    """Where each half answers now; looked up when it is asked for.

    A half of the local stack answers where its process says so in the state directory. That is what
    tells it from another stack's at the same address. What needs one half does not depend on the
    other.
    """

    def __init__(self, config: Config, state_dir: Path) -> None:
        self._config = config
        self._state_dir = state_dir
        self._local = config.stack_kind == "local"

    @cached_property
    def bootstrap_servers(self) -> str:
        """Raises ConnectError, ConfigError: it is the local broker's, which does not run there."""
        configured = self._config.kafka.bootstrap_servers
        moved = self._moved(BROKER) if self._local else None
        return configured if moved is None else moved.address

    @cached_property
    def clickhouse_url(self) -> str:
        """Raises ConnectError, ConfigError: it is the local front's, which does not run there."""
        moved = self._moved(FRONT) if self._local else None
        return self._config.clickhouse.url if moved is None else f"http://{moved.address}"

    def with_registry(self, config: Config) -> Config:
        """The configuration of a pipeline, with where the local registry is if its schemas are
        there.

        Raises ConnectError: it does not run.
        """
        if not config.has_local_registry:
            return config
        there = live(self._state_dir, SCHEMAS.name)
        if there is None:
            raise ConnectError(
                f"the local schema registry is not running (state directory {self._state_dir})",
                hint="`nrtctl up` starts it",
            )
        password = registry_password(self._state_dir)
        settings = config.schema_registry.model_copy(
            update={
                "url": f"http://{there.address}",
                "token": None,
                "username": LOCAL_USER,
                "password": None if password is None else SecretStr(password),
            }
        )
        return config.model_copy(update={"schema_registry": settings})

    def _moved(self, part: Part) -> Endpoint | None:
        """Where the process of this stack answers; None: at the configured address."""
        there = live(self._state_dir, part.name)
        host, port = part.address(self._config)
        if there is not None:
            check_address(part, there, self._config, self._state_dir)
            return None if (there.host, there.port) == (host, port) else there
        title = f"the local {part.role}"
        if port == 0:
            raise ConnectError(
                f"{title} is not running (state directory {self._state_dir})",
                hint="`nrtctl up` starts it",
            )
        if not listens(host, port):
            raise ConnectError(
                f"{title} is not running: nothing is listening on {joined(host, port)}",
                hint="`nrtctl up` starts it",
            )
        other = stack_at(port)
        if other is None and not self._is_ours_to_start():
            return None
        raise ConnectError(
            f"{title} of {self._state_dir} is not running: "
            f"{'another program' if other is None else f'the stack in {other}'} answers at "
            f"{joined(host, port)}",
            hint=_instead(part, other, movable=part.movable(self._config)),
        )

    def _is_ours_to_start(self) -> bool:
        """Whether `up` starts what answers, and no server of the user's own."""
        return self._config.stack.kind == "local" or claimed(self._state_dir)

    @property
    def clickhouse_password(self) -> str | None:
        """The configured one, else the one that `up` made."""
        password = self._config.clickhouse.password
        if password is not None:
            return password.get_secret_value()
        if self._config.stack_kind == "docker":
            return docker.stored_password(self._state_dir)
        return stored_password(self._state_dir) if self._local else None

    def clickhouse_client(
        self, database: str | None = None, *, timeout: float | None = None
    ) -> ClickHouseClient:
        """A new client, to be closed by whoever asks for it.

        Args:
            database: of unqualified names.
            timeout: seconds that a connection may take, and a fifth of what one question may
                take; None: as configured.

        Raises:
            NrtctlError: ClickHouse does not answer, or refuses us.
        """
        from nrtctl.clickhouse.client import ClickHouseClient

        settings = self._config.clickhouse
        if timeout is not None:
            bounds = {"connect_timeout": timeout, "request_timeout": 5 * timeout}
            settings = settings.model_copy(update=bounds)
        return ClickHouseClient(
            settings, url=self.clickhouse_url, password=self.clickhouse_password, database=database
        )


def stored_password(state_dir: Path) -> str | None:
    """The password that the local ClickHouse front made for itself."""
    try:
        return kept(state_dir / CLICKHOUSE / "password")
    except OSError:
        return None


def _instead(part: Part, other: Path | None, *, movable: bool) -> str:
    """Args: other: the state directory of the stack that answers; None: it is no stack."""
    if other is None:
        own = "set stack.kind = 'external' if that is your own server"
    else:
        is_project = other.name == IN_PROJECT
        own = (
            f"run the command in {other.parent}"
            if is_project
            else f"set local.state_dir = '{other}'"
        )
        own = f"to use the one that answers, {own}"
    if movable:
        return f"`nrtctl up` starts it at a free port; {own}"
    return f"set {part.address_setting} to a free port, or leave it out, then `nrtctl up`; {own}"
